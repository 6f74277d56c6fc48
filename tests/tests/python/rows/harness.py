"""What the files with rows share. A row does what a case of CPython's own tests does, under its name, and is written anew from
how that behaves: thanks go to the authors of `Lib/test/_test_multiprocessing.py` and `Lib/test/lock_tests.py` (PSF licence).

Each row runs in a process of its own, in each space that its class names, and prints one line: class, row, space, result.
"""

import multiprocessing as mp
import os
import re
import signal
import sys
import threading
import time
import traceback

#: Whether this is a guest of lockkeeper, where threads are bodies on one stack.
GUEST = sys.platform == "wasi"

#: A row that takes longer than this hangs.
LIMIT = 60.0

#: Long enough for a wait that must end without it.
LONG = 50.0

#: As long as a wait takes that nobody ends.
SHORT = 0.1


#: What went wrong in threads, which cannot tell it with an exit code.
failures = []


class Processes:
    """`multiprocessing` itself."""

    name = "processes"
    are_threads = False

    def __getattr__(self, name):
        return getattr(mp, name)


class Threads:
    """`multiprocessing.dummy`: the same names for threads."""

    name = "threads"
    are_threads = True

    def __getattr__(self, name):
        import multiprocessing.dummy

        return getattr(multiprocessing.dummy, name)


class Threading(Threads):
    """`threading` itself, with what it lacks."""

    name = "threading"

    def __getattr__(self, name):
        return getattr(threading, name, None) or super().__getattr__(name)


class Managed:
    """What a manager makes, for processes."""

    name = "manager"
    are_threads = False

    def __init__(self):
        self.manager = mp.Manager()

    def __getattr__(self, name):
        if name in ("Process", "Pipe", "active_children", "current_process"):
            return getattr(mp, name)
        return getattr(self.manager, name)


SPACES = {space.name: space for space in (Processes, Threads, Threading, Managed)}


class Rows:
    """A class of cases. What it takes from its space is an attribute of it: `self.Lock()`."""

    spaces = ()
    origin = "_test_multiprocessing"

    def __init__(self, space):
        self.space = space

    def __getattr__(self, name):
        return getattr(self.space, name)

    def tally(self):
        return Tally(self)

    def bunch(self, target, *args, count=5):
        return Bunch(self, target, args, count)


class Tally:
    """A number that several count up."""

    def __init__(self, rows):
        self.lock, self.number = rows.Lock(), rows.Value("i", 0)

    def add(self):
        with self.lock:
            self.number.value += 1

    @property
    def count(self):
        return self.number.value


class Bunch:
    """Several that do the same side by side, or one after the other on one stack."""

    def __init__(self, rows, target, args, count):
        # What they are given stays here: CPython takes a semaphore away with its last owner in the process that made it.
        self.rows, self.begun, self.args = rows, rows.tally(), args
        self.members = [rows.Process(target=_member, args=(self.begun, target, args)) for _ in range(count)]
        for member in self.members:
            member.daemon = True
            member.start()

    def until(self, true):
        until(true, self._look)

    def until_begun(self):
        """Where they run side by side, waits until all have begun. On one stack they begin when somebody waits for them."""
        if not (GUEST and self.rows.are_threads):
            self.until(lambda: self.begun.count == len(self.members))

    def join(self):
        for member in self.members:
            member.join(LIMIT / 2)
            assert not member.is_alive(), "one of them does not end"
        self._look()

    def _look(self):
        _look_at_threads()
        ends = [member.exitcode for member in self.members]
        assert not any(ends), f"they ended with {ends}"


def _look_at_threads():
    if failures:
        raise failures[0]


def until(true, look=_look_at_threads):
    """Waits until it is so. On one stack, others have their turn meanwhile."""
    end = time.monotonic() + LIMIT / 2
    while not true():
        look()
        assert time.monotonic() < end, "it never came true"
        threading.Event().wait(0.002)


def _member(begun, target, args):
    try:
        begun.add()
        target(*args)
    except BaseException as error:
        if threading.current_thread() is threading.main_thread():
            raise
        failures.append(error)


def equal(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


def matches(text, pattern):
    assert re.fullmatch(pattern, text), f"{text!r} does not match {pattern!r}"


def raises(kind, call, *args, saying="", **kwargs):
    try:
        call(*args, **kwargs)
    except kind as error:
        assert saying in str(error), f"{error!r} does not say {saying!r}"
        return error
    raise AssertionError(f"{kind} was not raised")


def takes(least, call, *args, **kwargs):
    """The call takes so long at least, which leaves some room for a coarse clock; answers what it answers."""
    began = time.monotonic()
    answer = call(*args, **kwargs)
    took = time.monotonic() - began
    assert took >= least * 0.6, f"it took {took:.3f} s, not {least}"
    return answer


def sleepers(condition):
    """How many wait at a condition, which its text ends with."""
    return int(re.search(r"(\d+)\)>$", str(condition))[1])


def only(*names, because):
    """A row that other spaces of its class do not have."""

    def mark(row):
        row.only = (names, because)
        return row

    return mark


def one_stack(row, error="Deadlock"):
    """A row that threads on one stack cannot do, as one of them would have to stop in the middle while one below it goes on:
    as a guest it has to end in this error."""
    row.one_stack = error
    return row


def since(*version):
    """A row for what this version of CPython brought."""

    def mark(row):
        row.since = version
        return row

    return mark


def only_guest(because):
    """A row that CPython does not pass, or passes by luck."""

    def mark(row):
        row.only_guest = because
        return row

    return mark


def first_process(row):
    """A row that is about the first process of a program, and runs in it."""
    row.first_process = True
    return row


def main(*classes):
    """Runs the rows that the arguments name (`_TestLock`, `test_lock`, `threads`), or all."""
    mp.set_start_method("spawn")
    for rows in classes:
        names = [name for each in reversed(rows.__mro__) for name in vars(each) if name.startswith("test")]
        for space in rows.spaces:
            for name in dict.fromkeys(names):
                words = {rows.__name__, name, space.name}
                if words.issuperset(sys.argv[1:]):
                    began = time.monotonic()
                    result = _result(rows, name, space)
                    print(f"{rows.origin}.{rows.__name__}", name, space.name, result, sep="\t", flush=True)
                    print(f"{time.monotonic() - began:.2f} s", rows.__name__, name, space.name, file=sys.stderr)


def _result(rows, name, space):
    row = getattr(rows, name)
    names, because = getattr(row, "only", ((space.name,), ""))
    if space.name not in names:
        return f"not here: {because}"
    if not GUEST:
        if hasattr(row, "only_guest"):
            return f"skipped: {row.only_guest}"
        if sys.version_info < getattr(row, "since", (3,)):
            return f"skipped: since {'.'.join(map(str, row.since))}"
    if hasattr(row, "first_process"):
        result = _told(rows, name, space.name)
    else:
        result = _in_a_process(rows, name, space.name)
    if GUEST and space.are_threads and hasattr(row, "one_stack"):
        return f"one stack: `{row.one_stack}`" if row.one_stack in result else f"no {row.one_stack}, but: {result}"
    return result


def _in_a_process(rows, name, space):
    receives, sends = mp.Pipe(duplex=False)
    # It is as if it were a program of its own. What it starts is spawned; to start it itself CPython has a faster way.
    start = mp.get_context("fork").Process
    process = start(target=_case, args=(sends, rows, name, space), name="MainProcess")
    process.start()
    process.join(LIMIT)
    if process.is_alive():
        if GUEST:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
        return f"does not end within {LIMIT:.0f} s"
    if not receives.poll(0 if process.exitcode else LIMIT):
        return f"ended with {process.exitcode}"
    return receives.recv()


def _case(sends, rows, name, space):
    mp.set_start_method("spawn", force=True)
    if not GUEST:
        os.setsid()
    sends.send(_told(rows, name, space))


def _told(rows, name, space):
    try:
        made = rows(SPACES[space]())
        note = getattr(made, name)()
    except BaseException as error:
        where = [frame for frame in traceback.extract_tb(error.__traceback__) if "/rows/" in frame.filename]
        lines = ", ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in where)
        traceback.print_exception(error)
        return " ".join(f"{type(error).__name__}: {error} ({lines})".split())
    return f"ok: {note}" if note else "ok"
