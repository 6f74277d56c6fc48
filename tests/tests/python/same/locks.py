import errno
import multiprocessing as mp, threading
def child(lock, q):
    q.put(lock.acquire(False)); q.put(lock.acquire(True, 0.1)); q.put(lock.acquire(timeout=0.05))
if __name__ == '__main__':
    lock = mp.Lock(); q = mp.Queue()
    lock.acquire()
    p = mp.Process(target=child, args=(lock, q)); p.start()
    print([q.get() for _ in range(3)])
    p.join(); lock.release()
    for l in (mp.Lock(), threading.Lock(), mp.RLock(), threading.RLock()):
        try: l.release()
        except Exception as e: print(type(e).__name__, e)
    s = mp.BoundedSemaphore(1)
    try: s.release()
    except ValueError as e: print(e)
    try: mp.Semaphore(-1)
    except OSError as e: print(errno.errorcode[e.errno], e.strerror)
    r = mp.RLock(); print(r.acquire(), r.acquire()); r.release(); r.release()
    print(lock, mp.current_process().name)
