"""`concurrent.futures`: what is submitted to threads runs when somebody waits; what is submitted to processes, in a pool."""

import collections
import os
import threading
from concurrent.futures import _base

import lk_pool


class ThreadPoolExecutor(_base.Executor):
    def __init__(self, max_workers=None, thread_name_prefix="", initializer=None, initargs=(), **kwargs):
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._max_workers = max_workers or min(32, (os.cpu_count() or 1) + 4)
        self._prefix = thread_name_prefix or "ThreadPoolExecutor"
        self._initializer, self._initargs = initializer, initargs
        self._threads, self._down = [], False

    def submit(self, fn, /, *args, **kwargs):
        if self._down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._initializer is not None:
            initializer, self._initializer = self._initializer, None
            initializer(*self._initargs)
        future = _base.Future()

        def body():
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        name = f"{self._prefix}_{len(self._threads) % self._max_workers}"
        thread = threading.Thread(target=body, name=name)
        self._threads.append((thread, future))
        thread.start()
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        self._down = True
        if cancel_futures:
            for _, future in self._threads:
                future.cancel()
        if wait:
            for thread, _ in self._threads:
                thread.join()
            self._threads.clear()


class Future(_base.Future):
    """One of which somebody asks again and again whether it is done, and which is looked for by that."""

    def __init__(self, look):
        super().__init__()
        self._look = look

    def done(self):
        if not super().done():
            self._look()
        return super().done()


class ProcessPoolExecutor(_base.Executor):
    """As many calls are with the pool as its workers can take soon; the others can still be cancelled."""

    def __init__(self, max_workers=None, mp_context=None, initializer=None, initargs=(), *, max_tasks_per_child=None):
        import multiprocessing

        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._context = mp_context or multiprocessing.get_context()
        self._max_workers = max_workers or os.process_cpu_count() or 1
        self._arguments = (self._max_workers, initializer, initargs, max_tasks_per_child, self._context)
        self._pool, self._at_end, self._down, self._broken, self._gathering = None, None, False, None, False
        self._pending, self._waiting = collections.deque(), {}

    def submit(self, fn, /, *args, **kwargs):
        from concurrent.futures.process import BrokenProcessPool
        from multiprocessing import util

        if self._broken:
            raise BrokenProcessPool(self._broken)
        if self._down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._pool is None:
            self._pool = lk_pool.Pool(*self._arguments)
            # What was submitted is done before the program ends, and before its daemons are ended.
            self._at_end = util.Finalize(None, self.shutdown, exitpriority=10)
        future = Future(self._gather)
        self._pending.append((future, fn, args, kwargs))
        self._feed()
        self._gather_later()
        return future

    def _feed(self):
        while self._pending and len(self._waiting) <= self._max_workers:
            future, fn, args, kwargs = self._pending.popleft()
            if future.set_running_or_notify_cancel():
                self._waiting[future] = self._pool.apply_async(fn, args, kwargs)

    def _gather(self):
        """The body that runs when somebody waits: it looks for results for a moment, and is there again for those after it."""
        self._gathering = False
        if self._waiting and not any(result._look() for result in self._waiting.values()):
            self._pool._pump(lk_pool._LOOK)
        for future, result in list(self._waiting.items()):
            if result._look() and self._waiting.pop(future, None) is not None:
                self._tell(future, result)
        if not self._broken:
            self._feed()
        self._gather_later()

    def _gather_later(self):
        if self._waiting and not self._gathering:
            self._gathering = True
            threading.Thread(target=self._gather, daemon=True).start()

    def _tell(self, future, result):
        try:
            future.set_result(result.get())
        except lk_pool.WorkerLost:
            self._break("A process in the process pool was terminated abruptly while the future was running or pending.", [future])
        except BaseException as error:
            future.set_exception(error)

    def _break(self, why, lost=()):
        from concurrent.futures.process import BrokenProcessPool

        self._broken = why
        lost = [*lost, *self._waiting, *(future for future, *_ in self._pending if not future.cancelled())]
        self._waiting = {}
        self._pending.clear()
        for each in lost:
            each.set_exception(BrokenProcessPool(why))
        self._pool.terminate()

    def map(self, fn, *iterables, timeout=None, chunksize=1, **kwargs):
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        return super().map(fn, *iterables, timeout=timeout, **kwargs)

    def shutdown(self, wait=True, *, cancel_futures=False):
        self._down = True
        if cancel_futures:
            for future, *_ in self._pending:
                future.cancel()
        if self._pool is None or not wait:
            return
        while (self._waiting or self._pending) and not self._broken:
            self._gather()
        if self._broken:
            self._pool.terminate()
        else:
            self._pool.close()
            self._pool.join()
        self._at_end.cancel()

    def terminate_workers(self):
        self._down = True
        if self._pool is not None and not self._broken:
            self._break("The workers of the process pool were ended.")

    kill_workers = terminate_workers


def install():
    import concurrent.futures
    import concurrent.futures.process
    import concurrent.futures.thread

    concurrent.futures.thread.ThreadPoolExecutor = concurrent.futures.ThreadPoolExecutor = ThreadPoolExecutor
    concurrent.futures.process.ProcessPoolExecutor = concurrent.futures.ProcessPoolExecutor = ProcessPoolExecutor
