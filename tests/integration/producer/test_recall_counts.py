"""What recall shows is counted for the curator, aside from any agent's turn."""

import logging
from typing import Any

import pytest

from harness import eventually, rows
from learning_machine.recall_counts import RecallCounts
from learning_stores.database import Database

BY = "ann@acme.example"


def test_given_recalls_when_enough_are_sampled_then_the_counts_are_written_and_add_up(
    place: Any, app_db: Database, everything_db: Database
) -> None:
    with place.machine(user_profile=True) as machine:
        kept = [machine.add(memory, user_id="alice", by=BY).id for memory in ("Likes tea", "Plays chess")]
    counts = RecallCounts(app_db, sample=2, write_seconds=0)
    found = "SELECT learning_id, recalled FROM learning.recall_count ORDER BY learning_id"
    for expected in (2, 4):
        counts.note("default", kept)  # the first of two is not counted
        assert [row["recalled"] for row in rows(everything_db, found)] != [expected, expected]
        counts.note("default", kept)
        eventually(
            lambda expected=expected: [row["recalled"] for row in rows(everything_db, found)] == [expected, expected],
            "the counts are written",
        )
        eventually(lambda: not counts._writing, "the thread is done")


def test_given_a_learning_that_is_gone_or_another_tenants_when_counted_then_it_is_left_out(
    place: Any, app_db: Database, everything_db: Database
) -> None:
    with place.machine(user_profile=True) as machine:
        kept = machine.add("Likes tea", user_id="alice", by=BY).id
    counts = RecallCounts(app_db, sample=1, write_seconds=0)
    counts.note("other", [kept])
    eventually(lambda: not counts._writing, "the thread is done")
    assert rows(everything_db, "SELECT FROM learning.recall_count") == []


def test_given_a_database_that_is_away_when_counts_are_due_then_nobody_notices_but_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from learning_schemas.ids import uuid7

    with Database("postgresql://nobody@127.0.0.1:1/none", connect_seconds=2) as away:
        counts = RecallCounts(away, sample=1, write_seconds=0)
        with caplog.at_level(logging.INFO, logger="learning_machine"):
            counts.note("default", [uuid7()])
            eventually(lambda: not counts._writing, "the thread is done")
    assert "is not written this time (OperationalError)" in caplog.text


def test_given_no_thread_to_be_had_when_counts_are_due_then_the_turn_goes_on(
    app_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from learning_schemas.ids import uuid7

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    counts = RecallCounts(app_db, sample=1, write_seconds=0)
    counts.note("default", [uuid7()])
    assert not counts._writing


def test_given_a_machine_when_it_recalls_then_what_it_showed_is_noted(place: Any) -> None:
    with place.machine(user_profile=True) as machine:
        kept = machine.add("Likes tea", user_id="alice", by=BY).id
        for _ in range(4):
            machine.recall(user_id="alice")
        assert machine._counts._kept == {"default": {kept: 4}}
