"""Wires: TCP ways to the servers that can be cut, held and slowed, all of one run in one thread."""

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

_CHUNK = 65_536


class Wire:
    """One way to a server: `port` on loopback forwards to where `target` says the server is at the moment.

    Cut, it aborts every connection that there is and every new one; held, it takes everything and forwards nothing until it
    is mended; slowed, each piece takes so many seconds longer. The port stays the run's for its whole length.
    """

    def __init__(self, name: str, target: Callable[[], int], loop: asyncio.AbstractEventLoop) -> None:
        self.name = name
        self.port = 0
        self._target = target
        self._loop = loop
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_cut = False
        self._slower = 0.0
        self._flowing = asyncio.Event()

    async def open(self) -> None:
        """Listen."""
        self._flowing.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End every connection and stop listening."""
        assert self._server is not None
        self._server.close()
        self._abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """From any thread: abort all, and what comes."""
        self._loop.call_soon_threadsafe(self._set, True, 0.0, True)

    def hold(self) -> None:
        """From any thread: forward nothing."""
        self._loop.call_soon_threadsafe(self._set, False, 0.0, False)

    def slow(self, seconds: float) -> None:
        """From any thread: forward later."""
        self._loop.call_soon_threadsafe(self._set, False, seconds, True)

    def mend(self) -> None:
        """From any thread: forward everything, at once."""
        self._loop.call_soon_threadsafe(self._set, False, 0.0, True)

    def _set(self, cut: bool, slower: float, flowing: bool) -> None:
        self._is_cut, self._slower = cut, slower
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()
        if cut:
            self._abort()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        server: asyncio.StreamWriter | None = None
        try:
            await self._flowing.wait()
            if self._is_cut:
                return
            answers, server = await asyncio.open_connection("127.0.0.1", self._target())
            self._writers.add(server)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._copy(reader, server))
                both.create_task(self._copy(answers, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # the server is away, or one of the two hung up: the other is told so below
        finally:
            for each in (writer, server):
                if each is not None:
                    each.transport.abort()
                    self._writers.discard(each)
            self._tasks.discard(task)

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(_CHUNK):
            if self._slower:
                await asyncio.sleep(self._slower)
            await self._flowing.wait()
            target.write(data)
            await target.drain()
        raise ConnectionResetError  # ends the other direction too


class Wires:
    """The wires of a run, by name, in a thread of their own."""

    def __init__(self, targets: dict[str, Callable[[], int]]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires", daemon=True)
        self.by_name = {name: Wire(name, target, self._loop) for name, target in targets.items()}

    def __enter__(self) -> Self:
        self._thread.start()
        for wire in self.by_name.values():
            asyncio.run_coroutine_threadsafe(wire.open(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for wire in self.by_name.values():
            asyncio.run_coroutine_threadsafe(wire.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
