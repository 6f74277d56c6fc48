import asyncio
import sys


async def worker(name, queue, lock, done):
    while True:
        number = await queue.get()
        if number is None:
            return name
        async with lock:
            before = len(done)
            await asyncio.sleep(0)
            done.append(number * number)
            assert len(done) == before + 1
        queue.task_done()


async def produce():
    queue, lock, done = asyncio.Queue(2), asyncio.Lock(), []
    tasks = [asyncio.create_task(worker(f"w{rank}", queue, lock, done)) for rank in range(3)]
    for number in range(10):
        await queue.put(number)
    await queue.join()
    for _ in tasks:
        await queue.put(None)
    print(await asyncio.gather(*tasks), sorted(done))


async def late(value, seconds):
    await asyncio.sleep(seconds)
    return value


async def limits():
    try:
        await asyncio.wait_for(late("never", 30), 0.01)
    except TimeoutError:
        print("timed out")
    try:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    except TimeoutError:
        print("timed out again")
    print(await asyncio.gather(late("b", 0.02), late("a", 0.01)))
    for first in asyncio.as_completed([late("second", 0.1), late("first", 0.01)]):
        print(await first)
    task = asyncio.create_task(late("cancelled", 30))
    await asyncio.sleep(0)
    task.cancel()
    print(type((await asyncio.gather(task, return_exceptions=True))[0]).__name__)


async def groups():
    async def fails():
        raise ValueError("no")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(late(1, 30))
            group.create_task(fails())
    except* ValueError as errors:
        print(errors.exceptions)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(late(number, 0.001 * number)) for number in range(3)]
    print([task.result() for task in tasks])


async def elsewhere():
    print(await asyncio.to_thread(lambda: sum(range(10))))
    print(await asyncio.get_running_loop().run_in_executor(None, str.upper, "in a thread"))

    async def numbers():
        for number in range(3):
            yield number
            await asyncio.sleep(0)

    print([number async for number in numbers()])


async def conditions():
    condition, ready = asyncio.Condition(), []

    async def waits():
        async with condition:
            await condition.wait_for(lambda: ready)
            return ready[0]

    waiting = [asyncio.create_task(waits()) for _ in range(2)]
    await asyncio.sleep(0)
    async with condition:
        ready.append("told")
        condition.notify_all()
    print(await asyncio.gather(*waiting))


if __name__ == "__main__":
    for main in (produce, limits, groups, elsewhere, conditions):
        asyncio.run(main())
    try:
        asyncio.run(late(1, 0), debug=True)
        asyncio.run(produce)
    except (TypeError, ValueError):
        print("no coroutine")
    with asyncio.Runner() as runner:
        print(runner.run(late("twice", 0)), runner.run(late("over", 0)))
    sys.exit(asyncio.run(late(3, 0)))
