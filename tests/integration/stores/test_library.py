"""Reading what is remembered: pages, one learning with its evidence, what became of it, and what is nobody's business."""

from datetime import UTC, datetime
from inspect import signature
from typing import Any
from uuid import UUID

import pytest

from harness import Place, event, rows, turn
from integration.stores.steps import BOTH_AT_ONCE, claim, field, mailbox_id, put, take_in, window_of, work
from learning_machine import (
    EntityMemoryConfig,
    InvalidArgument,
    LearnedKnowledgeConfig,
    LearningMachine,
    UnknownLearning,
)
from learning_machine.corrections import Corrections
from learning_machine.entities import Entities
from learning_machine.library import Library
from learning_machine.proposals import Proposals
from learning_schemas.ids import uuid7
from learning_schemas.scope import user_scope
from learning_stores.database import Database
from learning_stores.library import learnings_under


@pytest.fixture
def machine(place: Place) -> Any:
    """Every built-in store; what is shared lies in "global"."""
    with place.machine(user_profile=True, session_context=True, entity_memory=True, learned_knowledge=True) as machine:
        yield machine


class Conversation:
    """What one user says, as extraction would have taken it in."""

    def __init__(self, app_db: Database, dispatcher_db: Database, everything_db: Database) -> None:
        self.app, self.dispatcher, self.everything = app_db, dispatcher_db, everything_db

    def says(self, *operations: Any, at: datetime | None = None) -> None:
        """Commit a window with these operations on the profile, each a function of the window."""
        words = turn(f"I work at Netflix. {uuid7()}")
        take_in(self.dispatcher, event(messages=words, occurred_at=at or datetime.now(UTC)), spec=BOTH_AT_ONCE)
        held = claim(self.app, mailbox_id(self.everything))
        window = window_of(self.app, held)
        work(self.app, held, *(operation(window) for operation in operations), window=window)


@pytest.fixture
def conversation(app_db: Database, dispatcher_db: Database, everything_db: Database) -> Conversation:
    """Nothing said yet."""
    return Conversation(app_db, dispatcher_db, everything_db)


def test_given_many_memories_when_paged_then_each_is_shown_once_newest_first(machine: LearningMachine) -> None:
    added = [machine.add(f"Likes book {number}", user_id="alex", by="bob") for number in range(7)]
    first = machine.learnings(user_id="alex", limit=3)
    second = machine.learnings(user_id="alex", limit=3, after=first[-1].id)
    third = machine.learnings(user_id="alex", limit=3, after=str(second[-1].id))
    shown = [each.id for each in (*first, *second, *third)]
    assert shown == [each.id for each in reversed(added)]
    assert machine.learnings(user_id="alex", after=third[-1].id) == ()


def test_given_several_stores_when_filtered_then_only_what_was_asked_for_is_shown(machine: LearningMachine) -> None:
    memory = machine.add("Is vegetarian", user_id="alex", by="bob")
    name = machine.add(field="name", value="Alex", user_id="alex", by="bob")
    summary = machine.add("Plans a trip", kind="summary", user_id="alex", session_id="s1", by="bob")
    insight = machine.add(title="CI", learning="Retry the login test once", by="bob")
    gone = machine.retract(machine.add("Lives in Rome", user_id="alex", by="bob").id, by="bob")

    def shown(**filters: Any) -> set[UUID]:
        return {each.id for each in machine.learnings(user_id="alex", **filters)}

    assert shown() == {memory.id, name.id, insight.id}
    assert shown(session_id="s1") == {memory.id, name.id, insight.id, summary.id}
    assert shown(session_id="another") == {memory.id, name.id, insight.id}
    assert shown(store="user_profile") == {memory.id, name.id}
    assert shown(kind="field") == {name.id}
    assert shown(namespace="global") == {insight.id}
    assert shown(status="retired") == {gone.id}
    assert shown(status="all") == {memory.id, name.id, insight.id, gone.id}
    assert {each.id for each in machine.learnings()} == {insight.id}


def test_given_another_user_or_tenant_when_listed_then_nothing_of_it_is_shown(
    place: Place, machine: LearningMachine
) -> None:
    mine = machine.add("Is vegetarian", user_id="alex", by="bob")
    assert machine.learnings(user_id="kim") == ()
    other = machine.for_tenant("other")
    assert other.learnings(user_id="alex") == ()
    with pytest.raises(UnknownLearning, match=str(mine.id)):
        other.get(mine.id)
    with pytest.raises(UnknownLearning):
        other.history(mine.id)
    with place.machine(session_context=True) as without_profile, pytest.raises(UnknownLearning):
        without_profile.get(mine.id)


def test_given_the_namespace_user_when_nobody_is_named_then_it_fails_closed(place: Place) -> None:
    with place.machine(learned_knowledge=LearnedKnowledgeConfig(namespace="user")) as machine:
        mine = machine.add(title="CI", learning="Retry the login test once", user_id="alex", by="bob")
        assert machine.learnings() == ()
        assert machine.learnings(user_id="kim") == ()
        assert [each.id for each in machine.learnings(user_id="alex")] == [mine.id]
        assert (mine.namespace, mine.user_id) == ("user", "alex")
        for call in (
            lambda: machine.learnings(store="learned_knowledge"),
            lambda: machine.add(title="CI", learning="Retry the login test twice", by="bob"),
        ):
            with pytest.raises(InvalidArgument) as refused:
                call()
            assert refused.value.argument == "user_id"


def test_given_a_machine_that_reads_a_second_namespace_when_listed_then_both_are_shown(place: Place) -> None:
    with place.machine(learned_knowledge=LearnedKnowledgeConfig(namespace="team-x")) as team:
        theirs = team.add(title="CI", learning="Retry the login test once", by="bob")
    with place.machine(learned_knowledge=LearnedKnowledgeConfig(also_reads=("team-x",))) as machine:
        ours = machine.add(title="DB", learning="Vacuum at night", by="bob")
        assert [each.id for each in machine.learnings()] == [ours.id, theirs.id]
        assert [each.id for each in machine.learnings(namespace="team-x")] == [theirs.id]
    with place.machine(learned_knowledge=True) as apart:
        assert [each.id for each in apart.learnings()] == [ours.id]
        with pytest.raises(InvalidArgument, match="It reads global"):
            apart.learnings(namespace="team-x")


def test_given_words_of_a_user_when_a_learning_is_got_then_it_has_all_that_it_stands_on(
    place: Place, machine: LearningMachine, conversation: Conversation, everything_db: Database
) -> None:
    conversation.says(lambda w: put(w, "Works at Netflix"))
    conversation.says(lambda w: put(w, "works at Netflix."))
    (found,) = machine.learnings(user_id="alice")
    got = machine.get(str(found.id))
    assert (got.content, got.status, got.origin, got.user_id) == ("Works at Netflix", "active", "extraction", "alice")
    assert got == found
    assert len(got.evidence) == 2
    extractions = [each["id"] for each in rows(everything_db, "SELECT id FROM learning.extraction ORDER BY id")]
    assert sorted(each.source_id for each in got.evidence if each.source_id) == extractions
    assert {(each.origin, each.quote, each.user_id) for each in got.evidence} == {
        ("extraction", "I work at Netflix.", "alice")
    }
    assert got.evidence[0].occurred_at <= got.evidence[1].occurred_at


def test_given_a_value_that_changed_when_its_history_is_asked_for_then_it_says_who_changed_what(
    machine: LearningMachine, conversation: Conversation
) -> None:
    conversation.says(lambda w: field(w, "name", "Alec"))
    conversation.says(lambda w: field(w, "name", "Alek"))
    (live,) = machine.learnings(user_id="alice", kind="field")
    corrected = machine.update(live.id, value="Alex", by="support@acme.com")
    again = machine.update(corrected.id, value="Alexa", by="bob")
    machine.retract(again.id, by="eve")
    chains = [machine.history(each) for each in (live.id, corrected.id, again.id)]
    assert chains[0] == chains[1] == chains[2]
    told = [(each.data["value"], each.retired_reason) for each in chains[0]]
    assert told == [
        ("Alec", "superseded"),
        ("Alek", "corrected"),
        ("Alex", "corrected"),
        ("Alexa", "retracted by a person"),
    ]
    changes = [[(said.action, said.by) for said in each.evidence] for each in chains[0]]
    assert changes == [
        [(None, None)],
        [(None, None)],
        [("corrected", "support@acme.com")],
        [("corrected", "bob"), ("retracted", "eve")],
    ]
    assert [each.replaced_by for each in chains[0]] == [*(each.id for each in chains[0][1:]), None]


def test_given_a_restored_learning_when_its_history_is_asked_for_then_the_one_it_brings_back_is_there(
    machine: LearningMachine, everything_db: Database
) -> None:
    old = machine.retract(machine.add("Is vegetarian", user_id="alex", by="bob").id, by="bob")
    new = machine.add("Is vegetarian", user_id="alex", by="eve")
    with everything_db.transaction() as session:
        from sqlalchemy import text

        session.execute(
            text("UPDATE learning.learning SET restores = :old WHERE id = :new"), {"old": old.id, "new": new.id}
        )
    assert [each.id for each in machine.history(old.id)] == [old.id, new.id]
    assert [each.id for each in machine.history(new.id)] == [old.id, new.id]


def test_given_one_learning_in_two_shapes_when_read_under_its_scope_then_live_ones_come_first(
    machine: LearningMachine, app_db: Database
) -> None:
    first = machine.add(field="name", value="Alec", user_id="alex", by="bob")
    second = machine.update(first.id, value="Alex", by="bob")
    under = app_db.run("default", learnings_under, "default", user_scope("alex"))
    assert [each.id for each in under] == [second.id, first.id]


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"store": "diary"}, "store"),
        ({"status": "gone"}, "status"),
        ({"kind": "insect"}, "kind"),
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"after": "first"}, "after"),
        ({"user_id": ""}, "user_id"),
        ({"store": "session_context", "user_id": "alex"}, "session_id"),
    ],
)
def test_given_a_bad_argument_when_listed_then_it_is_named(
    machine: LearningMachine, arguments: dict[str, Any], argument: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        machine.learnings(**arguments)
    assert refused.value.argument == argument


def test_given_an_id_that_is_none_when_got_then_it_is_refused_or_unknown(machine: LearningMachine) -> None:
    with pytest.raises(InvalidArgument, match="learning_id"):
        machine.get("first")
    with pytest.raises(UnknownLearning):
        machine.get(uuid7())
    with pytest.raises(UnknownLearning):
        machine.history(uuid7())


async def test_given_asyncio_when_read_then_it_is_the_same(place: Place) -> None:
    async with place.machine(user_profile=True, entity_memory=EntityMemoryConfig()) as machine:
        added = await machine.aadd("Is vegetarian", user_id="alex", by="bob")
        assert await machine.alearnings(user_id="alex") == (added,)
        assert await machine.aget(added.id) == added
        new = await machine.aupdate(added.id, content="Is vegan", by="bob")
        assert [each.id for each in await machine.ahistory(added.id)] == [added.id, new.id]
        assert (await machine.aretract(new.id, by="bob")).status == "retired"
        await machine.aadd("Uses PostgreSQL", entity="Acme", type="company", by="bob")
        acme = await machine.aentity("acme")
        assert acme is not None
        assert [each.id for each in await machine.asearch_entities("postgresql")] == [acme.id]
        assert await machine.aproposals() == ()


@pytest.mark.parametrize("part", [Library, Corrections, Proposals, Entities])
def test_given_a_method_and_its_twin_when_compared_then_they_take_the_same(part: type) -> None:
    public = {name: method for name, method in vars(part).items() if not name.startswith("_")}
    plain = [name for name in public if f"a{name}" in public]
    assert len(plain) * 2 == len(public)
    for name in plain:
        assert signature(public[name]) == signature(public[f"a{name}"]), name


def test_given_postgres_is_away_when_asked_then_that_is_said_without_the_password(place: Place) -> None:
    from learning_machine import MemoryUnavailable

    away = place.app_url.rsplit("/", 1)[0] + "/no_such_database"
    with LearningMachine(database_url=away, redis_url=place.redis_url) as machine:
        with pytest.raises(MemoryUnavailable) as failed:
            machine.learnings(user_id="alex")
        assert "app-in-tests" not in str(failed.value)
