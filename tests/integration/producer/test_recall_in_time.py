"""Recall while Postgres, the embedding endpoint or both hang: within its deadline, with the cause, and never in the way."""

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from callback_times import callback_times
from embedding_doubles import DIMENSIONS, Hang, vectors
from harness import Place, asometimes, eventually, sometimes, turn
from learning_machine import InvalidArgument, LearningMachine, Recall
from learning_machine import query_embedding as embedding
from scripted_model import ScriptedModel
from tcp_proxy import TcpProxy

BY = "ann@acme.example"
DEADLINE = 0.5
TOLERANCE = 0.5
"""What a machine that is busy besides may take on top of a deadline: far less than the two seconds that any other wait has."""
CALLERS = 64
HELD = 0.05
"""CPU seconds of one callback: ten times what the benchmark recall_concurrency finds, and below any wait."""


@pytest.fixture
def proxy(place: Place) -> Iterator[TcpProxy]:
    """A way to the test's Postgres that can be stalled."""
    url = make_url(place.app_url)
    proxy = TcpProxy(url.host or "127.0.0.1", url.port or 5432)
    proxy.open()
    yield proxy
    proxy.cut()


@pytest.fixture
def scripted() -> Iterator[ScriptedModel]:
    """What embeds."""
    with ScriptedModel().running() as model:
        model.answer = vectors
        yield model


@pytest.fixture
def machine_of(place: Place, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes machines whose Postgres is behind the proxy."""
    made: list[LearningMachine] = []

    def make(embeds: ScriptedModel | None = None, **options: Any) -> LearningMachine:
        if embeds is not None:
            monkeypatch.setenv("LEARNING_EMBEDDING_MODEL", "m")
            monkeypatch.setenv("LEARNING_EMBEDDING_BASE_URL", embeds.url)
            monkeypatch.setenv("LEARNING_EMBEDDING_DIMENSIONS", str(DIMENSIONS))
        url = make_url(place.app_url).set(host="127.0.0.1", port=proxy.port)
        through = url.render_as_string(hide_password=False)
        made.append(LearningMachine(database_url=through, redis_url=place.redis_url, user_profile=True, **options))
        return made[-1]

    yield make
    proxy.go_on()
    for machine in made:
        machine.close()


def _warm(machine: LearningMachine) -> None:
    """Recall until the SDK is there."""

    def embedded() -> int:
        machine.recall("warm", user_id="nobody", deadline=30)
        assert machine._embedder is not None
        return machine._embedder.counts.embedded

    eventually(embedded, "a query is embedded")


async def test_given_postgres_and_the_endpoint_hang_when_64_recall_at_once_then_all_are_back_in_time_and_the_loop_is_free(
    machine_of: Callable[..., LearningMachine],
    proxy: TcpProxy,
    scripted: ScriptedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedding, "FAILURES_BEFORE_REST", 10**9)  # each is to be asked
    machine = machine_of(scripted)
    await asyncio.to_thread(_warm, machine)
    causes = ("ServerSilent: the server did not answer in time", "no free connection within")

    async def in_time_and_free() -> bool:
        assert (await machine.arecall(user_id="alice", deadline=30)).degraded is None
        scripted.answer = hang = Hang()
        proxy.stall()
        try:
            began = time.monotonic()
            with callback_times() as times:
                found = await asyncio.gather(
                    *(
                        machine.arecall(f"Where is key {each}?", user_id="alice", deadline=DEADLINE)
                        for each in range(CALLERS)
                    )
                )
            took = time.monotonic() - began
        finally:
            hang.go.set()
            proxy.go_on()
        assert all(each.degraded is not None for each in found)
        assert any(each.degraded == causes[0] for each in found)
        assert all((each.degraded or "").startswith(causes) for each in found)
        assert len(times.seconds) > CALLERS
        return took < DEADLINE + TOLERANCE and times.longest[0] < HELD

    gc.collect()
    gc.freeze()  # a full collection of all that the tests imported is none of ours
    try:
        await asometimes(in_time_and_free, "all are back in time, and no callback has held the loop")
    finally:
        gc.unfreeze()
    await machine.aclose()


def test_given_an_endpoint_that_hangs_and_a_short_deadline_when_recalled_then_the_words_alone_answer_all_the_same(
    machine_of: Callable[..., LearningMachine], scripted: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARNING_EMBEDDING_DEADLINE", "30")  # it would take all there is
    machine = machine_of(scripted)
    machine.add("Likes tea", user_id="alice", by=BY)
    _warm(machine)
    scripted.answer = hang = Hang()
    try:
        found = machine.recall("tea", user_id="alice", deadline=5.0)
    finally:
        hang.go.set()
    assert hang.asked.is_set()
    assert found.degraded is None
    assert found.learnings[0].content == "Likes tea"


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("asynchronous", [True, False])
def test_given_postgres_hangs_when_a_receipt_is_waited_for_then_recall_is_back_in_time(
    machine_of: Callable[..., LearningMachine], proxy: TcpProxy, *, connected: bool, asynchronous: bool
) -> None:
    def in_time() -> bool:
        machine = machine_of()
        receipt = machine.emit(turn("I moved to Rome."), user_id="alice", session_id="s1")
        about = {"user_id": "alice", "wait_for": receipt}

        async def ask() -> tuple[Recall, float]:
            async with machine:
                if connected:
                    assert (await machine.arecall(**about, deadline=1.0)).degraded is None
                proxy.stall()
                began = time.monotonic()
                found = await machine.arecall(**about, deadline=DEADLINE)
                return found, time.monotonic() - began

        if asynchronous:
            found, took = asyncio.run(ask())
        else:
            if connected:
                assert machine.recall(**about, deadline=1.0).degraded is None
            proxy.stall()
            began = time.monotonic()
            found = machine.recall(**about, deadline=DEADLINE)
            took = time.monotonic() - began
        proxy.go_on()
        assert found.degraded is not None
        assert "Rome" in found.context
        return took < DEADLINE + TOLERANCE

    sometimes(in_time, f"it is back {DEADLINE} s later")


def test_given_another_tenants_receipt_when_recall_is_to_wait_for_it_then_the_remedy_is_named(
    machine_of: Callable[..., LearningMachine],
) -> None:
    machine = machine_of()
    receipt = machine.emit(turn("I moved to Rome."), user_id="alice", session_id="s1")
    with pytest.raises(InvalidArgument, match=r"^wait_for: is of an event of another tenant.*for_tenant"):
        machine.recall(user_id="alice", wait_for=replace(receipt, tenant="other"))


def test_given_a_silent_postgres_when_recalled_then_the_log_of_the_agent_says_nothing(
    machine_of: Callable[..., LearningMachine], proxy: TcpProxy, caplog: pytest.LogCaptureFixture
) -> None:
    machine = machine_of()
    assert machine.recall(user_id="alice", deadline=30).degraded is None
    proxy.stall()
    with caplog.at_level("WARNING"):
        assert machine.recall(user_id="alice", deadline=0.1).degraded is not None
        proxy.go_on()
        eventually(lambda: machine.recall(user_id="alice").degraded is None, "recall answers again")
    assert caplog.records == []


def test_given_an_event_loop_that_ends_while_recall_still_connects_then_the_process_ends_too(
    place: Place, proxy: TcpProxy
) -> None:
    script = """
import asyncio
from learning_stores.database import Database
from learning_stores.recall import Recaller, RecallRequest

request = RecallRequest(
    tenant="default", user_id="alice", session_id=None, stores=(), places=(), max_tokens=1_000, deadline=0.1
)

async def main():
    recaller = Recaller(Database(DATABASE_URL, connect_seconds=2))  # nobody closes it
    found = await asyncio.gather(*(recaller.arecall(request) for _ in range(6)))
    assert all(each.degraded for each in found)

asyncio.run(main())
"""
    proxy.stall()  # taken, and never greeted: every worker of the pool still connects when the loop ends
    url = make_url(place.app_url).set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    told = script.replace("DATABASE_URL", repr(url))
    subprocess.run([sys.executable, "-c", told], env=place.env, cwd=place.directory, check=True, timeout=30)


async def test_given_a_wrong_password_when_recalled_then_degraded_says_so_and_not_what_the_password_was(
    place: Place,
) -> None:
    wrong = make_url(place.app_url).set(password="not-the-one").render_as_string(hide_password=False)
    with LearningMachine(database_url=wrong, redis_url=place.redis_url, user_profile=True) as machine:
        asked = {"user_id": "alice", "deadline": 0.5}
        found = [machine.recall(**asked), await machine.arecall(**asked)]
        await machine.aclose()

    for each in found:
        assert each.degraded is not None
        assert each.degraded.startswith("no connection within 0.5 s: ")
        assert "password authentication failed" in each.degraded
        assert "not-the-one" not in each.degraded
