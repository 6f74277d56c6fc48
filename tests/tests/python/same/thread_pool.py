"""`ThreadPool`, and the rest of `multiprocessing.dummy`."""

import multiprocessing as mp
import multiprocessing.dummy
import threading
from multiprocessing.pool import ThreadPool

LOCAL = threading.local()


def begin(value):
    LOCAL.value = value


def add(x):
    return LOCAL.value + x


def nested(pool, x):
    return sum(pool.map(abs, range(x)))


if __name__ == "__main__":
    with ThreadPool(3, initializer=begin, initargs=(40,)) as pool:
        print(pool.map(add, range(5)), pool.apply(add, (2,)), list(pool.imap(add, range(4), 3)))
        print(sorted(pool.imap_unordered(add, range(3))), pool.starmap(pow, [(2, 3), (3, 2)]))
        told = []
        result = pool.apply_async(add, (1,), callback=told.append)
        print(result.get(60), result.successful(), told)
        print(pool.apply(nested, (pool, 4)))
        try:
            pool.apply(add, ("text",))
        except TypeError as error:
            print("TypeError")
    try:
        pool.map(add, [1])
    except ValueError as error:
        print(error)
    pool.join()
    with mp.dummy.Pool(2) as pool:
        print(type(pool).__name__, pool.map(len, ["a", "bc"]))
    # Its threads are children, as long as they run.
    pool.join()
    items = mp.dummy.Queue()
    process = mp.dummy.Process(target=items.put, args=("item",))
    process.start()
    print(items.get())
    process.join()
    print(process.exitcode, mp.dummy.active_children())
    first, second = mp.dummy.Pipe()
    first.send("sent")
    print(second.recv())
