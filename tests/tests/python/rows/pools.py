"""Rows of `Pool`, and of `ThreadPool` in the space of threads."""

import gc
import multiprocessing as mp
import time
import weakref

from harness import GUEST, LONG, Processes, Rows, SHORT, Threads, equal, main, only, raises, takes, until


def square(x, wait=0.0):
    time.sleep(wait)
    return x * x


def multiply(x, y):
    return x * y


def itself(x):
    return x


def fail_at_length(wait):
    time.sleep(wait)
    raise ValueError("x" * 1024**2)


def fail():
    raise RuntimeError(123)  # some comment


def fail_with_a_key():
    raise KeyError("key")


def not_picklable():
    return lambda: 42


class Said(ValueError):
    """What `up_to` raises."""


def up_to(total, failing):
    """Numbers, of which one is an exception: the very first thing if that is -1."""
    if failing == -1:
        raise Said("said when")
    for number in range(total):
        if number == failing:
            raise Said("said when")
        yield number


class Failing:
    def __iter__(self):
        return self

    def __next__(self):
        raise Said

    def __len__(self):
        return 1


class NotPicklable:
    def __reduce__(self):
        raise RuntimeError("cannot pickle")


class Counted:
    alive = 0

    def __new__(cls):
        cls.alive += 1
        return object.__new__(cls)

    def __del__(self):
        type(self).alive -= 1


SQUARES = [number * number for number in range(10)]


class _TestPool(Rows):
    spaces = (Processes, Threads)

    def test_apply(self):
        with self.Pool(2) as pool:
            equal((pool.apply(square, (5,)), pool.apply(square, (), {"x": 3})), (25, 9))

    def test_map(self):
        with self.Pool(2) as pool:
            equal(pool.map(square, range(10)), SQUARES)
            equal(pool.map(square, list(range(100)), chunksize=20), [n * n for n in range(100)])

    def test_starmap(self):
        with self.Pool(2) as pool:
            for count, chunksize in ((10, None), (100, 20)):
                pairs = list(zip(range(count), range(count - 1, -1, -1)))
                equal(pool.starmap(multiply, pairs, chunksize), [x * y for x, y in pairs])

    def test_starmap_async(self):
        pairs = list(zip(range(100), range(99, -1, -1)))
        with self.Pool(2) as pool:
            equal(pool.starmap_async(multiply, pairs).get(LONG), [x * y for x, y in pairs])

    def test_map_async(self):
        with self.Pool(2) as pool:
            equal(pool.map_async(square, range(10)).get(LONG), SQUARES)

    def test_map_async_callbacks(self):
        told = []
        with self.Pool(2) as pool:
            for text in ("1", "a"):
                pool.map_async(int, [text], callback=told.append, error_callback=told.append).wait(LONG)
        equal((len(told), told[0], type(told[1])), (2, [1], ValueError))

    @only("processes", because="nothing is pickled")
    def test_map_unplicklable(self):
        with self.Pool(2) as pool:
            raises(RuntimeError, pool.map, square, [NotPicklable()] * 10)

    def test_map_chunksize(self):
        with self.Pool(2) as pool:
            equal(pool.map_async(square, [], chunksize=1).get(timeout=LONG), [])

    def test_map_handle_iterable_exception(self):
        with self.Pool(2) as pool:
            for numbers in (up_to(1, -1), up_to(1, -1), up_to(10, 3), Failing(), Failing()):
                raises(Said, pool.map, square, numbers, 1)
            equal(pool.map(square, range(10)), SQUARES)

    def test_async(self):
        with self.Pool(2) as pool:
            equal(takes(SHORT, pool.apply_async(square, (7, SHORT)).get), 49)

    def test_async_timeout(self):
        with self.Pool(2) as pool:
            result = pool.apply_async(square, (6, 1.0 if self.are_threads else LONG))
            if GUEST and self.are_threads:
                equal(result.get(timeout=SHORT), 36)
                return "the result, late: a task that runs is not interrupted"
            raises(mp.TimeoutError, takes, SHORT, result.get, timeout=SHORT)

    def test_imap(self):
        with self.Pool(2) as pool:
            equal(list(pool.imap(square, range(10))), SQUARES)
            for count, chunksize in ((10, 1), (1000, 100)):
                results = pool.imap(square, range(count), chunksize)
                for number in range(count):
                    equal(next(results), number * number)
                raises(StopIteration, next, results)

    def test_imap_handle_iterable_exception(self):
        with self.Pool(2) as pool:
            for total, failing, chunksize, good in ((1, -1, 1, 0), (1, -1, 1, 0), (10, 3, 1, 3), (20, 7, 2, 6), (20, 7, 4, 4)):
                results = pool.imap(square, up_to(total, failing), chunksize)
                equal([next(results) for _ in range(good)], SQUARES[:good])
                raises(Said, next, results)

    def test_imap_unordered(self):
        with self.Pool(2) as pool:
            equal(sorted(pool.imap_unordered(square, range(10))), SQUARES)
            equal(sorted(pool.imap_unordered(square, range(1000), chunksize=100)), [n * n for n in range(1000)])

    def test_imap_unordered_handle_iterable_exception(self):
        with self.Pool(2) as pool:
            for total, failing, chunksize in ((1, -1, 1), (1, -1, 1), (10, 3, 1), (20, 7, 2)):
                results, came = pool.imap_unordered(square, up_to(total, failing), chunksize), []
                raises(Said, lambda: came.extend(iter(lambda: next(results), None)))
                assert set(came) <= set(SQUARES) and len(set(came)) == len(came), came

    def test_make_pool(self):
        raises(ValueError, self.Pool, -1)
        raises(ValueError, self.Pool, 0)
        pool = self.Pool(3)
        equal(len(pool._pool), 3)
        pool.close()
        pool.join()

    def test_terminate(self):
        pool = self.Pool(2)
        result = pool.map_async(time.sleep, [0.3 if self.are_threads else LONG] * 1000, chunksize=1)
        pool.terminate()
        pool.join()
        equal(result.ready(), False)

    def test_empty_iterable(self):
        pool = self.Pool(1)
        equal((pool.map(square, []), list(pool.imap(square, [])), list(pool.imap_unordered(square, []))), ([], [], []))
        equal(pool.map_async(square, []).get(LONG), [])
        pool.close()
        pool.join()

    def test_context(self):
        with self.Pool(2) as pool:
            equal(pool.map_async(square, range(10)).get(LONG), SQUARES)
        pool.join()
        raises(ValueError, pool.map_async, square, range(10))

    @only("processes", because="an exception of a thread has its own traceback")
    def test_traceback(self):
        from multiprocessing.pool import RemoteTraceback

        with self.Pool(1) as pool:
            error = raises(RuntimeError, pool.apply, fail)
            equal((error.args, type(error.__cause__)), ((123,), RemoteTraceback))
            assert "raise RuntimeError(123)  # some comment" in error.__cause__.tb, error.__cause__.tb
            # One of this process has no other one behind it.
            equal(raises(Said, pool.map, square, up_to(1, -1), 1).__cause__, None)

    def test_wrapped_exception(self):
        with self.Pool(1) as pool:
            raises(RuntimeError, pool.apply, fail)

    def test_map_no_failfast(self):
        # All are waited for, though the first one has failed.
        began = time.monotonic()
        pool = self.Pool(2)
        raises(ValueError, pool.map, fail_at_length, [0, 0.3])
        pool.close()
        pool.join()
        assert time.monotonic() - began > 0.2

    def test_release_task_refs(self):
        with self.Pool(2) as pool:
            objects = [Counted() for _ in range(10)]
            there = [weakref.ref(each) for each in objects]
            pool.map(itself, objects)
            del objects
            end = time.monotonic() + LONG
            while Counted.alive and time.monotonic() < end:
                # The threads of CPython have something of it for a moment.
                gc.collect()
            equal(({each() for each in there}, Counted.alive), ({None}, 0))

    def test_enter(self):
        pool = self.Pool(1)
        with pool:
            pass
        raises(ValueError, pool.__enter__)
        pool.join()


class _TestPoolWorkerErrors(Rows):
    spaces = (Processes,)

    def test_async_error_callback(self):
        pool, told = self.Pool(2), []
        result = pool.apply_async(fail_with_a_key, error_callback=told.append)
        raises(KeyError, result.get, LONG)
        equal([type(error) for error in told], [KeyError])
        pool.close()
        pool.join()

    def test_unpickleable_result(self):
        from multiprocessing.pool import MaybeEncodingError

        pool, told = self.Pool(2), []
        for _ in range(20):
            result = pool.apply_async(not_picklable, error_callback=told.append)
            error = raises(MaybeEncodingError, result.get, LONG)
            assert error.exc and error.value, error
        equal([type(error) for error in told], [MaybeEncodingError] * 20)
        pool.close()
        pool.join()


class _TestPoolWorkerLifetime(Rows):
    spaces = (Processes,)

    def test_pool_worker_lifetime(self):
        pool = self.Pool(3, maxtasksperchild=10)
        first = [worker.pid for worker in pool._pool]
        results = [pool.apply_async(square, (number,)) for number in range(100)]
        equal([result.get(LONG) for result in results], [number * number for number in range(100)])
        # Nobody has more than ten of a hundred, so some have taken the place of others; the last of them may be about to.
        last = []

        def all_there():
            last[:] = [worker.pid for worker in pool._pool]
            return len(last) == 3

        until(all_there)
        equal((len(first), len(last), None in first + last, sorted(first) == sorted(last)), (3, 3, False, False))
        pool.close()
        pool.join()

    def test_pool_worker_lifetime_early_close(self):
        pool = self.Pool(3, maxtasksperchild=1)
        results = [pool.apply_async(square, (number, 0.05)) for number in range(6)]
        pool.close()
        pool.join()
        equal([result.get(LONG) for result in results], SQUARES[:6])

    def test_pool_maxtasksperchild_invalid(self):
        for value in (0, -1, 0.5, "12"):
            raises(ValueError, self.Pool, 3, maxtasksperchild=value)


if __name__ == "__main__":
    main(_TestPool, _TestPoolWorkerErrors, _TestPoolWorkerLifetime)
