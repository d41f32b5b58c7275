"""What an event loop opened is closed when the loop ends, so that `asyncio.run` after `asyncio.run` leaves nothing behind.

Connections belong to the loop that opened them, and a loop that has ended can close nothing any more. `asyncio.run` and
its kin cancel the tasks of their loop at the end, and wait for them: a task that does nothing else closes what is open.
It has to be a task: psycopg's pool takes a cancellation for a failed connection and goes on waiting for work, so that
`asyncio.run` would wait for it for ever if nobody closed it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary, WeakMethod

_KEEPERS: set[asyncio.Task[None]] = set()
"""The tasks that wait, since asyncio itself holds them only weakly."""


class EventLoops:
    """The loops in which an object is used. Its method `close` closes what it has open in the running loop."""

    def __init__(self, close: Callable[[], Awaitable[None]]) -> None:
        self._close = WeakMethod(close)  # a machine that is dropped need not wait for its loops
        self._entered: WeakKeyDictionary[asyncio.AbstractEventLoop, bool] = WeakKeyDictionary()

    async def enter(self) -> None:
        """Say that the running loop may open something now."""
        loop = asyncio.get_running_loop()
        if loop not in self._entered:
            self._entered[loop] = True
            keeper = loop.create_task(self._keep(self._close), name="learning-machine-keeper")
            _KEEPERS.add(keeper)
            keeper.add_done_callback(_KEEPERS.discard)
            await asyncio.sleep(0)  # a task that was cancelled before it began would close nothing

    @staticmethod
    async def _keep(close: "WeakMethod[Callable[[], Awaitable[None]]]") -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            if (method := close()) is not None:
                await method()
