"""`multiprocessing.Lock` and `multiprocessing.Value`, the fastest way their manual shows: in CPython, or as a guest.

    mp.py pair METHOD COUNT             nanoseconds per uncontended pair of acquire and release
    mp.py lock METHOD PROCESSES MS MS   pairs per second of so many processes, after a warm-up, in a window
    mp.py value METHOD PROCESSES MS MS  additions per second to one Value under its own lock, likewise

METHOD is how processes begin: `fork` or `spawn`. Prints one number. Standard library only.
"""

import multiprocessing
import sys
import time

# Pairs between two notes of the count, so that noting costs next to nothing.
BATCH = 64

# Bytes from one process's count to the next, so that no two share a cache line.
LINE = 128 // 8


def pair(context, count):
    lock = context.Lock()
    acquire, release = lock.acquire, lock.release
    for _ in range(count // 10):
        acquire()
        release()
    begun = time.perf_counter_ns()
    for _ in range(count):
        acquire()
        release()
    return (time.perf_counter_ns() - begun) / count


def contend(lock, counts, rank, ready):
    acquire, release = lock.acquire, lock.release
    ready.release()
    while True:
        for _ in range(BATCH):
            acquire()
            release()
        counts[rank * LINE] += BATCH


def add(value, ready):
    ready.release()
    while True:
        with value.get_lock():
            value.value += 1


def rate(context, processes, warm_up_ms, window_ms, target, args, count):
    ready = context.Semaphore(0)
    children = [context.Process(target=target, args=(*args(rank), ready), daemon=True) for rank in range(processes)]
    for child in children:
        child.start()
    for _ in children:
        ready.acquire()
    time.sleep(warm_up_ms / 1000)
    begun, before = time.perf_counter(), count()
    time.sleep(window_ms / 1000)
    took, after = time.perf_counter() - begun, count()
    for child in children:
        child.kill()
    for child in children:
        child.join()
    return (after - before) / took


def main():
    what, method, *numbers = sys.argv[1:]
    context, numbers = multiprocessing.get_context(method), [int(number) for number in numbers]
    if what == "pair":
        print(pair(context, *numbers))
    elif what == "lock":
        processes, lock = numbers[0], context.Lock()
        counts = context.RawArray("q", processes * LINE)
        print(rate(context, *numbers, contend, lambda rank: (lock, counts, rank), lambda: sum(counts)))
    else:
        value = context.Value("q", 0)
        # Read without its lock: a reader must not stand in the way of those who are measured.
        print(rate(context, *numbers, add, lambda rank: (value,), lambda: value.get_obj().value))


if __name__ == "__main__":
    main()
