"""Who this process is, and those that it starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from . import _host
from ._errors import Error, TimedOut, word
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


class ProcessFailed(Error, RuntimeError):
    """A process that a `with` has joined did not end well; `outcome` says how it ended."""

    def __init__(self, name: str, outcome: Outcome) -> None:
        how = f"exited with {outcome.status}" if outcome.how == "exited" else f"{outcome.how} {outcome.reason}".strip()
        super().__init__(f"the process {name!r} {how}")
        self.outcome = outcome


class Process:
    """A function that runs in a process of its own: `with Process(work, args=(lock, 3)):` starts and joins it, and raises
    `ProcessFailed` if it did not end well.

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
            "memory_bytes": None if memory_bytes is None else _host.unsigned(memory_bytes, "memory_bytes", 2**64 - 1),
            "timeout": _host.nanoseconds(timeout),
        }
        self._is_started = False

    def start(self) -> Process:
        """Starts it, once."""
        if self._is_started:
            raise RuntimeError("a process is started once; make another one")
        self._process.start()
        self._is_started = True
        return self

    def join(self, timeout: float | None = None) -> Outcome:
        """Waits for its end. Raises `TimedOut`, or without a timeout `Deadlock` where it waits for this process."""
        _host.nanoseconds(timeout)
        self._check_started()
        self._process.join(timeout)
        if (outcome := self.outcome) is None:
            raise TimedOut("it has not ended yet")
        return outcome

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs."""
        if not self._is_started or self._process.exitcode is None:
            return None
        return Outcome._of(self._process._popen.outcome)

    @property
    def pid(self) -> int | None:
        """Its number in the host, once it was started."""
        pid: int | None = self._process.pid
        return pid

    @property
    def name(self) -> str:
        """Its name, as `multiprocessing.current_process().name` has it there."""
        return str(self._process.name)

    def kill(self) -> None:
        """Ends it, wherever it is. What it holds goes to the next who waits."""
        self._check_started()
        self._process.kill()

    def _check_started(self) -> None:
        if not self._is_started:
            raise RuntimeError("the process was not started yet: call start(), or use `with`")

    def __enter__(self) -> Process:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.kill()
        outcome = self.join()
        if kind is None and not outcome.ok:
            raise ProcessFailed(self.name, outcome)


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
        outcome = self.join()
        if kind is None and not outcome.ok:
            raise ProcessFailed(str(self.pid), outcome)


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
        args=[_host.text(arg, "an argument") for arg in args],
        start=_host.data(start, "what it starts with"),
        env=[
            (_host.text(key, "a variable"), _host.text(value, "a variable"))
            for key, value in (os.environ if env is None else env).items()
        ],
        grants=None,
        objects=[each.id for each in give],
        name=None if name is None else _host.text(name, "a name"),
        orphans=contract.Orphans.ADOPT if adopt else contract.Orphans.END,
        memory_bytes=None if memory_bytes is None else _host.unsigned(memory_bytes, "memory_bytes", 2**64 - 1),
        timeout=_host.nanoseconds(timeout),
    )
    return Child(_host.call(contract.Child.spawn, _host.text(program, "a program"), options))
