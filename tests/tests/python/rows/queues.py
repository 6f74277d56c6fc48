"""Rows of `Queue`, `JoinableQueue` and `SimpleQueue`."""

import queue

from harness import GUEST, LONG, Managed, Processes, Rows, SHORT, Threads, equal, main, only, raises, takes


def empty_it(items, may, done):
    may.wait()
    for _ in range(6):
        items.get()
    done.set()


def fill_it(items, may, done):
    may.wait()
    for item in (2, 3, 4, 5):
        items.put(item)
    done.set()


def put_some(items):
    for item in range(10, 20):
        items.put(item)


def work(items, done):
    for _ in iter(items.get, None):
        done.add()
        items.task_done()


def put_whether_empty(items, may, done):
    may.wait()
    items.put(items.empty())
    items.put(items.empty())
    done.set()


class NotPicklable:
    def __reduce__(self):
        raise AttributeError("this cannot be sent")


NO_CLOSE = "queues of `queue` and of a manager have no `close`"


class _TestQueue(Rows):
    spaces = (Processes, Threads, Managed)

    def test_put(self):
        items, may, done = self.Queue(maxsize=6), self.Event(), self.Event()
        bunch = self.bunch(empty_it, items, may, done, count=1)
        equal((items.empty(), items.full()), (True, False))
        items.put(1)
        items.put(2, True)
        items.put(3, True, None)
        items.put(4, False)
        items.put(5, False, None)
        items.put_nowait(6)
        # CPython has the last one on its way yet.
        bunch.until(lambda: not items.empty())
        equal(items.full(), True)
        for args in ((7, False), (7, False, None), (7, False, LONG)):
            raises(queue.Full, items.put, *args)
        raises(queue.Full, items.put_nowait, 7)
        if not (GUEST and self.are_threads):
            # The other one must not begin yet, which it does on one stack when this one waits.
            raises(queue.Full, takes, SHORT, items.put, 7, True, SHORT)
            raises(queue.Full, takes, SHORT, items.put, 7, True, timeout=SHORT)
        may.set()
        done.wait()
        equal((items.empty(), items.full()), (True, False))
        bunch.join()

    def test_get(self):
        items, may, done = self.Queue(), self.Event(), self.Event()
        bunch = self.bunch(fill_it, items, may, done, count=1)
        equal(items.empty(), True)
        may.set()
        done.wait()
        bunch.until(lambda: not items.empty())
        equal((items.get(True, None), items.get(True), items.get(timeout=LONG)), (2, 3, 4))
        bunch.until(lambda: not items.empty())
        equal((items.get_nowait(), items.empty()), (5, True))
        for args in ((False,), (False, None), (False, LONG)):
            raises(queue.Empty, items.get, *args)
        raises(queue.Empty, items.get_nowait)
        raises(queue.Empty, takes, SHORT, items.get, True, SHORT)
        raises(queue.Empty, takes, SHORT, items.get, timeout=SHORT)
        bunch.join()

    def test_fork(self):
        items = self.Queue()
        for item in range(10):
            items.put(item)
        bunch = self.bunch(put_some, items, count=1)
        bunch.join()
        # CPython may be about to send what was put first.
        found = [items.get() for _ in range(20)]
        for wanted in (list(range(10)), list(range(10, 20))):
            equal([item for item in found if item in wanted], wanted)
        raises(queue.Empty, items.get, False)

    def test_qsize(self):
        items = self.Queue()
        equal(items.qsize(), 0)
        for call, wanted in (((items.put, 1), 1), ((items.put, 5), 2), ((items.get,), 1), ((items.get,), 0)):
            call[0](*call[1:])
            equal(items.qsize(), wanted)

    def test_task_done(self):
        items, done = self.JoinableQueue(), self.tally()
        bunch = self.bunch(work, items, done, count=4)
        for item in range(10):
            items.put(item)
        if GUEST and self.are_threads:
            # None of them ends in the middle of the others.
            for _ in bunch.members:
                items.put(None)
            bunch.join()
            equal(done.count, 10)
            return "in the order of one stack"
        items.join()
        equal(done.count, 10)
        for _ in bunch.members:
            items.put(None)
        bunch.join()

    @only("processes", because="nothing is imported in a thread of its own")
    def test_no_import_lock_contention(self):
        import sys
        import tempfile

        with tempfile.TemporaryDirectory() as directory:
            with open(f"{directory}/knocks.py", "w") as source:
                source.write(
                    "import multiprocessing\nitems = multiprocessing.Queue()\nitems.put('knock knock')\n"
                    f"SAID = items.get(timeout={LONG})\nitems.close()\n"
                )
            sys.path.insert(0, directory)
            import knocks
        equal(knocks.SAID, "knock knock")

    def test_timeout(self):
        raises(queue.Empty, takes, 0.2, self.Queue().get, True, 0.2)

    @only("processes", because="only those of processes pickle what is put")
    def test_queue_feeder_donot_stop_onexc(self):
        for items in (self.Queue(), self.Queue(maxsize=1)):
            if GUEST:
                raises(AttributeError, items.put, NotPicklable(), saying="cannot be sent")
            else:
                items.put(NotPicklable())
            items.put(True)
            equal(items.get(timeout=LONG), True)
            equal(items.empty(), True)
        return "`put` raises what a feeder would print" if GUEST else None

    @only("processes", because=NO_CLOSE)
    def test_closed_queue_empty_exceptions(self):
        for items in (self.Queue(), self.JoinableQueue()):
            items.close()
            items.join_thread()
            equal(items.empty(), True)
        for items in (self.Queue(), self.JoinableQueue()):
            items.put("x")
            items.close()
            items.join_thread()
            raises(OSError, items.empty, saying="is closed")

    @only("processes", because=NO_CLOSE)
    def test_closed_queue_put_get_exceptions(self):
        for items in (self.Queue(), self.JoinableQueue()):
            items.close()
            raises(ValueError, items.put, "x", saying="is closed")
            raises(ValueError, items.get, saying="is closed")


class TestSimpleQueue(Rows):
    spaces = (Processes,)

    def test_empty_exceptions(self):
        items = self.SimpleQueue()
        items.close()
        raises(OSError, items.empty, saying="is closed")

    def test_empty(self):
        items, may, done = self.SimpleQueue(), self.Event(), self.Event()
        bunch = self.bunch(put_whether_empty, items, may, done, count=1)
        equal(items.empty(), True)
        may.set()
        done.wait()
        equal(items.empty(), False)
        equal((items.get(), items.get(), items.empty()), (True, False, True))
        bunch.join()

    def test_close(self):
        items = self.SimpleQueue()
        items.close()
        items.close()

    def test_closed(self):
        # That both of its ends are closed, which CPython looks for inside.
        items = self.SimpleQueue()
        items.close()
        raises(OSError, items.get, saying="is closed")
        raises(OSError, items.put, 1, saying="is closed")


if __name__ == "__main__":
    main(_TestQueue, TestSimpleQueue)
