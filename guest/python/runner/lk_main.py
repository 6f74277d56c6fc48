"""The main module in the children of a program: compiled once in the parent, and sent to each of them as code."""

import marshal
import runpy

_read = runpy._get_code_from_file
_path, _code = None, None


def to_send(path):
    """What a child is sent of this file. None if it cannot be had: then the child says why."""
    global _path, _code
    if _path != path:
        try:
            _path, _code = path, marshal.dumps(_read(path))
        except (OSError, SyntaxError, ValueError):
            return None
    return _code


def received(path, code):
    """What the parent has sent of it. Children of this process are sent the same."""
    global _path, _code
    if code is not None:
        _path, _code = path, code


def _get_code_from_file(path):
    return marshal.loads(_code) if path == _path else _read(path)


def install():
    runpy._get_code_from_file = _get_code_from_file
