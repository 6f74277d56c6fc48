"""`multiprocessing.Manager` without a server: what it makes is in the host, and whoever has it reads and writes it there.

A list, a dict or a namespace is its pickle, under a lock that ends with its holder. Each operation reads and writes all of it:
right, and made for what is small.
"""

import pickle

import lk_mp
import lk_shared
from componentize_py_types import Err
from lk_host import Object
from wit_world.imports import lockkeeper_runtime_types as errors
from wit_world.imports import objects, value

#: How large one of these may be, pickled.
CONTENT_BYTES = 1 << 20

_TOO_LARGE = f"what a Manager keeps may have {CONTENT_BYTES} bytes, pickled"


class Content:
    """Something that several processes read and change: one at a time."""

    def __init__(self, initial):
        # Kept, as it may be on its way to somebody while nobody here has it.
        self._lock = Object.made("rlock", objects.Kind_Rlock(), kept=True)
        data = pickle.dumps(initial)
        if len(data) > CONTENT_BYTES:
            raise OverflowError(_TOO_LARGE)
        self._bytes = Object.made("value", objects.Kind_Bytes(objects.SomeBytes(data, CONTENT_BYTES)), kept=True)

    def read(self):
        return pickle.loads(self._bytes.handle.get().value)

    def change(self, change):
        """Applies a change to what there is; whoever dies in it has changed nothing."""
        self._lock.handle.acquire(None)
        try:
            content = self.read()
            result = change(content)
            data = pickle.dumps(content)
            try:
                self._bytes.handle.set(value.Scalar_Bytes(data))
            except Err as error:
                if isinstance(error.value, (errors.Error_OutOfRange, errors.Error_Limit)):
                    raise OverflowError(_TOO_LARGE) from None
                raise
            return result
        finally:
            self._lock.handle.release(None)


def _proxy(name, base, reading, changing):
    def __init__(self, *args, **kwargs):
        self._content = Content(base(*args, **kwargs))

    def through(method, changes):
        def call(self, *args, **kwargs):
            apply = lambda content: getattr(content, method)(*args, **kwargs)
            return self._content.change(apply) if changes else apply(self._content.read())

        call.__name__ = method
        return call

    members = {method: through(method, False) for method in reading} | {method: through(method, True) for method in changing}
    members["__init__"] = __init__
    members["__repr__"] = lambda self: repr(self._content.read())
    members["__str__"] = lambda self: str(self._content.read())
    members["_getvalue"] = lambda self: self._content.read()
    return type(name, (), members)


def _itself(proxy, *methods):
    """In-place operators answer the proxy, and not what it stands for."""
    for method in methods:
        changing = getattr(proxy, method)

        def call(self, other, changing=changing):
            changing(self, other)
            return self

        setattr(proxy, method, call)
    return proxy


ListProxy = _itself(
    _proxy(
        "ListProxy",
        list,
        "__getitem__ __len__ __contains__ __iter__ __reversed__ __add__ __mul__ __rmul__ __eq__ index count copy".split(),
        "__setitem__ __delitem__ __iadd__ __imul__ append extend insert pop remove reverse sort clear".split(),
    ),
    "__iadd__",
    "__imul__",
)
DictProxy = _itself(
    _proxy(
        "DictProxy",
        dict,
        "__getitem__ __len__ __contains__ __iter__ __reversed__ __eq__ __or__ __ror__ get copy".split(),
        "__setitem__ __delitem__ __ior__ clear pop popitem setdefault update".split(),
    ),
    "__ior__",
)
for _name in ("keys", "values", "items"):
    setattr(DictProxy, _name, lambda self, _name=_name: list(getattr(self._content.read(), _name)()))


class NamespaceProxy:
    def __init__(self, **kwargs):
        object.__setattr__(self, "_content", Content(kwargs))

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._content.read()[name]
        except KeyError:
            raise AttributeError(f"'Namespace' object has no attribute {name!r}") from None

    def __setattr__(self, name, item):
        self._content.change(lambda content: content.__setitem__(name, item))

    def __delattr__(self, name):
        self._content.change(lambda content: content.pop(name))

    def __reduce__(self):
        return (_namespace, (self._content,))

    def __repr__(self):
        shown = sorted(f"{name}={item!r}" for name, item in self._content.read().items() if not name.startswith("_"))
        inside = ", ".join(shown)
        return f"Namespace({inside})"


def _namespace(content):
    made = NamespaceProxy.__new__(NamespaceProxy)
    object.__setattr__(made, "_content", content)
    return made


class SemLock:
    """A lock, or a semaphore, that may be sent at any time."""

    def __init__(self, kind, value, maximum):
        self._semlock = lk_mp.SemLock(kind, value, maximum, "", False)
        self._semlock.object.kept = True

    def acquire(self, blocking=True, timeout=None):
        return self._semlock.acquire(blocking, timeout)

    def release(self):
        self._semlock.release()

    def locked(self):
        return self._semlock._is_zero()

    def __enter__(self):
        self.acquire()
        return True

    def __exit__(self, *_):
        self.release()

    def __reduce__(self):
        return (_semlock, (self._semlock.object, self._semlock.kind, self._semlock.maxvalue))


def _semlock(made, kind, maximum):
    self = SemLock.__new__(SemLock)
    self._semlock = lk_mp.SemLock._rebuild(made, kind, maximum, made.id)
    return self


def _managed(obj):
    """Something that may be sent at any time, with all objects in it."""
    obj.__dict__["_managed"] = True
    for part in vars(obj).values():
        for each in (part, getattr(part, "_bytes", None)):
            each = getattr(each, "object", each)
            if isinstance(each, Object):
                each.kept = True
    return obj


class ValueProxy(lk_shared.Synchronized):
    def get(self):
        return self.value

    def set(self, item):
        self.value = item


class SyncManager:
    """What `multiprocessing.Manager()` answers: there is nothing to start, and nothing to shut down."""

    def __init__(self, *, ctx=None):
        import multiprocessing

        self._context = ctx or multiprocessing.get_context()
        self.Pool = self._context.Pool

    def Lock(self):
        return SemLock(lk_mp.MUTEX, 1, 1)

    def RLock(self):
        return SemLock(lk_mp.RECURSIVE, 1, 1)

    def Semaphore(self, value=1):
        return SemLock(lk_mp.SEMAPHORE, value, lk_mp.SemLock.SEM_VALUE_MAX)

    def BoundedSemaphore(self, value=1):
        return SemLock(lk_mp.SEMAPHORE, value, value)

    def Condition(self, lock=None):
        return _managed(lk_mp.Condition(lock or self.RLock(), ctx=self._context))

    def Event(self):
        return _managed(lk_mp.Event(ctx=self._context))

    def Barrier(self, parties, action=None, timeout=None):
        return _managed(lk_mp.Barrier(parties, action, timeout, ctx=self._context))

    def Queue(self, maxsize=0):
        return _managed(lk_mp.Queue(maxsize, ctx=self._context))

    def JoinableQueue(self, maxsize=0):
        return _managed(lk_mp.JoinableQueue(maxsize, ctx=self._context))

    def Value(self, typecode, *args):
        return _managed(ValueProxy(lk_shared.RawValue(typecode, *args), self.RLock()))

    def Array(self, typecode, sequence):
        return _managed(lk_shared.Array(typecode, sequence, lock=self.RLock()))

    def list(self, *args):
        return ListProxy(*args)

    def dict(self, *args, **kwargs):
        return DictProxy(*args, **kwargs)

    def Namespace(self, **kwargs):
        return NamespaceProxy(**kwargs)

    def start(self, *_, **__):
        pass

    def shutdown(self):
        pass

    def join(self, timeout=None):
        pass

    def connect(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()


def install():
    from multiprocessing import context, managers

    managers.SyncManager, managers.ListProxy, managers.DictProxy = SyncManager, ListProxy, DictProxy
    managers.NamespaceProxy = NamespaceProxy

    def Manager(self):
        return SyncManager(ctx=self.get_context())

    context.BaseContext.Manager = Manager
