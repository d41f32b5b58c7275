"""What a patch does to the learnings: evidence or a row, superseding, late evidence, retiring, and what stays queryable."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from harness import event, rows, turn
from integration.stores.steps import (
    BOTH_AT_ONCE,
    PROFILE_ONLY,
    citation,
    claim,
    field,
    mailbox_id,
    put,
    take_in,
    window_of,
    work,
)
from learning_schemas.ids import uuid7
from learning_stores import row_locks
from learning_stores.applying import apply
from learning_stores.database import Database
from learning_stores.learning_rows import Raced
from learning_stores.operations import Citation, Provenance, Put, Retire, live_learnings
from learning_stores.place import Place

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


class Scene:
    """One user's profile, to which patches are applied one after the other."""

    def __init__(self, app_db: Database, dispatcher_db: Database, everything_db: Database) -> None:
        self.app, self.dispatcher, self.everything = app_db, dispatcher_db, everything_db

    def apply(self, *operations: Any, said_at: datetime | None = None, store: str = "user_profile") -> Counter[str]:
        """Commit a window of a new event with these operations; each is a function of the window."""
        words = turn(f"I work at Netflix. {uuid7()}")
        take_in(self.dispatcher, event(messages=words, occurred_at=said_at or datetime.now(UTC)), spec=BOTH_AT_ONCE)
        held = claim(self.app, mailbox_id(self.everything, store))
        window = window_of(self.app, held)
        return work(self.app, held, *(operation(window) for operation in operations), window=window).changes

    def learnings(self, status: str = "active") -> list[dict[str, Any]]:
        """Rows of a status, in the order in which they were made."""
        query = "SELECT * FROM learning.learning WHERE status = :status ORDER BY live_from, id"
        return rows(self.everything, query, status=status)

    def evidence(self, learning_id: UUID) -> list[dict[str, Any]]:
        """A learning's evidence."""
        return rows(self.everything, "SELECT * FROM learning.evidence WHERE learning_id = :id", id=learning_id)


@pytest.fixture
def scene(app_db: Database, dispatcher_db: Database, everything_db: Database) -> Scene:
    """An empty profile."""
    return Scene(app_db, dispatcher_db, everything_db)


def test_given_a_statement_when_it_is_said_again_then_there_is_more_evidence_and_no_second_row(scene: Scene) -> None:
    assert scene.apply(lambda w: put(w, "Works at Netflix")) == {"added": 1}
    # The same, as another answer of the model may write it.
    assert scene.apply(lambda w: put(w, "works at  netflix.")) == {"confirmed": 1}
    (learning,) = scene.learnings()
    assert learning["content"] == "Works at Netflix"
    assert len(scene.evidence(learning["id"])) == 2
    assert scene.learnings("retired") == []


def test_given_one_message_cited_twice_for_a_learning_when_applied_then_it_is_evidence_once(scene: Scene) -> None:
    scene.apply(lambda w: put(w, "Works at Netflix", citations=(citation(w), citation(w))))
    (learning,) = scene.learnings()
    (evidence,) = scene.evidence(learning["id"])
    assert (evidence["quote"], evidence["user_id"], evidence["origin"]) == ("I work at Netflix.", "alice", "extraction")


def test_given_a_field_when_a_new_value_is_said_then_the_old_row_says_until_when_and_what_replaced_it(
    scene: Scene,
) -> None:
    first, second = datetime.now(UTC) - timedelta(days=2), datetime.now(UTC) - timedelta(days=1)
    scene.apply(lambda w: field(w, "name", "Alex"), said_at=first)
    assert scene.apply(lambda w: field(w, "name", "Alexandra"), said_at=second) == {"updated": 1}
    (old,), (new,) = scene.learnings("retired"), scene.learnings()
    assert new["data"] == {"name": "name", "value": "Alexandra"}
    assert (old["valid_from"], old["valid_to"]) == (first, second)
    assert new["valid_from"] == second
    assert (old["replaced_by"], old["retired_reason"], old["retired_by"]) == (new["id"], "superseded", new["made_by"])
    assert old["live_from"] < old["retired_at"] == new["live_from"]
    assert new["retired_at"] is None


def test_given_a_field_when_an_older_value_arrives_late_then_it_enters_as_history(scene: Scene) -> None:
    now = datetime.now(UTC)
    scene.apply(lambda w: field(w, "name", "Alexandra"), said_at=now)
    assert scene.apply(lambda w: field(w, "name", "Alex"), said_at=LONG_AGO) == {"history": 1}
    (live,), (late,) = scene.learnings(), scene.learnings("retired")
    assert live["data"]["value"] == "Alexandra"
    assert (late["data"]["value"], late["valid_from"], late["valid_to"]) == ("Alex", LONG_AGO, now)
    assert (late["replaced_by"], late["retired_reason"]) == (live["id"], "late")
    assert late["live_from"] == late["retired_at"]
    assert len(scene.evidence(late["id"])) == 1


def test_given_a_memory_when_it_is_updated_then_the_new_statement_replaces_it(scene: Scene) -> None:
    scene.apply(lambda w: put(w, "Lives in Berlin"))
    (berlin,) = scene.learnings()
    assert scene.apply(lambda w: put(w, "Lives in Paris", replaces=berlin["id"])) == {"updated": 1}
    (paris,), (old,) = scene.learnings(), scene.learnings("retired")
    assert (old["id"], old["replaced_by"]) == (berlin["id"], paris["id"])


def test_given_an_update_to_what_is_known_already_when_applied_then_one_of_the_two_stays(scene: Scene) -> None:
    scene.apply(lambda w: put(w, "Lives in Berlin"), lambda w: put(w, "Lives in Paris"))
    berlin, paris = sorted(scene.learnings(), key=lambda row: str(row["content"]))
    changes = scene.apply(lambda w: put(w, "Lives in Paris", replaces=berlin["id"]))
    assert changes == {"confirmed": 1, "retired": 1}
    assert [row["content"] for row in scene.learnings()] == ["Lives in Paris"]
    (old,) = scene.learnings("retired")
    assert (old["id"], old["replaced_by"]) == (berlin["id"], paris["id"])
    assert len(scene.evidence(paris["id"])) == 2


def test_given_an_update_of_what_was_replaced_meanwhile_when_applied_then_its_successor_is_replaced(
    scene: Scene,
) -> None:
    scene.apply(lambda w: put(w, "Lives in Berlin"))
    (berlin,) = scene.learnings()
    scene.apply(lambda w: put(w, "Lives in Paris", replaces=berlin["id"]))
    scene.apply(lambda w: put(w, "Lives in Rome", replaces=berlin["id"]))
    assert [row["content"] for row in scene.learnings()] == ["Lives in Rome"]
    assert len(scene.learnings("retired")) == 2


def test_given_a_memory_when_it_is_retracted_then_it_is_retired_with_the_evidence_for_that(scene: Scene) -> None:
    scene.apply(lambda w: put(w, "Is vegetarian"))
    (learning,) = scene.learnings()
    changes = scene.apply(lambda w: Retire(learning_id=learning["id"], citations=(citation(w),)))
    assert changes == {"retired": 1}
    (gone,) = scene.learnings("retired")
    assert (gone["retired_reason"], gone["replaced_by"]) == ("retracted", None)
    assert len(scene.evidence(gone["id"])) == 2
    assert scene.apply(lambda w: Retire(learning_id=learning["id"], citations=(citation(w),))) == {"already gone": 1}


def test_given_a_memory_when_an_older_retraction_arrives_late_then_it_stays(scene: Scene) -> None:
    scene.apply(lambda w: put(w, "Is vegetarian"))
    (learning,) = scene.learnings()
    changes = scene.apply(lambda w: Retire(learning_id=learning["id"], citations=(citation(w),)), said_at=LONG_AGO)
    assert changes == {"late": 1}
    assert len(scene.learnings()) == 1


def test_given_a_session_context_when_the_next_one_comes_then_it_replaces_it_and_null_keeps(scene: Scene) -> None:
    def part(kind: str, content: str, **data: Any) -> Any:
        return lambda w: put(w, content, kind=kind, key=kind, data=data)

    scene.apply(
        part("summary", "Wants a flight."), part("plan", "1. search", steps=["search"]), store="session_context"
    )
    changes = scene.apply(part("summary", "Wants a flight to Rome."), store="session_context")
    assert changes == {"updated": 1}
    live = {row["kind"]: row["content"] for row in scene.learnings()}
    assert live == {"summary": "Wants a flight to Rome.", "plan": "1. search"}
    assert [row["kind"] for row in scene.learnings("retired")] == ["summary"]
    assert {row["scope"] for row in scene.learnings()} == {"session/alice/s1"}


def test_given_a_late_event_when_its_session_context_comes_then_the_newer_one_stays(scene: Scene) -> None:
    scene.apply(lambda w: put(w, "New.", kind="summary", key="summary"), store="session_context")
    changes = scene.apply(
        lambda w: put(w, "Old.", kind="summary", key="summary"), said_at=LONG_AGO, store="session_context"
    )
    assert changes == {"history": 1}
    assert [row["content"] for row in scene.learnings()] == ["New."]


def test_given_many_changes_of_a_field_when_asked_what_was_held_at_any_moment_then_there_is_one_answer(
    scene: Scene,
) -> None:
    for name in ("Alex", "Alexandra", "Lex", "Alex", "Sasha"):
        scene.apply(lambda w, name=name: field(w, "name", name))
    moments = rows(scene.everything, "SELECT live_from FROM learning.learning ORDER BY 1")
    held = """
        SELECT count(*) AS n FROM learning.learning
        WHERE live_from <= :moment AND (retired_at IS NULL OR retired_at > :moment)"""
    assert len(moments) == 5
    assert [rows(scene.everything, held, moment=row["live_from"])[0]["n"] for row in moments] == [1] * 5
    assert rows(scene.everything, "SELECT FROM learning.learning WHERE retired_at < live_from") == []


def test_given_a_patch_that_states_one_field_twice_when_applied_then_the_last_holds(scene: Scene) -> None:
    assert scene.apply(lambda w: field(w, "name", "Alex"), lambda w: field(w, "name", "Sasha")) == {
        "added": 1,
        "updated": 1,
    }
    assert [row["data"]["value"] for row in scene.learnings()] == ["Sasha"]


def test_given_two_writers_of_an_equal_statement_when_both_commit_then_the_second_runs_its_patch_again(
    app_db: Database, everything_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a mailbox between them, and of a version that does not lock the keys of what it states."""
    monkeypatch.setattr(row_locks, "lock_keys", lambda *_: None)
    place = Place(tenant="default", store="user_profile", scope="user/alice", user_id="alice")
    source = Provenance(place=place, made_by=uuid7())
    said = Citation(event_id=uuid7(), message=0, quote="I like tea a lot", user_id="alice", occurred_at=LONG_AGO)
    other = Citation(event_id=uuid7(), message=0, quote="I like tea a lot", user_id="alice", occurred_at=LONG_AGO)

    def likes_tea(cited: Citation) -> list[Put]:
        return [Put(kind="memory", content="Likes tea", content_key="tea", citations=(cited,))]

    with app_db.transaction("default") as first:
        apply(first, source, likes_tea(said))
        with app_db.transaction("default") as second:
            assert live_learnings(second, "default", "user_profile", "user/alice") == []
            # What the second would do after its locks: insert, and wait for the first.
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(1) as pool:
                trying = pool.submit(apply, second, source, likes_tea(other))
                _wait_until_blocked(everything_db)
                first.commit()
                with pytest.raises(Raced):
                    trying.result()
            second.rollback()
    assert app_db.run("default", apply, source, likes_tea(other)).changes == {"confirmed": 1}
    (learning,) = rows(everything_db, "SELECT id FROM learning.learning")
    assert len(rows(everything_db, "SELECT FROM learning.evidence WHERE learning_id = :id", id=learning["id"])) == 2


def _wait_until_blocked(everything_db: Database) -> None:
    from harness import eventually

    blocked = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    eventually(lambda: rows(everything_db, blocked), "a writer that waits for another")


def test_given_a_model_that_answers_with_nul_and_lone_surrogates_when_grounded_then_postgres_takes_it(
    scene: Scene,
) -> None:
    from learning_schemas.spec import StoreSpec
    from learning_stores.registry import installed

    store = installed()["user_profile"]
    spec = StoreSpec(scope="user")

    def operation(window: Any) -> Put:
        label = next(message.label for message in window.messages if message.role == "user")
        patch = store.patch_model(spec).model_validate(
            {
                "fields": {
                    "name": {"value": "Al\x00ex\ud800", "message": label, "quote": "I work at Netflix."},
                    "preferred_name": None,
                },
                "add": [],
                "update": [],
                "retract": [],
            }
        )
        (found,) = store.operations(patch, window, {}, spec).kept
        assert isinstance(found, Put)
        return found

    assert scene.apply(operation) == {"added": 1}
    assert scene.learnings()[0]["data"]["value"] == "Alex"


def test_given_a_committed_window_when_its_deliveries_are_read_then_each_says_what_came_of_it(scene: Scene) -> None:
    quiet, telling = event(messages=turn("Hello there!")), event(messages=turn("I work at Netflix."))
    take_in(scene.dispatcher, quiet, telling, spec=PROFILE_ONLY)
    held = claim(scene.app, mailbox_id(scene.everything))
    window = window_of(scene.app, held)
    committed = work(scene.app, held, put(window, "Works at Netflix", citations=(citation(window, 1),)), window=window)
    assert (committed.outcome, committed.go_on) == ("extracted", False)
    states = {row["event_id"]: row for row in rows(scene.everything, "SELECT * FROM learning.delivery")}
    assert (states[quiet.id]["state"], states[telling.id]["state"]) == ("nothing_found", "extracted")
    assert {row["attempts"] for row in states.values()} == {1}
    (made,) = rows(scene.everything, "SELECT * FROM learning.extraction")
    assert {row["extraction_id"] for row in states.values()} == {made["id"]}
    assert (made["events"], made["outcome"], made["changes"]) == (2, "extracted", {"added": 1})
    assert rows(scene.everything, "SELECT FROM learning.mailbox") == []
