import multiprocessing as mp
import time


def reads(queue):
    queue.put(time.monotonic())


if __name__ == "__main__":
    time.sleep(0.01)
    queue, before = mp.Queue(), time.monotonic()
    process = mp.Process(target=reads, args=(queue,))
    process.start()
    print(before < queue.get() < time.monotonic())
    process.join()
