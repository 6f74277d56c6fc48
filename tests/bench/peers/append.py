"""Rows appended to one file under a `multiprocessing.Lock`, in each way that could be the
fastest: in CPython, or as a guest.

    append.py METHOD WAY PATH PROCESSES MS MS   rows per second of so many processes, after a warm-up, in a window

METHOD is how processes begin: `fork` or `spawn`. WAY is `flush` (what most programs do: a text file, a flush per row), `raw` (an unbuffered file) or `write`
(`os.write`); with `-bound` after it, the lock is taken by its bound methods instead of by `with`.

Prints one number. Standard library only.
"""

import multiprocessing
import os
import sys

from mp import rate

# What a row takes in the file, its newline included.
ROW_BYTES = 100


def row():
    fields = "client-3,17,0.250000,"
    return fields + "x" * (ROW_BYTES - 1 - len(fields)) + "\n"


def flush(path, lock, ready):
    line = row()
    with open(path, "a") as f:
        ready.release()
        while True:
            with lock:
                f.write(line)
                f.flush()


def flush_bound(path, lock, ready):
    line = row()
    acquire, release = lock.acquire, lock.release
    with open(path, "a") as f:
        write, flush_now = f.write, f.flush
        ready.release()
        while True:
            acquire()
            write(line)
            flush_now()
            release()


def raw(path, lock, ready):
    line = row().encode()
    with open(path, "ab", buffering=0) as f:
        ready.release()
        while True:
            with lock:
                f.write(line)


def raw_bound(path, lock, ready):
    line = row().encode()
    acquire, release = lock.acquire, lock.release
    with open(path, "ab", buffering=0) as f:
        write_now = f.write
        ready.release()
        while True:
            acquire()
            write_now(line)
            release()


def write(path, lock, ready):
    line, write_now = row().encode(), os.write
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    ready.release()
    while True:
        with lock:
            write_now(fd, line)


def write_bound(path, lock, ready):
    line, write_now = row().encode(), os.write
    acquire, release = lock.acquire, lock.release
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    ready.release()
    while True:
        acquire()
        write_now(fd, line)
        release()


WAYS = {
    "flush": flush,
    "flush-bound": flush_bound,
    "raw": raw,
    "raw-bound": raw_bound,
    "write": write,
    "write-bound": write_bound,
}


def main():
    method, way, path, *numbers = sys.argv[1:]
    context = multiprocessing.get_context(method)
    lock = context.Lock()
    # Each row reaches the file before its lock is released, so the length of the file is the count.
    count = lambda: os.stat(path).st_size // ROW_BYTES
    print(rate(context, *map(int, numbers), WAYS[way], lambda rank: (path, lock), count))


if __name__ == "__main__":
    main()
