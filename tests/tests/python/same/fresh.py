"""What a process finds when it begins: nothing of what others did before it, whatever it was made from."""

import atexit
import logging
import multiprocessing as mp
import os
import random
import sys
import tempfile
import threading
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor


class Thing:
    pass


def look(whose):
    me, main = mp.current_process(), threading.main_thread()
    print(whose, me.name, me.daemon, me.exitcode, mp.active_children(), len(me.authkey))
    print(whose, main.name, main.is_alive(), threading.active_count(), threading.current_thread() is main)
    print(whose, mp.Process().name, mp.Process().name, mp.get_start_method())
    parent = mp.parent_process()
    print(whose, parent and parent.name, parent and parent.is_alive(), __name__, len(sys.argv))
    print(whose, logging.getLogger().handlers, [name for name in os.environ if name.startswith("LOCKKEEPER_PYTHON")])
    try:
        print(whose, repr(input()))
    except EOFError:
        print(whose, "nothing to read", repr(sys.stdin.read()), sys.stdin.closed, sys.stdin.mode)
    print(whose, isinstance(sys.stdin.fileno(), int), sys.stdin.isatty(), sys.stdin.readable(), mp.cpu_count() == os.cpu_count())


def child(drawn, key):
    look("child")
    print("child", drawn != random.random(), key == mp.current_process().authkey)
    with ThreadPoolExecutor(2) as pool:
        print("child", list(pool.map(str, range(3))))
    thing = Thing()
    weakref.finalize(thing, print, "child: a finalizer", flush=True)
    atexit.register(print, "child: at the end")


def draw(_):
    return random.random()


def main():
    mp.set_start_method("spawn")
    look("main")
    atexit.register(print, "main: at the end")
    with tempfile.TemporaryDirectory() as directory:
        print(os.listdir(directory))
    drawn = random.random()
    process = mp.Process(target=child, args=(drawn, mp.current_process().authkey))
    process.start()
    process.join()
    print(process.name, process.exitcode)
    with ProcessPoolExecutor(2) as pool:
        print(len(set(pool.map(draw, range(4))) | {drawn}))
    with ThreadPoolExecutor(2) as pool:
        print(list(pool.map(abs, [-1, -2])))


if __name__ == "__main__":
    main()
