"""Where CPython hangs: a process is killed while it has a lock, waits on a condition or on an event."""

import multiprocessing as mp
import time


def hold(lock, ready):
    lock.acquire()
    ready.set()
    while True:
        time.sleep(1)


def wait(condition, ready):
    with condition:
        ready.set()
        condition.wait()


def wait_for_event(event, ready):
    ready.set()
    event.wait()


def killed(target, *args):
    ready = mp.Event()
    process = mp.Process(target=target, args=(*args, ready))
    process.start()
    ready.wait()
    return process


def task(how):
    if how == "die":
        import os

        os.abort()
    return how


if __name__ == "__main__":
    for kind in (mp.Lock, mp.RLock):
        lock = kind()
        process = killed(hold, lock)
        process.kill()
        process.join()
        print(kind.__name__, lock.acquire(timeout=60), process.exitcode)
        lock.release()
    condition = mp.Condition()
    process = killed(wait, condition)
    with condition:
        pass
    process.terminate()
    process.join()
    with condition:
        condition.notify_all()
    print("notified", process.exitcode)
    event = mp.Event()
    process = killed(wait_for_event, event)
    process.kill()
    process.join()
    event.set()
    print("set", event.is_set())
    with mp.Pool(2) as pool:
        lost = pool.apply_async(task, ("die",))
        try:
            lost.get(60)
        except Exception as error:
            print(type(error).__name__, error)
        print(pool.map(task, ["still", "here"]))
