"""The way to the host: things by name or by id, calls, waits. The only file that knows whether there is a host at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from ._errors import Error, NeedsHost, TimedOut, told

#: What only the runner of Python programs has: its own way to the host, its threads, and the contract's interfaces.
_runner: Any = None
_threads: Any = None
contract: Any = None
_Refusal: Any = None
try:
    _runner, _threads = import_module("lk_host"), import_module("lk_threads")
    contract = import_module("wit_world.imports")
    for _name in ("append", "lockkeeper_runtime_types", "multi_lock", "objects", "process", "value"):
        import_module(f"wit_world.imports.{_name}")
    _Refusal = import_module("componentize_py_types").Err
except ModuleNotFoundError:
    pass

_Answer = TypeVar("_Answer")

#: What the host counts in.
_LONGEST_NS = 2**64 - 1


def check(what: str) -> None:
    """Whatever needs the host says so first."""
    if _runner is None:
        raise NeedsHost(what)


def call(function: Callable[..., _Answer], *args: Any) -> _Answer:
    """Calls the host, whose refusals are exceptions of this package."""
    try:
        return function(*args)
    except _Refusal as error:
        raise told(error.value) from None


def unsigned(value: int, what: str, most: int = 2**32 - 1) -> int:
    """A number as the contract has it: any other would end the process in the middle of the call."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} is a whole number, and {value!r} is {type(value).__name__}")
    if not 0 <= value <= most:
        raise ValueError(f"{what} is a number from 0 to {most}; not {value}")
    return value


def text(value: str, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is a str, and {value!r} is {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} cannot be written as UTF-8: {error}") from None
    return value


def data(value: Any, what: str) -> bytes:
    """Bytes, or a text as UTF-8. A number would become as many zeros, and a list of them their bytes."""
    if isinstance(value, str):
        return text(value, what).encode()
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"{what} is bytes or a str, and {value!r} is {type(value).__name__}")
    return bytes(value)


def leave(release: Callable[[], None], error: BaseException | None) -> None:
    """What a `with` does at its end: an error of its body is not hidden by one of releasing."""
    if error is None:
        release()
        return
    try:
        release()
    except Error as refused:
        if hasattr(error, "add_note"):
            error.add_note(f"and the lock could not be released: {refused}")


def nanoseconds(timeout: float | None) -> int | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"a timeout is a number of seconds, or None to wait as long as it takes; not {timeout!r}")
    if math.isnan(timeout) or timeout < 0:
        raise ValueError(f"a timeout is a number of seconds, 0 or more, or None to wait as long as it takes; not {timeout!r}")
    return _LONGEST_NS if timeout * 1e9 >= _LONGEST_NS else int(timeout * 1e9)


def wait(tried: Callable[[], Any], waited: Callable[[int | None], Any], timeout: float | None) -> Any:
    """Tries; lets the other threads of this process go first, as one of them may be what it waits for; then waits in the host.

    `tried` answers None where it has to be waited for, and `waited` is given the nanoseconds that are left.
    """
    import time

    limit = nanoseconds(timeout)
    began = time.monotonic_ns()
    while True:
        answer = call(tried)
        if answer is not None:
            return answer
        left = None if limit is None else max(0, limit - (time.monotonic_ns() - began))
        if left == 0 or not _threads.run_one():
            return call(waited, left)


def ended(tried: Callable[[], Any], end: Callable[[int | None], Any], timeout: float | None) -> bool:
    """Where its end is all that a wait gives, a time that is over is an answer."""

    def waited(limit: int | None) -> bool:
        end(limit)
        return True

    try:
        return bool(wait(tried, waited, timeout))
    except TimedOut:
        return False


class Named:
    """What the job calls by that name."""

    def __init__(self, kind: str, name: str) -> None:
        self.id = name
        self.handle = call(_runner._kinds[kind].open, name)
        self._kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return (Named, (self._kind, self.id))


class Shared:
    """Something that processes share: the job's, by its name, or one that this process makes."""

    _KIND = ""

    def __init__(self, name: str | None, make: Callable[[], Any]) -> None:
        check(f"lockkeeper.{type(self).__name__}")
        self._object: Any
        if name is None:
            self._object = _runner.Object(self._KIND, call(contract.objects.make, make()))
        else:
            self._object = Named(self._KIND, text(name, "a name"))

    @property
    def _handle(self) -> Any:
        return self._object.handle

    @property
    def id(self) -> str:
        """What the host calls it: its name, or a number that is valid for the processes that were given it."""
        return str(self._object.id)

    def __repr__(self) -> str:
        return f"<lockkeeper.{type(self).__name__} {self.id}>"

