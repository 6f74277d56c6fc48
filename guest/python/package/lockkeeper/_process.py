"""Who this process is, and those that it starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from . import _host
from ._errors import TimedOut, word
from ._host import Shared


@dataclass(frozen=True)
class Identity:
    """What the host calls a process."""

    #: Its number in the host.
    id: int
    #: Its place among the processes of its group, from 0, and how many those are.
    rank: int
    count: int
    #: Its name in messages.
    name: str
    #: The number of the process that started it.
    parent: int | None


def current() -> Identity:
    """This process."""
    _host.check("lockkeeper.current")
    me = _host.contract.process.current()
    return Identity(me.id, me.rank, me.count, me.name, me.parent)


@dataclass(frozen=True)
class Outcome:
    """How a process ended."""

    how: Literal["exited", "trapped", "killed", "limit", "other"]
    #: What it exited with.
    status: int | None = None
    #: Why it trapped, or which limit it met.
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether it exited with 0."""
        return self.status == 0

    @classmethod
    def _of(cls, outcome: Any) -> Outcome:
        how: Any = type(outcome).__name__.removeprefix("Outcome_").lower()
        value = getattr(outcome, "value", None)
        if how == "exited":
            return cls("exited", value)
        return cls(how, None, "" if value is None else word(value) if how == "limit" else str(value))


class Process:
    """A function that runs in a process of its own: `with Process(work, args=(lock, 3)):` starts and joins it.

    The function and its arguments are pickled, as by `multiprocessing` with its start method `spawn`; things of this package
    may be among them. `memory_bytes` and `timeout` (seconds) limit it; more than this process has is cut down to that. It
    ends with this process.
    """

    def __init__(
        self,
        target: Callable[..., object],
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        memory_bytes: int | None = None,
        timeout: float | None = None,
    ) -> None:
        _host.check("lockkeeper.Process")
        from multiprocessing import get_context

        process: Any = get_context("spawn").Process
        self._process = process(target=target, name=name, args=tuple(args), kwargs=dict(kwargs or {}))
        self._process._options = {
            "orphans": _host.contract.process.Orphans.END,
            "memory_bytes": memory_bytes,
            "timeout": _host.nanoseconds(timeout),
        }

    def start(self) -> Process:
        """Starts it, once."""
        self._process.start()
        return self

    def join(self, timeout: float | None = None) -> Outcome:
        """Waits for its end. Raises `TimedOut`, or `Deadlock` where it waits for this process."""
        _host.nanoseconds(timeout)
        self._process.join(timeout)
        if (outcome := self.outcome) is None:
            raise TimedOut("it has not ended yet")
        return outcome

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs."""
        if self._process.exitcode is None:
            return None
        return Outcome._of(self._process._popen.outcome)

    @property
    def pid(self) -> int | None:
        """Its number in the host, once it was started."""
        pid: int | None = self._process.pid
        return pid

    @property
    def name(self) -> str:
        """Its name in messages."""
        return str(self._process.name)

    def kill(self) -> None:
        """Ends it, wherever it is. What it holds goes to the next who waits."""
        self._process.kill()

    def __enter__(self) -> Process:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.kill()
        self.join()


class Child:
    """A process of another program of the job."""

    def __init__(self, child: Any) -> None:
        self._child = child

    def join(self, timeout: float | None = None) -> Outcome:
        """Waits for its end. Raises `TimedOut`, or `Deadlock` where it waits for this process."""
        return Outcome._of(_host.wait(self._child.try_join, self._child.join, timeout))

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs."""
        ended = self._child.try_join()
        return None if ended is None else Outcome._of(ended)

    @property
    def pid(self) -> int:
        """Its number in the host."""
        return int(self._child.pid())

    def terminate(self, grace: float = 5.0) -> None:
        """Asks it to end: what it waits for is cancelled. It is killed when the grace, in seconds, is over."""
        self._child.terminate(_host.nanoseconds(grace))

    def kill(self) -> None:
        """Ends it, wherever it is."""
        self._child.kill()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        self.join()


def start_program(
    program: str,
    args: Iterable[str] = (),
    *,
    env: Mapping[str, str] | None = None,
    start: bytes = b"",
    give: Iterable[Shared] = (),
    name: str | None = None,
    adopt: bool = False,
    memory_bytes: int | None = None,
    timeout: float | None = None,
) -> Child:
    """Starts a process of the program that the job calls so. It may name what this process may.

    `start` are bytes that it can ask for, and `give` are things that this process has made, which it opens by their ids.
    Without `env` it has this process's own. It is ended with this process, but with `adopt`. Raises `Denied` and
    `LimitReached`.
    """
    _host.check("lockkeeper.start_program")
    contract = _host.contract.process
    options = contract.Options(
        args=list(args),
        start=start,
        env=list((os.environ if env is None else env).items()),
        grants=None,
        objects=[each.id for each in give],
        name=name,
        orphans=contract.Orphans.ADOPT if adopt else contract.Orphans.END,
        memory_bytes=memory_bytes,
        timeout=_host.nanoseconds(timeout),
    )
    return Child(_host.call(contract.Child.spawn, program, options))
