"""Rows of `Process`."""

import gc
import itertools
import multiprocessing as mp
import os
import signal
import sys
import tempfile
import time
import weakref
from multiprocessing import connection

from harness import GUEST, LONG, Processes, Rows, Threads, equal, first_process, main, only, raises

NO_THREAD = "a thread has none of it"


def put_it(answers, arg):
    answers.put(arg)


def tell_all(rows, answers, *args, **kwargs):
    answers.put(args)
    answers.put(kwargs)
    current = rows.current_process()
    answers.put(current.name)
    if not rows.are_threads:
        answers.put(bytes(current.authkey))
        answers.put(current.pid)


def tell_parent(sends):
    parent = mp.parent_process()
    sends.send((parent.pid, parent.name))


def have_a_child(sends):
    process = mp.Process(target=tell_whether_parent_lives, args=(sends,))
    process.start()
    time.sleep(LONG)


def tell_whether_parent_lives(sends):
    sends.send(mp.parent_process().is_alive())
    mp.parent_process().join(LONG)
    sends.send(mp.parent_process().is_alive())


def sleep_long(begun=None):
    if begun:
        begun.set()
    time.sleep(LONG)


def descend(rows, sends, path):
    sends.send(path)
    if len(path) < 2:
        for number in range(2):
            process = rows.Process(target=descend, args=(rows, sends, path + [number]))
            process.start()
            process.join()


def wait_for_it(event):
    event.wait(LONG)


def get_and_exit(items):
    items.get()
    sys.exit(0)


def exit_saying(reason, path):
    sys.stderr = open(path, "w")
    sys.exit(reason)


def divide_by_zero(path):
    sys.stderr = open(path, "w")
    1 / 0  # here


class _TestProcess(Rows):
    spaces = (Processes, Threads)

    def __reduce__(self):
        return (type(self), (self.space,))

    @only("processes", because=NO_THREAD)
    def test_current(self):
        current = mp.current_process()
        equal((current.is_alive(), current.daemon, current.exitcode, current.ident), (True, False, None, os.getpid()))
        equal((isinstance(current.authkey, bytes), len(current.authkey) > 0), (True, True))

    def test_args_argument(self):
        for arg, kind in itertools.product((1, "text", [1], (1,)), (list, tuple)):
            answers = self.Queue(1)
            process = self.Process(target=put_it, args=kind((answers, arg)))
            process.daemon = True
            process.start()
            equal(answers.get(), arg)
            process.join()

    @only("processes", because=NO_THREAD)
    def test_daemon_argument(self):
        found = [mp.Process(target=put_it, **given).daemon for given in ({}, {"daemon": True}, {"daemon": False})]
        equal(found, [mp.current_process().daemon, True, False])

    @only("processes", because=NO_THREAD)
    @first_process
    def test_parent_process_attributes(self):
        equal(mp.parent_process(), None)
        receives, sends = mp.Pipe(duplex=False)
        process = mp.Process(target=tell_parent, args=(sends,))
        process.start()
        process.join()
        equal(receives.recv(), (os.getpid(), mp.current_process().name))

    @only("processes", because=NO_THREAD)
    def test_parent_process(self):
        # A grandchild sees its parent end.
        receives, sends = mp.Pipe(duplex=False)
        process = mp.Process(target=have_a_child, args=(sends,))
        process.start()
        equal((receives.poll(LONG), receives.recv()), (True, True))
        process.terminate()
        process.join()
        equal((receives.poll(LONG), receives.recv()), (True, False))

    def test_process(self):
        # A thread on one stack does not stop in the middle for want of room.
        answers = self.Queue(0 if GUEST and self.are_threads else 1)
        kwargs = {"hello": 23, "bye": 2.54}
        process = self.Process(target=tell_all, args=(self, answers, 1, 2), kwargs=kwargs, name="SomeProcess")
        process.daemon = True
        current = self.current_process()
        if not self.are_threads:
            equal(process.authkey, current.authkey)
        equal((process.is_alive(), process.daemon, process.exitcode), (False, True, None))
        equal((type(self.active_children()), process in self.active_children()), (list, False))
        process.start()
        equal((process.is_alive(), process.exitcode, process in self.active_children()), (True, None, True))
        equal((answers.get(), answers.get(), answers.get()), ((1, 2), kwargs, "SomeProcess"))
        if not self.are_threads:
            equal((answers.get(), answers.get()), (current.authkey, process.pid))
        process.join()
        equal((process.exitcode, process.is_alive(), process in self.active_children()), (0, False, False))
        return "with room for all that it puts" if GUEST and self.are_threads else None

    def ended_by(self, how):
        begun = mp.Event()
        process = mp.Process(target=sleep_long, args=(begun,), daemon=True)
        process.start()
        equal((process.is_alive(), process in mp.active_children(), process.exitcode), (True, True, None))
        for limit in (0, -1):
            equal((process.join(limit), process.is_alive()), (None, True))
        begun.wait()
        how(process)
        equal((process.join(), process.is_alive(), process in mp.active_children()), (None, False, False))
        process.join()
        return process.exitcode

    @only("processes", because=NO_THREAD)
    def test_terminate(self):
        equal(self.ended_by(mp.Process.terminate), -signal.SIGTERM)

    @only("processes", because=NO_THREAD)
    def test_kill(self):
        equal(self.ended_by(mp.Process.kill), -9)

    def test_cpu_count(self):
        equal(mp.cpu_count() >= 1, True)

    def test_active_children(self):
        may = self.Event()
        process = self.Process(target=wait_for_it, args=(may,))
        equal((type(self.active_children()), process in self.active_children()), (list, False))
        process.daemon = True
        process.start()
        equal(process in self.active_children(), True)
        may.set()
        process.join()
        equal(process in self.active_children(), False)

    def test_recursion(self):
        receives, sends = self.Pipe(duplex=False)
        descend(self, sends, [])
        wanted = [[], [0], [0, 0], [0, 1], [1], [1, 0], [1, 1]]
        equal([receives.recv() for _ in wanted], wanted)
        equal(receives.poll(), False)

    @only("processes", because=NO_THREAD)
    def test_sentinel(self):
        event = mp.Event()
        process = mp.Process(target=wait_for_it, args=(event,))
        raises(ValueError, lambda: process.sentinel)
        process.start()
        equal((type(process.sentinel), connection.wait([process.sentinel], 0.0)), (int, []))
        event.set()
        equal(connection.wait([process.sentinel]), [process.sentinel])
        process.join()
        equal(connection.wait([process.sentinel], 1), [process.sentinel])

    @only("processes", because=NO_THREAD)
    def test_close(self):
        items = mp.Queue()
        process = mp.Process(target=get_and_exit, args=(items,), daemon=True)
        process.start()
        equal(process.is_alive(), True)
        raises(ValueError, process.close)
        items.put(None)
        process.join()
        equal((process.is_alive(), process.exitcode), (False, 0))
        process.close()
        for call in (process.is_alive, process.join, process.terminate):
            raises(ValueError, call)
        process.close()
        there = weakref.ref(process)
        # The name of the last method has it, too.
        del process, call
        gc.collect()
        equal(there(), None)

    @only("processes", because=NO_THREAD)
    def test_many_processes(self):
        processes = [mp.Process(target=time.sleep, args=(0.01,)) for _ in range(5)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(LONG)
        equal([process.exitcode for process in processes], [0] * 5)
        processes = [mp.Process(target=sleep_long) for _ in range(5)]
        for process in processes:
            process.start()
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(LONG)
        equal([process.exitcode for process in processes], [-signal.SIGTERM] * 5)


class UpperCaser(mp.Process):
    def __init__(self):
        super().__init__()
        self.inside, self.outside = mp.Pipe()

    def run(self):
        self.outside.close()
        for text in iter(self.inside.recv, None):
            self.inside.send(text.upper())
        self.inside.close()

    def submit(self, text):
        self.outside.send(text)
        return self.outside.recv()

    def stop(self):
        self.outside.send(None)
        self.outside.close()
        self.inside.close()


class _TestSubclassingProcess(Rows):
    spaces = (Processes,)

    def test_subclassing(self):
        process = UpperCaser()
        process.daemon = True
        process.start()
        equal((process.submit("hello"), process.submit("world")), ("HELLO", "WORLD"))
        process.stop()
        process.join()

    def ended(self, target, *args):
        process = mp.Process(target=target, args=args, daemon=True)
        process.start()
        process.join()
        return process.exitcode

    def test_stderr_flush(self):
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/errors"
            equal(self.ended(divide_by_zero, path), 1)
            with open(path) as file:
                said = file.read()
        for wanted in ("ZeroDivisionError", "processes.py", "1 / 0  # here"):
            assert wanted in said, said

    def test_sys_exit(self):
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/errors"
            for reason in ([1, 2, 3], "ignore this"):
                equal(self.ended(exit_saying, reason, path), 1)
                with open(path) as file:
                    equal(file.read().rstrip(), str(reason))
        for args, wanted in (((True,), 1), ((False,), 0), ((8,), 8), ((None,), 0), ((), 0)):
            equal(self.ended(sys.exit, *args), wanted)


if __name__ == "__main__":
    main(_TestProcess, _TestSubclassingProcess)
