"""Handing turns over without holding up an event loop, and without an end of the process that loses one.

In a thread of the caller's it is a plain emit. In an event loop, where agno calls hooks without awaiting them, one thread of the
machine's emits, in order; the interpreter waits for it before it ends. A turn that follows at once waits for what the same user
or session handed over before, so that it is not missed.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress

from learning_machine.lock import Lock

Owner = tuple[str | None, str | None]
"""User and session."""


class Handover:
    """What one machine hands over; safe in threads and after a fork."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._pid = 0
        self._waiting: dict[Owner, Future[None]] = {}

    def give(self, owner: Owner, emit: Callable[[], None]) -> None:
        """Run `emit`, which raises nothing: at once, or beside an event loop that runs in this thread."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.await_before(owner, None)
            emit()
            return
        with self._lock.mutex:
            future = self._thread().submit(emit)
            self._waiting[owner] = future
        future.add_done_callback(lambda done: self._done(owner, done))

    def await_before(self, owner: Owner, seconds: float | None) -> None:
        """Wait, `seconds` at most, until what was handed over for this user or session is emitted."""
        if before := self._of(owner):
            wait(before, seconds)

    async def aawait_before(self, owner: Owner, seconds: float) -> None:
        """The same for asyncio."""
        if not (before := self._of(owner)):
            return
        loop, emitted = asyncio.get_running_loop(), asyncio.Semaphore(0)

        def tell(_: Future[None]) -> None:
            with suppress(RuntimeError):  # the loop has ended, and nobody waits in it
                loop.call_soon_threadsafe(emitted.release)

        for future in before:
            future.add_done_callback(tell)
        # No thread waits: the loop's own are few, and the program's other work is done in them.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for _ in before:
                    await emitted.acquire()

    def close(self) -> None:
        """Wait for everything that was handed over, and end the thread."""
        with self._lock.mutex:
            executor, self._executor = self._executor, None
            mine = self._pid == os.getpid()
        if executor is not None and mine:
            executor.shutdown(wait=True)

    def _thread(self) -> ThreadPoolExecutor:
        if self._executor is None or self._pid != os.getpid():
            # Threads do not outlive a fork, and what they were to do is the parent's.
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="learning-handover")
            self._pid = os.getpid()
            self._waiting = {}
        return self._executor

    def _of(self, owner: Owner) -> list[Future[None]]:
        with self._lock.mutex:
            if self._pid != os.getpid():
                return []
            return [
                future
                for (user, session), future in self._waiting.items()
                if (user is not None and user == owner[0]) or (session is not None and session == owner[1])
            ]

    def _done(self, owner: Owner, future: Future[None]) -> None:
        with self._lock.mutex:
            if self._waiting.get(owner) is future:
                del self._waiting[owner]
