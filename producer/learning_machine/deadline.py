"""Work that may take so long and no longer, whatever it waits for: a name server, a lock, a disk.

It runs in a thread of its own, because no socket option bounds the resolving of a name, and none the writing of a file. Work
that is late goes on by itself; nothing waits for it, not even the end of the process.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """What `work()` gives, or raises. Raises `TimeoutError` where it is not done in time."""
    return _begun(work).result(max(0.0, seconds))


async def awithin(seconds: float, work: Callable[[], T]) -> T:
    """The same from asyncio, whose loop goes on meanwhile."""
    return await asyncio.wait_for(asyncio.wrap_future(_begun(work)), max(0.0, seconds))


def _begun(work: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # who gives up waiting does not cancel it

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    try:
        threading.Thread(target=run, name="learning-machine-deadline", daemon=True).start()
    except RuntimeError:  # no thread can be started, as at the end of the process: better late than not at all
        run()
    return future
