"""Bytes and objects through a pipe, and what does not fit."""

import errno
import multiprocessing as mp


def told(what):
    try:
        print(what())
    except Exception as error:
        print(type(error).__name__, error)


if __name__ == "__main__":
    here, there = mp.Pipe()
    here.send({"a": 1})
    there.send_bytes(b"0123456789", 2, 5)
    print(there.recv(), here.recv_bytes(), there.poll(), here.poll(0))
    room = bytearray(8)
    there.send_bytes(b"abc")
    print(here.recv_bytes_into(room, 2), room)
    there.send_bytes(b"0123456789")
    told(lambda: here.recv_bytes_into(room))
    told(lambda: there.send_bytes(b"abc", 4))
    told(lambda: there.send_bytes(b"abc", 1, 3))
    told(lambda: here.recv_bytes(-1))
    there.send_bytes(b"0123456789")
    told(lambda: here.recv_bytes(4))
    try:
        mp.Semaphore(-1)
    except OSError as error:
        print(error.errno == errno.EINVAL)
