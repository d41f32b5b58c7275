"""What a loop opened is closed when it ends."""

import asyncio
import gc
import weakref

import pytest

from learning_machine import event_loops
from learning_machine.event_loops import EventLoops


class _Opened:
    def __init__(self) -> None:
        self.closed: list[asyncio.AbstractEventLoop] = []
        self.loops = EventLoops(self.close)

    async def close(self) -> None:
        await asyncio.sleep(0)  # the loop still runs
        self.closed.append(asyncio.get_running_loop())


def test_given_loops_one_after_the_other_then_each_is_closed_once_when_it_ends() -> None:
    opened = _Opened()

    async def use() -> asyncio.AbstractEventLoop:
        await asyncio.gather(*(opened.loops.enter() for _ in range(10)))
        assert asyncio.get_running_loop() not in opened.closed
        return asyncio.get_running_loop()

    used = [asyncio.run(use()) for _ in range(3)]

    assert opened.closed == used
    assert not event_loops._KEEPERS


def test_given_a_loop_that_ends_with_an_error_then_it_is_closed_too() -> None:
    opened = _Opened()

    async def fail() -> None:
        await opened.loops.enter()
        raise RuntimeError("the agent's own")

    with pytest.raises(RuntimeError, match="the agent's own"):
        asyncio.run(fail())

    assert len(opened.closed) == 1


def test_given_a_task_that_swallows_its_cancellation_then_closing_ends_it_and_the_loop() -> None:
    class _Stubborn(_Opened):
        def __init__(self) -> None:
            super().__init__()
            self.work: asyncio.Queue[str | None] = asyncio.Queue()

        async def worker(self) -> None:
            cancelled = 0
            while cancelled == 0 or await self.work.get() is not None:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    cancelled += 1

        async def close(self) -> None:
            self.work.put_nowait(None)
            await super().close()

    async def use() -> "_Stubborn":
        opened = _Stubborn()
        opened.task = asyncio.create_task(opened.worker())  # type: ignore[attr-defined]  # kept from the collector
        await opened.loops.enter()
        return opened

    assert len(asyncio.run(use()).closed) == 1


async def test_given_a_machine_that_is_dropped_then_its_loop_does_not_keep_it() -> None:
    opened = _Opened()
    await opened.loops.enter()
    reference = weakref.ref(opened)

    del opened
    gc.collect()

    assert reference() is None
