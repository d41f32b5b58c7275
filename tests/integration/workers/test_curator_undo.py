"""Undoing what the curator did after more was said: what counts is what still stands, in whichever order things are undone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness import Place, rows
from integration.stores.past import Past, at, says
from integration.stores.steps import put
from integration.workers.curating import Curating
from learning_schemas.spec import MachineSpec, Prune, StoreSpec
from learning_stores.database import Database
from learning_stores.operations import Retire
from learning_stores.undo import of_run

TEA, TEA_TOO, COFFEE = "Likes tea, a lot", "Likes tea a lot", "Likes coffee now"


@pytest.fixture
def curating(place: Place, everything_db: Database) -> Iterator[Curating]:
    curating = Curating(place, everything_db)
    yield curating
    curating.close()


@pytest.fixture
def past(app_db: Database, dispatcher_db: Database, everything_db: Database) -> Past:
    return Past(app_db, dispatcher_db, everything_db)


def undo_run(past: Past, run: Any) -> list[Any]:
    found = past.app_db.run("default", of_run, "default", run.id)
    return [past.undo(each.id) for each in found]


def merged(past: Past, curating: Curating) -> tuple[Any, Any]:
    """Two statements of one thing made one: the run, and the one that stays."""
    past.hear(says(TEA), occurred_at=at(0))
    past.hear(says(TEA_TOO), occurred_at=at(1))
    done = curating.run("deduplicate", "user_profile")
    assert past.live() == [TEA_TOO]
    return done, past.row(TEA_TOO)["id"]


def evidence_of(past: Past, content: str) -> int:
    """How many pieces of evidence the live row of this content has."""
    found = rows(
        past.everything_db,
        "SELECT FROM learning.evidence v JOIN learning.learning l ON l.tenant = v.tenant AND l.id = v.learning_id "
        "WHERE l.content = :c AND l.status = 'active' AND v.withdrawn_at IS NULL",
        c=content,
    )
    return len(found)


def test_given_a_merge_whose_survivor_was_replaced_when_both_are_undone_the_newer_first_then_both_are_back_as_they_were(
    past: Past, curating: Curating
) -> None:
    done, stays = merged(past, curating)
    newer = past.hear(lambda w: [put(w, COFFEE, replaces=stays)], occurred_at=at(2))
    past.undo(newer)
    assert past.live() == [TEA_TOO]
    (undone,) = undo_run(past, done)
    assert (len(undone.withdrawn.restored), undone.withdrawn.left) == (1, ())
    assert past.live() == sorted([TEA, TEA_TOO])
    assert (evidence_of(past, TEA), evidence_of(past, TEA_TOO)) == (1, 1)
    past.check()


def test_given_a_merge_whose_survivor_was_replaced_when_both_are_undone_the_merge_first_then_both_are_back_as_they_were(
    past: Past, curating: Curating
) -> None:
    done, stays = merged(past, curating)
    newer = past.hear(lambda w: [put(w, COFFEE, replaces=stays)], occurred_at=at(2))
    (undone,) = undo_run(past, done)
    assert len(undone.withdrawn.left) == 1
    assert past.live() == [COFFEE]
    past.undo(newer)
    assert past.live() == sorted([TEA, TEA_TOO])
    assert (evidence_of(past, TEA), evidence_of(past, TEA_TOO)) == (1, 1)
    past.check()


def test_given_a_survivor_that_was_taken_back_when_the_merge_is_undone_and_then_those_words_then_both_are_back(
    past: Past, curating: Curating
) -> None:
    done, stays = merged(past, curating)
    words = past.hear(lambda w: [Retire(learning_id=stays, citations=put(w, "x").citations)], occurred_at=at(2))
    assert past.live() == []
    (undone,) = undo_run(past, done)
    assert [chain.learning_id for chain in undone.withdrawn.left] == [past.row(TEA)["id"]]
    assert past.live() == []  # what its user took back is not brought back by undoing a merge
    past.undo(words)
    assert past.live() == sorted([TEA, TEA_TOO])
    past.check()


def test_given_what_came_back_and_was_taken_back_since_when_something_older_is_undone_then_it_stays_gone(
    past: Past, curating: Curating
) -> None:
    done, stays = merged(past, curating)
    undo_run(past, done)
    apart = past.row(TEA)["id"]
    past.hear(lambda w: [Retire(learning_id=apart, citations=put(w, "x").citations)], occurred_at=at(2))
    newer = past.hear(lambda w: [put(w, COFFEE, replaces=stays)], occurred_at=at(3))
    past.undo(newer)
    assert past.live() == [TEA_TOO]
    past.check()


def test_given_two_merges_in_a_row_when_undone_then_every_statement_is_back_with_its_own_evidence(
    past: Past, curating: Curating
) -> None:
    first, _ = merged(past, curating)
    past.hear(says("likes tea; a lot!"), occurred_at=at(2))
    second = curating.run("deduplicate", "user_profile")
    assert past.live() == ["likes tea; a lot!"]
    assert evidence_of(past, "likes tea; a lot!") == 3
    for run in (second, first):
        undo_run(past, run)
    assert past.live() == sorted([TEA, TEA_TOO, "likes tea; a lot!"])
    assert [evidence_of(past, content) for content in past.live()] == [1, 1, 1]
    past.check()


def test_given_a_merge_when_the_survivor_is_said_again_and_the_merge_undone_then_what_was_said_again_stays_with_it(
    past: Past, curating: Curating
) -> None:
    done, _ = merged(past, curating)
    past.hear(says(TEA_TOO), occurred_at=at(2))
    assert evidence_of(past, TEA_TOO) == 3
    undo_run(past, done)
    assert (evidence_of(past, TEA), evidence_of(past, TEA_TOO)) == (1, 2)
    past.check()


def test_given_something_pruned_that_was_said_again_when_undone_then_it_is_there_once(
    past: Past, curating: Curating
) -> None:
    spec = MachineSpec(stores={"user_profile": StoreSpec(scope="user", debounce=0, prune=Prune(min_confidence=0.7))})
    past.hear(says("Likes tea"), spec=spec)
    curating.change("UPDATE learning.learning SET confidence = 0.1")
    done = curating.run("prune", "user_profile")
    assert past.live() == []
    past.hear(says("Likes tea"), spec=spec)
    undo_run(past, done)
    assert past.live() == ["Likes tea"]
    past.check()


def test_given_something_that_expired_when_undone_then_it_is_back_with_its_end_and_the_next_run_ends_it_again(
    past: Past, curating: Curating
) -> None:
    past.hear(says("Is on leave"))
    ended = datetime.now(UTC) - timedelta(days=1)
    curating.change("UPDATE learning.learning SET valid_from = :e - interval '1 day', valid_to = :e", e=ended)
    done = curating.run("prune", "user_profile")
    assert done.report == {"expired": 1}
    undo_run(past, done)
    assert past.live() == ["Is on leave"]
    assert past.row("Is on leave")["valid_to"] == ended
    assert curating.run("prune", "user_profile").report == {"expired": 1}
    past.check()


def test_given_a_merge_when_an_event_behind_it_is_replayed_then_nothing_stands_on_it_twice_and_undo_still_restores(
    past: Past, curating: Curating
) -> None:
    done, _ = merged(past, curating)
    (event, *_) = rows(past.everything_db, "SELECT id FROM learning.conversation_event ORDER BY accepted_no")
    (replayed,) = past.replay(event_id=event["id"])
    assert replayed.deliveries == 1
    past.extract(says(TEA))
    assert past.live() == sorted([TEA, TEA_TOO])
    past.check()
    undo_run(past, done)
    assert past.live() == sorted([TEA, TEA_TOO])
    assert (evidence_of(past, TEA), evidence_of(past, TEA_TOO)) == (1, 1)
    past.check()
