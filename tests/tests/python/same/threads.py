import threading
n = 0
lock = threading.Lock()
def add():
    global n
    with lock:
        n += 1
ts = [threading.Thread(target=add) for _ in range(5)]
for t in ts: t.start()
for t in ts: t.join()
print(n)
