"""Rows of `Value` and `Array`."""

import array

from harness import Processes, Rows, equal, main, raises

#: A type code, what such a value begins with, and what another process makes of it.
CODES = (("i", 4343, 24234), ("d", 3.625, -4.25), ("h", -232, 234), ("q", 2**33, 2**34), ("c", b"x", b"y"))


def set_all(values):
    for value, (_, _, other) in zip(values, CODES):
        value.value = other


def add_up(numbers):
    for place in range(1, len(numbers)):
        numbers[place] += numbers[place - 1]


def no_lock(rows, shared):
    equal((hasattr(shared, "get_lock"), hasattr(shared, "get_obj")), (False, False))


class _TestValue(Rows):
    spaces = (Processes,)

    def changed_by_another(self, make):
        values = [make(code, first) for code, first, _ in CODES]
        equal([value.value for value in values], [first for _, first, _ in CODES])
        self.bunch(set_all, values, count=1).join()
        equal([value.value for value in values], [other for _, _, other in CODES])

    def test_value(self):
        self.changed_by_another(self.Value)

    def test_rawvalue(self):
        self.changed_by_another(self.RawValue)

    def test_getobj_getlock(self):
        for value in (self.Value("i", 5), self.Value("i", 5, lock=None)):
            equal(value.get_obj().value, 5)
            with value.get_lock():
                equal(value.value, 5)
        lock = self.Lock()
        value = self.Value("i", 5, lock=lock)
        equal((value.get_lock() is lock, value.get_obj().value), (True, 5))
        no_lock(self, self.Value("i", 5, lock=False))
        no_lock(self, self.RawValue("i", 5))
        raises(AttributeError, self.Value, "i", 5, lock="none")


class _TestArray(Rows):
    spaces = (Processes,)

    def changed_by_another(self, make):
        wanted = [680, 626, 934, 821, 150, 233, 548, 982, 714, 831]
        numbers = make("i", wanted)
        equal((len(numbers), numbers[3], list(numbers[2:7])), (10, 821, wanted[2:7]))
        numbers[4:8] = wanted[4:8] = array.array("i", [1, 2, 3, 4])
        equal(list(numbers[:]), wanted)
        add_up(wanted)
        self.bunch(add_up, numbers, count=1).join()
        equal(list(numbers[:]), wanted)

    def test_array(self):
        self.changed_by_another(self.Array)

    def test_rawarray(self):
        self.changed_by_another(self.RawArray)

    def test_array_from_size(self):
        # One that takes the place of another begins with zeros, too.
        for _ in range(3):
            numbers = self.Array("i", 10)
            equal((len(numbers), list(numbers)), (10, [0] * 10))
            numbers[:] = range(10)
            equal(list(numbers), list(range(10)))
            del numbers

    def test_getobj_getlock_obj(self):
        for numbers in (self.Array("i", list(range(10))), self.Array("i", list(range(10)), lock=None)):
            equal(list(numbers.get_obj()), list(range(10)))
            with numbers.get_lock():
                equal(numbers[9], 9)
        lock = self.Lock()
        numbers = self.Array("i", list(range(10)), lock=lock)
        equal((numbers.get_lock() is lock, numbers.get_obj()[9]), (True, 9))
        no_lock(self, self.Array("i", range(10), lock=False))
        no_lock(self, self.RawArray("i", range(10)))
        raises(AttributeError, self.Array, "i", range(10), lock="none")


if __name__ == "__main__":
    main(_TestValue, _TestArray)
