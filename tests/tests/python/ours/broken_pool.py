"""A worker that dies breaks an executor, as in CPython, where its message is the same."""

import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool


def die():
    os.abort()


def answer():
    return 42


if __name__ == "__main__":
    executor = ProcessPoolExecutor(2)
    print(executor.submit(answer).result(60))
    try:
        executor.submit(die).result(60)
    except BrokenProcessPool as error:
        print(error)
    try:
        executor.submit(answer)
    except BrokenProcessPool as error:
        print("still broken")
    executor.shutdown()
