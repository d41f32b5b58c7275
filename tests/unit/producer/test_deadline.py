"""Work that is late: nobody waits for it, and it does no harm when it ends."""

import asyncio
import threading

import pytest

from learning_machine.deadline import awithin, within


def test_given_work_in_time_then_its_answer_or_its_error_is_given() -> None:
    def fail() -> None:
        raise LookupError("here")

    assert within(5.0, lambda: 7) == 7
    assert asyncio.run(awithin(5.0, lambda: 7)) == 7
    with pytest.raises(LookupError, match="here"):
        within(5.0, fail)


def test_given_work_that_is_late_then_it_is_left_to_itself() -> None:
    ended, let_go = threading.Event(), threading.Event()

    def work() -> None:
        let_go.wait(60)
        ended.set()

    with pytest.raises(TimeoutError):
        within(0.05, work)
    with pytest.raises(TimeoutError):
        asyncio.run(awithin(0.05, work))
    assert not ended.is_set()

    let_go.set()
    assert ended.wait(30)


async def test_given_work_that_takes_long_then_the_loop_goes_on() -> None:
    turns, let_go = 0, threading.Event()
    task = asyncio.create_task(awithin(30.0, lambda: let_go.wait(60)))
    while turns < 100:
        await asyncio.sleep(0)
        turns += 1
    let_go.set()

    assert await task


def test_given_no_thread_to_be_had_then_the_work_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert within(1.0, lambda: 7) == 7
