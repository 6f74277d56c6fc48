"""What is held: by one process at a time, by its readers, or by as many as there are permits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from . import _host
from ._errors import word


@dataclass(frozen=True)
class Hold:
    """What an acquisition gives."""

    #: Its number, greater than that of every hold of this lock before it.
    fence: int
    #: How the hold before it ended, such as `killed`, if it was not released: what the lock protects may be half-written.
    abandoned: str | None = None
    #: The number of the process whose hold that was.
    abandoned_by: int | None = None

    @classmethod
    def _of(cls, acquired: Any) -> Hold:
        last = getattr(acquired.previous, "value", None)
        return cls(acquired.fence) if last is None else cls(acquired.fence, word(last.how), last.who)


def fence_of(hold: Hold | None) -> int | None:
    """The fence of a hold, where one is given."""
    if hold is not None and not isinstance(hold, Hold):
        raise TypeError(f"a hold is what acquiring a lock gives; {hold!r} is {type(hold).__name__}")
    return None if hold is None else hold.fence


def _hold(acquired: Any) -> Hold | None:
    return None if acquired is None else Hold._of(acquired)


class _Lock(_host.Shared):
    """What every lock can do that has fences."""

    def release(self, hold: Hold | None = None) -> None:
        """Releases this hold; without it, whatever hold this process has."""
        _host.call(self._handle.release, fence_of(hold))

    def mark_consistent(self) -> None:
        """Says that what the lock protects is consistent again, after a hold that was abandoned."""
        _host.call(self._handle.mark_consistent)

    @property
    def locked(self) -> bool:
        """Whether anybody holds it at this moment."""
        return bool(self._handle.locked())


class Mutex(_Lock):
    """A lock with one owner at a time, which is a process. `with lock as hold:` acquires and releases it.

    It ends with the process that holds it. Acquiring it twice in one process is a `Deadlock`, as `RLock` is for that.
    """

    _KIND = "mutex"

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name, lambda: _host.contract.objects.Kind_Mutex())

    def acquire(self, timeout: float | None = None) -> Hold:
        """Waits for the lock. Raises `TimedOut` or `Deadlock`; `Lost` once, after a hold was taken away."""
        handle = self._handle
        return Hold._of(_host.wait(handle.try_acquire, handle.acquire, timeout))

    def try_acquire(self) -> Hold | None:
        """Acquires the lock if that needs no waiting."""
        return _hold(_host.call(self._handle.try_acquire))

    def __enter__(self) -> Hold:
        return self.acquire()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        _host.leave(self.release, error)


class RLock(Mutex):
    """A mutex that its owner may acquire again, and releases as often. All of its holds have one fence."""

    _KIND = "rlock"

    def __init__(self, name: str | None = None) -> None:
        _host.Shared.__init__(self, name, lambda: _host.contract.objects.Kind_Rlock())


class RWLock(_Lock):
    """A lock that many hold to read, or one to write: `with lock.reading():`, `with lock.writing() as hold:`.

    A writer that waits lets no new readers in.
    """

    _KIND = "rwlock"

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name, lambda: _host.contract.objects.Kind_Rwlock())

    def read(self, timeout: float | None = None) -> Hold:
        """Waits until it may read. Raises `TimedOut` or `Deadlock`."""
        handle = self._handle
        return Hold._of(_host.wait(handle.try_read, handle.read, timeout))

    def try_read(self) -> Hold | None:
        """Reads if that needs no waiting."""
        return _hold(_host.call(self._handle.try_read))

    def write(self, timeout: float | None = None) -> Hold:
        """Waits until it may write. Raises `TimedOut` or `Deadlock`, also for who reads: `upgrade` is for that."""
        handle = self._handle
        return Hold._of(_host.wait(handle.try_write, handle.write, timeout))

    def try_write(self) -> Hold | None:
        """Writes if that needs no waiting."""
        return _hold(_host.call(self._handle.try_write))

    def upgrade(self, timeout: float | None = None) -> Hold:
        """From reader to writer, ahead of all who wait. If it fails, the read hold is as it was."""
        handle = self._handle
        return Hold._of(_host.wait(handle.try_upgrade, handle.upgrade, timeout))

    def downgrade(self) -> Hold:
        """From writer to reader, with nobody in between."""
        return Hold._of(_host.call(self._handle.downgrade))

    def reading(self, timeout: float | None = None) -> AbstractContextManager[Hold]:
        """Holds the lock to read, for a `with`."""
        return self._held(self.read, timeout)

    def writing(self, timeout: float | None = None) -> AbstractContextManager[Hold]:
        """Holds the lock to write, for a `with`."""
        return self._held(self.write, timeout)

    @contextmanager
    def _held(self, acquire: Callable[[float | None], Hold], timeout: float | None) -> Iterator[Hold]:
        hold = acquire(timeout)
        try:
            yield hold
        except BaseException as error:
            _host.leave(self.release, error)
            raise
        self.release()


class Semaphore(_host.Shared):
    """Permits that processes take and give back. `with semaphore:` takes one.

    Of its own a process makes one of `permits`, which come back when the process that has them ends; with `anyone=True`
    they are nobody's: anyone may add some, up to `maximum`.
    """

    _KIND = "semaphore"

    def __init__(
        self, name: str | None = None, *, permits: int | None = None, anyone: bool = False, maximum: int | None = None
    ) -> None:
        if name is not None and (permits is not None or anyone or maximum is not None):
            raise ValueError("the job's semaphore is as the job says: give a name, or what one of its own is to be")
        count = _host.unsigned(1 if permits is None else permits, "permits")
        if maximum is not None:
            _host.unsigned(maximum, "maximum")
        if maximum is not None and not anyone:
            raise ValueError("a maximum goes with permits that anyone may add: anyone=True")

        def make() -> Any:
            kinds = _host.contract.objects
            if anyone:
                return kinds.Kind_SignalSemaphore(kinds.Signal(count, maximum))
            return kinds.Kind_OwnedSemaphore(count)

        super().__init__(name, make)

    def acquire(self, permits: int = 1, timeout: float | None = None) -> None:
        """Takes so many permits, all or none. Raises `TimedOut`, or `Deadlock` where permits are owned."""
        handle = self._handle
        _host.unsigned(permits, "permits")

        def waited(limit: int | None) -> bool:
            handle.acquire(permits, limit)
            return True

        _host.wait(lambda: handle.try_acquire(permits) or None, waited, timeout)

    def try_acquire(self, permits: int = 1) -> bool:
        """Takes so many permits if that needs no waiting."""
        return bool(_host.call(self._handle.try_acquire, _host.unsigned(permits, "permits")))

    def release(self, permits: int = 1) -> None:
        """Gives so many permits back. Raises `OverRelease`, or `NotHeld` where permits are owned."""
        _host.call(self._handle.release, _host.unsigned(permits, "permits"))

    @property
    def value(self) -> int:
        """How many permits are there at this moment."""
        return int(self._handle.value())

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        _host.leave(self.release, error)


class Once(_host.Shared):
    """Something that one process does for all: `once.run(function)`."""

    _KIND = "once"

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name, lambda: _host.contract.objects.Kind_Once())

    def run(self, function: Callable[[], object], timeout: float | None = None) -> bool:
        """Calls the function unless it has been called; waits while another process does. Whether it was called here.

        If it raises, or its process ends, it is the next one's turn. Raises `TimedOut` or `Deadlock`.
        """
        turn = _host.call(self._handle.begin, _host.nanoseconds(timeout))
        if not hasattr(turn, "value"):
            return False
        try:
            function()
        except BaseException:
            _host.call(self._handle.give_up, turn.value.fence)
            raise
        _host.call(self._handle.complete, turn.value.fence)
        return True

    @property
    def done(self) -> bool:
        """Whether it has been done."""
        return bool(self._handle.is_done())


class MultiLock:
    """Several locks, acquired all or none: `with MultiLock(a, b, reading=[c]) as (a_hold, b_hold, c_hold):`.

    Processes that acquire several only so cannot lock each other out. Of a semaphore it takes one permit.
    """

    def __init__(self, *locks: Mutex | RWLock | Semaphore, reading: Iterable[RWLock] = ()) -> None:
        _host.check("lockkeeper.MultiLock")
        contract = _host.contract.multi_lock
        mode = _host.contract.lockkeeper_runtime_types.Mode
        readers = list(reading)
        for lock in (*locks, *readers):
            if not isinstance(lock, (Mutex, RWLock, Semaphore)):
                raise TypeError(f"several locks are acquired by what they are, as in MultiLock(Mutex('a')); not {lock!r}")
        parts = [
            contract.Part(lock.id, mode.PERMITS if isinstance(lock, Semaphore) else mode.EXCLUSIVE, 1) for lock in locks
        ]
        parts += [contract.Part(lock.id, mode.SHARED, 1) for lock in readers]
        # They are there as long as this is.
        self._locks = (*locks, *readers)
        self._handle: Any = _host.call(contract.MultiLock.open, parts)

    def acquire(self, timeout: float | None = None) -> tuple[Hold, ...]:
        """Waits for all of them. Raises `TimedOut` or `Deadlock`, and nothing is held then."""
        handle = self._handle
        return tuple(map(Hold._of, _host.wait(handle.try_acquire, handle.acquire, timeout)))

    def try_acquire(self) -> tuple[Hold, ...] | None:
        """Acquires all of them if that needs no waiting."""
        acquired = _host.call(self._handle.try_acquire)
        return None if acquired is None else tuple(map(Hold._of, acquired))

    def release(self) -> None:
        """Releases all of them."""
        _host.call(self._handle.release, [])

    def __enter__(self) -> tuple[Hold, ...]:
        return self.acquire()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        _host.leave(self.release, error)
