import multiprocessing as mp
def action(): print("action", flush=True)
def work(b, v, q):
    with v.get_lock(): v.value += 1
    i = b.wait()
    q.put((i, v.value))
if __name__ == '__main__':
    b = mp.Barrier(4, action); v = mp.Value('i', 0); q = mp.Queue()
    ps = [mp.Process(target=work, args=(b, v, q)) for _ in range(4)]
    for p in ps: p.start()
    got = sorted(q.get() for _ in ps)
    for p in ps: p.join()
    print(got)
