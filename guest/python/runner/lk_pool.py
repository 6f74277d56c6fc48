"""`multiprocessing.Pool` without threads: workers, a queue of tasks and one of results, which whoever waits empties.

A worker that dies fails the task that it had, and is replaced. CPython loses the task, and its result never comes.
"""

import itertools
import os
import queue as _queue
import time

TASK_LOST = "the process that had this task has died"


def _work(tasks, results, begun, initializer, initargs, most):
    from multiprocessing.pool import ExceptionWithTraceback

    if initializer is not None:
        initializer(*initargs)
    for _ in itertools.count() if most is None else range(most):
        task = tasks.get()
        if task is None:
            return
        key, function, args, kwargs = task
        begun.put((key, os.getpid()))
        try:
            result = (key, True, function(*args, **kwargs))
        except Exception as error:
            result = (key, False, ExceptionWithTraceback(error, error.__traceback__))
        try:
            results.put(result)
        except Exception as error:
            results.put((key, False, _unpicklable(result[2], error)))


def _unpicklable(result, error):
    from multiprocessing.pool import MaybeEncodingError

    return MaybeEncodingError(error, result)


class WorkerLost(RuntimeError):
    """The process that had the task died."""


class AsyncResult:
    def __init__(self, pool, keys, single, callback=None, error_callback=None):
        self._pool, self._keys, self._single = pool, keys, single
        self._callback, self._error_callback = callback, error_callback
        self._told = False
        pool._open.append(self)

    def _look(self):
        """Whether all has come; tells the callbacks then, once."""
        done = self._pool._done
        if any(key not in done for key in self._keys):
            return False
        if not self._told:
            self._told = True
            failed = next((done[key][1] for key in self._keys if not done[key][0]), None)
            if failed is None and self._callback:
                self._callback(self._values())
            if failed is not None and self._error_callback:
                self._error_callback(failed)
        return True

    def _values(self):
        found = [self._pool._done[key][1] for key in self._keys]
        return found[0] if self._single else found

    def ready(self):
        self._pool._pump(0)
        return self._look()

    def successful(self):
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return all(self._pool._done[key][0] for key in self._keys)

    def wait(self, timeout=None):
        end = None if timeout is None else time.monotonic() + timeout
        while not self._look():
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return
            self._pool._pump(left)

    def get(self, timeout=None):
        import multiprocessing

        self.wait(timeout)
        if not self._look():
            raise multiprocessing.TimeoutError
        for key in self._keys:
            well, found = self._pool._done[key]
            if not well:
                raise found
        return self._values()


#: How long a pool waits for a result before it looks whether a worker has died.
_LOOK = 0.05


class Pool:
    def __init__(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None, context=None):
        processes = os.cpu_count() or 1 if processes is None else processes
        if processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild <= 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._context = context
        self._tasks, self._results, self._begun = context.Queue(), context.Queue(), context.Queue()
        self._args = (self._tasks, self._results, self._begun, initializer, initargs, maxtasksperchild)
        self._keys, self._done, self._running, self._open = itertools.count(), {}, {}, []
        self._state = "RUN"
        self._workers = [self._worker() for _ in range(processes)]

    def _worker(self):
        worker = self._context.Process(target=_work, args=self._args, daemon=True)
        worker.name = worker.name.replace("Process", "PoolWorker")
        worker.start()
        return worker

    def _check(self):
        if self._state != "RUN":
            raise ValueError("Pool not running")

    def _put(self, function, args, kwargs={}):
        key = next(self._keys)
        self._tasks.put((key, function, args, kwargs))
        return key

    def _pump(self, timeout):
        """Takes one result if it comes in time, and looks after the workers."""
        end = None if timeout is None else time.monotonic() + timeout
        before = len(self._done)
        while True:
            left = _LOOK if end is None else min(_LOOK, max(0, end - time.monotonic()))
            try:
                key, well, found = self._results.get(True, left)
                self._done[key] = (well, found)
                break
            except _queue.Empty:
                # Another thread of this process, which ran meanwhile, may have taken it.
                came = self._replace_the_dead() or len(self._done) != before
                if came or (end is not None and time.monotonic() >= end):
                    break
        for waiting in [each for each in self._open if each._look()]:
            self._open.remove(waiting)

    def _replace_the_dead(self):
        """Whether a worker had died with a task, which has failed by that."""
        while not self._begun.empty():
            key, worker = self._begun.get()
            self._running[worker] = key
        lost = False
        for place, worker in enumerate(self._workers):
            if worker.is_alive():
                continue
            key = self._running.pop(worker.pid, None)
            if worker.exitcode != 0 and key is not None and key not in self._done and self._results.empty():
                self._done[key] = (False, WorkerLost(TASK_LOST))
                lost = True
            if self._state == "RUN":
                self._workers[place] = self._worker()
        return lost

    def apply_async(self, func, args=(), kwds={}, callback=None, error_callback=None):
        self._check()
        return AsyncResult(self, [self._put(func, args, kwds)], True, callback, error_callback)

    def apply(self, func, args=(), kwds={}):
        return self.apply_async(func, args, kwds).get()

    def map_async(self, func, iterable, chunksize=None, callback=None, error_callback=None):
        self._check()
        return AsyncResult(self, [self._put(func, (item,)) for item in iterable], False, callback, error_callback)

    def map(self, func, iterable, chunksize=None):
        return self.map_async(func, iterable).get()

    def starmap_async(self, func, iterable, chunksize=None, callback=None, error_callback=None):
        self._check()
        return AsyncResult(self, [self._put(func, tuple(item)) for item in iterable], False, callback, error_callback)

    def starmap(self, func, iterable, chunksize=None):
        return self.starmap_async(func, iterable).get()

    def imap(self, func, iterable, chunksize=1):
        self._check()
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize}")
        return Results([AsyncResult(self, [self._put(func, (item,))], True) for item in iterable])

    def imap_unordered(self, func, iterable, chunksize=1):
        self._check()
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize}")
        return Unordered(self, [AsyncResult(self, [self._put(func, (item,))], True) for item in iterable])

    def close(self):
        if self._state == "RUN":
            self._state = "CLOSE"
            for _ in self._workers:
                self._tasks.put(None)

    def terminate(self):
        self._state = "TERMINATE"
        for worker in self._workers:
            worker.terminate()

    def join(self):
        if self._state == "RUN":
            raise ValueError("Pool is still running")
        while self._open and self._state == "CLOSE":
            self._pump(None)
        for worker in self._workers:
            worker.join()

    def __enter__(self):
        self._check()
        return self

    def __exit__(self, *_):
        self.terminate()

    def __reduce__(self):
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def __repr__(self):
        return f"<{type(self).__module__}.{type(self).__qualname__} state={self._state} pool_size={len(self._workers)}>"


class Results:
    """Results in the order of what was asked."""

    def __init__(self, results):
        self._results = results

    def __iter__(self):
        return self

    def next(self, timeout=None):
        if not self._results:
            raise StopIteration
        value = None
        first = self._results[0]
        try:
            value = first.get(timeout)
        finally:
            if first._look():
                self._results.pop(0)
        return value

    __next__ = next


class Unordered(Results):
    """Results as they come."""

    def __init__(self, pool, results):
        super().__init__(results)
        self._pool = pool

    def next(self, timeout=None):
        import multiprocessing

        end = None if timeout is None else time.monotonic() + timeout
        while self._results:
            ready = next((each for each in self._results if each._look()), None)
            if ready is not None:
                self._results.remove(ready)
                return ready.get()
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise multiprocessing.TimeoutError
            self._pool._pump(left)
        raise StopIteration

    __next__ = next


def install():
    from multiprocessing import pool

    for each in (Pool, AsyncResult):
        each.__module__ = "multiprocessing.pool"
    pool.Pool, pool.AsyncResult, pool.ApplyResult, pool.MapResult = Pool, AsyncResult, AsyncResult, AsyncResult
