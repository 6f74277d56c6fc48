"""Numbers and bytes in the host's memory, of which each change is one step that no other comes between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, overload

from . import _host

Scalar = int | float | bytes
Type = Literal["i64", "u64", "f64", "byte"]

#: What the contract calls the types.
_CASES = {"i64": "Signed", "u64": "Unsigned", "f64": "Float", "byte": "Bytes"}
_TYPES = {case: name for name, case in _CASES.items()}
_ELEMENTS = {"i64": "SIGNED", "u64": "UNSIGNED", "f64": "FLOAT", "byte": "BYTE"}


class Value(_host.Shared):
    """One value: a number of 64 bits, or some bytes.

    Of its own a process makes one with `initial`, whose type is that of the value: an int is signed. Bytes have `max_bytes`.
    """

    _KIND = "value"

    def __init__(
        self, name: str | None = None, *, initial: Scalar | None = None, max_bytes: int | None = None
    ) -> None:
        if name is not None and (initial is not None or max_bytes is not None):
            raise ValueError("the job's value is as the job says: give a name, or what one of its own is to be")
        most = _host.unsigned(max_bytes or 0, "max_bytes")

        def make() -> Any:
            kinds, first = _host.contract.objects, 0 if initial is None else initial
            if isinstance(first, (bytes, bytearray, memoryview)):
                return kinds.Kind_Bytes(kinds.SomeBytes(bytes(first), max(len(first), most)))
            return kinds.Kind_Value(_scalar("Float" if isinstance(first, float) else "Signed", first))

        super().__init__(name, make)
        self._case = type(self._handle.get()).__name__.removeprefix("Scalar_")

    def get(self) -> Any:
        """The value at this moment: an int, a float or bytes, as it was declared."""
        return self._handle.get().value

    def set(self, to: Scalar) -> Any:
        """Sets it, and answers the one before."""
        return _host.call(self._handle.set, _scalar(self._case, to)).value

    def add(self, delta: int | float) -> Any:
        """Adds to it, and answers the one before. Raises `OutOfRange`, and adds nothing, if the sum does not fit."""
        return _host.call(self._handle.add, _scalar(self._case, delta)).value

    def compare_exchange(self, expected: Scalar, to: Scalar) -> tuple[bool, Any]:
        """Sets it if it is the expected one. Answers whether it was, and the one before."""
        done = _host.call(self._handle.compare_exchange, _scalar(self._case, expected), _scalar(self._case, to))
        return bool(done.done), done.previous.value


def _scalar(case: str, item: Scalar) -> Any:
    _fits(case, item)
    fits: Any = float(item) if case == "Float" else bytes(item) if case == "Bytes" else item  # type: ignore[arg-type]
    return getattr(_host.contract.value, f"Scalar_{case}")(fits)


def _fits(case: str, item: Scalar) -> None:
    if case == "Bytes":
        if not isinstance(item, (bytes, bytearray, memoryview)):
            raise TypeError(f"this value has bytes, and {item!r} is {type(item).__name__}")
    elif case == "Float":
        if not isinstance(item, (int, float)):
            raise TypeError(f"this value is a float, and {item!r} is {type(item).__name__}")
    elif not isinstance(item, int):
        raise TypeError(f"this value is an int, and {item!r} is {type(item).__name__}")
    elif not (-(2**63) <= item < 2**63 if case == "Signed" else 0 <= item < 2**64):
        raise OverflowError(f"{item} does not fit into {'a signed' if case == 'Signed' else 'an unsigned'} number of 64 bits")


class Array(_host.Shared):
    """A row of numbers or bytes; of its own a process makes one of `length` zeros."""

    _KIND = "array"

    def __init__(self, name: str | None = None, *, length: int | None = None, type: Type | None = None) -> None:
        if (name is None) == (length is None) or (name is not None and type is not None):
            raise ValueError("an array is the job's, by its name, or a row of zeros: Array(length=10, type='f64')")
        of = "i64" if type is None else type
        if of not in _CASES:
            raise ValueError(f"an array is of {', '.join(_CASES)}; not of {type!r}")
        if length is not None:
            _host.unsigned(length, "length")

        def make() -> Any:
            kinds = _host.contract.objects
            return kinds.Kind_Array(kinds.Zeros(getattr(kinds.Element, _ELEMENTS[of]), length))

        super().__init__(name, make)
        self._case = _case_of(_host.call(self._handle.get, 0, 0))

    def __len__(self) -> int:
        return int(self._handle.length())

    def get(self, start: int = 0, count: int | None = None) -> Any:
        """So many elements, as they are at one moment: a list of numbers, or bytes."""
        first = _host.unsigned(start, "start")
        many = max(0, len(self) - first) if count is None else _host.unsigned(count, "count")
        return _host.call(self._handle.get, first, many).value

    def set(self, start: int, to: Sequence[int] | Sequence[float] | bytes) -> None:
        """Sets elements from an index on, in one step."""
        _host.call(self._handle.set, _host.unsigned(start, "start"), self._scalars(to))

    def add(self, start: int, deltas: Sequence[int] | Sequence[float]) -> None:
        """Adds to elements from an index on, in one step: to all, or, where one sum does not fit, to none."""
        _host.call(self._handle.add, _host.unsigned(start, "start"), self._scalars(deltas))

    def _scalars(self, items: Iterable[Any]) -> Any:
        if self._case == "Bytes":
            return _host.contract.value.Scalars_Bytes(_host.data(items, "what is set"))
        row = list(items)
        for item in row:
            _fits(self._case, item)
        return getattr(_host.contract.value, f"Scalars_{self._case}")([float(item) for item in row] if self._case == "Float" else row)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Any: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return self.get(start, max(0, stop - start))
            return self.get()[index]
        return self.get(self._place(index), 1)[0]

    def __setitem__(self, index: int, item: int | float) -> None:
        if isinstance(index, slice):
            raise TypeError("several elements are set in one step by set(start, items)")
        place = self._place(index)
        self.set(place, bytes([int(item)]) if self._case == "Bytes" else [item])

    def _place(self, index: int) -> int:
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"{index} is no index of an array of {len(self)}")
        return place


def _case_of(scalars: Any) -> str:
    return type(scalars).__name__.removeprefix("Scalars_")
