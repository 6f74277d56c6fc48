"""What the host has for Python programs: objects by their ids, other processes, and the end of this one."""

import errno
import time

import lk_threads
from componentize_py_types import Err
from lockkeeper._errors import told
from wit_world.imports import barrier, condition, event, latch, mutex, objects, once, process, queue, rlock, rwlock, semaphore
from wit_world.imports import lockkeeper_adapter_exit as _exit
from wit_world.imports import lockkeeper_runtime_types as types
from wit_world.imports import value

_LONGEST_NS = 2**64 - 1


def exit(status):
    _exit.exit_with_code(status)


def start_data():
    return process.start_data()


def identity():
    return process.current()


def nanoseconds(timeout):
    """Seconds as Python has them: less than none are none, and too many are for ever."""
    if timeout is None:
        return None
    return min(max(0, int(timeout * 1_000_000_000)), _LONGEST_NS)


_kinds = {
    "mutex": mutex.Mutex,
    "rlock": rlock.Rlock,
    "rwlock": rwlock.Rwlock,
    "semaphore": semaphore.Semaphore,
    "condition": condition.Condition,
    "event": event.Event,
    "barrier": barrier.Barrier,
    "latch": latch.Latch,
    "once": once.Once,
    "queue": queue.Queue,
    "array": value.Array,
    "value": value.Value,
}

#: Whatever this process was given or has made, and what it gives its children.
known = {}


class Object:
    """An object of the host, opened when it is first used. It is forgotten with the last that stands for it here."""

    def __init__(self, kind, id, kept=False, is_mine=True):
        self.kind, self.id, self.kept, self._handle, self._counts = kind, id, kept, None, False
        if is_mine:
            self._count()

    @classmethod
    def made(cls, kind, what, kept=False):
        try:
            return cls(kind, objects.make(what), kept)
        except Err as error:
            raise OSError(errno.ENOSPC, f"the host makes no more of these: {told(error.value)}") from None

    def _count(self):
        """It is a right of this process from here on, which its children are given."""
        if not self._counts:
            self._counts = True
            known[self.id] = known.get(self.id, 0) + 1

    @property
    def handle(self):
        if self._handle is None:
            try:
                self._handle = _kinds[self.kind].open(self.id)
            except Err as error:
                if isinstance(error.value, types.Error_Denied):
                    raise RuntimeError(
                        "this process was not given that object: it was made after the process was started; make it before"
                    ) from None
                raise OSError(errno.EMFILE, f"the host opens no more of these: {told(error.value)}") from None
            self._count()
        return self._handle

    def __reduce__(self):
        return (_unpickled, (self.kind, self.id, self.kept))

    def __del__(self, known=known, forget=objects.forget):
        if not getattr(self, "_counts", False) or self.kept:
            return
        count = known.get(self.id, 0)
        if count > 1:
            known[self.id] = count - 1
            return
        known.pop(self.id, None)
        self._handle = None
        try:
            forget(self.id)
        except Exception:
            pass


def _unpickled(kind, id, kept):
    """What a process is started with it was given; what comes to it later it may have been, or not."""
    from multiprocessing import process as _process

    return Object(kind, id, kept, is_mine=getattr(_process.current_process(), "_inheriting", False))


def wait(try_it, wait_for_it, timeout):
    """Tries; lets what else there is to run in this process come first; then waits in the host. Answers whether it came.

    Another thread of this process may be what it waits for, and there is one stack for all of them.
    """
    began = time.monotonic()
    try:
        if try_it():
            return True
        while timeout is None or time.monotonic() - began < timeout:
            if not lk_threads.run_one():
                break
            if try_it():
                return True
        left = None if timeout is None else timeout - (time.monotonic() - began)
        if left is not None and left <= 0:
            return False
        wait_for_it(nanoseconds(left))
        return True
    except Err as error:
        if isinstance(error.value, (types.Error_TimedOut, types.Error_Full, types.Error_Empty)):
            return False
        if isinstance(error.value, types.Error_Deadlock):
            if timeout is None:
                raise told(error.value) from None
            # Another one of the circle may give up before, as it would with CPython.
            while (left := timeout - (time.monotonic() - began)) > 0:
                time.sleep(min(left, 0.005))
                if try_it():
                    return True
            return False
        if isinstance(error.value, types.Error_Lost):
            # Told once; from here on it is as asking for the first time.
            return wait(try_it, wait_for_it, timeout)
        if isinstance(error.value, types.Error_Cancelled):
            raise OSError(errno.ECANCELED, "the host is ending this program") from None
        raise


def wait_for_one(try_it, wait_for_it, timeout):
    """The same for what answers something: `try_it` None if there is nothing yet. Answers it; None if it did not come."""
    came = []

    def tried():
        found = try_it()
        if found is not None:
            came.append(found)
        return found is not None

    return came[-1] if wait(tried, lambda limit: came.append(wait_for_it(limit)), timeout) else None

