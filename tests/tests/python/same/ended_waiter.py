import multiprocessing as mp


def waits(lock, comes):
    comes.set()
    lock.acquire()


if __name__ == "__main__":
    for method in ("terminate", "kill"):
        lock, comes = mp.Lock(), mp.Event()
        with lock:
            process = mp.Process(target=waits, args=(lock, comes))
            process.start()
            comes.wait()
            getattr(process, method)()
            process.join()
        print(method, process.exitcode, lock.acquire(timeout=10))
