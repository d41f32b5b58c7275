"""What a loop opened is closed when it ends."""

import asyncio

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
    assert opened.loops._keepers == {}


def test_given_a_loop_that_was_closed_without_ceremony_then_it_is_not_kept() -> None:
    opened = _Opened()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(opened.loops.enter())
    loop.close()

    asyncio.run(opened.loops.enter())

    assert opened.loops._keepers == {}
    assert opened.closed != []
    assert loop not in opened.closed
