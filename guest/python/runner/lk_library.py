"""The standard library: what is imported into the snapshot, and the rest of it as code that is unpacked when it is asked for.

At run time there is no directory of the library, so what is in neither cannot be imported.
"""

import marshal
import os
import sys
import zlib
from importlib.machinery import ModuleSpec

PRELOADED = """
abc argparse ast asyncio atexit base64 bisect collections collections.abc concurrent.futures contextlib contextvars copy csv
dataclasses datetime decimal encodings.ascii encodings.cp1252 encodings.idna encodings.latin_1 encodings.utf_16 enum
fnmatch fractions functools glob hashlib heapq inspect io itertools json linecache locale logging math multiprocessing
multiprocessing.managers multiprocessing.pool multiprocessing.spawn multiprocessing.synchronize operator os.path pathlib
pickle pkgutil platform queue random re runpy secrets shutil signal statistics string struct subprocess tempfile textwrap
threading time traceback types typing unittest uuid warnings weakref zlib
""".split()

SKIPPED = {
    "test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "pydoc_data", "site-packages", "__pycache__",
    "_pyrepl",
}

_embedded = {}

#: What a program can have modules of its own of that name: CPython has imported the others before a program begins.
_HIDDEN_BY_OWN = {name for name in PRELOADED if "." not in name} - {"abc", "io", "os"}

#: The modules of the library in whose place the program has its own.
own = []


def found_in(directory):
    """The names of modules in the directory of a program which it would get from the library instead."""
    try:
        entries = os.listdir(directory)
    except OSError:
        return []
    found = {entry[:-3] for entry in entries if entry.endswith(".py")} & _HIDDEN_BY_OWN
    packages = _HIDDEN_BY_OWN.intersection(entries)
    return sorted(found | {name for name in packages if os.path.exists(os.path.join(directory, name, "__init__.py"))})


def make_way(names):
    """For modules of the program: whoever imports such a name from here on gets that, as with CPython."""
    global own
    own = names
    for name in names:
        for loaded in [each for each in sys.modules if each == name or each.startswith(name + ".")]:
            del sys.modules[loaded]


def preload():
    for name in PRELOADED:
        try:
            __import__(name)
        except ImportError:
            # Its C part is not in this interpreter: who imports it is told so then.
            pass


def embed(root="/python"):
    for directory, below, files in os.walk(root):
        below[:] = [name for name in below if name not in SKIPPED and not name.startswith("config-3")]
        for file in files:
            if not file.endswith(".py"):
                continue
            path = os.path.join(directory, file)
            name = os.path.relpath(path, root)[:-3].replace(os.sep, ".")
            is_package = name.endswith(".__init__")
            if is_package:
                name = name[: -len(".__init__")]
            with open(path, "rb") as source:
                text = source.read()
            try:
                code = compile(text, f"<stdlib>/{os.path.relpath(path, root)}", "exec", dont_inherit=True, optimize=0)
            except SyntaxError:
                continue
            _embedded[name] = (is_package, zlib.compress(marshal.dumps(code), 9))
    sys.meta_path.append(Finder)


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        found = _embedded.get(name)
        return found and ModuleSpec(name, Finder, origin="embedded", is_package=found[0])

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        exec(Finder.get_code(module.__name__), module.__dict__)

    @staticmethod
    def get_code(name):
        return marshal.loads(zlib.decompress(_embedded[name][1]))

    @staticmethod
    def get_source(name):
        return None

    @staticmethod
    def is_package(name):
        return _embedded[name][0]
