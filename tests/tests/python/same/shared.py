import ctypes
import multiprocessing as mp


def change(number, numbers, text, flag):
    with number.get_lock():
        number.value += 1
    with numbers:
        numbers[0] = -5
        numbers[1:3] = [7, 8]
    text.value = b"from the child"
    flag.value = True


if __name__ == "__main__":
    number, numbers = mp.Value("d", 1.5), mp.Array("i", range(6))
    text, flag = mp.Array("c", 32), mp.RawValue(ctypes.c_bool, False)
    process = mp.Process(target=change, args=(number, numbers, text, flag))
    process.start()
    process.join()
    print(number.value, numbers[:], numbers[-1], len(numbers), list(numbers), text.value, flag.value)
    wrapped = mp.Value("i", 0)
    wrapped.value = 2**40 + 3
    print(wrapped.value)
    raw = mp.RawArray("h", 3)
    print(raw[:], sum(raw))
    for wrong in (lambda: numbers[6], lambda: mp.Value("i", 0, lock=5), lambda: setattr(wrapped, "value", "text")):
        try:
            wrong()
        except (IndexError, AttributeError, TypeError) as error:
            print(type(error).__name__)
