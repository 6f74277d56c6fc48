"""Threads on one stack: the body of a started thread runs when whoever runs has to wait.

WebAssembly has one stack here. So `start` only notes the body; when the running thread joins, waits for a lock, for an
event or for a queue, or ends, the next body that was noted runs on top of it, to its end. A thread that is below another
one on the stack cannot go on before that one has ended: an order that needs it is a clear error, where anything waits. A body
that never ends and never waits keeps everything below it from going on.
"""

import _thread
import collections
import time

from lockkeeper._errors import Deadlock

_main = _thread.get_ident()
_current = _main
_last = _main + 1000
_pending = collections.deque()


_WAY_OUT = (
    "{what} is held up by a thread that cannot go on before this one has ended: threads of a sandboxed program run on one "
    "stack, one within the other; use multiprocessing.Process for what has to run side by side"
)


def get_ident():
    return _current


def _run(item):
    global _current
    ident, body, handle = item
    before, _current = _current, ident
    try:
        body()
    finally:
        _current = before
        handle._done = True


def run_one(handle=None):
    """Runs a body that was noted: that of the handle, or the first. Answers whether there was one."""
    if handle is None:
        if not _pending:
            return False
        _run(_pending.popleft())
        return True
    for item in _pending:
        if item[2] is handle:
            _pending.remove(item)
            _run(item)
            return True
    return False


def is_pending():
    return bool(_pending)


def run_all(end=None):
    """Runs all bodies that were noted, or as many as begin before that time."""
    while _pending and (end is None or time.monotonic() < end):
        run_one()


class Handle:
    def __init__(self, ident=None):
        self.ident, self._done = ident, False

    def is_done(self):
        return self._done

    def _set_done(self):
        self._done = True

    def join(self, timeout=None):
        run_one(self)
        while not self._done:
            if run_one():
                continue
            if timeout is not None and timeout >= 0:
                time.sleep(timeout)
                return
            raise Deadlock(_WAY_OUT.format(what="this join"))


def start_joinable_thread(function, handle=None, daemon=True):
    global _last
    handle = handle or Handle()
    _last += 1
    handle.ident = _last
    _pending.append((handle.ident, function, handle))
    return handle


class Worker:
    """A thread whose bodies come one by one: between two of them nothing of it is on the stack."""

    def __init__(self, name):
        import threading

        global _last
        _last += 1
        self.ident, self.thread = _last, threading.Thread(name=name, daemon=True)

    def run_later(self, function):
        import threading

        def body():
            threading._active[self.ident] = self.thread
            try:
                function()
            finally:
                del threading._active[self.ident]

        _pending.append((self.ident, body, Handle(self.ident)))


def start_new_thread(function, args, kwargs={}):
    return start_joinable_thread(lambda: function(*args, **kwargs)).ident


class Lock:
    def __init__(self):
        self._locked = False

    def acquire(self, blocking=True, timeout=-1):
        if not blocking and timeout != -1:
            raise ValueError("can't specify a timeout for a non-blocking call")
        if timeout < 0 and timeout != -1:
            raise ValueError("timeout value must be a non-negative number")
        if timeout > _thread.TIMEOUT_MAX:
            raise OverflowError("timestamp out of range for platform time_t")
        deadline = None if timeout == -1 else time.monotonic() + timeout
        while self._locked:
            if not blocking or (deadline is not None and time.monotonic() >= deadline):
                return False
            if run_one():
                continue
            if deadline is None:
                raise Deadlock(_WAY_OUT.format(what="this lock"))
            left = deadline - time.monotonic()
            if left > 0:
                time.sleep(left)
            return False
        self._locked = True
        return True

    def release(self):
        if not self._locked:
            raise RuntimeError("release unlocked lock")
        self._locked = False

    def locked(self):
        return self._locked

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *_):
        self.release()

    def _at_fork_reinit(self):
        self._locked = False

    acquire_lock, release_lock, locked_lock = acquire, release, locked

    def __repr__(self):
        return f"<{'locked' if self._locked else 'unlocked'} _thread.lock object at {id(self):#x}>"


def install():
    import _threading_local
    import queue
    import threading

    threading._allocate_lock = threading.Lock = Lock
    threading.get_ident = get_ident
    threading._start_joinable_thread = start_joinable_thread
    threading._ThreadHandle = Handle
    threading._make_thread_handle = Handle
    threading._CRLock = None
    threading.RLock = lambda: threading._RLock()
    threading.local = _threading_local.local
    threading._active_limbo_lock = threading._RLock()
    threading.Thread.start = _start
    _thread.start_new_thread = start_new_thread
    _thread.start_joinable_thread = start_joinable_thread
    _thread.get_ident = get_ident
    _thread.allocate_lock = Lock
    queue.SimpleQueue = queue._PySimpleQueue


def _start(thread):
    """`Thread.start`, but that it does not wait until the body runs."""
    import contextvars
    import threading

    if not thread._initialized:
        raise RuntimeError("thread.__init__() not called")
    if thread._started.is_set():
        raise RuntimeError("threads can only be started once")
    with threading._active_limbo_lock:
        threading._limbo[thread] = thread
    if thread._context is None:
        thread._context = contextvars.Context()
    thread._started.set()
    start_joinable_thread(thread._bootstrap, thread._os_thread_handle)
    thread._ident = thread._os_thread_handle.ident


def finish():
    """At the end of a program the bodies run that nobody has waited for, but those of daemons."""
    while _pending:
        item = _pending.popleft()
        thread = getattr(item[1], "__self__", None)
        if not getattr(thread, "daemon", False):
            _run(item)
