"""What an event loop opened is closed when the loop ends, so that `asyncio.run` after `asyncio.run` leaves nothing behind.

Connections belong to the loop that opened them, and a loop that has ended can close nothing any more. `asyncio.run` and
its kin finish the asynchronous generators of their loop at the end: one that waits in the loop closes what is open there.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable


class EventLoops:
    """The loops in which a machine is used. `close` closes what it has open in the running loop."""

    def __init__(self, close: Callable[[], Awaitable[None]]) -> None:
        self._close = close
        self._keepers: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}

    async def enter(self) -> None:
        """Say that the running loop may open something now."""
        loop = asyncio.get_running_loop()
        if loop not in self._keepers:
            for ended in [known for known in self._keepers if known.is_closed()]:
                self._keepers.pop(ended, None)
            keeper = self._keepers[loop] = self._keep()
            await anext(keeper)

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._keepers.pop(asyncio.get_running_loop(), None)
            await self._close()
