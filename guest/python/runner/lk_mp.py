"""`multiprocessing` on the host's objects: CPython's own modules on a replaced lower layer.

Untouched are `process`, `context`, `spawn`, `reduction` and most of `synchronize`. Replaced are what they stand on
(`_multiprocessing.SemLock`, the start method, `resource_tracker`), and what would hang when a process dies: conditions,
events, barriers, queues and the pool are objects of the host behind the same names.
"""

import errno
import io
import itertools
import os
import pickle
import queue as _queue
import sys
import time
import types as _types
import weakref

import lk_host
import lk_library
import lk_main
import lk_threads
from componentize_py_types import Err
from lk_host import Object, known, wait, wait_for_one
from wit_world.imports import lockkeeper_runtime_types as errors
from wit_world.imports import objects, process as host_process, value

RECURSIVE, SEMAPHORE, MUTEX = 0, 1, 2


def module(name, **contents):
    made = _types.ModuleType(name)
    made.__dict__.update(contents)
    sys.modules[name] = made
    package, _, child = name.rpartition(".")
    if package:
        setattr(sys.modules[package], child, made)
    return made


def nothing(*_, **__):
    return None


def pid():
    return lk_host.identity().id


class SemLock:
    """A lock or a semaphore of the host, with what CPython keeps in each process."""

    SEM_VALUE_MAX = 2**31 - 1

    def __init__(self, kind, value, maxvalue, name, unlink):
        if value < 0 or value > maxvalue:
            raise OSError(errno.EINVAL, "Invalid argument")
        if kind == RECURSIVE:
            made = Object.made("rlock", objects.Kind_Rlock())
        elif kind == MUTEX:
            made = Object.made("mutex", objects.Kind_Mutex())
        else:
            signal = objects.Signal(value, maxvalue)
            made = Object.made("semaphore", objects.Kind_SignalSemaphore(signal))
        self._setup(kind, maxvalue, made)

    def _setup(self, kind, maxvalue, made):
        self.kind, self.maxvalue, self.object = kind, maxvalue, made
        self.name, self.handle = made.id, made
        self._held, self._holder = 0, None

    @classmethod
    def _rebuild(cls, handle, kind, maxvalue, name):
        self = cls.__new__(cls)
        self._setup(kind, maxvalue, handle)
        return self

    def _after_fork(self):
        self._held = 0

    def _is_mine(self):
        return self._held > 0 and self._holder == lk_threads.get_ident()

    def _count(self):
        return self._held

    def _get_value(self):
        if self.kind == SEMAPHORE:
            return self.object.handle.value()
        return 0 if self.object.handle.locked() else 1

    def _is_zero(self):
        return self._get_value() == 0

    def acquire(self, block=True, timeout=None):
        if self.kind == RECURSIVE and self._is_mine():
            self._held += 1
            return True
        handle = self.object.handle
        if self.kind == SEMAPHORE:
            tried, waited = lambda: handle.try_acquire(1), lambda limit: handle.acquire(1, limit)
        else:
            tried, waited = lambda: handle.try_acquire() is not None, handle.acquire
            if self._held and self.kind == RECURSIVE:
                # Another thread of this process has it, which is below this one.
                tried, waited = lambda: False, self._held_by_another_thread
        if not wait(tried, waited, timeout if block else 0):
            return False
        self._held += 1
        self._holder = lk_threads.get_ident()
        return True

    def _held_by_another_thread(self, limit):
        if limit is None:
            raise lk_threads.Deadlock(lk_threads._WAY_OUT.format(what="this lock"))
        time.sleep(limit / 1e9)
        raise Err(errors.Error_TimedOut())

    def release(self):
        if self.kind == RECURSIVE:
            if not self._is_mine():
                raise AssertionError("attempt to release recursive lock not owned by thread")
            if self._held > 1:
                self._held -= 1
                return
        try:
            self.object.handle.release(1 if self.kind == SEMAPHORE else None)
        except Err as error:
            if isinstance(error.value, errors.Error_Lost):
                self._held = 0
                raise OSError("the lock was taken away: " + error.value.value.name.lower()) from None
            if isinstance(error.value, errors.Error_NotOwner):
                raise ValueError("the lock is held by another process, which alone can release it") from None
            raise ValueError("semaphore or lock released too many times") from None
        self._held -= 1

    def __enter__(self):
        self.acquire()
        return True

    def __exit__(self, *_):
        self.release()


#: What can be waited for by its process's number: children, and the parent.
_ends = weakref.WeakValueDictionary()

#: What this process holds as long as it lives, for its children to see its end; and what its parent holds.
_own_life, _parent = None, None


def _life():
    global _own_life
    if _own_life is None:
        _own_life = Object.made("rwlock", objects.Kind_Rwlock())
        _own_life.handle.write(None)
    return _own_life


class Parent:
    """Whoever started this process: its hold ends with it, however it ends."""

    def __init__(self, life):
        self._life, self._has_ended = life, False

    def wait(self, timeout=None):
        if not self._has_ended:
            handle = self._life.handle
            self._has_ended = wait(lambda: handle.try_read() is not None, handle.read, timeout)
        return self._has_ended or None


def packed(popen, process_obj):
    """What a child is started with: how it is prepared, and what it is to do."""
    from multiprocessing import context, reduction, spawn

    start = io.BytesIO()
    prepared = spawn.get_preparation_data(process_obj._name)
    # The child is there from its start; without a directory there is only `/`, which is none to change to.
    del prepared["dir"]
    prepared["parent_life"] = _life()
    if path := prepared.get("init_main_from_path"):
        prepared["main_code"] = lk_main.to_send(path)
    prepared["own_modules"] = lk_library.own
    context.set_spawning_popen(popen)
    try:
        reduction.dump(prepared, start)
        reduction.dump(process_obj, start)
    finally:
        context.set_spawning_popen(None)
    return start.getvalue()


class Popen:
    """A child, started as `spawn` has it: a new instance of this component that unpickles what to do."""

    method = "spawn"

    def __init__(self, process_obj):
        from multiprocessing import util

        util._flush_std_streams()
        self.returncode, self.outcome, self.finalizer, self._asked = None, None, None, None
        start = packed(self, process_obj)
        environment = [
            *os.environ.items(),
            # The rest comes with what it is prepared with.
            ("LOCKKEEPER_PYTHON_PATH", ""),
            ("LOCKKEEPER_PYTHON_CWD", os.getcwd()),
            ("LOCKKEEPER_PYTHON_CORES", str(os.cpu_count())),
        ]
        # As with CPython, whoever is no daemon goes on when its parent is killed.
        orphans = host_process.Orphans.END if process_obj.daemon else host_process.Orphans.ADOPT
        options = {"orphans": orphans, "memory_bytes": None, "timeout": None, **getattr(process_obj, "_options", {})}
        options = host_process.Options(
            args=sys.argv,
            start=start,
            env=environment,
            grants=None,
            objects=list(known),
            name=None,
            **options,
        )
        try:
            self._child = host_process.Child.spawn("self", options)
        except Err as error:
            raise OSError(errno.EAGAIN, f"the host starts no process: {lk_host.told(error.value)}") from None
        self.pid = self._child.pid()
        self.sentinel = self.pid
        _ends[self.pid] = self

    def duplicate_for_child(self, descriptor):
        return descriptor

    def poll(self, flag=0):
        return self.wait(0)

    def wait(self, timeout=None):
        if self.returncode is None:
            outcome = wait_for_one(self._child.try_join, self._child.join, timeout)
            if outcome is not None:
                self.outcome, self.returncode = outcome, self._status(outcome)
                # Its handle is one of a limited number.
                self._child = None
        return self.returncode

    def _status(self, outcome):
        if isinstance(outcome, host_process.Outcome_Exited):
            return outcome.value
        if isinstance(outcome, host_process.Outcome_Trapped):
            return -6
        if isinstance(outcome, host_process.Outcome_Killed):
            return -(self._asked or 9)
        if isinstance(outcome, host_process.Outcome_Limit):
            return -9
        return 1

    def _end(self, signal):
        if self.returncode is None:
            self._asked = self._asked or signal
            self._child.kill()

    def terminate(self):
        self._end(15)

    def kill(self):
        self._end(9)

    def interrupt(self):
        self._end(2)

    def close(self):
        pass


class Event:
    def __init__(self, *, ctx):
        self._object = Object.made("event", objects.Kind_Event())

    def __getstate__(self):
        _assert_spawning(self)
        return self.__dict__

    def is_set(self):
        return self._object.handle.is_set()

    def set(self):
        self._object.handle.set()

    def clear(self):
        self._object.handle.clear()

    def wait(self, timeout=None):
        return wait(self.is_set, self._object.handle.wait, timeout)

    def __repr__(self):
        return f"<{type(self).__qualname__} at {id(self):#x} {'set' if self.is_set() else 'unset'}>"


class Condition:
    def __init__(self, lock=None, *, ctx):
        self._lock = lock or ctx.RLock()
        if getattr(self._lock._semlock, "kind", SEMAPHORE) == SEMAPHORE:
            raise TypeError("a Condition takes a Lock or an RLock: who holds a semaphore is not known")
        self._object = Object.made("condition", objects.Kind_Condition(self._lock._semlock.name))
        # How many notifications were for more than waited in the host.
        self._missed = Object.made("value", objects.Kind_Value(value.Scalar_Unsigned(0)))
        self._methods()

    def _methods(self):
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __getstate__(self):
        _assert_spawning(self)
        return (self._lock, self._object, self._missed, getattr(self, "_managed", False))

    def __setstate__(self, state):
        self._lock, self._object, self._missed, self._managed = state
        self._methods()

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *args):
        return self._lock.__exit__(*args)

    def wait(self, timeout=None):
        semlock = self._lock._semlock
        assert semlock._is_mine(), "must acquire() condition before using wait()"
        end = None if timeout is None else time.monotonic() + timeout
        if self._let_threads_run(semlock, end):
            return True
        held, semlock._held = semlock._held, 0
        try:
            left = None if end is None else end - time.monotonic()
            return self._object.handle.wait(lk_host.nanoseconds(left)).notified
        except Err as error:
            if isinstance(error.value, errors.Error_TimedOut):
                return False
            raise
        finally:
            semlock._held, semlock._holder = held, lk_threads.get_ident()

    def _let_threads_run(self, semlock, end):
        """Another thread of this process may be the one that notifies. As long as there is one to run, this waits without a
        place in the host's queue, and sees whether there was a notification that found nobody there. Answers that."""
        before = self._missed.handle.get().value
        while lk_threads.is_pending() and (end is None or time.monotonic() < end):
            held, semlock._held = semlock._held, 0
            semlock.object.handle.release(None)
            try:
                lk_threads.run_one()
            finally:
                semlock.acquire()
                semlock._held = held
            if self._missed.handle.get().value != before:
                return True
        return False

    def _notify(self, woken, wanted):
        if woken < wanted:
            self._missed.handle.add(value.Scalar_Unsigned(1))

    def notify(self, n=1):
        assert self._lock._semlock._is_mine(), "lock is not owned"
        if n > 0:
            self._notify(self._object.handle.notify(n), n)

    def notify_all(self):
        assert self._lock._semlock._is_mine(), "lock is not owned"
        self._notify(self._object.handle.notify_all(), float("inf"))

    def wait_for(self, predicate, timeout=None):
        result = predicate()
        end = None if timeout is None else time.monotonic() + timeout
        while not result:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    def __repr__(self):
        return f"<Condition({self._lock}, {self._object.handle.waiting()})>"


class Barrier:
    """Two barriers of the host: at the second, all wait for the one that has the action to do."""

    def __init__(self, parties, action=None, timeout=None, *, ctx):
        if parties < 1:
            raise ValueError("parties must be > 0")
        self._action, self._timeout, self.parties = action, timeout, parties
        self._first = Object.made("barrier", objects.Kind_Barrier(parties))
        self._second = Object.made("barrier", objects.Kind_Barrier(parties)) if action else None

    def __getstate__(self):
        _assert_spawning(self)
        return self.__dict__

    def wait(self, timeout=None):
        from threading import BrokenBarrierError

        timeout = self._timeout if timeout is None else timeout
        end = None if timeout is None else time.monotonic() + timeout
        # One of them may be what another process waits for before it comes here.
        lk_threads.run_all(end)
        limit = lk_host.nanoseconds(None if end is None else end - time.monotonic())
        try:
            index = self._first.handle.wait(limit)
            if self._second is not None:
                if index == self.parties - 1:
                    try:
                        self._action()
                    except BaseException:
                        self.abort()
                        raise
                self._second.handle.wait(limit)
        except Err as error:
            if isinstance(error.value, (errors.Error_Broken, errors.Error_TimedOut)):
                raise BrokenBarrierError from None
            raise
        return index

    def reset(self):
        for each in (self._first, self._second):
            if each is not None:
                each.handle.reset()

    def abort(self):
        for each in (self._first, self._second):
            if each is not None:
                each.handle.abort()

    @property
    def n_waiting(self):
        return self._first.handle.waiting()

    @property
    def broken(self):
        return any(each is not None and each.handle.broken() is not None for each in (self._first, self._second))

    def __repr__(self):
        if self.broken:
            return f"<{type(self).__module__}.{type(self).__qualname__} at {id(self):#x}: broken>"
        return f"<{type(self).__module__}.{type(self).__qualname__} at {id(self):#x}: waiters={self.n_waiting}/{self.parties}>"


#: How much a queue holds in the host, so that one of a program cannot fill the memory of all.
QUEUE_BYTES = 64 << 20
QUEUE_ITEMS = 2**31 - 1


class Queue:
    def __init__(self, maxsize=0, *, ctx):
        self._maxsize = maxsize if maxsize > 0 else 0
        room = objects.Room(self._maxsize or QUEUE_ITEMS, QUEUE_BYTES, None)
        self._object = Object.made("queue", objects.Kind_Queue(room))
        self._closed, self._used = False, False

    def __getstate__(self):
        _assert_spawning(self)
        return {**self.__dict__, "_closed": False, "_used": False}

    def _open(self):
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")
        return self._object.handle

    def put(self, obj, block=True, timeout=None):
        from multiprocessing.reduction import ForkingPickler

        self._open()
        self.put_data(bytes(ForkingPickler.dumps(obj)), block, timeout)

    def put_data(self, item, block=True, timeout=None):
        handle = self._open()
        try:
            came = wait(lambda: handle.try_put(item), lambda limit: handle.put(item, limit), timeout if block else 0)
        except Err as error:
            if isinstance(error.value, errors.Error_Limit):
                raise OverflowError(f"an item of {len(item)} bytes is larger than a queue holds ({QUEUE_BYTES})") from None
            raise
        if not came:
            raise _queue.Full
        self._used = True

    def get(self, block=True, timeout=None):
        return pickle.loads(self.get_data(block, timeout))

    def get_data(self, block=True, timeout=None):
        handle = self._open()
        item = wait_for_one(handle.try_get, handle.get, timeout if block else 0)
        if item is None:
            raise _queue.Empty
        return item.bytes

    def put_nowait(self, obj):
        return self.put(obj, False)

    def get_nowait(self):
        return self.get(False)

    def qsize(self):
        return self._object.handle.length()

    def empty(self):
        # To close one that nothing was put into does nothing in CPython.
        if self._closed and self._used:
            raise OSError("handle is closed")
        return self.qsize() == 0

    def full(self):
        return bool(self._maxsize) and self.qsize() >= self._maxsize

    def close(self):
        self._closed = True

    def join_thread(self):
        assert self._closed, f"Queue {self!r} not closed"

    def cancel_join_thread(self):
        pass


class Connection:
    """One end of a pipe: what is sent through one queue comes out of the other."""

    def __init__(self, receives, sends):
        self._receives, self._sends, self._seen = receives, sends, []
        self.closed, self.readable, self.writable = False, receives is not None, sends is not None

    def __getstate__(self):
        _assert_spawning(self)
        return self.__dict__

    def _check(self, end, what):
        if self.closed:
            raise OSError("handle is closed")
        if end is None:
            raise OSError(f"connection is {what}-only")
        return end

    def send(self, obj):
        from multiprocessing.reduction import ForkingPickler

        self._check(self._sends, "read").put_data(bytes(ForkingPickler.dumps(obj)))

    def recv(self):
        return pickle.loads(self._next())

    def send_bytes(self, buf, offset=0, size=None):
        sends = self._check(self._sends, "read")
        data = memoryview(buf).cast("B")
        if offset < 0:
            raise ValueError("offset is negative")
        if len(data) < offset:
            raise ValueError("buffer length < offset")
        if size is None:
            size = len(data) - offset
        elif size < 0:
            raise ValueError("size is negative")
        elif offset + size > len(data):
            raise ValueError("buffer length < offset + size")
        sends.put_data(bytes(data[offset : offset + size]))

    def recv_bytes(self, maxlength=None):
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        data = self._next()
        if maxlength is not None and len(data) > maxlength:
            # What does not fit is lost, as with CPython.
            self.close()
            raise OSError("bad message length")
        return data

    def recv_bytes_into(self, buf, offset=0):
        from multiprocessing import BufferTooShort

        with memoryview(buf).cast("B") as room:
            if offset < 0:
                raise ValueError("negative offset")
            if offset > len(room):
                raise ValueError("offset too large")
            data = self._next()
            if len(room) < offset + len(data):
                raise BufferTooShort(data)
            room[offset : offset + len(data)] = data
        return len(data)

    def _next(self):
        receives = self._check(self._receives, "write")
        return self._seen.pop(0) if self._seen else receives.get_data(True, None)

    def poll(self, timeout=0.0):
        receives = self._check(self._receives, "write")
        if not self._seen:
            try:
                self._seen.append(receives.get_data(True, timeout))
            except _queue.Empty:
                return False
        return True

    def close(self):
        self.closed = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def Pipe(duplex=True):
    from multiprocessing import get_context

    there, back = Queue(ctx=get_context()), Queue(ctx=get_context())
    return (Connection(back, there), Connection(there, back)) if duplex else (Connection(there, None), Connection(None, there))


#: How long one of several is waited for before the others are looked at.
_SLICE = 0.005


def _is_ready(thing, timeout):
    if isinstance(thing, Connection):
        return thing.poll(timeout)
    if thing in _ends:
        return _ends[thing].wait(timeout) is not None
    raise ValueError(f"{thing!r} is neither a connection nor the sentinel of a process that was started here")


def wait_for_any(object_list, timeout=None):
    """`connection.wait`. The host waits for one object at a time, so several have their turn."""
    things = list(object_list)
    if not things:
        time.sleep(timeout or 0)
        return things
    end = None if timeout is None else time.monotonic() + timeout
    for turn in itertools.count():
        ready = [thing for thing in things if _is_ready(thing, 0)]
        left = None if end is None else end - time.monotonic()
        if ready or (left is not None and left <= 0):
            return ready
        longest = left if len(things) == 1 else _SLICE if left is None else min(left, _SLICE)
        _is_ready(things[turn % len(things)], longest)


class SimpleQueue(Queue):
    def __init__(self, *, ctx):
        super().__init__(ctx=ctx)

    def _open(self):
        if self._closed:
            raise OSError("handle is closed")
        return self._object.handle

    def put(self, obj):
        super().put(obj)

    def get(self):
        return super().get()

    def empty(self):
        self._open()
        return self.qsize() == 0


class JoinableQueue(Queue):
    def task_done(self):
        try:
            self._object.handle.task_done(0)
        except Err as error:
            if isinstance(error.value, errors.Error_OverRelease):
                raise ValueError("task_done() called too many times") from None
            raise

    def join(self):
        handle = self._object.handle
        wait(lambda: handle.unfinished() == 0, handle.join, None)


def _assert_spawning(obj):
    from multiprocessing import context

    # What a Manager makes may be sent at any time.
    if not getattr(obj, "_managed", False):
        context.assert_spawning(obj)


def _install_ends():
    from multiprocessing import process, spawn

    class ParentProcess(process._ParentProcess):
        def __init__(self, name, pid, sentinel):
            super().__init__(name, pid, pid)

    prepare = spawn.prepare

    def prepare_with_parent(data):
        global _parent
        _parent = _ends[os.getppid()] = Parent(data.pop("parent_life"))
        prepare(data)

    process._ParentProcess, spawn.prepare = ParentProcess, prepare_with_parent


def install():
    module("_multiprocessing", SemLock=SemLock, sem_unlink=nothing, flags={})
    from multiprocessing import context

    os.getpid = pid
    os.getppid = lambda: lk_host.identity().parent or 0
    module(
        "multiprocessing.resource_tracker",
        register=nothing,
        unregister=nothing,
        ensure_running=nothing,
        getfd=lambda: 0,
        _resource_tracker=None,
    )
    module("multiprocessing.popen_spawn_posix", Popen=Popen)
    # Imported only now: it keeps the `getpid` that it finds.
    from multiprocessing import util

    # That of a child is empty from its start.
    util._close_stdin = nothing
    _install_ends()
    lk_main.install()
    for method in ("fork", "forkserver"):
        context._concrete_contexts[method] = context._concrete_contexts["spawn"]

    from multiprocessing import synchronize

    def lock_init(self, *, ctx):
        synchronize.SemLock.__init__(self, MUTEX, 1, 1, ctx=ctx)

    synchronize.SemLock._make_name = staticmethod(lambda: "")
    synchronize.Lock.__init__ = lock_init
    synchronize.Condition, synchronize.Event, synchronize.Barrier = Condition, Event, Barrier
    for each in (Condition, Event, Barrier):
        each.__module__ = "multiprocessing.synchronize"

    import lk_shared

    lk_shared.install()
    from multiprocessing import queues

    queues.Queue, queues.SimpleQueue, queues.JoinableQueue = Queue, SimpleQueue, JoinableQueue
    from multiprocessing import connection

    connection.Pipe, connection.Connection, connection.wait = Pipe, Connection, wait_for_any
    # `wasi:cli/exit` knows only well and not.
    os._exit = lambda status: lk_host.exit(status & 0xFF)
    import lk_executors
    import lk_manager
    import lk_pool
    import lk_thread_pool

    lk_pool.install()
    lk_thread_pool.install()
    lk_executors.install()
    lk_manager.install()
