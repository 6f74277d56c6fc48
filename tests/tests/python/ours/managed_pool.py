"""What a Manager makes goes to the workers of a Pool; what was made too late is said to be. A task that ends its worker is lost."""

import multiprocessing as mp
import sys


def add(shared, lock, queue, x):
    with lock:
        shared.append(x)
    queue.put(x)
    return x


def leave(_):
    sys.exit(0)


def read(shared):
    return len(shared)


def bad():
    raise ValueError("it cannot begin")


if __name__ == "__main__":
    with mp.Manager() as manager:
        shared, lock, queue = manager.list(), manager.Lock(), manager.Queue()
        nested = manager.dict()
        nested["inner"] = manager.list([1])
        print(nested["inner"][0])
        with mp.Pool(2) as pool:
            print(pool.starmap(add, [(shared, lock, queue, x) for x in range(4)]), sorted(shared), queue.qsize())
            try:
                pool.apply(leave, (0,))
            except RuntimeError as error:
                print(error)
            late = manager.list()
            try:
                pool.apply(read, (late,))
            except RuntimeError as error:
                print(error)
            print(pool.apply(read, (shared,)))
    with mp.Pool(1, initializer=bad) as pool:
        try:
            pool.apply(abs, (1,))
        except RuntimeError as error:
            print(error)
