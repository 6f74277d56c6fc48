"""What the package has, each thing once: of the job by its name, and made here and given to processes."""

import lockkeeper as lk


def adds(lock, value, times):
    for _ in range(times):
        with lock:
            value.set(value.get() + 1)


def reads(lock, array, results):
    with lock.reading() as hold:
        results.put_json({"sum": sum(array), "fence": hold.fence > 0})


def waits(event, condition, flag, barrier, latch):
    event.wait()
    with condition:
        condition.wait_for(lambda: flag.get() == 1)
    latch.count_down()
    barrier.wait()


def works(tasks, done):
    while True:
        try:
            item = tasks.get()
        except lk.Closed:
            return
        done.add(item.json())
        tasks.task_done(item)


def dies(lock):
    lock.acquire()
    import os

    os._exit(7)


def spins():
    while True:
        pass


def refused(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except lk.Error as error:
        print(type(error).__name__, "-", error)


def main():
    # Locks: the job's, and one of its own.
    lock, value = lk.Mutex(), lk.Value(initial=0)
    workers = [lk.Process(adds, (lock, value, 25)).start() for _ in range(4)]
    print([worker.join().ok for worker in workers], value.get(), lock.locked)
    named = lk.Mutex("results")
    with named as hold:
        print(named.id, hold.abandoned, named.try_acquire())
        refused(named.acquire)
    refused(named.release)
    refused(lk.Mutex, "nothing")
    refused(lk.Mutex, "no name")
    again = lk.RLock()
    with again as outer, again as inner:
        print(outer.fence == inner.fence)

    # The next owner is told of a death.
    print(lk.Process(dies, (lock,)).start().join())
    with lock as hold:
        print(hold.abandoned)
    spinner = lk.Process(spins).start()
    refused(spinner.join, 0.01)
    spinner.kill()
    print(spinner.join())
    print(lk.Process(spins, timeout=0.05).start().join())

    # Readers and a writer.
    rwlock, array, results = lk.RWLock(), lk.Array(length=4, type="f64"), lk.Queue()
    with rwlock.writing():
        array.set(0, [0.5, 1, 2, 3])
        array.add(2, [1, 1])
        readers = [lk.Process(reads, (rwlock, array, results)).start() for _ in range(2)]
        rwlock.downgrade()
    for reader in readers:
        reader.join()
    print([results.get().json() for _ in readers], len(results), array[1:3], array[-1])
    refused(array.set, 3, [1.0, 2.0])
    refused(array.get, 5, 1)

    # Several at once, and something that is done once.
    with lk.MultiLock(lock, lk.Semaphore(), reading=[rwlock]) as holds:
        print(len(holds), lock.locked, rwlock.locked)
    once = lk.Once()
    print(once.run(lambda: print("once")), once.run(lambda: print("twice")), once.done)
    try:
        lk.Once().run(lambda: 1 / 0)
    except ZeroDivisionError as error:
        print(error)

    # Permits.
    with lk.Semaphore(permits=2) as nothing:
        print(nothing)
    signal = lk.Semaphore(permits=0, anyone=True, maximum=2)
    signal.release(2)
    print(signal.value, signal.try_acquire(2), signal.value)
    refused(signal.release, 3)
    refused(signal.acquire, timeout=0.01)

    # Meeting.
    event, flag, barrier, latch = lk.Event(), lk.Value(initial=0), lk.Barrier(parties=3), lk.Latch(count=2)
    own = lk.Mutex()
    condition = lk.Condition(lock=own)
    print(event.wait(0.01), latch.wait(0))
    parties = [lk.Process(waits, (event, condition, flag, barrier, latch)).start() for _ in range(2)]
    event.set()
    with condition:
        flag.set(1)
        condition.notify_all()
    latch.wait()
    print(barrier.wait() in range(3), event.is_set(), latch.remaining)
    for party in parties:
        party.join()
    barrier.abort()
    print(barrier.broken)
    refused(barrier.wait)

    # Tasks that come again.
    tasks, done = lk.Queue(unfinished=10), lk.Value(initial=0)
    for number in range(10):
        tasks.put_json(number)
    workers = [lk.Process(works, (tasks, done)).start() for _ in range(2)]
    print(tasks.join(), done.get())
    tasks.close()
    print([worker.join().ok for worker in workers])
    refused(tasks.put, b"x")
    refused(lk.Queue(items=1).get, 0.01)

    # Values.
    counter = lk.Value("counter")
    print(counter.add(2), counter.get(), counter.compare_exchange(2, 5), counter.get())
    text = lk.Value(initial=b"abc", max_bytes=4)
    print(text.set(b"abcd"), text.get())
    refused(text.set, b"abcde")
    refused(lk.Value(initial=2**63 - 1).add, 1)
    # What would end the process in the middle of a call is an exception before it.
    for wrong in [
        lambda: counter.set(1.5),
        lambda: counter.set(2**64),
        lambda: lk.Value("counter", initial=1),
        lambda: lk.Mutex(5),
        lambda: lk.Mutex().acquire(-1),
        lambda: lk.Mutex().acquire("1"),
        lambda: lk.Mutex().release(3),
        lambda: lk.Semaphore(permits=-1),
        lambda: lk.Semaphore(permits="4"),
        lambda: lk.Semaphore(permits=2).acquire(2**32),
        lambda: lk.MultiLock("a"),
        lambda: lk.Condition(lock=5),
        lambda: condition.notify(-1),
        lambda: lk.Barrier(parties=-1),
        lambda: lk.Latch(count=2).count_down(-1),
        lambda: lk.Array(length=-1),
        lambda: lk.Array(length=3).get(-1),
        lambda: lk.Array(length=3, type="byte").set(0, 3),
        lambda: lk.Queue(items=-1),
        lambda: lk.Queue().put(5),
        lambda: lk.Queue().put_json(float("nan")),
        lambda: lk.AppendFile("log").append([65]),
        lambda: lk.AppendFile("log").append(b"1", durability="SYNCED"),
        lambda: lk.AppendFile("log").append(b"1", id=4),
        lambda: lk.AppendFile("rows").append_row("abc"),
        lambda: lk.Process(spins, memory_bytes=-5),
        lambda: lk.Process(spins).join(),
        lambda: lk.start_program("worker", [1]),
    ]:
        try:
            wrong()
        except (TypeError, ValueError, OverflowError, RuntimeError) as error:
            print(type(error).__name__, "-", str(error).split("; not <")[0])

    # An error of the body is not hidden by one of the end.
    try:
        with named:
            named.release()
            raise KeyError("mine")
    except KeyError as error:
        print(error, error.__notes__)
    try:
        with lk.Process(dies, (lk.Mutex(),), name="worker"):
            pass
    except lk.ProcessFailed as error:
        print(error, error.outcome.status)

    # Files, which need no lock, and one that needs it.
    rows, log = lk.AppendFile("rows"), lk.AppendFile("log")
    refused(rows.append_row, ["a", 1])
    with named as hold:
        print(rows.append_row(["a, b", 1.5], hold=hold))
        print(rows.append_row([None, True], hold=hold, durability=lk.Durability.SYNCED).durability)
    refused(rows.append_row, ["late", 2], hold=hold)
    print(log.append_json({"text": "zwölf", "n": [1, 2]}).sequence)
    print(log.append_batch(['{"a":1}', b"2"]).length, log.sync().synced_bytes == log.position().bytes)
    refused(log.append, "no json")
    print(lk.current().name, lk.current().rank, lk.current().count)


if __name__ == "__main__":
    main()
