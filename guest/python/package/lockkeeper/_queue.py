"""Items, first in, first out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from . import _host

_ITEMS = 2**31 - 1
_BYTES = 16 << 20


@dataclass(frozen=True)
class Item:
    """What was put, with its number in the order of `put`."""

    number: int
    #: How often it was given to a process that did not finish it.
    returned: int
    data: bytes

    def json(self) -> Any:
        """The value of an item that was put as JSON."""
        return json.loads(self.data)


class Queue(_host.Shared):
    """Items of bytes that processes put at one end and get at the other. An item whose `put` returned is in the host.

    Of its own a process makes one with room for `items`, and for `bytes` in all of them. With `unfinished`, an item that
    a process got and has not finished (`task_done`) comes again when that process dies; so many it may have at once.
    """

    _KIND = "queue"

    def __init__(
        self,
        name: str | None = None,
        *,
        items: int | None = None,
        bytes: int | None = None,
        unfinished: int | None = None,
    ) -> None:
        if name is not None and any(said is not None for said in (items, bytes, unfinished)):
            raise ValueError("the job's queue is as the job says: give a name, or what one of its own is to be")
        room = _host.unsigned(_ITEMS if items is None else items, "items")
        size = _host.unsigned(_BYTES if bytes is None else bytes, "bytes", 2**64 - 1)
        if unfinished is not None:
            _host.unsigned(unfinished, "unfinished")

        def make() -> Any:
            kinds = _host.contract.objects
            return kinds.Kind_Queue(kinds.Room(room, size, unfinished))

        super().__init__(name, make)

    def put(self, item: bytes | str, timeout: float | None = None) -> int:
        """Stores an item, and answers its number. Raises `Full` when the time was over, and `Closed`."""
        handle, data = self._handle, _host.data(item, "an item")
        return int(_host.wait(lambda: handle.try_put(data), lambda limit: handle.put(data, limit), timeout))

    def put_json(self, value: Any, timeout: float | None = None) -> int:
        """Stores a value as JSON, which programs in any language read, and which runs nothing when it is read."""
        return self.put(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")), timeout)

    def try_put(self, item: bytes | str) -> int | None:
        """Stores an item if there is room."""
        number: int | None = _host.call(self._handle.try_put, _host.data(item, "an item"))
        return number

    def get(self, timeout: float | None = None) -> Item:
        """Takes the first item. Raises `Empty` when the time was over, and `Closed` once nothing can come any more."""
        handle = self._handle
        return _item(_host.wait(handle.try_get, handle.get, timeout))

    def try_get(self) -> Item | None:
        """Takes the first item if there is one."""
        found = _host.call(self._handle.try_get)
        return None if found is None else _item(found)

    def task_done(self, item: Item | None = None) -> None:
        """An item that this process got is finished. Where items come again, it says which."""
        _host.call(self._handle.task_done, item.number if item else 0)

    def join(self, timeout: float | None = None) -> bool:
        """Waits until every item that was put is finished; False if the time was over first."""
        return _host.ended(lambda: True if self.unfinished == 0 else None, self._handle.join, timeout)

    def close(self) -> None:
        """Nothing more can be put; who waits to get is told once nothing is left."""
        self._handle.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return bool(self._handle.is_closed())

    @property
    def unfinished(self) -> int:
        """How many items were put and are not finished."""
        return int(self._handle.unfinished())

    def __len__(self) -> int:
        return int(self._handle.length())


def _item(found: Any) -> Item:
    return Item(found.number, found.returned, found.bytes)
