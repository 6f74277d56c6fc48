"""Rows of `Lock` and `RLock`."""

import multiprocessing as mp
import threading

from harness import (
    GUEST, LONG, Managed, Processes, Rows, Threading, Threads, equal, main, matches, one_stack, only, raises, since, takes,
)

CONTEXT = "what it tells is told of processes only"


def take(lock, told=None, times=1):
    for _ in range(times):
        lock.acquire()
    if told is not None:
        told.put(repr(lock))
    return lock


def take_and_release(lock, told=None, times=1):
    take(lock, told, times)
    for _ in range(times):
        lock.release()


def take_for_a_while(lock, held, over):
    lock.acquire()
    held.set()
    over.wait()
    lock.release()


class _TestLock(Rows):
    spaces = (Processes, Threads, Managed)

    def test_lock(self):
        lock = self.Lock()
        equal(lock.acquire(), True)
        equal(lock.acquire(False), False)
        equal(lock.release(), None)
        raises((ValueError, RuntimeError), lock.release)

    def test_rlock(self):
        lock = self.RLock()
        for _ in range(3):
            equal(lock.acquire(), True)
        for _ in range(3):
            equal(lock.release(), None)
        raises((AssertionError, RuntimeError), lock.release)

    def test_lock_context(self):
        lock = self.Lock()
        with lock:
            equal(lock.acquire(False), False)
        equal(lock.acquire(False), True)

    @since(3, 14)
    def test_rlock_context(self):
        lock = self.RLock()
        with lock, lock:
            equal(lock.locked(), True)
        equal(lock.locked(), False)

    @only("processes", because=CONTEXT)
    def test_repr_lock(self):
        lock = self.Lock()
        equal(repr(lock), "<Lock(owner=None)>")
        lock.acquire()
        equal(repr(lock), "<Lock(owner=MainProcess)>")
        lock.release()
        told = mp.Queue()
        thread = threading.Thread(target=take, args=(lock, told), name="T1")
        thread.start()
        thread.join()
        equal(told.get(), "<Lock(owner=MainProcess|T1)>")
        equal(repr(lock), "<Lock(owner=SomeOtherThread)>")
        lock.release()
        process = mp.Process(target=take_and_release, args=(lock, told), name="P1")
        process.start()
        equal(told.get(), "<Lock(owner=P1)>")
        process.join()
        held, over = mp.Event(), mp.Event()
        process = mp.Process(target=take_for_a_while, args=(lock, held, over))
        process.start()
        held.wait()
        equal(repr(lock), "<Lock(owner=SomeOtherProcess)>")
        over.set()
        process.join()

    @only("processes", because=CONTEXT)
    def test_repr_rlock(self):
        lock = self.RLock()
        equal(repr(lock), "<RLock(None, 0)>")
        for _ in range(3):
            lock.acquire()
        equal(repr(lock), "<RLock(MainProcess, 3)>")
        for _ in range(3):
            lock.release()
        told = mp.Queue()
        threads = [
            threading.Thread(target=take_and_release, args=(lock, told, times), name=f"T{times}") for times in (1, 2, 3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(sorted(told.get() for _ in threads), [f"<RLock(MainProcess|T{n}, {n})>" for n in (1, 2, 3)])
        other = self.RLock()
        thread = threading.Thread(target=other.acquire)
        thread.start()
        thread.join()
        equal(repr(other), "<RLock(SomeOtherThread, nonzero)>")
        process = mp.Process(target=take_and_release, args=(lock, told), name="P1")
        process.start()
        equal(told.get(), "<RLock(P1, 1)>")
        process.join()
        held, over = mp.Event(), mp.Event()
        process = mp.Process(target=take_for_a_while, args=(lock, held, over))
        process.start()
        held.wait()
        equal(repr(lock), "<RLock(SomeOtherProcess, nonzero)>")
        over.set()
        process.join()

    def locked_by_another(self, lock):
        held, over = self.Event(), self.Event()
        equal(lock.locked(), False)
        bunch = self.bunch(take_for_a_while, lock, held, over, count=1)
        held.wait()
        equal(lock.locked(), True)
        over.set()
        bunch.join()
        equal(lock.locked(), False)

    @since(3, 14)
    @one_stack
    def test_lock_locked_2processes(self):
        self.locked_by_another(self.Lock())

    @since(3, 14)
    @one_stack
    def test_rlock_locked_2processes(self):
        self.locked_by_another(self.RLock())


def try_it(lock, answers):
    answers.put(lock.acquire(False))


def try_for(lock, seconds, answers):
    answers.put(takes(seconds, lock.acquire, True, seconds))


def is_mine(lock):
    return lock._is_owned() if hasattr(lock, "_is_owned") else lock._semlock._is_mine()


def depth(lock):
    return lock._recursion_count() if hasattr(lock, "_recursion_count") else lock._semlock._count()


def tell_whether_mine(lock, answers):
    answers.put(is_mine(lock))


def release_of_another(lock, answers):
    try:
        lock.release()
        answers.put(None)
    except Exception as error:
        answers.put(type(error).__name__)


class BaseLockTests(Rows):
    origin = "lock_tests"
    spaces = (Processes, Threading)

    def make(self):
        return getattr(self, self.kind)()

    def test_constructor(self):
        del_me = self.make()
        del del_me

    def test_repr(self):
        matches(repr(self.make()), r"<unlocked .* object .*at .*>" if self.are_threads else self.unlocked)

    def test_locked_repr(self):
        lock = self.make()
        lock.acquire()
        matches(repr(lock), r"<locked .* object .*at .*>" if self.are_threads else self.locked)

    def test_acquire_destroy(self):
        lock = self.make()
        lock.acquire()
        del lock

    def test_acquire_release(self):
        lock = self.make()
        lock.acquire()
        lock.release()
        equal(lock.acquire(False), True)

    def test_try_acquire(self):
        lock = self.make()
        equal(lock.acquire(False), True)
        lock.release()

    def test_try_acquire_contended(self):
        lock, answers = self.make(), self.Queue()
        lock.acquire()
        self.bunch(try_it, lock, answers, count=1).join()
        equal(answers.get(), False)
        lock.release()

    def test_acquire_contended(self):
        lock, passed = self.make(), self.tally()
        lock.acquire()
        bunch = self.bunch(take_release_count, lock, passed)
        bunch.until_begun()
        equal(passed.count, 0)
        lock.release()
        bunch.join()
        equal(passed.count, 5)

    def test_with(self):
        lock, passed = self.make(), self.tally()
        with lock:
            pass
        self.bunch(take_release_count, lock, passed, count=1).join()

        def fail():
            with lock:
                raise TypeError

        raises(TypeError, fail)
        self.bunch(take_release_count, lock, passed, count=1).join()
        equal(passed.count, 2)

    def test_thread_leak(self):
        lock, passed = self.make(), self.tally()
        before = threading.active_count()
        self.bunch(take_release_count, lock, passed, count=15).join()
        equal((passed.count, threading.active_count()), (15, before))

    def test_timeout(self):
        lock, answers = self.make(), self.Queue()
        if self.are_threads:
            raises(ValueError, lock.acquire, False, 1)
            raises(ValueError, lock.acquire, timeout=-100)
            raises(OverflowError, lock.acquire, timeout=1e100)
            raises(OverflowError, lock.acquire, timeout=threading.TIMEOUT_MAX + 1)
            lock.acquire(timeout=threading.TIMEOUT_MAX)
            lock.release()
        equal(lock.acquire(timeout=LONG), True)
        self.bunch(try_for, lock, 0.3, answers, count=1).join()
        equal(answers.get(), False)


def take_release_count(lock, passed):
    lock.acquire()
    lock.release()
    passed.add()


def take_twice(lock, taken):
    lock.acquire()
    taken.add()
    lock.acquire()
    taken.add()
    lock.release()


class LockTests(BaseLockTests):
    kind = "Lock"
    unlocked, locked = r"<Lock\(owner=None\)>", r"<Lock\(owner=MainProcess\)>"

    @one_stack
    def test_reacquire(self):
        lock, taken = self.Lock(), self.tally()
        if GUEST and not self.are_threads:
            # Who has it may not wait for it, and nobody else may release it.
            lock.acquire()
            raises(RuntimeError, lock.acquire, saying="would never end")
            lock.release()
            equal(lock.acquire(False), True)
            return "`Deadlock` at once, as nobody else can release it"
        bunch = self.bunch(take_twice, lock, taken, count=1)
        bunch.until(lambda: taken.count == 1)
        lock.release()
        bunch.join()
        equal(taken.count, 2)

    def test_different_thread(self):
        lock, answers = self.Lock(), self.Queue()
        lock.acquire()
        self.bunch(release_of_another, lock, answers, count=1).join()
        if GUEST and not self.are_threads:
            equal(answers.get(), "ValueError")
            lock.release()
            return "`ValueError`: only the process that holds it releases it"
        equal(answers.get(), None)
        lock.acquire()
        lock.release()

    def test_state_after_timeout(self):
        lock = self.Lock()
        lock.acquire()
        equal(lock.acquire(timeout=0.01), False)
        lock.release()
        equal(lock.acquire(False), True)


class RLockTests(BaseLockTests):
    kind = "RLock"
    unlocked, locked = r"<RLock\(None, 0\)>", r"<RLock\(MainProcess, 1\)>"

    def test_reacquire(self):
        lock = self.RLock()
        lock.acquire()
        lock.acquire()
        lock.release()
        lock.acquire()
        lock.release()
        lock.release()

    def test_release_unacquired(self):
        lock = self.RLock()
        wrong = RuntimeError if self.are_threads else AssertionError
        raises(wrong, lock.release)
        self.up_and_down(lock)
        raises(wrong, lock.release)

    def up_and_down(self, lock):
        lock.acquire()
        lock.acquire()
        lock.release()
        lock.acquire()
        lock.release()
        lock.release()

    @only("threading", because="`multiprocessing` has no `_release_save`")
    def test_release_save_unacquired(self):
        lock = self.RLock()
        raises(RuntimeError, lock._release_save)
        self.up_and_down(lock)
        raises(RuntimeError, lock._release_save)

    @since(3, 12)
    @one_stack
    def test_recursion_count(self):
        lock = self.RLock()
        equal(depth(lock), 0)
        for wanted in (1, 2, 3):
            lock.acquire()
            equal(depth(lock), wanted)
        for wanted in (2, 1, 0):
            lock.release()
            equal(depth(lock), wanted)
        held, over = self.Event(), self.Event()
        bunch = self.bunch(take_for_a_while, lock, held, over, count=1)
        held.wait()
        equal(depth(lock), 0)
        over.set()
        bunch.join()
        equal(depth(lock), 0)

    def test_different_thread(self):
        lock = self.RLock()
        if self.are_threads:
            self.bunch(lock.acquire, count=1).join()
            raises(RuntimeError, lock.release)
            return
        held, over = self.Event(), self.Event()
        bunch = self.bunch(take_for_a_while, lock, held, over, count=1)
        held.wait()
        raises(AssertionError, lock.release)
        over.set()
        bunch.join()

    def test__is_owned(self):
        lock, answers = self.RLock(), self.Queue()
        equal(is_mine(lock), False)
        lock.acquire()
        equal(is_mine(lock), True)
        lock.acquire()
        equal(is_mine(lock), True)
        self.bunch(tell_whether_mine, lock, answers, count=1).join()
        equal(answers.get(), False)
        lock.release()
        equal(is_mine(lock), True)
        lock.release()
        equal(is_mine(lock), False)

    @since(3, 14)
    def test_locked(self):
        lock = self.RLock()
        equal(lock.locked(), False)
        lock.acquire()
        equal(lock.locked(), True)
        lock.acquire()
        lock.release()
        equal(lock.locked(), True)
        lock.release()
        equal(lock.locked(), False)

    @since(3, 14)
    @one_stack
    def test_locked_with_2threads(self):
        lock, held, over = self.RLock(), self.Event(), self.Event()
        bunch = self.bunch(take_for_a_while, lock, held, over, count=1)
        held.wait()
        equal(lock.locked(), True)
        over.set()
        bunch.join()
        equal(lock.locked(), False)


if __name__ == "__main__":
    main(_TestLock, LockTests, RLockTests)
