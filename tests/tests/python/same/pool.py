import collections
import multiprocessing as mp
import re

TEXT = """
A host runs many guests, and keeps the locks for them. A guest never touches a lock word that another guest can reach,
and never holds the descriptor of a shared file: it asks the host. So a lock ends with its owner however the owner ends.
"""


def words(line):
    return collections.Counter(re.findall(r"[a-z]+", line.lower()))


def square(x):
    return x * x


def boom(x):
    raise KeyError(x)


if __name__ == "__main__":
    with mp.Pool(3) as pool:
        total = sum(pool.map(words, TEXT.splitlines()), collections.Counter())
        print(sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))[:5])
        print(pool.apply(square, (7,)), list(pool.imap(square, range(5))), sorted(pool.imap_unordered(square, range(5))))
        print(pool.starmap(pow, [(2, 3), (3, 2)]))
        try:
            pool.apply(boom, ("x",))
        except KeyError as error:
            print("KeyError", error)
        seen = []
        result = pool.map_async(square, range(4), callback=seen.append)
        print(result.get(60), result.ready(), result.successful())
        late = pool.apply_async(square, (3,))
        print(late.get(timeout=60))
    try:
        mp.Pool(0)
    except ValueError as error:
        print(error)
    pool = mp.Pool(2)
    pool.close()
    try:
        pool.map(square, [1])
    except ValueError as error:
        print(error)
    pool.join()
