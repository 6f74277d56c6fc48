"""`connection.wait`: whatever of several things is there first."""

import multiprocessing as mp
import sys
from multiprocessing.connection import wait


def run(rank, may, sends):
    may.wait()
    sends.send(rank)
    sys.exit(rank)


if __name__ == "__main__":
    mp.set_start_method("spawn")
    events = [mp.Event() for _ in range(3)]
    pipes = [mp.Pipe(duplex=False) for _ in range(3)]
    processes = [mp.Process(target=run, args=(rank, events[rank], pipes[rank][1])) for rank in range(3)]
    for process in processes:
        process.start()
    sentinels = {process.sentinel: rank for rank, process in enumerate(processes)}
    readers = {receives: rank for rank, (receives, _) in enumerate(pipes)}
    print(wait(list(sentinels) + list(readers), 0.01), wait([], 0))
    for rank in (2, 0, 1):
        events[rank].set()
        found = wait(list(readers))
        print([readers[each] for each in found], [each.recv() for each in found])
        print([sentinels[each] for each in wait(list(sentinels))])
        processes[rank].join()
        print(wait([processes[rank].sentinel], 0) == [processes[rank].sentinel], processes[rank].exitcode)
        del sentinels[processes[rank].sentinel]
    print(mp.parent_process())
