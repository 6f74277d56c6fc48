import multiprocessing as mp


def forgets():
    for _ in range(3):
        mp.Lock().acquire()
        mp.RLock().acquire()


if __name__ == "__main__":
    for _ in range(3):
        process = mp.Process(target=forgets)
        process.start()
        process.join()
        print(process.exitcode)
    forgets()
    print("end")
