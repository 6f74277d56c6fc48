import multiprocessing as mp
import os


def inner(queue, depth):
    queue.put((depth, os.getppid() != os.getpid()))


def outer(queue):
    child = mp.Process(target=inner, args=(queue, 2))
    child.start()
    child.join()
    queue.put((1, child.exitcode))


class Named(mp.Process):
    def __init__(self, queue):
        super().__init__(name="named")
        self.queue = queue

    def run(self):
        self.queue.put((mp.current_process().name, mp.parent_process() is not None))


if __name__ == "__main__":
    queue = mp.SimpleQueue()
    first = mp.Process(target=outer, args=(queue,))
    first.start()
    print(queue.get(), queue.get())
    first.join()
    second = Named(queue)
    second.start()
    print(queue.get())
    second.join()
    print(first.exitcode, second.exitcode, queue.empty(), mp.current_process().name)
