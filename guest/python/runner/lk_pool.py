"""`multiprocessing.Pool` without threads: workers, a queue of tasks and one of results, which whoever waits empties.

The host hands a task on whose worker has died, and whoever gets it answers that it is lost. CPython loses it, and its result
never comes.
"""

import collections
import itertools
import os
import pickle
import queue as _queue
import time

from componentize_py_types import Err
from lk_host import Object, wait_for_one
from wit_world.imports import objects

TASK_LOST = "the process that had this task has died"

#: How long a pool waits for a result before it looks whether a worker has died.
_LOOK = 0.05


class WorkerLost(RuntimeError):
    """The process that had the task died."""


class Tasks:
    """A queue whose items come again if the process dies that had one; a process has one at a time."""

    def __init__(self):
        from lk_mp import QUEUE_BYTES, QUEUE_ITEMS

        self._object = Object.made("queue", objects.Kind_Queue(objects.Room(QUEUE_ITEMS, QUEUE_BYTES, 1)))

    def try_put(self, item):
        return self._object.handle.try_put(item)

    def get(self):
        handle = self._object.handle
        return wait_for_one(handle.try_get, handle.get, None)

    def done(self, item):
        self._object.handle.task_done(item.number)


#: What tells a worker to end.
_END = pickle.dumps((None, None))


def _work(tasks, results, initializer, initargs, most):
    if initializer is not None:
        initializer(*initargs)
    results.put(("ready", os.getpid()))
    for _ in itertools.count() if most is None else range(most):
        item = tasks.get()
        key, task = pickle.loads(item.bytes)
        if key is None:
            tasks.done(item)
            return
        if item.returned:
            results.put(("result", key, False, WorkerLost(TASK_LOST)))
        else:
            _answer(results, key, task)
        tasks.done(item)


def _answer(results, key, task):
    from multiprocessing.pool import ExceptionWithTraceback, MaybeEncodingError

    try:
        function, args, kwargs = pickle.loads(task)
        result = ("result", key, True, function(*args, **kwargs))
    except Exception as error:
        result = ("result", key, False, ExceptionWithTraceback(error, error.__traceback__))
    try:
        results.put(result)
    except Exception as error:
        results.put(("result", key, False, MaybeEncodingError(error, result[3])))


def _each(function, items):
    return [function(item) for item in items]


def _each_star(function, items):
    return [function(*item) for item in items]


class AsyncResult:
    """What one call of the pool comes to: the answers of its tasks, in their order."""

    def __init__(self, pool, callback=None, error_callback=None, single=True):
        self._pool, self._callback, self._error_callback = pool, callback, error_callback
        self._single, self._parts, self._left, self._error = single, [], 0, None
        self._all_asked = False

    def _ask(self, function, args, kwargs={}):
        self._parts.append(None)
        self._left += 1
        place = len(self._parts) - 1
        try:
            self._pool._put(self, place, function, args, kwargs)
        except Exception as error:
            # What cannot be sent is told where the result is asked for.
            self._came(place, False, error)

    def _asked(self):
        self._all_asked = True
        if not self._left:
            self._tell()
        return self

    def _came(self, place, well, found):
        self._left -= 1
        if well:
            self._parts[place] = found
        elif self._error is None:
            self._error = found
        if not self._left and self._all_asked:
            self._tell()

    def _tell(self):
        if self._error is None and self._callback:
            self._callback(self._value())
        if self._error is not None and self._error_callback:
            self._error_callback(self._error)

    def _value(self):
        return self._parts[0] if self._single else list(itertools.chain.from_iterable(self._parts))

    def _look(self):
        return self._all_asked and not self._left

    def ready(self):
        if not self._look():
            self._pool._pump(0)
        return self._look()

    def successful(self):
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error is None

    def wait(self, timeout=None):
        end = None if timeout is None else time.monotonic() + timeout
        while not self._look():
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return
            self._pool._more(left)

    def get(self, timeout=None):
        import multiprocessing

        self.wait(timeout)
        if not self._look():
            raise multiprocessing.TimeoutError
        if self._error is not None:
            raise self._error
        return self._value()


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
        self._tasks, self._results = Tasks(), context.Queue()
        self._args = (self._tasks, self._results, initializer, initargs, maxtasksperchild)
        self._keys, self._open, self._ready = itertools.count(), {}, set()
        self._state = "RUN"
        self._pool = [self._worker() for _ in range(processes)]

    def _worker(self):
        worker = self._context.Process(target=_work, args=self._args, daemon=True)
        worker.name = worker.name.replace("Process", "PoolWorker")
        worker.start()
        return worker

    def _check(self):
        if self._state != "RUN":
            raise ValueError("Pool not running")

    def _put(self, result, place, function, args, kwargs):
        from multiprocessing.reduction import ForkingPickler

        key = next(self._keys)
        task = bytes(ForkingPickler.dumps((function, args, kwargs)))
        item = pickle.dumps((key, task))
        self._open[key] = (result, place)
        try:
            # As long as there is no room for it, results make some.
            while not self._tasks.try_put(item):
                self._pump(_LOOK)
        except Err as error:
            del self._open[key]
            raise OverflowError(f"a task of {len(item)} bytes is larger than a queue holds") from error

    def _pump(self, timeout):
        """Takes what results there are, waiting so long for the first, and looks after the workers."""
        try:
            message = self._results.get(timeout > 0, timeout)
            while True:
                self._take(message)
                message = self._results.get(False)
        except _queue.Empty:
            self._replace_the_dead()

    def _more(self, left):
        """Waits for what comes next, not longer than there is time left."""
        self._pump(_LOOK if left is None else min(left, _LOOK))

    def _take(self, message):
        if message[0] == "ready":
            self._ready.add(message[1])
            return
        _, key, well, found = message
        # It may come twice, if its worker died just after it had answered.
        result, place = self._open.pop(key, (None, None))
        if result is not None:
            result._came(place, well, found)

    def _replace_the_dead(self):
        if self._state == "TERMINATE":
            return
        for place, worker in enumerate(self._pool):
            if worker.is_alive():
                continue
            if worker.pid not in self._ready and self._results.empty():
                self._fail("a worker has died before it was ready: its initializer failed")
                return
            self._ready.discard(worker.pid)
            # One that has done as many tasks as it may has not taken what tells it to end.
            if self._state == "RUN" or (self._state == "CLOSE" and self._open):
                self._pool[place] = self._worker()

    def _fail(self, why):
        """Nothing more will come."""
        self._state = "TERMINATE"
        for worker in self._pool:
            worker.terminate()
        waiting, self._open = list(self._open.values()), {}
        for result, place in waiting:
            result._came(place, False, WorkerLost(why))

    def _chunks(self, iterable, chunksize):
        items = list(iterable)
        if chunksize is None:
            chunksize, rest = divmod(len(items), len(self._pool) * 4)
            chunksize += bool(rest)
        return [items[at : at + chunksize] for at in range(0, len(items), max(chunksize, 1))]

    def _mapped(self, each, func, iterable, chunksize, callback, error_callback):
        self._check()
        result = AsyncResult(self, callback, error_callback, single=False)
        for chunk in self._chunks(iterable, chunksize):
            result._ask(each, (func, chunk))
        return result._asked()

    def apply_async(self, func, args=(), kwds={}, callback=None, error_callback=None):
        self._check()
        result = AsyncResult(self, callback, error_callback)
        result._ask(func, args, kwds)
        return result._asked()

    def apply(self, func, args=(), kwds={}):
        return self.apply_async(func, args, kwds).get()

    def map_async(self, func, iterable, chunksize=None, callback=None, error_callback=None):
        return self._mapped(_each, func, iterable, chunksize, callback, error_callback)

    def map(self, func, iterable, chunksize=None):
        return self.map_async(func, iterable, chunksize).get()

    def starmap_async(self, func, iterable, chunksize=None, callback=None, error_callback=None):
        return self._mapped(_each_star, func, iterable, chunksize, callback, error_callback)

    def starmap(self, func, iterable, chunksize=None):
        return self.starmap_async(func, iterable, chunksize).get()

    def imap(self, func, iterable, chunksize=1):
        return Results(self, func, iterable, chunksize)

    def imap_unordered(self, func, iterable, chunksize=1):
        return Unordered(self, func, iterable, chunksize)

    def close(self):
        if self._state == "RUN":
            self._state = "CLOSE"
            for _ in self._pool:
                while not self._tasks.try_put(_END):
                    self._pump(_LOOK)

    def terminate(self):
        self._state = "TERMINATE"
        for worker in self._pool:
            worker.terminate()

    def join(self):
        if self._state == "RUN":
            raise ValueError("Pool is still running")
        while self._open and self._state == "CLOSE":
            self._pump(_LOOK)
        for worker in self._pool:
            worker.join()

    def __enter__(self):
        self._check()
        return self

    def __exit__(self, *_):
        self.terminate()

    def __reduce__(self):
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def __repr__(self):
        return f"<{type(self).__module__}.{type(self).__qualname__} state={self._state} pool_size={len(self._pool)}>"


#: How many tasks of an `imap` are asked for before the first is answered: what it goes over may have no end.
_AHEAD = 1_000


class Results:
    """Results in the order of what was asked, chunk by chunk."""

    def __init__(self, pool, func, iterable, chunksize):
        pool._check()
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize}")
        self._pool, self._func, self._items, self._chunksize = pool, func, iter(iterable), chunksize
        self._asked, self._came = [], collections.deque()
        self._ask()

    def _ask(self):
        while self._items is not None and len(self._asked) * self._chunksize < _AHEAD:
            result = AsyncResult(self._pool, single=False)
            try:
                chunk = list(itertools.islice(self._items, self._chunksize))
            except Exception as error:
                # It is told where it stands among the results, in the place of its chunk.
                chunk, result._error, self._items = None, error, None
            if chunk:
                result._ask(_each, (self._func, chunk))
            elif result._error is None:
                self._items = None
                return
            self._asked.append(result._asked())

    def __iter__(self):
        return self

    def _next(self, timeout):
        first = self._asked[0]
        first.wait(timeout)
        return first if first._look() else None

    def next(self, timeout=None):
        import multiprocessing

        if not self._came:
            if not self._asked:
                raise StopIteration
            result = self._next(timeout)
            if result is None:
                raise multiprocessing.TimeoutError
            self._asked.remove(result)
            self._ask()
            self._came.extend(result.get())
        return self._came.popleft()

    __next__ = next


class Unordered(Results):
    """Results as they come."""

    def _next(self, timeout):
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            ready = next((each for each in self._asked if each._look()), None)
            left = None if end is None else end - time.monotonic()
            if ready is not None or (left is not None and left <= 0):
                return ready
            self._pool._more(left)


def install():
    from multiprocessing import pool

    for each in (Pool, AsyncResult):
        each.__module__ = "multiprocessing.pool"
    pool.Pool, pool.AsyncResult, pool.ApplyResult, pool.MapResult = Pool, AsyncResult, AsyncResult, AsyncResult
