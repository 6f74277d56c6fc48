import multiprocessing as mp
def consume(q, out):
    while True:
        item = q.get()
        if item is None: q.task_done(); break
        out.put(item * item); q.task_done()
if __name__ == '__main__':
    q, out = mp.JoinableQueue(), mp.Queue()
    ps = [mp.Process(target=consume, args=(q, out)) for _ in range(3)]
    for p in ps: p.start()
    for i in range(30): q.put(i)
    for _ in ps: q.put(None)
    q.join()
    for p in ps: p.join()
    print(sum(out.get() for _ in range(30)))
    try: q.task_done()
    except ValueError as e: print(e)
