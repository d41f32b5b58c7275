"""Recall's overlay and settle, with the intake and the stores behind them."""

import asyncio
import gc
from collections.abc import Callable

import pytest

from harness import Place, Processes, eventually, rows, turn
from learning_machine import (
    InvalidArgument,
    LearningMachine,
    RecallFailed,
    Receipt,
    SettleTimeout,
    UserProfileConfig,
)
from learning_ops.embedded import EmbeddedRedis
from learning_stores.database import Database


def test_given_one_loop_after_another_that_recalls_and_uses_a_tool_then_none_leaves_a_connection(
    place: Place, everything_db: Database
) -> None:
    machine = place.machine(user_profile=UserProfileConfig(mode="AGENTIC"), session_context=False)

    async def turn_of_an_agent() -> None:
        await machine.arecall(user_id="alice")
        (save, *_) = [tool for tool in machine.tools(user_id="alice") if tool.name == "save_memory"]
        await save.acall(memory="Likes tea")

    def connections() -> int:
        query = (
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND usename = 'learning_app'"
        )
        return int(rows(everything_db, query)[0]["n"])

    gc.disable()  # which would find what nobody closed, some time
    try:
        for _ in range(4):
            asyncio.run(turn_of_an_agent())
        # The one that stays is of no loop: it counts what was recalled.
        eventually(lambda: connections() <= 1, "every loop has given its connections back")
    finally:
        gc.enable()
    machine.close()


def test_given_no_dispatcher_and_no_worker_then_the_next_session_knows_what_was_said(place: Place) -> None:
    with place.machine() as machine:
        machine.emit(turn("I'm Alice, I work at Netflix."), user_id="alice", session_id="s1")

        recalled = machine.recall(user_id="alice", session_id="s2")

        assert [message.content for message in recalled.unprocessed] == ["I'm Alice, I work at Netflix."]
        assert "I'm Alice, I work at Netflix." in recalled.context
        assert recalled.pending == 1
        assert recalled.degraded is None


def test_given_other_users_and_tenants_then_none_sees_what_alice_said(place: Place) -> None:
    with place.machine(tenant="acme") as machine:
        machine.emit(turn("I'm Alice."), user_id="alice", session_id="s1")

        for view, user, session in (
            (machine, "bob", "s1"),
            (machine, None, "s1"),
            (machine.for_tenant("other"), "alice", "s1"),
            (machine.for_tenant("other"), None, "s1"),
        ):
            recalled = view.recall(user_id=user, session_id=session)
            assert recalled.context == ""
            assert recalled.unprocessed == ()
            assert recalled.pending == 0
        assert "Alice" in machine.recall(user_id="alice").context


def test_given_a_dispatcher_then_the_overlay_comes_from_the_log_once_and_not_twice(
    place: Place, processes: Processes
) -> None:
    processes.dispatcher()
    with place.machine() as machine:
        machine.emit(turn("I'm Alice."), user_id="alice", session_id="s1")

        def taken_in() -> bool:
            recalled = machine.recall(user_id="alice", session_id="s1")
            assert [message.content for message in recalled.unprocessed] == ["I'm Alice."]
            assert recalled.pending == 1
            return not machine._recent.of("default", "alice", "s1")

        assert eventually(taken_in, "the event is in the log and no longer kept here")
        with place.machine() as another:
            assert "I'm Alice." in another.recall(user_id="alice", session_id="s9").context


async def test_given_asyncio_then_recall_says_the_same(place: Place) -> None:
    async with place.machine() as machine:
        await machine.aemit(turn("I'm Alice."), user_id="alice", session_id="s1")

        recalled = await machine.arecall(user_id="alice", session_id="s2")
        assert recalled.context == machine.recall(user_id="alice", session_id="s2").context
        assert "I'm Alice." in recalled.context
        with pytest.raises(InvalidArgument):
            await machine.arecall()
        machine.close()


def test_given_no_postgres_then_recall_degrades_or_raises_as_it_was_asked(
    fragile: Callable[..., LearningMachine],
) -> None:
    machine = fragile(database_url="postgresql://app:pw@127.0.0.1:1/x")
    machine.emit(turn("I'm Alice."), user_id="alice", session_id="s1")

    recalled = machine.recall(user_id="alice", deadline=0.2)

    assert recalled.degraded
    assert recalled.learnings == ()
    assert "I'm Alice." in recalled.context
    with pytest.raises(RecallFailed, match="recall failed: "):
        machine.recall(user_id="alice", deadline=0.2, on_error="raise")


def test_given_nobody_at_work_then_settle_ends_in_time_with_what_is_known(place: Place, processes: Processes) -> None:
    with place.machine() as machine:
        receipt = machine.emit(turn("hi"), user_id="alice", session_id="s1")
        with pytest.raises(SettleTimeout, match="no delivery has appeared yet") as over:
            machine.settle(receipt, timeout=0.1)
        assert over.value.states == {}

        processes.dispatcher()

        def pending() -> bool:
            try:
                machine.settle(receipt, timeout=0)
            except SettleTimeout as waiting:
                return waiting.states == {"user_profile": "pending", "session_context": "pending"}
            return False

        assert eventually(pending, "both deliveries are there and pending")


def test_given_no_postgres_then_settle_waits_for_it_and_names_it_in_the_end(
    fragile: Callable[..., LearningMachine], own_redis: EmbeddedRedis
) -> None:
    machine = fragile(database_url="postgresql://app:pw@127.0.0.1:1/x")
    receipt = machine.emit(turn("hi"), user_id="alice", session_id="s1")

    async def asettle() -> None:
        await machine.asettle(receipt, timeout=0.1)

    for settle in (lambda: machine.settle(receipt, timeout=0.1), lambda: asyncio.run(asettle())):
        with pytest.raises(SettleTimeout) as over:
            settle()
        assert over.value.cause is not None
        assert "refused" in over.value.cause


def test_given_another_tenants_receipt_then_settle_refuses_it_and_that_tenants_machine_finds_it(
    place: Place, processes: Processes
) -> None:
    processes.dispatcher()
    with place.machine() as machine:
        acme = machine.for_tenant("acme")
        receipt: Receipt = acme.emit(turn("hi"), user_id="alice", session_id="s1")
        for ask in (
            lambda: machine.settle(receipt, timeout=0),
            lambda: machine.recall(user_id="alice", wait_for=receipt),
        ):
            with pytest.raises(InvalidArgument, match="another tenant"):
                ask()

        def found() -> bool:
            with pytest.raises(SettleTimeout) as over:
                acme.settle(receipt, timeout=0)
            return set(over.value.states) == {"user_profile", "session_context"}

        assert eventually(found, "the deliveries of the tenant acme are found")
