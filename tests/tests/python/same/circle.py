"""A circle of two with time limits: the one that gives up first lets the other one go on."""

import multiprocessing as mp


def other(mine, yours, here, there):
    with mine:
        here.release()
        there.acquire()
        got = yours.acquire(timeout=0.5)
        print("other", got, flush=True)
        if got:
            yours.release()


if __name__ == "__main__":
    one, two = mp.Lock(), mp.Lock()
    here, there = mp.Semaphore(0), mp.Semaphore(0)
    process = mp.Process(target=other, args=(two, one, here, there))
    with one:
        process.start()
        here.acquire()
        there.release()
        got = two.acquire(timeout=60)
        print("main", got, flush=True)
        if got:
            two.release()
    process.join()
