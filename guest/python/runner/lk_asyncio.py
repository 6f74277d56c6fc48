"""`asyncio` without sockets: an event loop that runs other threads or sleeps where CPython's waits for files.

Everything else is CPython's: tasks, futures, queues, locks, timeouts. There is no other process that could write to a socket,
and a thread that wakes the loop runs on the same stack as it; so no pipe has to wake it.
"""

import selectors
import time

import lk_threads
from asyncio import events, selector_events, unix_events


class Selector(selectors._BaseSelectorImpl):
    """Nothing can be registered that could ever be ready; what may come is time, and what other threads do."""

    def select(self, timeout=None):
        if timeout is None or timeout > 0:
            if lk_threads.run_one():
                return []
            if timeout is None:
                raise lk_threads.Deadlock("nothing is left to run that could wake this event loop")
            time.sleep(timeout)
        return []


class EventLoop(selector_events.BaseSelectorEventLoop):
    def __init__(self, selector=None):
        super().__init__(selector or Selector())

    def _make_self_pipe(self):
        pass

    def _close_self_pipe(self):
        pass

    def _write_to_self(self):
        pass


def install():
    import asyncio

    for module in (asyncio, unix_events):
        module.SelectorEventLoop = module.EventLoop = EventLoop
    unix_events._UnixDefaultEventLoopPolicy._loop_factory = EventLoop
    assert isinstance(events._get_event_loop_policy()._loop_factory(), EventLoop)
