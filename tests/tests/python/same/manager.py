import multiprocessing as mp


def work(rank, names, numbers, space, lock):
    with lock:
        names[f"process {rank}"] = rank
        numbers.append(rank)
        space.total += rank


if __name__ == "__main__":
    with mp.Manager() as manager:
        names, numbers, space, lock = manager.dict(start=-1), manager.list([10]), manager.Namespace(), manager.Lock()
        space.total = 0
        processes = [mp.Process(target=work, args=(rank, names, numbers, space, lock)) for rank in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        print(sorted(names.items()), sorted(numbers), space.total)
        numbers += [1, 2]
        numbers[0] = "first"
        print(len(numbers), numbers[0], numbers[-2:], 2 in numbers, names.get("missing"), "start" in names)
        try:
            names["missing"]
        except KeyError as error:
            print("KeyError", error)
        del names["start"]
        print(names.pop("process 0"), len(names), dict(names) == {f"process {n}": n for n in (1, 2, 3)})
        queue, event = manager.Queue(), manager.Event()
        queue.put("item")
        event.set()
        print(queue.get(), event.is_set(), manager.Value("i", 3).value, list(manager.Array("i", [1, 2])))
