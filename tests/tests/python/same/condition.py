import multiprocessing as mp
def wait_for(c, v, q):
    with c:
        q.put(c.wait_for(lambda: v.value >= 3, 20))
if __name__ == '__main__':
    c = mp.Condition(); v = mp.Value('i', 0); q = mp.Queue()
    ps = [mp.Process(target=wait_for, args=(c, v, q)) for _ in range(3)]
    for p in ps: p.start()
    for _ in range(3):
        with c: v.value += 1; c.notify_all()
    print([q.get() for _ in ps])
    for p in ps: p.join()
    try: c.notify()
    except AssertionError as e: print(e)
    e = mp.Event(); print(e.is_set(), e.wait(0.01)); e.set(); print(e.wait(), e.is_set())
