"""Files of whole records, which the host writes: no lock is needed for a record not to be lost or torn."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import _host
from ._locks import Hold, fence_of


class Durability(enum.Enum):
    """What a record survives whose append has returned."""

    #: Nothing: it is in the host's memory, and soon in the file.
    BUFFERED = 0
    #: The death of the host.
    WRITTEN = 1
    #: The loss of power, on a disk that honours flushes.
    SYNCED = 2


@dataclass(frozen=True)
class Appended:
    """Where a record went; of a batch, its first one."""

    #: The byte at which it begins, and how many it takes with its end.
    offset: int
    length: int
    #: Its number among the records that this host has written to the file; 0 if it was there already.
    sequence: int
    durability: Durability
    #: Whether records of this id were in the file already: nothing was written.
    repeated: bool


@dataclass(frozen=True)
class Position:
    """How far the host has written since it opened the file."""

    bytes: int
    synced_bytes: int
    records: int


class AppendFile:
    """A file of the job, by the job's name for it. Many processes may append to it at once.

    A record is in the file whole, or not at all, never mixed with another. `hold` is that of the file's lock, where the job
    binds it to one; without it, whatever hold of that lock this process has counts. `id` names the record, where the job
    says that the file has ids: a record of an id that is there is not written again.

    Raises `LockRequired`, `Fenced`, `LimitReached`, `InvalidArgument` for a record that does not fit the format, and
    `IoFailed`; nothing of the record is in the file then, but for what the contract says of `IoFailed`.
    """

    def __init__(self, name: str) -> None:
        _host.check("lockkeeper.AppendFile")
        self._name = name
        self._handle: Any = _host.call(_host.contract.append.AppendFile.open, _host.text(name, "a name"))

    def __reduce__(self) -> tuple[type[AppendFile], tuple[str]]:
        return (AppendFile, (self._name,))

    @property
    def name(self) -> str:
        """What the job calls it."""
        return self._name

    def append(
        self,
        record: bytes | str,
        *,
        hold: Hold | None = None,
        durability: Durability | None = None,
        id: str | None = None,
    ) -> Appended:
        """Appends one record: a line, a row as text, a JSON value, or bytes, as the file's format has it."""
        return self._append(self._handle.append, _host.data(record, "a record"), hold, durability, id)

    def append_row(
        self,
        fields: Iterable[object],
        *,
        hold: Hold | None = None,
        durability: Durability | None = None,
        id: str | None = None,
    ) -> Appended:
        """Appends a row to a csv file. Fields are written as the module `csv` writes them; the host quotes them."""
        row = [_field(field) for field in _several(fields, "a row")]
        return self._append(self._handle.append_row, row, hold, durability, id)

    def append_json(
        self,
        value: object,
        *,
        hold: Hold | None = None,
        durability: Durability | None = None,
        id: str | None = None,
    ) -> Appended:
        """Appends a value to a jsonl file, as JSON. Raises `TypeError` and `ValueError` as `json.dumps` does."""
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return self.append(text, hold=hold, durability=durability, id=id)

    def append_batch(
        self,
        records: Iterable[bytes | str],
        *,
        hold: Hold | None = None,
        durability: Durability | None = None,
        id: str | None = None,
    ) -> Appended:
        """Appends several records next to each other, all or none."""
        batch = [_host.data(record, "a record") for record in _several(records, "a batch")]
        return self._append(self._handle.append_batch, batch, hold, durability, id)

    def sync(self) -> Position:
        """Waits until everything that was appended before survives the loss of power."""
        return _position(_host.call(self._handle.sync))

    def position(self) -> Position:
        """How far the file goes now."""
        return _position(self._handle.position())

    def _append(
        self, how: Any, what: Any, hold: Hold | None, durability: Durability | None, id: str | None
    ) -> Appended:
        contract = _host.contract.append
        if durability is not None and not isinstance(durability, Durability):
            raise TypeError(f"a durability is one of Durability, such as Durability.SYNCED; not {durability!r}")
        survives = None if durability is None else contract.Durability(durability.value)
        options = contract.AppendOptions(survives, None if id is None else _host.text(id, "an id"))
        done = _host.call(how, what, fence_of(hold), options)
        return Appended(done.offset, done.length, done.sequence, Durability(done.durability.value), done.repeated)

    def __repr__(self) -> str:
        return f"<lockkeeper.AppendFile {self._name}>"


def _several(parts: Iterable[Any], what: str) -> Iterable[Any]:
    """A text is a row of its letters, which nobody means."""
    if isinstance(parts, (str, bytes, bytearray)):
        raise TypeError(f"{what} is a list; {parts!r} is {type(parts).__name__}")
    return parts


def _field(field: object) -> str:
    text = "" if field is None else repr(field) if isinstance(field, float) else str(field)
    return _host.text(text, "a field")


def _position(found: Any) -> Position:
    return Position(found.bytes, found.synced_bytes, found.records)
