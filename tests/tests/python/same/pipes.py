import multiprocessing as mp


def child(connection):
    while True:
        item = connection.recv()
        if item is None:
            break
        connection.send(item * 2)
    connection.close()


if __name__ == "__main__":
    here, there = mp.Pipe()
    process = mp.Process(target=child, args=(there,))
    process.start()
    for item in (21, "ab", [1, 2]):
        here.send(item)
        print(here.recv())
    print(here.poll(0.01))
    here.send(None)
    process.join()
    receives, sends = mp.Pipe(duplex=False)
    sends.send("one way")
    print(receives.poll(10), receives.recv(), receives.writable, sends.readable)
    try:
        receives.send(1)
    except OSError as error:
        print(type(error).__name__)
    sends.close()
    try:
        sends.send(1)
    except OSError as error:
        print(error)
