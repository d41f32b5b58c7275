"""How long an event loop's callbacks take: what holds a loop is the longest of them."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest import mock


@dataclass(kw_only=True)
class CallbackTimes:
    """CPU seconds of the loop's own thread: what others on the machine take is not in it.

    Of every callback, with what it was; and of every turn of the loop, in which all run that were ready at its beginning.
    """

    seconds: list[tuple[float, str]] = field(default_factory=list)
    longest_wall: float = 0.0  # seconds that passed during one callback, whoever had the processor
    turns: list[float] = field(default_factory=list)

    @property
    def longest(self) -> tuple[float, str]:
        """The longest, and what it was."""
        return max(self.seconds)


@contextmanager
def callback_times() -> Iterator[CallbackTimes]:
    """Measure those of the running loop until the block is left."""
    times, loop, run = CallbackTimes(), asyncio.get_running_loop(), asyncio.Handle._run
    turn = asyncio.BaseEventLoop._run_once  # type: ignore[attr-defined]  # asyncio has no other way to tell

    def measured(handle: asyncio.Handle) -> None:
        if handle._loop is not loop:  # type: ignore[attr-defined]  # asyncio has no other way to tell
            run(handle)
            return
        since, began = time.monotonic(), time.thread_time()
        try:
            run(handle)
        finally:
            times.longest_wall = max(times.longest_wall, time.monotonic() - since)
            times.seconds.append((time.thread_time() - began, repr(getattr(handle, "_callback", handle))))

    def turned(of: asyncio.BaseEventLoop) -> None:
        began = time.thread_time()
        turn(of)
        if of is loop:
            times.turns.append(time.thread_time() - began)

    with (
        mock.patch.object(asyncio.Handle, "_run", measured),
        mock.patch.object(asyncio.BaseEventLoop, "_run_once", turned),
    ):
        yield times
