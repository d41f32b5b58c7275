"""Replaying: what is chosen is extracted anew, whole and in order, and takes the place of what it gave before."""

from typing import Any

import pytest

from harness import event, rows
from integration.stores.past import Past, at, place, said, says
from integration.stores.steps import BOTH_AT_ONCE, citation, claim, field, mailbox_id, put, window_of, work
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.commit import Fenced
from learning_stores.database import Database
from learning_stores.deliveries import Settlement, settle_deliveries
from learning_stores.operations import LiveLearning, Retire
from learning_stores.replay import given
from learning_stores.replay_selection import Choice, boxes, select, waiting
from learning_stores.skipping import skip_delivery
from learning_stores.store import Reading, known_to
from learning_stores.user_profile import UserProfileStore

SESSIONS = MachineSpec(stores={"session_context": StoreSpec(scope="session", debounce=0)})


@pytest.fixture
def past(app_db: Database, dispatcher_db: Database, everything_db: Database) -> Past:
    return Past(app_db, dispatcher_db, everything_db)


def summary(content: str) -> Any:
    return says(content, kind="summary", key="summary")


def names(value: str) -> Any:
    return lambda window: [field(window, "name", value)]


def known(past: Past) -> list[LiveLearning]:
    """What a prompt for the next window would show."""
    held = claim(past.app_db, mailbox_id(past.everything_db))
    reading = Reading(place=place(), scopes=["user/alice"], spec=StoreSpec(scope="user"))
    found = past.app_db.run("default", known_to, UserProfileStore(), reading, window_of(past.app_db, held), held.scope)
    with past.everything_db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE learning.mailbox SET lease_until = NULL, owner = NULL, claims = 0")
    return found


def test_given_extracted_events_when_replayed_then_they_are_pending_in_order_under_the_next_generation(
    past: Past,
) -> None:
    ids = past.accept(event(), event(), event())
    made = past.extract(says("Likes tea"))
    (done,) = past.replay(user_id="alice")
    assert (done.deliveries, done.selected.chosen, done.selected.extractions) == (3, 3, (made,))
    assert past.deliveries() == [("pending", None, 2)] * 3
    assert rows(
        past.everything_db, "SELECT DISTINCT attempts, extraction_id, earlier_extractions FROM learning.delivery"
    ) == [{"attempts": 0, "extraction_id": None, "earlier_extractions": [made]}]
    assert past.live() == ["Likes tea"]  # until the new answer is there
    past.check()
    window = window_of(past.app_db, claim(past.app_db, mailbox_id(past.everything_db)))
    assert [each.event_id for each in window.deliveries] == ids


def test_given_the_same_answer_when_replayed_then_the_learning_keeps_its_row_on_the_new_evidence(past: Past) -> None:
    past.hear(says("Likes tea", "Likes rye"))
    before = past.row("Likes tea")["id"]
    past.replay(user_id="alice")
    assert known(past) == []
    made = past.extract(says("Likes tea", "Likes milk"))
    assert past.live() == ["Likes milk", "Likes tea"]
    assert past.row("Likes tea")["id"] == before
    assert (past.row("Likes rye")["retired_reason"], past.row("Likes rye")["retired_by"]) == ("replayed", made)
    assert past.deliveries() == [("extracted", None, 2)]
    past.check()


def test_given_what_others_support_too_when_one_of_them_is_replayed_without_it_then_it_stays(past: Past) -> None:
    past.hear(says("Likes tea"))
    second = past.hear(says("Likes tea", "Likes rye"))
    with past.app_db.transaction("default") as session:
        choice = Choice(extraction_id=second)
        (box,) = boxes(session, "default", choice)
        fates = {each.content: each.fate for each in given(session, select(session, box, choice, accumulates=True))}
    assert fates == {"Likes tea": "supported", "Likes rye": "alone"}
    past.replay(extraction_id=second)
    assert [each.content for each in known(past)] == ["Likes tea"]
    past.extract()
    assert past.live() == ["Likes tea"]
    past.check()


def test_given_events_that_were_read_together_when_one_is_chosen_then_the_whole_extraction_is_repeated(
    past: Past,
) -> None:
    first, second = past.accept(event(), event())
    past.extract(says("Likes tea"))
    past.hear(says("Likes rye"))
    (done,) = past.replay(event_id=second)
    assert done.selected.events == (first, second)
    assert done.selected.chosen == 1
    assert past.deliveries() == [("pending", None, 2)] * 2 + [("extracted", None, 1)]
    assert past.replay(event_id=second) == []
    assert past.app_db.run("default", waiting, "default", Choice(event_id=second)) == 1


def test_given_choices_by_prompt_model_time_store_and_session_when_combined_then_all_of_them_hold(past: Past) -> None:
    past.hear(says("Likes tea"), session_id="s1")
    cut = rows(past.everything_db, "SELECT clock_timestamp() AS now")[0]["now"]
    past.hear(says("Likes rye"), session_id="s2")

    def taken(**choice: Any) -> int:
        with past.app_db.transaction("default") as session:
            found = boxes(session, "default", Choice(**choice))
            return sum(len(select(session, box, Choice(**choice), accumulates=True).events) for box in found)

    assert taken(user_id="alice") == 2
    assert taken(prompt_version="1-test", model="offline-rules-1") == 2
    assert taken(prompt_version="1-test", model="other") == 0
    assert taken(prompt_version="1") == 2  # the number, without the hash
    assert taken(prompt_version="1-t") == taken(prompt_version="2") == taken(prompt_version="1-") == 0
    assert taken(since=cut) == taken(until=cut) == taken(session_id="s2") == 1
    assert taken(store="session_context") == taken(user_id="bob") == taken(session_id="s2", until=cut) == 0


def test_given_an_event_whose_messages_are_gone_when_replayed_then_it_is_left_and_told(past: Past) -> None:
    past.accept(event(), event())
    past.extract(says("Likes tea"))
    with past.everything_db.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM learning.conversation_event WHERE accepted_no = 1")
    (done,) = past.replay(store="user_profile")
    assert (done.deliveries, done.selected.left) == (1, 1)
    past.extract()
    assert past.live() == ["Likes tea"]  # the words that it stands on were not read again
    past.check()


def test_given_a_session_when_replayed_from_its_second_event_then_it_goes_back_to_the_first_at_once(past: Past) -> None:
    ids = []
    for minute, told in enumerate(["It began.", "It went on.", "It went further."]):
        ids += past.accept(event(occurred_at=at(minute)), spec=SESSIONS)
        past.extract(summary(told), "session_context")
    (done,) = past.replay(event_id=ids[1])
    assert done.selected.events == tuple(ids[1:])
    assert done.withdrawn is not None
    assert (len(done.withdrawn.retired), len(done.withdrawn.restored)) == (1, 1)
    assert past.live() == ["It began."]
    assert past.row("It went further.")["retired_reason"] == "replayed"
    past.check()
    past.extract(summary("It went elsewhere."), "session_context")
    assert past.live() == ["It went elsewhere."]
    past.check()


def test_given_a_session_with_something_new_pending_when_replayed_then_a_worker_that_read_it_is_refused(
    past: Past,
) -> None:
    first = past.accept(event(), spec=SESSIONS)
    past.extract(summary("It began."), "session_context")
    past.accept(event(), spec=SESSIONS)
    held = claim(past.app_db, mailbox_id(past.everything_db, "session_context"))
    window = window_of(past.app_db, held)
    past.replay(event_id=first[0])
    with pytest.raises(Fenced):
        work(past.app_db, held, put(window, "It went on.", kind="summary", key="summary"), window=window)
    assert past.live() == []
    assert past.deliveries() == [("pending", None, 2)] * 2
    past.extract(summary("All of it."), "session_context")
    assert past.live() == ["All of it."]
    past.check()


@pytest.mark.parametrize("store", ["user_profile", "session_context"])
def test_given_both_stores_when_one_is_replayed_then_the_other_stays(past: Past, store: str) -> None:
    past.accept(event(), spec=BOTH_AT_ONCE)
    past.extract(says("Likes tea"))
    past.extract(summary("It began."), "session_context")
    past.replay(store=store)
    pending = rows(past.everything_db, "SELECT store FROM learning.delivery WHERE state = 'pending'")
    assert [row["store"] for row in pending] == [store]
    past.check()


def test_given_dead_skipped_and_historic_deliveries_when_replayed_then_only_what_can_be_read_is(past: Past) -> None:
    dead, given_up, history = past.accept(event(), event(), event())
    gone = Settlement(event_id=dead, generation=1, state="dead", reason="refusal", error="said no")
    past.app_db.run("default", settle_deliveries, "default", "user_profile", None, [gone])
    past.dispatcher_db.run(None, skip_delivery, "default", given_up, "user_profile", "kills")
    with past.everything_db.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE learning.delivery SET state = 'skipped', reason = 'history', settled_at = now() WHERE state = 'pending'"
        )
    (done,) = past.replay(user_id="alice")
    assert done.selected.events == (dead,)
    assert rows(past.everything_db, "SELECT attempts, error FROM learning.delivery WHERE state = 'pending'") == [
        {"attempts": 0, "error": None}
    ]
    assert past.replay(event_id=history) == []
    (done,) = past.replay(event_id=given_up)
    assert done.selected.events == (given_up,)
    past.check()


def test_given_an_undone_extraction_when_replayed_then_its_events_are_extracted_anew(past: Past) -> None:
    made = past.hear(says("Likes tea"))
    past.undo(made)
    (done,) = past.replay(extraction_id=made)
    assert done.deliveries == 1
    past.check()
    past.extract(says("Likes tea"))
    assert past.live() == ["Likes tea"]
    assert past.deliveries() == [("extracted", None, 2)]
    past.check()


def test_given_events_that_wait_to_be_replayed_when_their_extraction_is_undone_then_they_wait_on(past: Past) -> None:
    made = past.hear(says("Likes tea"))
    past.replay(extraction_id=made)
    undone = past.undo(made)
    assert (undone.deliveries, len(undone.withdrawn.retired)) == (0, 1)
    assert past.deliveries() == [("pending", None, 2)]
    past.check()


def test_given_a_late_statement_when_replayed_then_it_is_one_row_of_history_still(past: Past) -> None:
    past.hear(names("Bob"), occurred_at=at(9))
    late = past.hear(names("Alex"), occurred_at=at(1))
    for _ in range(2):
        past.replay(extraction_id=late)
        late = past.extract(names("Alex"))
        found = rows(
            past.everything_db, "SELECT id, retired_reason FROM learning.learning WHERE content = 'name: Alex'"
        )
        assert [row["retired_reason"] for row in found] == ["late"]
        assert past.live() == ["name: Bob"]
        past.check()


@pytest.mark.parametrize(("again", "kept"), [("Likes tea", 1), ("Is fond of tea", 2)])
def test_given_a_statement_that_was_replaced_since_when_replayed_then_what_it_says_now_is_history_beneath(
    past: Past, again: str, kept: int
) -> None:
    first = past.hear(says("Likes tea"), occurred_at=at(0))
    tea = past.row("Likes tea")["id"]
    past.hear(says("Likes coffee", replaces=tea), occurred_at=at(5))
    past.replay(extraction_id=first)
    past.extract(says(again))
    assert past.live() == ["Likes coffee"]
    beneath = rows(
        past.everything_db,
        "SELECT id FROM learning.learning WHERE status = 'retired' AND replaced_by = :id",
        id=past.row("Likes coffee")["id"],
    )
    assert len(beneath) == kept
    past.check()


@pytest.mark.parametrize("again", ["Likes tea", "Is fond of tea"])
def test_given_a_statement_that_was_retracted_since_when_replayed_in_any_words_then_it_stays_retracted(
    past: Past, again: str
) -> None:
    first = past.hear(says("Likes tea"), occurred_at=at(0))
    tea = past.row("Likes tea")["id"]
    past.hear(lambda window: [Retire(learning_id=tea, citations=(citation(window),))], occurred_at=at(5))
    past.replay(extraction_id=first)
    past.extract(says(again))
    assert past.live() == []
    past.check()


@pytest.mark.parametrize("still", [True, False])
def test_given_a_retraction_when_replayed_then_its_prompt_shows_what_it_took_back_and_its_answer_decides(
    past: Past, still: bool
) -> None:
    past.hear(says("Likes tea"), occurred_at=at(0))
    tea = past.row("Likes tea")["id"]
    taken = past.hear(lambda window: [Retire(learning_id=tea, citations=(citation(window),))], occurred_at=at(5))
    past.replay(extraction_id=taken)
    assert [each.id for each in known(past)] == [tea]
    past.extract(lambda window: [Retire(learning_id=tea, citations=(citation(window),))] if still else [])
    assert past.live() == ([] if still else ["Likes tea"])
    assert (past.row("Likes tea")["id"] == tea) is still
    past.check()


@pytest.mark.parametrize("again", ["Likes green tea", "Likes white tea", None])
def test_given_an_update_when_replayed_then_its_prompt_shows_what_it_had_replaced(
    past: Past, again: str | None
) -> None:
    past.hear(says("Likes tea"), occurred_at=at(0))
    tea = past.row("Likes tea")["id"]
    updated = past.hear(says("Likes green tea", replaces=tea), occurred_at=at(5))
    past.replay(extraction_id=updated)
    assert [each.content for each in known(past)] == ["Likes tea"]
    past.extract(says(again, replaces=tea) if again else says())
    assert past.live() == [again or "Likes tea"]
    past.check()


def test_given_an_event_that_is_half_read_when_its_first_part_is_replayed_then_it_is_read_from_its_beginning(
    past: Past,
) -> None:
    messages = [*said("I work at Netflix."), *said("I like tea. " * 40), *said("I like rye. " * 40)]
    past.accept(event(messages=messages))
    held = claim(past.app_db, mailbox_id(past.everything_db))
    part = window_of(past.app_db, held, budget=60)
    assert part.deliveries[0].next_message is not None
    work(past.app_db, held, put(part, "Works at Netflix"), window=part)
    (done,) = past.replay(prompt_version="1-test")
    assert done.deliveries == 1
    assert rows(past.everything_db, "SELECT next_message, generation FROM learning.delivery") == [
        {"next_message": 0, "generation": 2}
    ]
    assert known(past) == []
    past.extract()
    assert past.live() == []
    past.check()


def test_given_a_paused_mailbox_when_replayed_then_the_pause_stays_and_all_of_it_is_due_after(past: Past) -> None:
    past.hear(says("Likes tea"))
    past.accept(event())
    with past.everything_db.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE learning.mailbox SET not_before = now() + interval '1 h', wait_reason = 'provider', "
            "due_at = now() + interval '1 h', debounce = interval '1 h'"
        )
    past.replay(user_id="alice")
    (box,) = rows(
        past.everything_db,
        "SELECT not_before > now() AS paused, due_at <= now() AS due, flush_no FROM learning.mailbox",
    )
    (first,) = rows(past.everything_db, "SELECT min(accepted_no) AS no FROM learning.delivery")
    assert box == {"paused": True, "due": True, "flush_no": first["no"]}
