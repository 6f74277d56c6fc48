"""What the host refuses, as exceptions: each is an `Error`, and the builtin one that a reader expects."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import Any


class NeedsHost(RuntimeError):
    """There is no host here that could do it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} needs the host: run this program with `lockkeeper run PROGRAM.py`; outside of it the package has "
            "names and types, and nothing behind them"
        )


class Error(Exception):
    """The host has refused something."""


class TimedOut(Error, TimeoutError):
    """The time was over first. Nothing was acquired."""


class Cancelled(Error):
    """This process is being ended, or the host shuts down."""


class NotHeld(Error, RuntimeError):
    """Nobody holds what was to be released."""


class NotOwner(Error, RuntimeError):
    """Another process holds it; or, at a condition, this one does not."""


class OverRelease(Error, ValueError):
    """More was to be given back than there can be. Nothing was."""


class InvalidArgument(Error, ValueError):
    """An argument makes no sense; the text says which and why."""


class Denied(Error, PermissionError):
    """There is no such thing for this process: it does not exist, or was not granted."""


class LimitReached(Error, RuntimeError):
    """A limit was met: `limit` is its name, such as `record-bytes`."""

    def __init__(self, limit: str) -> None:
        super().__init__(f"the limit {limit} was reached")
        self.limit = limit


@dataclass(frozen=True)
class Circle:
    """One process of a deadlock: it holds what the one before it waits for, and waits for what the next one holds."""

    #: Its number in the host, and its name.
    process: int
    name: str
    holds: str
    #: In seconds.
    held_for: float
    waits_for: str


class Deadlock(Error, RuntimeError):
    """Waiting could never end. `circle` says who waits for whom; it is empty where threads of one process do."""

    def __init__(self, message: str, circle: tuple[Circle, ...] = ()) -> None:
        super().__init__(message)
        self.circle = circle


class NotRecoverable(Error, RuntimeError):
    """Nobody has marked the data of this lock consistent after its owner had died."""


class Lost(Error, RuntimeError):
    """The hold was taken away; `how` says in which way, such as `expired`."""

    def __init__(self, how: str) -> None:
        super().__init__(f"the hold was taken away: {how}")
        self.how = how


class Fenced(Error, RuntimeError):
    """The hold is not the newest any more; `latest` is. Nothing was written."""

    def __init__(self, latest: int) -> None:
        super().__init__(f"the lock has been acquired since, under the fence {latest}; nothing was written")
        self.latest = latest


class LockRequired(Error, RuntimeError):
    """The file or the value may be changed only while `lock` is held, and this process does not hold it."""

    def __init__(self, lock: str) -> None:
        super().__init__(f"acquire the lock {lock!r} first; nothing was changed")
        self.lock = lock


class OutOfRange(Error, IndexError):
    """An index or a value does not fit."""


class Broken(Error, RuntimeError):
    """The barrier is broken; `why` says how, such as `party-ended`."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the barrier is broken: {why}")
        self.why = why


class Full(Error, queue.Full):
    """The queue was full until the time was over."""


class Empty(Error, queue.Empty):
    """The queue was empty until the time was over."""


class Closed(Error, ValueError):
    """The queue is closed: nothing more goes in, or comes out."""


class Unavailable(Error, RuntimeError):
    """The host cannot do it now; the text says why."""


class IoFailed(Error, OSError):
    """The host could not write; `code` says why, such as `no-space`. The file ends on a whole record."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the host could not write: {code}")
        self.code = code


_PLAIN: dict[str, tuple[type[Error], str]] = {
    "TimedOut": (TimedOut, "the time was over first"),
    "Cancelled": (Cancelled, "this process is being ended"),
    "NotHeld": (NotHeld, "nobody holds it"),
    "NotOwner": (NotOwner, "this process does not hold it"),
    "OverRelease": (OverRelease, "more was to be given back than there can be"),
    "Denied": (Denied, "there is no such thing for this process: declare it for the job, and grant it"),
    "NotRecoverable": (NotRecoverable, "its last owner has died, and nobody has marked it consistent"),
    "OutOfRange": (OutOfRange, "an index or a value does not fit"),
    "Full": (Full, "the queue was full until the time was over"),
    "Empty": (Empty, "the queue was empty until the time was over"),
    "Closed": (Closed, "the queue is closed"),
    "Indeterminate": (Unavailable, "the answer was lost: it may or may not have happened"),
}


def word(case: Any) -> str:
    """A case of one of the contract's enumerations as the contract spells it."""
    return str(case.name).lower().replace("_", "-")


def told(error: Any) -> Error:
    """The exception for an error of the contract."""
    name = type(error).__name__.removeprefix("Error_")
    value = getattr(error, "value", None)
    if name in _PLAIN:
        kind, text = _PLAIN[name]
        return kind(text)
    if name == "Deadlock":
        circle = tuple(
            Circle(one.process, one.name, one.holds, one.held_for / 1e9, one.waits_for) for one in (value or ())
        )
        links = ", ".join(f"{one.name} holds {one.holds} and waits for {one.waits_for}" for one in circle)
        return Deadlock(f"waiting for this would never end: {links}", circle)
    if name == "Limit":
        return LimitReached(word(value))
    if name == "Lost":
        return Lost(word(value))
    if name == "Broken":
        return Broken(word(value))
    if name == "Io":
        return IoFailed(word(value))
    if name == "Fenced":
        return Fenced(int(value or 0))
    if name == "LockRequired":
        return LockRequired(str(value))
    if name in ("InvalidArgument", "InvalidName"):
        return InvalidArgument(str(value))
    if name == "Unavailable":
        return Unavailable(str(value))
    return Error(name if value is None else f"{name}: {value}")
