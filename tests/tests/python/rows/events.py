"""Rows of `Event`."""

from harness import (
    GUEST, LONG, Managed, Processes, Rows, SHORT, Threading, Threads, equal, main, matches, one_stack, only, since, takes,
)


def set_it(event, may):
    may.wait()
    event.set()


class _TestEvent(Rows):
    spaces = (Processes, Threads, Managed)

    def test_event(self):
        event = self.Event()
        equal(event.is_set(), False)
        equal(event.wait(0.0), False)
        equal(takes(SHORT, event.wait, SHORT), False)
        event.set()
        equal(event.is_set(), True)
        equal(event.wait(), True)
        equal(event.wait(LONG), True)
        event.clear()
        equal(event.is_set(), False)
        may = self.Event()
        process = self.Process(target=set_it, args=(event, may))
        process.start()
        may.set()
        equal(event.wait(), True)
        process.join()

    @since(3, 13)
    @only("processes", because="`threading` says it otherwise: `EventTests.test_repr`")
    def test_repr(self):
        event = self.Event()
        matches(repr(event), "<Event at .* unset>")
        event.set()
        matches(repr(event), "<Event at .* set>")
        event.clear()
        matches(repr(event), "<Event at .* unset>")


def wait_twice(event, answers):
    for _ in range(2):
        answers.put(event.wait())


def wait_at_once_and_a_while(event, answers):
    answers.put(event.wait(0.0))
    answers.put(takes(0.0 if event.is_set() else SHORT, event.wait, SHORT))


def wait_and_count(event, answers, passed):
    answers.put(event.wait())
    passed.add()


class EventTests(Rows):
    origin = "lock_tests"
    spaces = (Processes, Threading)

    def test_is_set(self):
        event = self.Event()
        equal(event.is_set(), False)
        for call, wanted in ((event.set, True), (event.clear, False)):
            for _ in range(2):
                call()
                equal(event.is_set(), wanted)

    def test_notify(self):
        event, answers = self.Event(), self.Queue()
        for _ in range(2):
            bunch = self.bunch(wait_twice, event, answers)
            bunch.until_begun()
            equal(answers.empty(), True)
            event.set()
            bunch.join()
            equal([answers.get() for _ in range(10)], [True] * 10)
            event.set()
            event.clear()

    def test_timeout(self):
        event, answers = self.Event(), self.Queue()
        for wanted in (False, True):
            self.bunch(wait_at_once_and_a_while, event, answers).join()
            equal([answers.get() for _ in range(10)], [wanted] * 10)
            event.set()

    @one_stack
    def test_set_and_clear(self):
        if not GUEST and not self.are_threads:
            return "not asserted: `multiprocessing` of CPython may answer False"
        event, answers, passed = self.Event(), self.Queue(), self.tally()
        bunch = self.bunch(wait_and_count, event, answers, passed)
        bunch.until_begun()

        def all_passed():
            # Who does not wait yet is told by the next one.
            event.set()
            event.clear()
            return passed.count == 5

        bunch.until(all_passed)
        bunch.join()
        equal([answers.get() for _ in range(5)], [True] * 5)

    @only("threading", because="`_TestEvent.test_repr`")
    def test_repr(self):
        event = self.Event()
        matches(repr(event), r"<\w+\.Event at .*: unset>")
        event.set()
        matches(repr(event), r"<\w+\.Event at .*: set>")


if __name__ == "__main__":
    main(_TestEvent, EventTests)
