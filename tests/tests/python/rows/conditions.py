"""Rows of `Condition`."""


from harness import LONG, Managed, Processes, Rows, SHORT, Threading, Threads, equal, main, one_stack, raises, sleepers, takes


def sleep(condition, sleeping, woken, timeout=None):
    with condition:
        sleeping.release()
        condition.wait(timeout)
        woken.release()


def wait_for_four(condition, state):
    with condition:
        state.value = 0
        condition.notify()
        equal(condition.wait_for(lambda: state.value == 4), True)
        equal(state.value, 4)


def wait_for_four_in_vain(condition, state, begun):
    begun.release()
    with condition:
        equal(takes(SHORT, condition.wait_for, lambda: state.value == 4, timeout=SHORT), False)


class _TestCondition(Rows):
    """CPython's sleepers are processes and threads of the first one. Here they are processes, or all threads."""

    spaces = (Processes, Threads, Managed)

    def asleep(self, count, timeout=None):
        """So many asleep; with what tells how many have woken."""
        condition, sleeping, woken = self.Condition(), self.Semaphore(0), self.Semaphore(0)
        bunch = self.bunch(sleep, condition, sleeping, woken, timeout, count=count)
        for _ in range(count):
            sleeping.acquire()
        if timeout is None:
            bunch.until(lambda: sleepers(condition) == count)
        return condition, woken, bunch

    def wakes(self, condition, woken, bunch, wanted, notify):
        with condition:
            notify()
        for _ in range(wanted):
            equal(woken.acquire(timeout=LONG), True)
        equal(woken.acquire(False), False)

    @one_stack
    def test_notify(self):
        condition, woken, bunch = self.asleep(2)
        equal(woken.acquire(False), False)
        self.wakes(condition, woken, bunch, 1, condition.notify)
        equal(sleepers(condition), 1)
        self.wakes(condition, woken, bunch, 1, condition.notify)
        bunch.join()
        equal(sleepers(condition), 0)

    @one_stack
    def test_notify_all(self):
        condition, woken, bunch = self.asleep(6, timeout=SHORT)
        bunch.join()
        for _ in range(6):
            equal(woken.acquire(False), True)
        condition, woken, bunch = self.asleep(6)
        self.wakes(condition, woken, bunch, 6, condition.notify_all)
        bunch.join()
        equal(sleepers(condition), 0)

    @one_stack
    def test_notify_n(self):
        condition, woken, bunch = self.asleep(6)
        self.wakes(condition, woken, bunch, 2, lambda: condition.notify(n=2))
        self.wakes(condition, woken, bunch, 4, lambda: condition.notify(n=4))
        self.wakes(condition, woken, bunch, 0, lambda: condition.notify(n=3))
        bunch.join()
        equal(sleepers(condition), 0)

    def test_timeout(self):
        condition = self.Condition()
        with condition:
            equal(takes(SHORT, condition.wait, SHORT), False)

    @one_stack
    def test_waitfor(self):
        condition, state = self.Condition(), self.Value("i", -1)
        bunch = self.bunch(wait_for_four, condition, state, count=1)
        with condition:
            equal(condition.wait_for(lambda: state.value == 0), True)
            equal(state.value, 0)
        for _ in range(4):
            with condition:
                state.value += 1
                condition.notify()
        bunch.join()

    def test_waitfor_timeout(self):
        condition, state, begun = self.Condition(), self.Value("i", 0), self.Semaphore(0)
        bunch = self.bunch(wait_for_four_in_vain, condition, state, begun, count=1)
        equal(begun.acquire(timeout=LONG), True)
        for _ in range(3):
            with condition:
                state.value += 1
                condition.notify()
        bunch.join()

    def test_wait_result(self):
        # Without the signal at its end, which processes do not send each other here.
        condition = self.Condition()
        with condition:
            equal(condition.wait(0), False)
            equal(condition.wait(SHORT), False)
        with condition:
            bunch = self.bunch(notify_once, condition, count=1)
            equal(condition.wait(LONG), True)
        bunch.join()


def notify_once(condition):
    with condition:
        condition.notify()


def wait_twice(condition, phase, answers):
    for place in (1, 2):
        with condition:
            result = condition.wait()
            answers.put((place, result, phase.value))


def wait_in_vain(condition, answers):
    with condition:
        answers.put(takes(SHORT, condition.wait, SHORT))


def wait_for_state(condition, state):
    with condition:
        equal(condition.wait_for(lambda: state.value == 4), True)
        equal(state.value, 4)


def wait_for_state_in_vain(condition, state):
    with condition:
        equal(takes(SHORT, condition.wait_for, lambda: state.value == 4, timeout=SHORT), False)


class ConditionTests(Rows):
    origin = "lock_tests"
    spaces = (Processes, Threading)

    def test_acquire(self):
        condition = self.Condition()
        condition.acquire()
        condition.acquire()
        condition.release()
        condition.release()
        lock = self.Lock()
        condition = self.Condition(lock)
        condition.acquire()
        equal(lock.acquire(False), False)
        condition.release()
        equal(lock.acquire(False), True)
        equal(condition.acquire(False), False)
        lock.release()
        with condition:
            equal(lock.acquire(False), False)

    def misuse(self):
        return RuntimeError if self.are_threads else AssertionError

    def test_unacquired_wait(self):
        raises(self.misuse(), self.Condition().wait)

    def test_unacquired_notify(self):
        raises(self.misuse(), self.Condition().notify)

    @one_stack
    def test_notify(self):
        condition = self.Condition()
        for _ in range(2):
            self.in_phases(condition)

    def in_phases(self, condition):
        """Five that wait twice: three are woken, then all, which wait for the first or the second time, then the rest."""
        phase, answers = self.Value("i", 0), self.Queue()
        bunch = self.bunch(wait_twice, condition, phase, answers)
        bunch.until(lambda: sleepers(condition) == 5)
        for number, notify, wanted in (
            (1, lambda: condition.notify(3), [(1, True, 1)] * 3),
            (2, lambda: condition.notify(5), [(1, True, 2)] * 2 + [(2, True, 2)] * 3),
            (3, condition.notify_all, [(2, True, 3)] * 2),
        ):
            with condition:
                notify()
                phase.value = number
            equal(sorted(answers.get() for _ in wanted), wanted)
            # Whoever has another wait before him is at it before the next ones are woken.
            bunch.until(lambda: sleepers(condition) == {1: 5, 2: 2, 3: 0}[number])
        bunch.join()

    def test_timeout(self):
        condition, answers = self.Condition(), self.Queue()
        self.bunch(wait_in_vain, condition, answers).join()
        equal([answers.get() for _ in range(5)], [False] * 5)

    def counted_up(self, body, times):
        condition, state = self.Condition(), self.Value("i", 0)
        bunch = self.bunch(body, condition, state, count=1)
        for _ in range(times):
            with condition:
                state.value += 1
                condition.notify()
        bunch.join()

    def test_waitfor(self):
        self.counted_up(wait_for_state, 4)

    def test_waitfor_timeout(self):
        self.counted_up(wait_for_state_in_vain, 3)


if __name__ == "__main__":
    main(_TestCondition, ConditionTests)
