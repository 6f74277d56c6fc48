"""What the host has for Python programs: objects by their ids, other processes, and the end of this one."""

import threading
import time

import lk_threads
from componentize_py_types import Err
from wit_world.imports import barrier, condition, event, mutex, objects, process, queue, rlock, semaphore
from wit_world.imports import lockkeeper_adapter_exit as _exit
from wit_world.imports import lockkeeper_runtime_types as types
from wit_world.imports import value

_LONGEST_NS = 2**64 - 1


class Deadlock(RuntimeError):
    """Waiting could never end."""


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
    "semaphore": semaphore.Semaphore,
    "condition": condition.Condition,
    "event": event.Event,
    "barrier": barrier.Barrier,
    "queue": queue.Queue,
    "array": value.Array,
    "value": value.Value,
}

#: Whatever this process was given or has made, and what it gives its children.
known = {}


class Object:
    """An object of the host, which is opened when it is first used: so it may be made while the component is built."""

    def __init__(self, kind, id=None, make=None):
        self.kind, self.id, self._make, self._handle = kind, id, make, None
        if id is not None:
            known[id] = known.get(id, 0) + 1

    @classmethod
    def made(cls, kind, what):
        return cls(kind, objects.make(what))

    @property
    def handle(self):
        if self._handle is None:
            self._handle = _kinds[self.kind].open(self.id)
        return self._handle

    def __reduce__(self):
        return (Object, (self.kind, self.id))

    def __del__(self, known=known, forget=objects.forget):
        count = known.get(self.id, 0)
        if count > 1:
            known[self.id] = count - 1
        elif count == 1:
            del known[self.id]
            self._handle = None
            try:
                forget(self.id)
            except Exception:
                pass


def is_error(error, kind):
    return isinstance(error, Err) and isinstance(error.value, kind)


def wait(try_it, wait_for_it, timeout):
    """Tries; lets what else there is to run in this process come first; then waits in the host. Answers whether it came.

    Another thread of this process may be what it waits for, and there is one stack for all of them.
    """
    if try_it():
        return True
    if timeout is not None and timeout <= 0:
        return False
    while lk_threads.run_one():
        if try_it():
            return True
    began = time.monotonic()
    try:
        wait_for_it(nanoseconds(timeout))
        return True
    except Err as error:
        if isinstance(error.value, (types.Error_TimedOut, types.Error_Full, types.Error_Empty)):
            return False
        if isinstance(error.value, types.Error_Deadlock):
            if timeout is None:
                raise Deadlock(_circle(error.value.value)) from None
            # CPython waits for what cannot come.
            time.sleep(max(0, timeout - (time.monotonic() - began)))
            return False
        if isinstance(error.value, types.Error_Lost):
            # Told once; from here on it is as asking for the first time.
            return wait(try_it, wait_for_it, timeout)
        raise


def _circle(waits):
    links = ", ".join(f"{one.name} holds {one.holds} and waits for {one.waits_for}" for one in waits)
    return f"waiting for this lock would never end: {links}"
