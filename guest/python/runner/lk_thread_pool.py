"""`multiprocessing.pool.ThreadPool`: a task runs when somebody waits for a result, in a thread of one of the workers."""

import collections
import os
import time

import lk_pool
import lk_threads


class ThreadPool(lk_pool.Pool):
    def __init__(self, processes=None, initializer=None, initargs=()):
        processes = os.cpu_count() or 1 if processes is None else processes
        if processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._initializer, self._initargs, self._initialized = initializer, initargs, set()
        self._tasks, self._left, self._state = collections.deque(), 0, "RUN"
        self._pool = [lk_threads.Worker(f"ThreadPoolWorker-{number + 1}") for number in range(processes)]
        self._free = collections.deque(self._pool)

    def _put(self, result, place, function, args, kwargs):
        self._tasks.append((result, place, function, args, kwargs))
        self._left += 1
        self._begin()

    def _begin(self):
        """Each worker has one task at a time: one that waits within its task keeps it, as a thread would."""
        if self._tasks and self._free:
            worker = self._free.popleft()
            worker.run_later(lambda: self._work(worker))

    def _work(self, worker):
        try:
            if self._initializer is not None and worker not in self._initialized:
                self._initialized.add(worker)
                self._initializer(*self._initargs)
            if self._tasks:
                self._do(*self._tasks.popleft())
        finally:
            self._free.append(worker)
            self._begin()

    def _do(self, result, place, function, args, kwargs):
        self._begin()
        try:
            well, found = True, function(*args, **kwargs)
        except Exception as error:
            well, found = False, error
        self._left -= 1
        result._came(place, well, found)

    def _pump(self, timeout):
        lk_threads.run_one()

    def _more(self, left):
        if lk_threads.run_one():
            return
        if left is None:
            raise lk_threads.Deadlock(lk_threads._WAY_OUT.format(what="this result"))
        time.sleep(left)

    def close(self):
        if self._state == "RUN":
            self._state = "CLOSE"

    def terminate(self):
        """What has not begun does not begin."""
        self._state = "TERMINATE"
        self._left -= len(self._tasks)
        self._tasks.clear()

    def join(self):
        if self._state == "RUN":
            raise ValueError("Pool is still running")
        while self._left:
            self._more(None)


def install():
    from multiprocessing import pool

    ThreadPool.__module__ = "multiprocessing.pool"
    pool.ThreadPool = ThreadPool
