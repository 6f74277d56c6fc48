import csv
import multiprocessing as mp
import os
import sys

CLIENTS, ROWS = 8, 20


def client(rank, lock, path):
    for row in range(ROWS):
        with lock:
            with open(path, "a", newline="") as file:
                csv.writer(file).writerow([rank, row, rank * row, "a, quoted field", "x" * 3000])


if __name__ == "__main__":
    path = os.path.join(sys.argv[1], "results.csv")
    lock = mp.Lock()
    clients = [mp.Process(target=client, args=(rank, lock, path)) for rank in range(CLIENTS)]
    for process in clients:
        process.start()
    for process in clients:
        process.join()
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    print(len(rows), len({(row[0], row[1]) for row in rows}), {len(row) for row in rows}, [p.exitcode for p in clients])
