"""The runner: one component that runs any Python program, built once per release.

What is imported here is in the snapshot of the component. `Run.run` is what a process starts with.
"""

import weakref

# The exit hook of `weakref.finalize` has to be there before that of multiprocessing: handles of the host are let go by
# the one, and processes are joined with them by the other.
_first = type("First", (), {})()
weakref.finalize(_first, int).detach()

import lk_threads

lk_threads.install()

import lk_library
import lk_mp

lk_mp.install()
lk_library.preload()

import lk_asyncio

lk_asyncio.install()
lk_library.embed()

# For programs that are written for this host: `guest/python/package`.
import lockkeeper
import lk_boot
from wit_world import exports

import gc
import sys

import lk_warm

lk_warm.up()

# What was read of the directories of the build: they are not there later, and letting go of it takes time in every process.
sys.path_importer_cache.clear()
gc.collect()
# The collector would otherwise write into every page of the snapshot, in every process.
gc.freeze()


class Run(exports.Run):
    def run(self) -> None:
        lk_boot.main()


lk_warm.fill()
