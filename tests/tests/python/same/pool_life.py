import itertools
import multiprocessing as mp


def name(_):
    return mp.current_process().name is not None


def begin(value):
    global STARTED
    STARTED = value


def started(x):
    return STARTED + x


def large(size):
    return bytes(size)


if __name__ == "__main__":
    pool = mp.Pool(2, maxtasksperchild=1)
    result = pool.map_async(name, range(6), chunksize=1)
    pool.close()
    pool.join()
    print(result.get(60))
    with mp.Pool(2, initializer=begin, initargs=(40,)) as pool:
        print(pool.map(started, range(3)))
        print([len(data) for data in pool.map(large, [3 << 20, 1, 5 << 20])])
        numbers = pool.imap(abs, range(-5000, 0), chunksize=1)
        print(list(itertools.islice(numbers, 3)))
        errors = []
        failed = pool.apply_async(started, ("text",), error_callback=errors.append)
        failed.wait(60)
        print(failed.ready(), failed.successful(), [type(error).__name__ for error in errors])
        for wrong in (lambda: pool.imap(abs, [1], chunksize=0), lambda: mp.Pool(1, maxtasksperchild=0)):
            try:
                wrong()
            except ValueError as error:
                print(error)
        print(pool.map(abs, []))
