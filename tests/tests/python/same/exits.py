import multiprocessing as mp, sys, os
def ok(): pass
def three(): sys.exit(3)
def msg(): sys.exit('message')
def big(): sys.exit(300)
def err(): raise ValueError('no')
def loop():
    while True: pass
if __name__ == '__main__':
    mp.set_start_method('spawn')
    for f in (ok, three, msg, big, err):
        p = mp.Process(target=f); p.start(); p.join(); print(f.__name__, p.exitcode)
    for how in ('terminate', 'kill'):
        p = mp.Process(target=loop); p.start(); getattr(p, how)(); p.join(); print(how, p.exitcode, p.is_alive())
    try: mp.Process(target=lambda: 0).start()
    except Exception as e: print('lambda:', type(e).__name__ in ('PicklingError', 'AttributeError'))
    p = mp.Process(target=ok, name='a-name'); print(p.name, p.daemon, p.pid, p.exitcode); p.start()
    try: p.start()
    except AssertionError as e: print(e)
    p.join(); p.close()
    try: p.exitcode
    except ValueError as e: print(e)
    print(len(mp.active_children()))
