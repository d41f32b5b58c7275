"""Undoing: what an extraction gave goes, what it had replaced comes back, and what has moved on is told."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from harness import event, eventually, rows
from integration.stores.past import Past, at, place, says
from integration.stores.steps import citation, claim, extraction, field, mailbox_id, put, window_of, work
from learning_schemas.ids import uuid7
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.admission import AT_ONCE, Admission
from learning_stores.commit import Fenced, commit
from learning_stores.correction import retract, update
from learning_stores.database import Database
from learning_stores.learning_rows import copy_evidence
from learning_stores.operations import Citation, Confirm, EntityName, Put, Retire
from learning_stores.place import Place
from learning_stores.undo import Period as Chosen
from learning_stores.undo import chosen, named, rehearse
from learning_stores.wording import Terms, Wording
from learning_stores.writing import write

SESSIONS = MachineSpec(stores={"session_context": StoreSpec(scope="session", debounce=0)})


@pytest.fixture
def past(app_db: Database, dispatcher_db: Database, everything_db: Database) -> Past:
    return Past(app_db, dispatcher_db, everything_db)


def names(value: str) -> Any:
    return lambda window: [field(window, "name", value)]


def test_given_a_statement_of_one_extraction_when_it_is_undone_then_it_is_retired_and_its_event_skipped(
    past: Past,
) -> None:
    first = past.hear(says("Likes tea", "Likes rye"))
    undone = past.undo(first)
    assert (undone.done, len(undone.withdrawn.retired), undone.deliveries) == (True, 2, 1)
    assert past.live() == []
    assert past.row("Likes tea")["retired_reason"] == "undone"
    assert past.deliveries() == [("skipped", "undone", 1)]
    (change,) = rows(past.everything_db, "SELECT origin, action, by_whom FROM learning.change")
    assert change == {"origin": "human", "action": "undone", "by_whom": "ops"}
    past.check()
    again = past.undo(first)
    assert (again.done, again.source.undone_at is not None, again.deliveries) == (False, True, 0)
    assert len(rows(past.everything_db, "SELECT FROM learning.change")) == 1


def test_given_a_statement_that_two_extractions_support_when_one_is_undone_then_it_stays_on_the_other(
    past: Past,
) -> None:
    first, second = past.hear(says("Likes tea")), past.hear(says("Likes tea"))
    assert past.undo(first).withdrawn.retired == ()
    assert past.live() == ["Likes tea"]
    past.check()
    assert len(past.undo(second).withdrawn.retired) == 1
    assert past.live() == []
    past.check()


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2, 0), (1, 0, 2), (0, 1, 2), (0, 2, 1), (2, 0, 1)])
def test_given_a_chain_of_three_when_all_are_undone_in_any_order_then_each_step_shows_what_still_stands(
    past: Past, order: tuple[int, ...]
) -> None:
    values = ["Alex", "Bob", "Carol"]
    made = [past.hear(names(value), occurred_at=at(minute)) for minute, value in enumerate(values)]
    standing = set(range(3))
    for number in order:
        undone = past.undo(made[number])
        overtaken = number != max(standing)
        standing.discard(number)
        assert past.live() == [f"name: {values[number]}" for number in sorted(standing)[-1:]]
        assert bool(undone.withdrawn.left) is (overtaken and bool(standing))
        past.check()


def test_given_a_value_that_an_undo_brought_back_when_that_is_undone_too_then_the_one_before_comes_back(
    past: Past,
) -> None:
    first, second, third = (past.hear(names(value), occurred_at=at(n)) for n, value in enumerate("ABC"))
    (brought_back,) = past.undo(third).withdrawn.restored
    assert past.row("name: B")["id"] == brought_back
    (earlier,) = past.undo(second).withdrawn.restored
    assert past.row("name: A")["id"] == earlier
    assert past.live() == ["name: A"]
    past.hear(names("D"), occurred_at=at(5))
    undone = past.undo(first)
    assert past.live() == ["name: D"]
    assert undone.withdrawn.restored == ()
    past.check()


def test_given_what_ended_by_something_undone_when_it_is_said_again_then_it_is_live_and_no_history(past: Past) -> None:
    made = [past.hear(names(value), occurred_at=at(n)) for n, value in enumerate("ABC")]
    for each in reversed(made):
        past.undo(each)
    past.hear(names("A"), occurred_at=at(1))
    assert past.live() == ["name: A"]
    past.check()


def test_given_a_row_that_was_read_before_an_undo_brought_it_back_when_it_is_retracted_then_the_row_that_restores_it_ends(
    past: Past,
) -> None:
    past.hear(says("Likes tea"), occurred_at=at(0))
    read = past.row("Likes tea")["id"]
    taken = past.hear(lambda window: [Retire(learning_id=read, citations=(citation(window),))], occurred_at=at(1))
    past.undo(taken)
    past.hear(lambda window: [Retire(learning_id=read, citations=(citation(window),))], occurred_at=at(2))
    assert past.live() == []
    past.check()


def test_given_a_retraction_when_it_is_undone_then_what_it_took_back_is_live_again(past: Past) -> None:
    past.hear(says("Likes tea"), occurred_at=at(0))
    tea = past.row("Likes tea")["id"]
    taken = past.hear(lambda window: [Retire(learning_id=tea, citations=(citation(window),))], occurred_at=at(1))
    assert past.live() == []
    (back,) = past.undo(taken).withdrawn.restored
    assert past.live() == ["Likes tea"]
    assert past.row("Likes tea")["restores"] == tea
    assert past.row("Likes tea")["id"] == back
    past.check()


def test_given_a_statement_and_its_retraction_when_both_are_undone_then_nothing_comes_back(past: Past) -> None:
    stated = past.hear(says("Likes tea"), occurred_at=at(0))
    tea = past.row("Likes tea")["id"]
    taken = past.hear(lambda window: [Retire(learning_id=tea, citations=(citation(window),))], occurred_at=at(1))
    assert past.undo(stated).withdrawn.retired == ()
    assert past.undo(taken).withdrawn.restored == ()
    assert past.live() == []
    past.check()


def test_given_a_value_that_was_replaced_by_one_that_was_retracted_when_both_are_undone_then_the_first_is_back(
    past: Past,
) -> None:
    past.hear(names("A"), occurred_at=at(0))
    second = past.hear(names("B"), occurred_at=at(1))
    b = past.row("name: B")["id"]
    taken = past.hear(lambda window: [Retire(learning_id=b, citations=(citation(window),))], occurred_at=at(2))
    assert past.undo(second).withdrawn.restored == ()
    assert past.live() == []
    assert len(past.undo(taken).withdrawn.restored) == 1
    assert past.live() == ["name: A"]
    past.check()


def test_given_something_that_was_replaced_by_what_was_known_before_when_undone_then_that_is_told_and_left(
    past: Past,
) -> None:
    past.hear(says("Likes green tea", "Likes tea"), occurred_at=at(0))
    tea, green = past.row("Likes tea")["id"], past.row("Likes green tea")["id"]
    both = past.hear(says("Likes green tea", replaces=tea), occurred_at=at(1))
    assert past.live() == ["Likes green tea"]
    undone = past.undo(both)
    assert undone.withdrawn.left == ((tea, green),)
    assert past.live() == ["Likes green tea"]
    past.check()


def test_given_a_correction_by_a_person_when_what_it_corrected_is_undone_then_the_correction_stays(past: Past) -> None:
    stated = past.hear(says("Likes tea"))
    terms = Terms(spec=StoreSpec(scope="user"))
    corrected = past.app_db.run(
        "default",
        update,
        "default",
        past.row("Likes tea")["id"],
        Wording(content="Likes coffee"),
        lambda _: terms,
        by="ann",
    )
    undone = past.undo(stated)
    assert undone.withdrawn.left == ((past.row("Likes tea")["id"], corrected.id),)
    assert past.live() == ["Likes coffee"]
    past.check()


def test_given_a_correction_and_a_retraction_by_people_when_their_changes_are_undone_then_the_learning_is_back(
    past: Past,
) -> None:
    past.hear(says("Likes tea"))
    terms = Terms(spec=StoreSpec(scope="user"))
    corrected = past.app_db.run(
        "default",
        update,
        "default",
        past.row("Likes tea")["id"],
        Wording(content="Likes coffee"),
        lambda _: terms,
        by="ann",
    )
    past.app_db.run("default", retract, "default", corrected.id, by="ann")
    assert past.live() == []
    correction, retraction = rows(past.everything_db, "SELECT id FROM learning.change ORDER BY changed_at")
    past.undo(retraction["id"])
    assert past.live() == ["Likes coffee"]
    past.check()
    past.undo(correction["id"])
    assert past.live() == ["Likes tea"]
    past.check()


def test_given_a_tools_write_when_its_change_is_undone_then_what_it_replaced_is_back(past: Past) -> None:
    past.hear(names("Alex"), occurred_at=at(0))
    citations = (Citation(occurred_at=at(3)),)
    stated = Put(
        kind="field",
        content="name: Bob",
        content_key="name",
        data={"name": "name", "value": "Bob"},
        citations=citations,
    )
    written = past.app_db.run("default", write, place(), [stated], AT_ONCE, origin="tool", action="update_profile")
    assert past.live() == ["name: Bob"]
    undone = past.undo(written.change_id)
    assert (undone.source.origin, undone.source.refused) == ("tool", False)
    assert past.live() == ["name: Alex"]
    past.check()


def test_given_an_insight_that_two_users_corroborated_when_one_is_undone_then_it_waits_for_a_second_one_again(
    past: Past,
) -> None:
    spec = MachineSpec(
        stores={"learned_knowledge": StoreSpec(scope="session", mode="ALWAYS", namespace="team", debounce=0)}
    )
    made = []
    for user in ("alice", "bob"):
        past.accept(event(user_id=user, session_id=user), spec=spec)
        held = claim(past.app_db, mailbox_id(past.everything_db, "learned_knowledge"))
        window = window_of(past.app_db, held)
        where = Place(
            tenant="default", store="learned_knowledge", scope="namespace/team", user_id=user, session_id=user,
            namespace="team",
        )  # fmt: skip
        told = put(window, "Retry once", kind="insight", key="retry", equal_by_key=True)
        done = extraction(held, window, [told], place=where, admission=Admission(awaits="corroboration"))
        past.app_db.run("default", commit, held, done, keep=False)
        made.append(done.id)
    assert past.live() == ["Retry once"]
    undone = past.undo(made[1])
    assert past.live() == []
    row = past.row("Retry once")
    assert (row["status"], row["awaits"], [row["id"]]) == ("proposed", "corroboration", list(undone.withdrawn.restored))
    past.check()
    past.undo(made[0])
    assert past.row("Retry once")["status"] == "retired"
    past.check()


def test_given_a_proposal_when_its_extraction_is_undone_then_it_ends_without_ever_having_been_live(past: Past) -> None:
    first = past.hear()
    past.accept(event())
    made = past.extract(says("Likes tea"), admission=Admission(awaits="approval"))
    past.undo(made)
    row = past.row("Likes tea")
    assert (row["status"], row["awaits"], row["live_from"] == row["retired_at"]) == ("retired", None, True)
    assert past.undo(first).withdrawn.touched == ()
    past.check()


def test_given_facts_of_an_entity_when_their_extraction_is_undone_then_they_go_and_others_facts_stay(
    past: Past,
) -> None:
    spec = MachineSpec(
        stores={"entity_memory": StoreSpec(scope="session", mode="ALWAYS", namespace="team", debounce=0)}
    )
    acme = EntityName("Acme", "company")
    made = []
    for session, fact in (("s1", "Uses Postgres"), ("s2", "Is in Oslo")):
        past.accept(event(session_id=session), spec=spec)
        where = Place(
            tenant="default",
            store="entity_memory",
            scope="namespace/team",
            user_id="alice",
            session_id=session,
            namespace="team",
        )
        made.append(past.extract(
            lambda window, fact=fact: [  # type: ignore[misc]  # bound now, for this round
                put(window, "Acme", kind="alias", about=acme, equal_by_key=True), put(window, fact, kind="fact", about=acme)],
            "entity_memory", place=where,
        ))  # fmt: skip
    past.undo(made[0])
    assert past.live() == ["Acme", "Is in Oslo"]
    past.check()


def test_given_a_session_context_when_its_last_extraction_is_undone_then_the_one_before_counts(past: Past) -> None:
    made = [
        past.hear(says(summary, kind="summary", key="summary"), spec=SESSIONS, occurred_at=at(n))
        for n, summary in enumerate(["It began.", "It went on."])
    ]
    past.undo(made[1])
    assert past.live() == ["It began."]
    past.check()


def test_given_a_worker_that_has_read_the_mailbox_when_an_extraction_is_undone_then_its_commit_is_refused(
    past: Past,
) -> None:
    first = past.hear(says("Likes tea"))
    past.accept(event())
    held = claim(past.app_db, mailbox_id(past.everything_db))
    window = window_of(past.app_db, held)
    past.undo(first)
    with pytest.raises(Fenced):
        work(
            past.app_db,
            held,
            Confirm(learning_id=past.row("Likes tea")["id"], citations=(citation(window),)),
            window=window,
        )
    assert past.deliveries() == [("skipped", "undone", 1), ("pending", None, 1)]
    past.extract(says("Likes tea"))
    assert past.live() == ["Likes tea"]
    past.check()


def test_given_extractions_of_a_prompt_version_when_chosen_then_the_newest_is_first_and_a_rehearsal_changes_nothing(
    past: Past,
) -> None:
    made = [past.hear(names(value), occurred_at=at(n)) for n, value in enumerate("AB")]
    found = past.app_db.run("default", chosen, "default", Chosen(prompt_version="1-test"))
    assert [each.id for each in found] == list(reversed(made))
    assert past.app_db.run("default", chosen, "default", Chosen(prompt_version="1")) == found
    assert past.app_db.run("default", chosen, "default", Chosen(prompt_version="11")) == []
    told = past.app_db.run("default", rehearse, "default", found, by="ops")
    assert [len(each.withdrawn.restored) for each in told] == [1, 0]
    assert [each.withdrawn.left for each in told] == [(), ()]
    assert past.live() == ["name: B"]
    assert past.deliveries() == [("extracted", None, 1)] * 2
    assert past.app_db.run("default", chosen, "default", Chosen(model="offline-rules")) == []
    assert past.app_db.run("default", chosen, "default", Chosen(user_id="bob")) == []
    assert past.app_db.run("acme", chosen, "acme", Chosen()) == []
    assert past.app_db.run("acme", named, "acme", made) == []


def test_given_a_decision_when_named_then_it_says_that_it_is_not_undone(past: Past) -> None:
    made = past.hear(says("Likes tea"))
    past.undo(made)
    (change,) = rows(past.everything_db, "SELECT id FROM learning.change")
    (found,) = past.app_db.run("default", named, "default", [change["id"], uuid7()])
    assert found.refused


def test_given_evidence_that_somebody_is_copying_when_its_extraction_is_undone_then_the_copy_counts_no_longer_either(
    past: Past,
) -> None:
    first = past.hear(says("Likes tea"))
    past.hear(says("Likes green tea"))
    tea, green = past.row("Likes tea")["id"], past.row("Likes green tea")["id"]
    waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool:
        with past.app_db.transaction("default") as other:
            other.execute(text("SELECT FROM learning.learning WHERE id = :id FOR UPDATE"), {"id": tea})
            copy_evidence(other, "default", tea, green)
            undoing = pool.submit(past.undo, first)
            eventually(lambda: rows(past.everything_db, waits), "the undo waits for the row")
        undone = undoing.result()
    assert undone.withdrawn.retired == (tea,)
    assert set(undone.withdrawn.touched) == {tea, green}
    assert past.live() == ["Likes green tea"]
    past.check()


def test_given_two_who_undo_the_same_at_once_when_both_are_done_then_one_of_them_finds_it_done(past: Past) -> None:
    first = past.hear(says("Likes tea"))
    with ThreadPoolExecutor(2) as pool:
        done = [each.result().done for each in [pool.submit(past.undo, first) for _ in range(2)]]
    assert sorted(done) == [False, True]
    assert len(rows(past.everything_db, "SELECT FROM learning.change")) == 1
    past.check()
