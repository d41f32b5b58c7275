"""What a worker holds while the model thinks: a lease that is kept alive, and nothing of the database."""

import threading
from typing import Any

import pytest

from harness import eventually, rows
from learning_stores.mailbox import Claim, claim
from learning_workers import heartbeat
from scripted_model import Answer, Asked, ScriptedModel, repeat

TEA, COFFEE = "I love green tea.", "I love black coffee."


def test_given_a_model_call_when_it_runs_then_the_worker_holds_no_connection_and_no_transaction(
    desk: Any, scripted: ScriptedModel
) -> None:
    desk.say(TEA, COFFEE)
    seen: list[tuple[int, list[dict[str, Any]]]] = []

    def answer(asked: Asked) -> Answer:
        busy = rows(
            desk.everything_db,
            "SELECT state, query FROM pg_stat_activity WHERE datname = current_database() AND usename = 'learning_app' "
            "AND state <> 'idle'",
        )
        seen.append((desk.app_db.engine.pool.checkedout(), busy))
        return Answer(text="nonsense") if asked.number < 3 else repeat(asked)

    scripted.answer = answer
    desk.work()

    assert seen == [(0, [])] * 4  # asked again, and then for each event


def test_given_a_call_longer_than_the_lease_when_heartbeats_run_then_the_mailbox_stays_ours(
    desk: Any, scripted: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.05)
    [tea] = desk.say(TEA)
    left = "SELECT extract(epoch FROM lease_until - clock_timestamp()) AS seconds FROM learning.mailbox"

    def answer(asked: Asked) -> Answer:
        for _ in range(3):
            desk.change("UPDATE learning.mailbox SET lease_until = clock_timestamp() + interval '9 s'")
            eventually(lambda: rows(desk.everything_db, left)[0]["seconds"] > 10, "the lease is extended")
        return repeat(asked)

    scripted.answer = answer
    assert desk.work().outcome == "extracted"
    assert desk.deliveries() == {tea: ("extracted", None, 1)}


def test_given_a_lease_that_ran_out_when_another_has_the_mailbox_then_neither_heartbeat_nor_wait_nor_commit_touches_it(
    desk: Any, scripted: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.02)
    desk.say(TEA)
    taken: list[Claim] = []

    def answer(asked: Asked) -> Answer:
        desk.change("UPDATE learning.mailbox SET lease_until = clock_timestamp() - interval '1 s'")
        other = desk.app_db.run("default", claim, "default", desk.mailbox()["id"], "another")
        assert isinstance(other, Claim)
        taken.append(other)
        return Answer(status=429, headers={"Retry-After": "600"}) if asked.number == 1 else repeat(asked)

    scripted.answer = answer
    waiting = desk.work()
    after_wait = desk.mailbox()
    desk.pauses_over()
    desk.change("UPDATE learning.mailbox SET lease_until = clock_timestamp() - interval '1 s'")
    fenced = desk.work()

    assert waiting.outcome == "waiting"
    assert (after_wait["owner"], after_wait["token"], after_wait["not_before"]) == ("another", taken[0].token, None)
    assert fenced.as_result() == {"outcome": "fenced", "reason": "another worker holds the mailbox"}
    assert desk.mailbox()["token"] == taken[1].token
    assert rows(desk.everything_db, "SELECT * FROM learning.extraction") == []
    assert desk.memories() == set()


def test_given_a_delivery_that_was_settled_meanwhile_when_committed_then_nothing_of_the_window_is_written(
    desk: Any, scripted: ScriptedModel
) -> None:
    tea, coffee = desk.say(TEA, COFFEE)

    def answer(asked: Asked) -> Answer:
        if asked.number == 1:
            desk.change(
                "UPDATE learning.delivery SET state = 'skipped', settled_at = now() WHERE event_id = :id", id=coffee
            )
        return repeat(asked)

    scripted.answer = answer
    report = desk.work()

    assert (report.outcome, desk.memories()) == ("fenced", set())
    desk.work_off()
    assert desk.memories() == {TEA}
    assert desk.deliveries()[tea] == ("extracted", None, 1)


def test_given_a_worker_that_is_told_to_end_when_its_window_is_done_then_it_gives_the_rest_back_at_once(
    desk: Any, scripted: ScriptedModel
) -> None:
    desk.say(*[f"I love the number {number}." for number in range(80)])  # more than one window
    stopping = threading.Event()

    def answer(asked: Asked) -> Answer:
        stopping.set()
        return repeat(asked)

    scripted.answer = answer
    mailbox = desk.mailbox()
    report = desk.extractor().work("default", mailbox["id"], stopping.is_set)

    assert report.windows == 1
    left = desk.mailbox()
    assert (left["owner"], left["lease_until"], left["claims"]) == (None, None, 0)
    [ready] = rows(desk.everything_db, "SELECT ready_at <= now() AS now FROM learning.mailbox")
    assert ready == {"now": True}
    desk.work_off()
    assert len(desk.memories()) == 80


def test_given_a_schema_that_nobody_can_use_when_worked_on_then_its_event_is_dead_and_the_mailbox_goes_on(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    [tea] = desk.say(TEA)
    with monkeypatch.context() as patched:
        patched.setattr("learning_stores.user_profile.profile_patch_model", lambda spec: {}["no such key"])
        patched.setattr("learning_workers.answer_form._FORMS", {})

        report = desk.work()

    assert report.dead == [(tea, "unusable schema")]
    assert desk.deliveries() == {tea: ("dead", "unusable schema", 1)}
