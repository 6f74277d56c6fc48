"""`multiprocessing.Process`, by `fork` or by `spawn`: in CPython, or as a guest.

    process.py start METHOD COUNT AT_ONCE   microseconds from start to join, for each of so many, so many at a time
    process.py memory METHOD COUNT          KiB that each takes alone, of so many that wait for one lock
    process.py park METHOD COUNT            says when so many wait, and lets them go when it is told so: for one who looks at
                                            what they take from outside

Prints one number, or a line. Standard library only.
"""

import multiprocessing
import sys
import time


def nothing():
    pass


def wait(ready, lock):
    ready.release()
    lock.acquire()


def start(context, count, at_once):
    # The first one starts what all need (with spawn, the resource tracker).
    first = context.Process(target=nothing)
    first.start()
    first.join()
    begun = time.perf_counter()
    for _ in range(count // at_once):
        children = [context.Process(target=nothing) for _ in range(at_once)]
        for child in children:
            child.start()
        for child in children:
            child.join()
    return (time.perf_counter() - begun) * 1e6 / (count // at_once * at_once)


def private_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        fields = (line.split() for line in lines)
        return sum(int(field[1]) for field in fields if field[0].startswith("Private_"))


def waiting(context, count, look):
    ready, lock = context.Semaphore(0), context.Lock()
    lock.acquire()
    children = [context.Process(target=wait, args=(ready, lock)) for _ in range(count)]
    for child in children:
        child.start()
    for _ in children:
        ready.acquire()
    seen = look(children)
    for child in children:
        child.kill()
    for child in children:
        child.join()
    return seen


def memory(context, count):
    return waiting(context, count, lambda children: sum(private_kib(child.pid) for child in children) / count)


def park(context, count):
    def look(children):
        print(len(children), "wait", flush=True)
        return input()

    # What is there once, whatever the number.
    waiting(context, 4, len)
    look([])
    return waiting(context, count, look)


def main():
    what, method, *numbers = sys.argv[1:]
    context = multiprocessing.get_context(method)
    print({"start": start, "memory": memory, "park": park}[what](context, *(int(number) for number in numbers)))


if __name__ == "__main__":
    main()
