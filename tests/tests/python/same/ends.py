import atexit
import multiprocessing as mp
import os


def wait(stop):
    stop.wait()


def leave():
    print("leaving", flush=True)
    os._exit(7)


if __name__ == "__main__":
    stop = mp.Event()
    child = mp.Process(target=wait, args=(stop,))
    child.start()
    # The child is joined after this has run.
    atexit.register(lambda: (print("at exit"), stop.set()))
    other = mp.Process(target=leave)
    other.start()
    other.join()
    print(other.exitcode)
    for _ in range(40):
        each = mp.Process(target=abs, args=(1,))
        each.start()
        each.join()
    print(each.exitcode)
