"""Handing turns over: at once in a thread of the caller's, beside an event loop, and never lost by the end of either."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import agno.agent._init
import pytest

from learning_machine import ConfigurationError
from learning_machine.integrations.agno.attachment import install
from learning_machine.integrations.agno.conversation import Said
from learning_machine.integrations.agno.handover import Handover
from learning_machine.integrations.agno.place import url_of
from learning_machine.integrations.agno.turns import Turns
from learning_schemas.results import Recall

ALICE = ("alice", "s1")


@pytest.fixture
def handover() -> Iterator[Handover]:
    made = Handover()
    yield made
    made.close()


def test_given_no_event_loop_when_given_then_it_is_emitted_at_once_in_this_thread(handover: Handover) -> None:
    emitted: list[int] = []

    handover.give(ALICE, lambda: emitted.append(threading.get_ident()))

    assert emitted == [threading.get_ident()]


def test_given_an_event_loop_when_given_then_the_loop_goes_on_and_turns_keep_their_order(handover: Handover) -> None:
    emitted: list[int] = []
    go_on = threading.Event()

    async def run() -> bool:
        handover.give(ALICE, lambda: emitted.append(0) if go_on.wait(10) else None)
        for number in range(1, 5):
            handover.give(ALICE, lambda number=number: emitted.append(number))  # type: ignore[misc]  # a default binds it
        await asyncio.sleep(0)
        went_on = emitted == []
        go_on.set()
        await handover.aawait_before(ALICE, 10)
        return went_on

    assert asyncio.run(run())
    assert emitted == [0, 1, 2, 3, 4]


def test_given_what_waits_of_a_user_when_another_asks_then_only_the_same_user_or_session_waits(
    handover: Handover,
) -> None:
    go_on, emitted = threading.Event(), []

    async def run() -> None:
        handover.give(ALICE, lambda: go_on.wait(60) and emitted.append(1))
        await handover.aawait_before(("bob", "s2"), 60)
        assert emitted == []
        waiting = [asyncio.create_task(handover.aawait_before(owner, 60)) for owner in (("alice", "s9"), (None, "s1"))]
        assert not (await asyncio.wait(waiting, timeout=0.1))[0]
        go_on.set()
        await asyncio.gather(*waiting)

    asyncio.run(run())

    assert emitted == [1]


def test_given_many_that_wait_in_a_loop_when_its_threads_are_needed_then_they_are_free(handover: Handover) -> None:
    go_on = threading.Event()

    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
        handover.give(ALICE, lambda: go_on.wait(60) and None)
        waiting = [asyncio.create_task(handover.aawait_before(ALICE, 60)) for _ in range(3)]
        await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await asyncio.to_thread(go_on.set)
        await asyncio.gather(*waiting)

    asyncio.run(run())


def test_given_a_turn_that_is_not_emitted_yet_when_recalled_then_waiting_and_recall_share_one_deadline() -> None:
    go_on = threading.Event()
    deadlines: list[float] = []

    class Slow:
        recall_deadline = 0.2
        spec = SimpleNamespace(stores={"user_profile"})

        def emit(self, *_: Any, **__: Any) -> None:
            go_on.wait(60)

        def recall(self, *_: Any, deadline: float, **__: Any) -> Recall:
            deadlines.append(deadline)
            return Recall()

        async def arecall(self, *_: Any, deadline: float, **__: Any) -> Recall:
            return self.recall(deadline=deadline)

    slow: Any = Slow()
    turns = Turns(lambda: slow)

    async def run() -> None:
        ids = {"user_id": "alice", "session_id": "s1"}
        turns.give(Said(messages=[{"role": "user", "content": "Hello."}], history="delta"), **ids)
        await turns.arecall("alice", "s1", None)
        await asyncio.to_thread(turns.recall, "alice", "s1", None)
        go_on.set()

    asyncio.run(run())
    turns.close()

    assert len(deadlines) == 2
    assert all(0 < deadline <= 0.1 for deadline in deadlines)


def test_given_a_program_that_ends_right_after_its_run_then_what_was_handed_over_is_emitted() -> None:
    code = (
        "import asyncio, time\n"
        "from learning_machine.integrations.agno.handover import Handover\n"
        "async def run():\n"
        "    Handover().give(('alice', 's1'), lambda: (time.sleep(0.3), print('emitted', flush=True)))\n"
        "asyncio.run(run())\n"
        "print('ended', flush=True)"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.split() == ["ended", "emitted"]


def test_given_a_fork_when_the_child_gives_then_it_emits_itself_and_waits_for_nothing_of_the_parents(
    handover: Handover,
) -> None:
    go_on = threading.Event()

    async def of_parent() -> None:
        handover.give(ALICE, lambda: go_on.wait(10) and None)

    asyncio.run(of_parent())
    code = os.fork()
    if code == 0:  # pragma: no cover - in the child
        emitted: list[int] = []

        async def of_child() -> None:
            waiting = handover.aawait_before(ALICE, 3600)
            await asyncio.wait_for(waiting, 30)
            handover.give(ALICE, lambda: emitted.append(1))
            await handover.aawait_before(ALICE, 30)

        asyncio.run(of_child())
        os._exit(0 if emitted == [1] else 1)
    _, status = os.waitpid(code, 0)
    go_on.set()

    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize(
    "driver", ["postgresql", "postgresql+psycopg", "postgresql+psycopg_async", "postgresql+asyncpg"]
)
def test_given_agnos_urls_then_the_driver_is_left_out(driver: str) -> None:
    assert url_of(SimpleNamespace(db_url=f"{driver}://u:p@h:5432/x")) == "postgresql://u:p@h:5432/x"


def test_given_another_database_then_it_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="db: names 'sqlite'"):
        url_of(SimpleNamespace(db_url="sqlite:///agno.db"))


def test_given_a_version_of_agno_that_is_not_known_when_installed_then_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(agno.agent._init, "set_learning_machine")

    with pytest.raises(ConfigurationError, match="has no set_learning_machine: this version is not known here"):
        install()


def test_given_it_is_installed_when_installed_again_then_nothing_is_wrapped_twice() -> None:
    before = agno.agent._init.set_learning_machine

    install()

    assert agno.agent._init.set_learning_machine is before
