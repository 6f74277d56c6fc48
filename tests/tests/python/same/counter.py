import multiprocessing as mp
def work(lock, value, n):
    for _ in range(n):
        with lock:
            value.value += 1
if __name__ == '__main__':
    lock, value = mp.Lock(), mp.Value('i', 0)
    ps = [mp.Process(target=work, args=(lock, value, 50)) for _ in range(4)]
    for p in ps: p.start()
    for p in ps: p.join()
    print(value.value, [p.exitcode for p in ps])
