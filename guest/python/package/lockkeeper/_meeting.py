"""Where processes wait for each other: conditions, events, barriers, latches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from . import _host
from ._errors import word
from ._locks import Hold, Mutex

_Found = TypeVar("_Found")


class Condition(_host.Shared):
    """Waiting, with a lock let go, for what another process changes under that lock.

    Made with `lock=`, a `Mutex` or an `RLock`; `with condition:` acquires that lock.
    """

    _KIND = "condition"

    def __init__(self, name: str | None = None, *, lock: Mutex | None = None) -> None:
        if (name is None) == (lock is None):
            raise ValueError("a condition is the job's, by its name, or one of a lock: Condition(lock=lock)")
        if lock is not None and not isinstance(lock, Mutex):
            raise TypeError(f"a condition is one of a Mutex or an RLock, and {lock!r} is {type(lock).__name__}")
        super().__init__(name, lambda: _host.contract.objects.Kind_Condition(lock.id if lock else ""))
        self._lock = lock

    @property
    def lock(self) -> str:
        """What the host calls the lock that this condition lets go."""
        return str(self._handle.lock())

    def wait(self, timeout: float | None = None) -> bool:
        """Waits to be notified; whether it was. The lock is held again in both cases, under a new fence.

        Other threads of this process do not run meanwhile: processes meet here.
        """
        return bool(_host.call(self._handle.wait, _host.nanoseconds(timeout)).notified)

    def wait_for(self, predicate: Callable[[], _Found], timeout: float | None = None) -> _Found:
        """Waits until the predicate holds, and answers what it answered last; something false if the time was over."""
        end = None if timeout is None else time.monotonic() + timeout
        while not (found := predicate()):
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return found

    def notify(self, n: int = 1) -> int:
        """Wakes those who have waited longest, and answers how many. Never waits."""
        return int(_host.call(self._handle.notify, _host.unsigned(n, "n")))

    def notify_all(self) -> int:
        """Wakes everyone, and answers how many."""
        return int(_host.call(self._handle.notify_all))

    @property
    def waiting(self) -> int:
        """How many wait at this moment."""
        return int(self._handle.waiting())

    def _locked(self) -> Mutex:
        if self._lock is None:
            raise ValueError("the lock of the job's condition is opened by its own name, and acquired there")
        return self._lock

    def __enter__(self) -> Hold:
        return self._locked().acquire()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        _host.leave(self._locked().release, error)


class Event(_host.Shared):
    """A flag that processes set, clear, and wait for. Who waits at the moment of `set` gets it, even if `clear` follows."""

    _KIND = "event"

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name, lambda: _host.contract.objects.Kind_Event())

    def set(self) -> None:
        """Sets the flag, and wakes everyone who waits."""
        self._handle.set()

    def clear(self) -> None:
        """Clears the flag."""
        self._handle.clear()

    def is_set(self) -> bool:
        """Whether it is set at this moment."""
        return bool(self._handle.is_set())

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the flag is set; False if the time was over first."""
        return _host.ended(lambda: True if self.is_set() else None, self._handle.wait, timeout)


class Barrier(_host.Shared):
    """A place where `parties` processes wait for each other, again and again."""

    _KIND = "barrier"

    def __init__(self, name: str | None = None, *, parties: int | None = None) -> None:
        if (name is None) == (parties is None):
            raise ValueError("a barrier is the job's, by its name, or one of so many parties: Barrier(parties=4)")
        if parties is not None:
            _host.unsigned(parties, "parties")
        super().__init__(name, lambda: _host.contract.objects.Kind_Barrier(parties))

    def wait(self, timeout: float | None = None) -> int:
        """Waits for all parties, and answers this one's index, from 0 in the order of arrival.

        Raises `Broken`, with why; `TimedOut`, which breaks it for the others. Other threads of this process do not run
        meanwhile.
        """
        return int(_host.call(self._handle.wait, _host.nanoseconds(timeout)))

    def reset(self) -> None:
        """Begins anew: who waits gets `Broken`."""
        self._handle.reset()

    def abort(self) -> None:
        """Breaks it, until it is reset."""
        self._handle.abort()

    @property
    def parties(self) -> int:
        """How many a round has."""
        return int(self._handle.parties())

    @property
    def waiting(self) -> int:
        """How many wait at this moment."""
        return int(self._handle.waiting())

    @property
    def broken(self) -> str | None:
        """Why it is broken, if it is."""
        why = self._handle.broken()
        return None if why is None else word(why)


class Latch(_host.Shared):
    """A number that is counted down to zero, once, and waited for."""

    _KIND = "latch"

    def __init__(self, name: str | None = None, *, count: int | None = None) -> None:
        if (name is None) == (count is None):
            raise ValueError("a latch is the job's, by its name, or one that starts somewhere: Latch(count=4)")
        if count is not None:
            _host.unsigned(count, "count")
        super().__init__(name, lambda: _host.contract.objects.Kind_Latch(count))

    def count_down(self, n: int = 1) -> int:
        """Counts down, and answers what is left. Raises `OverRelease` when fewer are left."""
        return int(_host.call(self._handle.count_down, _host.unsigned(n, "n")))

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for zero; False if the time was over first."""
        return _host.ended(lambda: True if self.remaining == 0 else None, self._handle.wait, timeout)

    @property
    def remaining(self) -> int:
        """What is left at this moment."""
        return int(self._handle.remaining())
