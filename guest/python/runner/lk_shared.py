"""`Value`, `Array` and their raw forms without ctypes: bytes of the host, read and written with `struct`."""

import struct

from lk_host import Object
from wit_world.imports import objects, value

_FORMATS = {"u": "I", "l": "q", "L": "Q"}


class CType:
    """What stands for a type of ctypes: it has a size, and a way to and from bytes."""

    def __init__(self, name, code):
        self.__name__, self.code = name, code
        self.format = "<" + _FORMATS.get(code, code)
        self.size = struct.calcsize(self.format)

    def __reduce__(self):
        return (_by_code, (self.code,))

    def __call__(self, initial=0):
        raise TypeError(f"{self.__name__} is no object of its own here; use multiprocessing.Value({self.code!r}, ...)")

    def pack(self, item):
        if self.code in "bBhHiIlLqQ":
            if not isinstance(item, int):
                raise TypeError(f"an integer is required (got type {type(item).__name__})")
            bits = self.size * 8
            item &= (1 << bits) - 1
            if self.code.islower() and item >> (bits - 1):
                item -= 1 << bits
        elif self.code == "u":
            item = ord(item)
        elif self.code == "c" and isinstance(item, int):
            item = bytes([item])
        try:
            return struct.pack(self.format, item)
        except struct.error as error:
            raise TypeError(str(error)) from None

    def unpack(self, item):
        (found,) = struct.unpack(self.format, item)
        return chr(found) if self.code == "u" else found


_TYPES = {
    code: CType(name, code)
    for name, code in {
        "c_char": "c", "c_wchar": "u", "c_byte": "b", "c_ubyte": "B", "c_short": "h", "c_ushort": "H", "c_int": "i",
        "c_uint": "I", "c_long": "l", "c_ulong": "L", "c_longlong": "q", "c_ulonglong": "Q", "c_float": "f",
        "c_double": "d", "c_bool": "?",
    }.items()
}  # fmt: skip


def _by_code(code):
    return _TYPES[code]


def _type(typecode_or_type):
    if isinstance(typecode_or_type, str):
        if typecode_or_type not in _TYPES:
            raise TypeError(f"bad typecode {typecode_or_type!r}")
        return _TYPES[typecode_or_type]
    if not isinstance(typecode_or_type, CType):
        raise TypeError("only the simple types of ctypes can be shared here: structures have no layout without ctypes")
    return typecode_or_type


#: What goes to the host, or comes from it, in one call.
_PIECE = 1 << 20


class Bytes:
    """A row of bytes in the host."""

    def __init__(self, size):
        self.size = size
        self.object = Object.made("array", objects.Kind_Array(objects.Zeros(objects.Element.BYTE, max(size, 1))))

    def read(self, start, size):
        handle = self.object.handle
        if 0 < size <= _PIECE:
            return handle.get(start, size).value
        pieces = [handle.get(at, min(_PIECE, start + size - at)).value for at in range(start, start + size, _PIECE)]
        return b"".join(pieces)

    def write(self, start, data):
        handle = self.object.handle
        for at in range(0, len(data), _PIECE):
            handle.set(start + at, value.Scalars_Bytes(bytes(data[at : at + _PIECE])))


class RawValueObject:
    def __init__(self, ctype, *args):
        self._type, self._bytes = ctype, Bytes(ctype.size)
        if args:
            self.value = args[0]

    @property
    def value(self):
        return self._type.unpack(self._bytes.read(0, self._type.size))

    @value.setter
    def value(self, item):
        self._bytes.write(0, self._type.pack(item))

    def __repr__(self):
        return f"{self._type.__name__}({self.value!r})"


class RawArrayObject:
    def __init__(self, ctype, size_or_initializer):
        self._type = ctype
        if isinstance(size_or_initializer, int):
            if size_or_initializer < 0:
                raise ValueError("Array length must be >= 0")
            self._length = size_or_initializer
            self._bytes = Bytes(ctype.size * self._length)
        else:
            items = list(size_or_initializer)
            self._length = len(items)
            self._bytes = Bytes(ctype.size * self._length)
            self._bytes.write(0, b"".join(map(ctype.pack, items)))

    def __len__(self):
        return self._length

    def _all(self):
        data, size = self._bytes.read(0, self._length * self._type.size), self._type.size
        return [self._type.unpack(data[at : at + size]) for at in range(0, len(data), size)]

    def __iter__(self):
        return iter(self._all())

    def _index(self, index):
        index = index + self._length if index < 0 else index
        if not 0 <= index < self._length:
            raise IndexError("invalid index")
        return index * self._type.size

    def __getitem__(self, index):
        if isinstance(index, slice):
            items = self._all()[index]
            return {"c": b"".join, "u": "".join}.get(self._type.code, list)(items)
        return self._type.unpack(self._bytes.read(self._index(index), self._type.size))

    def __setitem__(self, index, item):
        if not isinstance(index, slice):
            self._bytes.write(self._index(index), self._type.pack(item))
            return
        places, items = range(*index.indices(self._length)), list(item)
        if len(places) != len(items):
            raise ValueError("Can only assign sequence of same size")
        if places.step == 1:
            self._bytes.write(places.start * self._type.size, b"".join(map(self._type.pack, items)))
            return
        for place, each in zip(places, items):
            self._bytes.write(place * self._type.size, self._type.pack(each))

    @property
    def value(self):
        if self._type.code == "u":
            return "".join(self._all()).split("\0")[0]
        if self._type.code != "c":
            raise AttributeError("value")
        return self.raw.split(b"\0")[0]

    @value.setter
    def value(self, data):
        data = b"".join(map(self._type.pack, data)) if self._type.code == "u" else bytes(data)
        if len(data) > self._length * self._type.size:
            raise ValueError("byte string too long" if self._type.code == "c" else "string too long")
        end = bytes(self._type.size) if len(data) < self._length * self._type.size else b""
        self._bytes.write(0, data + end)

    @property
    def raw(self):
        return self._bytes.read(0, self._length)

    @raw.setter
    def raw(self, data):
        if len(data) > self._length:
            raise ValueError("byte string too long")
        self._bytes.write(0, data)


class Synchronized:
    """An object with its lock, as `multiprocessing.sharedctypes` has it."""

    def __init__(self, obj, lock):
        self.__dict__.update(_obj=obj, _lock=lock, acquire=lock.acquire, release=lock.release)

    def __reduce__(self):
        import lk_mp

        lk_mp._assert_spawning(self)
        return (_synchronized, (type(self), self._obj, self._lock, self.__dict__.get("_managed", False)))

    def get_lock(self):
        return self._lock

    def get_obj(self):
        return self._obj

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *args):
        return self._lock.__exit__(*args)

    def __len__(self):
        return len(self._obj)

    def __iter__(self):
        with self._lock:
            return iter(self._obj[:])

    def __getitem__(self, index):
        with self._lock:
            return self._obj[index]

    def __setitem__(self, index, item):
        with self._lock:
            self._obj[index] = item

    def __getslice__(self, start, stop):
        return self[start:stop]

    def __repr__(self):
        return f"<{type(self).__name__} wrapper for {self._obj!r}>"


def _synchronized(kind, obj, lock, managed):
    made = kind(obj, lock)
    made.__dict__["_managed"] = managed
    return made


def _through_lock(name):
    def get(self):
        with self._lock:
            return getattr(self._obj, name)

    def set(self, item):
        with self._lock:
            setattr(self._obj, name, item)

    return property(get, set)


for _name in ("value", "raw"):
    setattr(Synchronized, _name, _through_lock(_name))


def RawValue(typecode_or_type, *args):
    return RawValueObject(_type(typecode_or_type), *args)


def RawArray(typecode_or_type, size_or_initializer):
    return RawArrayObject(_type(typecode_or_type), size_or_initializer)


def synchronized(obj, lock=None, ctx=None):
    from multiprocessing import context

    if lock is False:
        return obj
    if lock in (True, None):
        lock = (ctx or context._default_context.get_context()).RLock()
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r} has no method 'acquire'")
    return Synchronized(obj, lock)


def Value(typecode_or_type, *args, lock=True, ctx=None):
    return synchronized(RawValue(typecode_or_type, *args), lock, ctx)


def Array(typecode_or_type, size_or_initializer, *, lock=True, ctx=None):
    return synchronized(RawArray(typecode_or_type, size_or_initializer), lock, ctx)


def copy(obj):
    made = RawArray(obj._type, len(obj)) if isinstance(obj, RawArrayObject) else RawValue(obj._type)
    made._bytes.write(0, obj._bytes.read(0, obj._bytes.size))
    return made


class Structure:
    def __init__(self, *_, **__):
        raise TypeError("structures of ctypes have no layout here; share their fields one by one")


def install():
    import lk_mp

    lk_mp.module(
        "multiprocessing.sharedctypes",
        Value=Value,
        Array=Array,
        RawValue=RawValue,
        RawArray=RawArray,
        copy=copy,
        synchronized=synchronized,
    )
    ctypes = lk_mp.module("ctypes", Structure=Structure, sizeof=lambda ctype: ctype.size)
    for ctype in _TYPES.values():
        setattr(ctypes, ctype.__name__, ctype)
