"""Threads and processes in one: what a process waits for, one of its own threads brings about."""

import multiprocessing as mp
import threading


def notify(condition, state):
    with condition:
        state.value += 1
        condition.notify()


def come(barrier, may):
    may.wait()
    barrier.wait()


def wait_until(condition, state, wanted):
    with condition:
        print(condition.wait_for(lambda: state.value >= wanted), flush=True)


if __name__ == "__main__":
    mp.set_start_method("spawn")
    condition, state = mp.Condition(), mp.Value("i", 0)
    for target in (notify, notify):
        thread = threading.Thread(target=target, args=(condition, state))
        with condition:
            thread.start()
            print(condition.wait())
        thread.join()
    print(state.value)
    # A thread, and then a process: neither of them is missed.
    thread = threading.Thread(target=notify, args=(condition, state))
    process = mp.Process(target=notify, args=(condition, state))
    thread.start()
    process.start()
    wait_until(condition, state, 4)
    thread.join()
    process.join()
    with condition:
        print(condition.wait(0.01))
    # A thread lets a process come to the barrier at which its own process waits.
    barrier, may = mp.Barrier(2), mp.Event()
    process = mp.Process(target=come, args=(barrier, may))
    process.start()
    thread = threading.Thread(target=may.set)
    thread.start()
    barrier.wait()
    process.join()
    print(process.exitcode)
