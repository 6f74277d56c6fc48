"""What is done for every process before the snapshot is taken, so that a start writes to few pages.

Each page of the snapshot that a process writes to is copied for it alone, and that takes most of the time of a start.
"""

import gc
import itertools
import marshal
import os
import sys
import types

import lk_boot
import lk_host
import lk_main
import lk_mp
import threading
from multiprocessing import context, process, spawn, util

#: More than it takes until code is specialised.
_TIMES = 20

_MAIN = """
import multiprocessing
import sys

def body(*arguments):
    print(*arguments, end="")

if __name__ == "__main__":
    multiprocessing.Process(target=body).start()
"""


class _Identity:
    id, parent = 2, 1


def up():
    """Runs a child from its start to its end, a few times: an interpreter notes what it learns of the code that it runs, in
    the code, in types and in caches. Afterwards everything else is as it was before."""
    modules = {name: (module, dict(vars(module))) for name, module in sys.modules.items()}
    path, environment, finalizers = sys.path[:], dict(os.environ), dict(util._finalizer_registry)
    main_process = type(process.current_process())
    forget, chosen = lk_host.Object.__del__.__defaults__, context._default_context._actual_context
    try:
        # No host is there.
        lk_host.identity = lambda: _Identity
        lk_host.Object.__del__.__defaults__ = (lk_host.known, lk_mp.nothing)
        # What is ended with a process is not to be over in the snapshot.
        threading._shutdown = lk_mp.nothing
        process._process_counter = itertools.count(1)
        start = _start()
        for _ in range(_TIMES):
            process._current_process, spawn.old_main_modules = main_process(), []
            lk_boot._begin(is_child=True)
            status = lk_boot._child(start)
            assert status == 0, "a child does not end well"
            util._exiting = False
            util._exit_function()
    finally:
        context._default_context._actual_context = chosen
        util._finalizer_registry.clear()
        util._finalizer_registry.update(finalizers)
        os.environ.clear()
        os.environ.update(environment)
        for name in sys.modules.keys() - modules.keys():
            del sys.modules[name]
        for name, (module, before) in modules.items():
            sys.modules[name] = module
            _restore(vars(module), before)
        sys.path[:] = path
        # The last of what stood for objects.
        gc.collect()
        lk_host.known.clear()
        lk_host.Object.__del__.__defaults__ = forget


def _restore(now, before):
    """Only what differs: the interpreter knows the others by where they are."""
    for name in now.keys() - before.keys():
        del now[name]
    for name, value in before.items():
        if now.get(name) is not value:
            now[name] = value


def _start():
    """What a program sends to a child."""
    main = types.ModuleType("__main__")
    main.__file__ = "/main.py"
    exec(_MAIN.replace("__main__", "another"), main.__dict__)
    sys.modules["__main__"] = main
    lk_main.received(main.__file__, marshal.dumps(compile(_MAIN, main.__file__, "exec")))
    lk_mp._own_life = lk_host.Object("rwlock", "life", is_mine=False)
    return lk_mp.packed(object(), context.SpawnProcess(target=main.body))


#: More than a start allocates, and larger than any hole.
_ROOM_BYTES = 2 << 20

#: What fills the holes, and how much of it there can be.
_filled = [None] * 50_000


def fill():
    """Takes what is free between all that is there, for ever: what a process allocates then lies side by side.

    Imports leave holes everywhere, and the allocator would use those first, each on another page.
    """
    count = 0
    end = id(bytes(_ROOM_BYTES))
    for size in [*range(1 << 16, 1 << 12, -(1 << 9)), *range(1 << 12, 0, -8)]:
        while id(block := bytes(size)) < end and count < len(_filled):
            _filled[count] = block
            count += 1
