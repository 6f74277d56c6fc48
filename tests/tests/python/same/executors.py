import multiprocessing as mp
import os
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed, wait


def cube(x):
    return x**3


def fails(x):
    raise ValueError(f"not {x}")


def say(line):
    # In one write, as processes do it at the same time.
    os.write(1, line.encode())


if __name__ == "__main__":
    mp.set_start_method("spawn")
    with ProcessPoolExecutor(max_workers=2) as executor:
        print(list(executor.map(cube, range(6))))
        futures = [executor.submit(cube, x) for x in (4, 5, 6)]
        print(sorted(future.result() for future in as_completed(futures, timeout=60)))
        print(len(wait([executor.submit(cube, 1)]).done), executor.submit(pow, 2, 8).result(60))
        failed = executor.submit(fails, 3)
        print(repr(failed.exception(60)))
        print(executor.submit(cube, 2).done() in (True, False))
    try:
        executor.submit(cube, 1)
    except RuntimeError as error:
        print(error)
    lock, seen = threading.Lock(), []

    def note(x):
        with lock:
            seen.append(x)
        return x * 2

    with ThreadPoolExecutor(max_workers=3) as threads:
        print(list(threads.map(note, range(5))), threads.submit(note, 9).result())
    print(sorted(seen))
    executor = ProcessPoolExecutor(1)
    futures = [executor.submit(cube, x) for x in range(50)]
    print(futures[-1].cancel(), futures[-1].cancelled())
    executor.shutdown(cancel_futures=True)
    print(futures[0].result(), futures[-2].cancelled(), all(future.done() for future in futures))
    with mp.Pool(1) as pool:
        errors = []
        unsendable = pool.apply_async(lambda: 1, error_callback=errors.append)
        unsendable.wait()
        print(unsendable.successful(), len(errors))
    try:
        ThreadPoolExecutor(0)
    except ValueError as error:
        print(error)
    # Nobody waits for these, or shuts it down: they are done all the same.
    left = ProcessPoolExecutor(2)
    for x in range(20):
        left.submit(say, "left 7\n")
