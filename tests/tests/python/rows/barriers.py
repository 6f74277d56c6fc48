"""Rows of `Barrier`."""

import threading

from harness import (
    Managed, Processes, Rows, SHORT, Threading, Threads, equal, main, matches, one_stack, only, only_guest, raises, since,
    takes, until,
)

PARTIES = 5
BROKEN = threading.BrokenBarrierError


def pass_in_step(barrier, before, after, passes):
    for done in range(passes):
        before.add()
        equal(after.count, done * PARTIES)
        barrier.wait()
        after.add()
        equal(before.count, (done + 1) * PARTIES)
        barrier.wait()
    equal(barrier.n_waiting, 0)
    equal(barrier.broken, False)


def tell_place(barrier, answers):
    answers.put(barrier.wait())


def wait_for_the_action(barrier, acted):
    barrier.wait()
    equal(acted.count, 1)


class CountUp:
    def __init__(self, tally):
        self.tally = tally

    def __call__(self):
        self.tally.add()


def abort_in_the_middle(barrier, passed, broken):
    try:
        if barrier.wait() == PARTIES // 2:
            barrier.abort()
            return
        barrier.wait()
        passed.add()
    except BROKEN:
        broken.add()


def reset_in_the_middle(barrier, passed, broken, again):
    if barrier.wait() == PARTIES // 2:
        until(lambda: barrier.n_waiting == PARTIES - 1)
        barrier.reset()
    else:
        try:
            barrier.wait()
            passed.add()
        except BROKEN:
            broken.add()
    barrier.wait()
    again.add()


def abort_and_reset(barrier, other, passed, broken, again):
    abort_in_the_middle(barrier, passed, broken)
    # All have left it before it is reset, and nobody comes before it is.
    if other.wait() == PARTIES // 2:
        barrier.reset()
    other.wait()
    barrier.wait()
    again.add()


def be_late(first, barrier, left, all_left, timeout, broken):
    if first.wait() == PARTIES // 2:
        # One comes only when the others have given up.
        all_left.wait()
    try:
        barrier.wait(*timeout)
    except BROKEN:
        broken.add()
    left.add()
    if left.count == PARTIES - 1:
        all_left.set()


def break_alone(barrier, seconds, broken):
    try:
        takes(seconds, barrier.wait)
    except BROKEN:
        broken.add()


def pass_often(barrier, passes, sends, lock):
    for number in range(passes):
        barrier.wait()
        with lock:
            sends.send(number)


class BarrierRows(Rows):
    def five(self, target, barrier, *args):
        bunch = self.bunch(target, barrier, *args, count=PARTIES)
        bunch.join()

    def barrier(self):
        return self.Barrier(PARTIES)

    @one_stack
    def test_barrier(self, passes=1):
        self.five(pass_in_step, self.barrier(), self.tally(), self.tally(), passes)

    @one_stack
    def test_barrier_10(self):
        self.test_barrier(10)

    def test_wait_return(self):
        answers = self.Queue()
        self.five(tell_place, self.barrier(), answers)
        equal(sorted(answers.get() for _ in range(PARTIES)), list(range(PARTIES)))

    def test_action(self):
        acted = self.tally()
        self.five(wait_for_the_action, self.Barrier(PARTIES, CountUp(acted)), acted)
        equal(acted.count, 1)

    @one_stack
    def test_abort(self):
        barrier, passed, broken = self.barrier(), self.tally(), self.tally()
        self.five(abort_in_the_middle, barrier, passed, broken)
        equal((passed.count, broken.count, barrier.broken), (0, PARTIES - 1, True))

    @one_stack
    def test_reset(self):
        passed, broken, again = self.tally(), self.tally(), self.tally()
        self.five(reset_in_the_middle, self.barrier(), passed, broken, again)
        equal((passed.count, broken.count, again.count), (0, PARTIES - 1, PARTIES))

    @one_stack
    def test_abort_and_reset(self):
        passed, broken, again = self.tally(), self.tally(), self.tally()
        self.five(abort_and_reset, self.barrier(), self.barrier(), passed, broken, again)
        equal((passed.count, broken.count, again.count), (0, PARTIES - 1, PARTIES))

    @one_stack
    def test_timeout(self):
        left, broken = self.tally(), self.tally()
        barrier = self.barrier()
        self.five(be_late, barrier, barrier, left, self.Event(), (SHORT,), broken)
        equal(broken.count, PARTIES)

    @one_stack
    def test_default_timeout(self):
        # The first one is another, as it may take longer until all have begun.
        left, broken = self.tally(), self.tally()
        self.five(be_late, self.barrier(), self.Barrier(PARTIES, timeout=SHORT), left, self.Event(), (), broken)
        equal(broken.count, PARTIES)

    def test_single_thread(self):
        barrier = self.Barrier(1)
        equal((barrier.wait(), barrier.wait()), (0, 0))


class _TestBarrier(BarrierRows):
    spaces = (Processes, Threads, Managed)

    @one_stack
    @only("processes", "threads", because="CPython skips it, too")
    def test_thousand(self):
        passes, lock = 1000, self.Lock()
        receives, sends = self.Pipe(duplex=False)
        bunch = self.bunch(pass_often, self.barrier(), passes, sends, lock)
        for number in range(passes):
            equal([receives.recv() for _ in range(PARTIES)], [number] * PARTIES)
        bunch.join()


class BarrierTests(BarrierRows):
    origin = "lock_tests"
    spaces = (Processes, Threading)

    @only_guest("`multiprocessing` of CPython takes them, and so does `threading` of old")
    def test_constructor(self):
        raises(ValueError, self.Barrier, parties=0)
        raises(ValueError, self.Barrier, parties=-1)

    def test_default_timeout(self):
        # In this file only one waits, for two.
        broken = self.tally()
        self.bunch(break_alone, self.Barrier(2, timeout=SHORT), SHORT, broken, count=1).join()
        equal(broken.count, 1)

    @since(3, 13)
    @one_stack
    def test_repr(self):
        barrier, answers = self.Barrier(3), self.Queue()
        name = r"<[\w.]+\.Barrier at .*: {}>"
        matches(repr(barrier), name.format("waiters=0/3"))
        bunch = self.bunch(tell_place, barrier, answers, count=2)
        bunch.until(lambda: barrier.n_waiting == 2)
        matches(repr(barrier), name.format("waiters=2/3"))
        barrier.wait()
        bunch.join()
        matches(repr(barrier), name.format("waiters=0/3"))
        barrier.abort()
        matches(repr(barrier), name.format("broken"))


if __name__ == "__main__":
    main(_TestBarrier, BarrierTests)
