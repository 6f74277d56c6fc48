"""From the first instruction of a process to its last: a program as `__main__`, or a child of one."""

import atexit
import builtins
import io
import os
import random
import sys
import traceback
import types

import lk_host
import lk_library
import lk_main
import lk_threads
from multiprocessing import process, spawn, util

#: The frames of the runner itself, which no traceback shows.
_OWN = __file__


def main():
    start = lk_host.start_data()
    _begin(is_child=bool(start))
    status = _finish(_child(start) if start else _program())
    if status:
        lk_host.exit(status)


def _begin(is_child):
    random.seed()
    # Those of the machine on which the component was built.
    sys.path[:] = [part for part in os.environ.pop("LOCKKEEPER_PYTHON_PATH", "").split(":") if part]
    cores = int(os.environ.pop("LOCKKEEPER_PYTHON_CORES", 1))
    os.cpu_count = os.process_cpu_count = lambda: cores
    sys.stdin = _nothing_to_read() if is_child else open(0, closefd=False, encoding="utf-8", errors="surrogateescape")
    sys.stdout = _line_buffered(1, "surrogateescape")
    sys.stderr = _line_buffered(2, "backslashreplace")
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    directory = os.environ.pop("LOCKKEEPER_PYTHON_CWD", "")
    if directory and directory != os.getcwd():
        os.chdir(directory)
        os.environ["PWD"] = directory
    process.ORIGINAL_DIR = os.getcwd()
    # The one of the build is known to everybody who has the component.
    process.current_process().authkey = os.urandom(32)


class _Nothing(io.RawIOBase):
    """What a child reads from, as with CPython, where it is `/dev/null`."""

    name, mode = 0, "rb"

    def readable(self):
        return True

    def readinto(self, buffer):
        return 0

    def fileno(self):
        return self.name


def _nothing_to_read():
    stream = io.TextIOWrapper(io.BufferedReader(_Nothing(), 1), encoding="utf-8")
    stream.mode = "r"
    return stream


def _line_buffered(descriptor, errors):
    """One write for each line: what several processes print is mixed by lines and not by words."""
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors=errors, line_buffering=True)


def _program():
    sys.argv = sys.argv[1:]
    # As it was typed: messages and `__file__` show it so.
    path = sys.argv[0]
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    lk_library.make_way(lk_library.found_in(sys.path[0]))
    module = types.ModuleType("__main__")
    module.__file__ = path
    module.__builtins__ = builtins
    module.__spec__ = None
    sys.modules["__main__"] = module

    def body():
        try:
            with open(path, "rb") as source:
                text = source.read()
        except OSError as error:
            print(f"lockkeeper: can't open file {os.path.abspath(path)!r}: {error}", file=sys.stderr)
            raise SystemExit(2)
        exec(compile(text, path, "exec", dont_inherit=True), module.__dict__)

    return _guarded(body)


def _child(start):
    """What a child does as `multiprocessing.spawn` has it."""
    import pickle

    module = types.ModuleType("__main__")
    module.__spec__ = None
    sys.modules["__main__"] = module
    status = [1]

    def body():
        data = io.BytesIO(start)
        current = process.current_process()
        current._inheriting = True
        try:
            prepared = pickle.load(data)
            if path := prepared.get("init_main_from_path"):
                # It is a file: nobody has to look for an archive in it.
                sys.path_importer_cache[path] = None
                lk_main.received(path, prepared.get("main_code"))
            lk_library.make_way(prepared.pop("own_modules"))
            spawn.prepare(prepared)
            child = pickle.load(data)
        finally:
            del current._inheriting
        status[0] = child._bootstrap() & 0xFF

    return _guarded(body) or status[0]


def _guarded(body):
    try:
        body()
    except SystemExit as error:
        if error.code is None:
            return 0
        if isinstance(error.code, int):
            return error.code & 0xFF
        print(error.code, file=sys.stderr)
        return 1
    except BaseException as error:
        shown = error.__traceback__
        while shown and shown.tb_frame.f_code.co_filename == _OWN:
            shown = shown.tb_next
        sys.excepthook(type(error), error.with_traceback(shown), shown)
        return 1
    return 0


def _finish(status):
    try:
        lk_threads.finish()
    except BaseException:
        traceback.print_exc()
        status = status or 1
    try:
        # Those of the program come first, as they came last; then children that nobody joined are, and daemons ended.
        atexit._run_exitfuncs()
        util._exit_function()
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            status = status or 120
    return status
