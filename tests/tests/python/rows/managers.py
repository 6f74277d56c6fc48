"""Rows of what a manager makes, and gives to another process."""



import multiprocessing as mp

from harness import GUEST, Managed, Rows, equal, main, raises


def use_event(event):
    equal(event.is_set(), True)
    event.wait()
    event.clear()
    event.wait(0.001)


def take(lock):
    lock.acquire()


def take_and_release(lock):
    lock.acquire()
    lock.release()


def use_barrier(barrier):
    equal(barrier.parties, 5)
    barrier.reset()


def use_queue(items):
    equal((items.qsize(), items.full(), items.empty()), (2, True, False))
    equal((items.get(), items.empty(), items.get(), items.empty()), (5, False, 6, True))


def use_list(items):
    equal((items[0], items.count(5), items.index(5)), (5, 1, 0))
    items.sort()
    items.reverse()
    equal(([each for each in items], len(items), items.pop(0)), ([5], 1, 5))


def use_dict(items):
    equal((len(items), items["foo"], items.get("foo")), (1, 5, 5))
    equal((list(items.items()), list(items.keys()), list(items.values())), ([("foo", 5)], ["foo"], [5]))
    equal((items.copy(), items.popitem()), ({"foo": 5}, ("foo", 5)))


def use_value(value):
    equal((value.value, value.get()), (1, 1))
    value.set(2)


def use_array(numbers):
    equal((numbers[0], numbers[1], len(numbers), list(numbers)), (0, 1, 2, [0, 1]))


def use_namespace(space):
    equal((space.x, space.y), (0, 1))


class TestSyncManagerTypes(Rows):
    spaces = (Managed,)

    def other(self, target, made):
        process = mp.Process(target=target, args=(made,), daemon=True)
        process.start()
        process.join()
        equal(process.exitcode, 0)
        return made

    def test_event(self):
        event = self.Event()
        event.set()
        self.other(use_event, event)
        equal((event.is_set(), event.wait(0.001)), (False, False))

    def test_lock(self):
        lock = self.other(take, self.Lock())
        if GUEST:
            # The hold has ended with its process.
            equal(lock.acquire(False), True)
        lock.release()
        raises(ValueError if GUEST else RuntimeError, lock.release)
        return "the hold ends with its process, and one release too many is a `ValueError`" if GUEST else None

    def test_rlock(self):
        self.other(take_and_release, self.RLock())

    def test_semaphore(self):
        self.other(take, self.Semaphore()).release()

    def test_bounded_semaphore(self):
        self.other(take, self.BoundedSemaphore()).release()

    def test_condition(self):
        self.other(take_and_release, self.Condition())

    def test_barrier(self):
        self.other(use_barrier, self.Barrier(5))

    def filled(self, items):
        items.put(5)
        items.put(6)
        self.other(use_queue, items)
        equal((items.empty(), items.full()), (True, False))

    def test_queue(self):
        self.filled(self.Queue(2))

    def test_joinable_queue(self):
        self.filled(self.JoinableQueue(2))

    def test_list(self):
        items = self.list()
        items.append(5)
        equal(len(self.other(use_list, items)), 0)

    def test_dict(self):
        items = self.dict()
        items["foo"] = 5
        equal(len(self.other(use_dict, items)), 0)

    def test_value(self):
        value = self.other(use_value, self.Value("i", 1))
        equal((value.value, value.get()), (2, 2))

    def test_array(self):
        self.other(use_array, self.Array("i", [0, 1]))

    def test_namespace(self):
        space = self.Namespace()
        space.x, space.y = 0, 1
        self.other(use_namespace, space)


class _TestContainers(Rows):
    spaces = (Managed,)

    def test_list(self):
        first, second = self.list(range(10)), self.list()
        equal((first[:], second[:]), (list(range(10)), []))
        second.extend(range(5))
        equal((second[:], second[2], second[2:10]), ([0, 1, 2, 3, 4], 2, [2, 3, 4]))
        second *= 2
        equal(second[:], [0, 1, 2, 3, 4] * 2)
        equal(second + [5, 6], [0, 1, 2, 3, 4] * 2 + [5, 6])
        equal(first[:], list(range(10)))
        both = self.list([first, second])
        equal([each[:] for each in both], [list(range(10)), [0, 1, 2, 3, 4] * 2])
        first.append("hello")
        equal(both[0][:], [*range(10), "hello"])

    def test_list_iter(self):
        items = self.list(range(10))
        numbers = iter(items)
        equal((list(numbers), list(numbers)), (list(range(10)), []))

    def test_list_proxy_in_list(self):
        items = self.list([self.list(range(3)) for _ in range(3)])
        equal([inner[:] for inner in items], [[0, 1, 2]] * 3)
        items[0][-1] = 55
        equal([inner[:] for inner in items], [[0, 1, 55], [0, 1, 2], [0, 1, 2]])
        equal((items[1].pop(), len(items[1]), len(items[0])), (2, 2, 3))
        items = self.list()
        items.append(items)

    def test_dict(self):
        items = self.dict()
        for number in range(65, 70):
            items[number] = chr(number)
        equal(items.copy(), {number: chr(number) for number in range(65, 70)})
        equal((sorted(items.keys()), sorted(items.values())), (list(range(65, 70)), list("ABCDE")))
        equal(sorted(items.items()), [(number, chr(number)) for number in range(65, 70)])

    def test_dict_iter(self):
        items = self.dict({number: chr(number) for number in range(65, 70)})
        keys = iter(items)
        equal((list(keys), list(keys)), (list(range(65, 70)), []))

    def test_dict_proxy_nested(self):
        pets, supplies = self.dict(ferrets=2, hamsters=4), self.dict(water=10, feed=3)
        both = self.dict(pets=pets, supplies=supplies)
        equal((supplies["water"], both["supplies"]["water"]), (10, 10))
        both["supplies"]["blankets"] = 5
        equal((supplies["blankets"], both["supplies"]["blankets"]), (5, 5))
        del pets, supplies
        equal(both["pets"]["ferrets"], 2)
        both["supplies"]["water"] = 7
        pets, supplies = both["pets"], both["supplies"]
        both.clear()
        equal((len(both), supplies["water"], pets["hamsters"]), (0, 7, 4))
        outer = self.list([[88, 99], self.list([pets, supplies])])
        equal((type(outer[0]), outer[-1][-1]["feed"]), (list, 3))

    def test_nested_queue(self):
        items, named = self.list(), self.dict()
        items.append(self.Queue())
        items[0].put(123)
        named[0] = self.Queue()
        named[0].put(456)
        equal((items[0].get(), named[0].get()), (123, 456))

    def test_namespace(self):
        space = self.Namespace()
        space.name, space.job, space._hidden = "Bob", "Builder", "hidden"
        equal((space.name, space.job), ("Bob", "Builder"))
        del space.job
        equal((str(space), hasattr(space, "name"), hasattr(space, "job")), ("Namespace(name='Bob')", True, False))


if __name__ == "__main__":
    main(TestSyncManagerTypes, _TestContainers)
