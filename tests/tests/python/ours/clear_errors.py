"""What cannot be is said, and does not hang."""

import multiprocessing as mp
import queue
import threading


def ping(first, second):
    for _ in range(2):
        first.get()
        second.put(1)


if __name__ == "__main__":
    lock = mp.Lock()
    lock.acquire()
    print(lock.acquire(timeout=0.01))
    try:
        lock.acquire()
    except RuntimeError as error:
        print(type(error).__name__, "would never end" in str(error))
    first, second = queue.Queue(1), queue.Queue(1)
    thread = threading.Thread(target=ping, args=(first, second), daemon=True)
    thread.start()
    try:
        for _ in range(2):
            first.put(1)
            second.get()
    except RuntimeError as error:
        print(type(error).__name__, "multiprocessing.Process" in str(error))
    try:
        open("/etc/passwd")
    except OSError as error:
        print(type(error).__name__)
    try:
        import numpy
    except ImportError as error:
        print(error)
