"""Locks, values, queues and append files that many processes share, kept by the host that runs them.

    from lockkeeper import AppendFile, Mutex, current

    lock, results = Mutex("results"), AppendFile("results")
    with lock as hold:
        results.append_row([current().name, 0.93], hold=hold)

With a name a thing is the job's, as the command line or the manifest declares it (`--lock results`). Without one it is made
there and then, and can be given to a `Process`, to a `multiprocessing.Process`, or to a program that is started.

What waits has a `timeout` in seconds, and raises `TimedOut` when that is over; none waits for as long as it takes. Waiting
for what could never come is `Deadlock` at once. What this process holds ends with it, however it ends, and the next owner is told.

Programs run under the host: `lockkeeper run program.py`. Elsewhere the package can be imported, for editors and type
checkers; whatever needs the host raises `NeedsHost`.
"""

from ._append import AppendFile, Appended, Durability, Position
from ._errors import (
    Broken,
    Cancelled,
    Circle,
    Closed,
    Deadlock,
    Denied,
    Empty,
    Error,
    Fenced,
    Full,
    InvalidArgument,
    IoFailed,
    LimitReached,
    LockRequired,
    Lost,
    NeedsHost,
    NotHeld,
    NotOwner,
    NotRecoverable,
    OutOfRange,
    OverRelease,
    TimedOut,
    Unavailable,
)
from ._locks import Hold, MultiLock, Mutex, Once, RLock, RWLock, Semaphore
from ._meeting import Barrier, Condition, Event, Latch
from ._process import Child, Identity, Outcome, Process, ProcessFailed, current, start_program
from ._queue import Item, Queue
from ._values import Array, Value

__version__ = "0.1.0"

__all__ = [
    "AppendFile",
    "Appended",
    "Array",
    "Barrier",
    "Broken",
    "Cancelled",
    "Child",
    "Circle",
    "Closed",
    "Condition",
    "Deadlock",
    "Denied",
    "Durability",
    "Empty",
    "Error",
    "Event",
    "Fenced",
    "Full",
    "Hold",
    "Identity",
    "InvalidArgument",
    "IoFailed",
    "Item",
    "Latch",
    "LimitReached",
    "LockRequired",
    "Lost",
    "MultiLock",
    "Mutex",
    "NeedsHost",
    "NotHeld",
    "NotOwner",
    "NotRecoverable",
    "Once",
    "OutOfRange",
    "Outcome",
    "OverRelease",
    "Position",
    "Process",
    "ProcessFailed",
    "Queue",
    "RLock",
    "RWLock",
    "Semaphore",
    "TimedOut",
    "Unavailable",
    "Value",
    "current",
    "start_program",
]
