"""So many processes at one lock: says when they wait, and lets them go when it is told so."""

import multiprocessing as mp
import sys


def one(rank, ready, lock, total):
    ready.release()
    with lock:
        total.value += rank
    sys.exit(rank % 7)


def crowd(count):
    ready, lock, total = mp.Semaphore(0), mp.Lock(), mp.Value("q", 0, lock=False)
    with lock:
        processes = [mp.Process(target=one, args=(rank, ready, lock, total)) for rank in range(count)]
        for process in processes:
            process.start()
        for _ in processes:
            ready.acquire()
        alive = len(mp.active_children())
        print(alive, "wait", flush=True)
        input()
    for process in processes:
        process.join()
    wrong = [rank for rank, process in enumerate(processes) if process.exitcode != rank % 7]
    print(total.value, "in all, wrong:", wrong, flush=True)


if __name__ == "__main__":
    for count in sys.argv[1:]:
        crowd(int(count))
