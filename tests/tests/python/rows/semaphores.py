"""Rows of `Semaphore` and `BoundedSemaphore`."""

import sys

from harness import (
    GUEST, LONG, Managed, Processes, Rows, SHORT, Threading, Threads, equal, main, matches, one_stack, only, raises, takes,
)

VALUE = 7


class _TestSemaphore(Rows):
    spaces = (Processes, Threads, Managed)

    def value_is(self, semaphore, wanted):
        # Only that of processes tells it.
        if hasattr(semaphore, "get_value"):
            equal(semaphore.get_value(), wanted)

    def down_and_up(self, semaphore):
        for left in (1, 0):
            equal(semaphore.acquire(), True)
            self.value_is(semaphore, left)
        equal(semaphore.acquire(False), False)
        self.value_is(semaphore, 0)
        for left in (1, 2):
            equal(semaphore.release(), None)
            self.value_is(semaphore, left)

    def test_semaphore(self):
        semaphore = self.Semaphore(2)
        self.value_is(semaphore, 2)
        self.down_and_up(semaphore)
        for left in (3, 4):
            equal(semaphore.release(), None)
            self.value_is(semaphore, left)

    def test_bounded_semaphore(self):
        semaphore = self.BoundedSemaphore(2)
        self.value_is(semaphore, 2)
        self.down_and_up(semaphore)
        raises(ValueError, semaphore.release)
        self.value_is(semaphore, 2)

    @only("processes", because="`threading` refuses a timeout without waiting")
    def test_timeout(self):
        semaphore = self.Semaphore(0)
        equal(semaphore.acquire(False), False)
        equal(semaphore.acquire(False, None), False)
        equal(semaphore.acquire(False, LONG), False)
        equal(takes(SHORT, semaphore.acquire, True, SHORT), False)
        equal(takes(SHORT, semaphore.acquire, timeout=SHORT), False)


def twice(semaphore, phase, answers):
    for _ in range(2):
        semaphore.acquire()
        answers.put(phase.value)


def try_twice(semaphore, answers):
    for _ in range(2):
        answers.put(semaphore.acquire(False))


def once(semaphore, passed):
    semaphore.acquire()
    semaphore.release()
    passed.add()


class BaseSemaphoreTests(Rows):
    origin = "lock_tests"
    spaces = (Processes, Threading)

    def make(self, *args):
        return getattr(self, self.kind)(*args)

    def test_constructor(self):
        # Each of them says it in its own way.
        raises((ValueError, OSError), self.make, -1)
        raises((ValueError, OSError, OverflowError), self.make, -sys.maxsize)

    def test_acquire(self):
        for value in (1, 2):
            semaphore = self.make(value)
            for _ in range(value):
                semaphore.acquire()
            equal(semaphore.acquire(False), False)
            for _ in range(value):
                semaphore.release()

    def test_acquire_destroy(self):
        semaphore = self.make()
        semaphore.acquire()
        del semaphore

    def in_phases(self, release):
        """Ten that take one twice, of seven: six come through; then seven more, then six, then the last one."""
        semaphore, phase, answers = self.make(VALUE), self.Value("i", 0), self.Queue()
        semaphore.acquire()
        bunch = self.bunch(twice, semaphore, phase, answers, count=10)
        came = []
        for number, (released, wanted) in enumerate(((0, VALUE - 1), (VALUE, VALUE), (VALUE - 1, VALUE - 1))):
            phase.value = number
            release(semaphore, released)
            for _ in range(wanted):
                bunch.until(lambda: not answers.empty())
                came.append(answers.get())
            equal(came[-wanted:], [number] * wanted)
        equal(semaphore.acquire(False), False)
        semaphore.release()
        bunch.join()
        equal(answers.get(), 2)

    @one_stack
    def test_acquire_contended(self):
        self.in_phases(lambda semaphore, count: [semaphore.release() for _ in range(count)])

    @only("threading", because="`release` of `multiprocessing` takes no number")
    def test_multirelease(self):
        if GUEST:
            semaphore = self.make(VALUE)
            for _ in range(VALUE):
                semaphore.acquire()
            semaphore.release(VALUE)
            equal([semaphore.acquire(False) for _ in range(VALUE + 1)], [True] * VALUE + [False])
            raises(ValueError, semaphore.release, 0)
            return "in one thread"
        self.in_phases(lambda semaphore, count: count and semaphore.release(count))

    def test_try_acquire(self):
        semaphore = self.make(2)
        equal([semaphore.acquire(False) for _ in range(3)], [True, True, False])
        semaphore.release()
        equal(semaphore.acquire(False), True)

    def test_try_acquire_contended(self):
        semaphore, answers = self.make(4), self.Queue()
        semaphore.acquire()
        self.bunch(try_twice, semaphore, answers).join()
        equal(sorted(answers.get() for _ in range(10)), [False] * 7 + [True] * 3)

    def test_acquire_timeout(self):
        semaphore = self.make(2)
        if self.are_threads:
            raises(ValueError, semaphore.acquire, False, timeout=1.0)
        equal([semaphore.acquire(timeout=0.005) for _ in range(3)], [True, True, False])
        semaphore.release()
        equal(semaphore.acquire(timeout=0.005), True)
        equal(takes(0.3, semaphore.acquire, timeout=0.3), False)

    def test_default_value(self):
        semaphore, passed = self.make(), self.tally()
        semaphore.acquire()
        bunch = self.bunch(once, semaphore, passed, count=1)
        bunch.until_begun()
        equal(passed.count, 0)
        semaphore.release()
        bunch.join()
        equal(passed.count, 1)

    def test_with(self):
        semaphore = self.make(2)

        def inside(error=None):
            with semaphore:
                equal(semaphore.acquire(False), True)
                semaphore.release()
                with semaphore:
                    equal(semaphore.acquire(False), False)
                    if error:
                        raise error

        inside()
        equal(semaphore.acquire(False), True)
        semaphore.release()
        raises(TypeError, inside, TypeError)
        equal([semaphore.acquire(False) for _ in range(3)], [True, True, False])


class SemaphoreTests(BaseSemaphoreTests):
    kind = "Semaphore"

    def test_release_unacquired(self):
        semaphore = self.make(1)
        semaphore.release()
        equal([semaphore.acquire(False) for _ in range(3)], [True, True, False])
        semaphore.release()

    def test_repr(self):
        semaphore = self.make(3)
        text = r"<\w+\.Semaphore at .*: value={}>" if self.are_threads else r"<Semaphore\(value={}\)>"
        matches(repr(semaphore), text.format(3))
        semaphore.acquire()
        matches(repr(semaphore), text.format(2))
        semaphore.release()
        semaphore.release()
        matches(repr(semaphore), text.format(4))


class BoundedSemaphoreTests(BaseSemaphoreTests):
    kind = "BoundedSemaphore"

    def test_release_unacquired(self):
        semaphore = self.make()
        raises(ValueError, semaphore.release)
        semaphore.acquire()
        semaphore.release()
        raises(ValueError, semaphore.release)

    def test_repr(self):
        semaphore = self.make(3)
        text = r"<\w+\.BoundedSemaphore at .*: value={}/3>" if self.are_threads else (
            r"<BoundedSemaphore\(value={}, maxvalue=3\)>"
        )
        matches(repr(semaphore), text.format(3))
        semaphore.acquire()
        matches(repr(semaphore), text.format(2))


if __name__ == "__main__":
    main(_TestSemaphore, SemaphoreTests, BoundedSemaphoreTests)
