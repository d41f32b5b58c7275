"""Deciding proposals: approved, edited or rejected once, by whom and when; shown to nobody before."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from harness import Place, rows
from learning_machine import (
    EntityMemoryConfig,
    InvalidArgument,
    LearnedKnowledgeConfig,
    Learning,
    LearningMachine,
    StaleLearning,
    UnknownLearning,
)
from learning_schemas.ids import uuid7
from learning_schemas.scope import user_scope
from learning_stores.admission import Admission
from learning_stores.database import Database
from learning_stores.grounding import content_key
from learning_stores.insight import insight_put
from learning_stores.operations import Citation, Put
from learning_stores.place import Place as Where
from learning_stores.writing import write

WAITS = Admission(awaits="approval")


@pytest.fixture
def machine(place: Place) -> Any:
    """Profile and insights; what is shared lies in "global"."""
    with place.machine(user_profile=True, learned_knowledge=LearnedKnowledgeConfig(mode="PROPOSE")) as machine:
        yield machine


class Agent:
    """An agent whose tools propose, in the conversation of one user."""

    def __init__(self, app_db: Database, everything_db: Database) -> None:
        self.app, self.everything = app_db, everything_db

    def insight(self, title: str, learning: str, user: str = "alex") -> UUID:
        """Propose an insight in "global"."""
        where = Where(
            tenant="default", store="learned_knowledge", scope="namespace/global", namespace="global", user_id=user
        )
        said = insight_put(title=title, learning=learning, context=None, tags=(), fields=None, citations=self._now())
        return self._proposed(where, said)

    def memory(self, content: str, user: str = "alex", **values: Any) -> UUID:
        """Propose a memory of a user."""
        said = Put(kind="memory", content=content, content_key=content_key(content), citations=self._now(), **values)
        return self._proposed(self._profile(user), said)

    def field(self, name: str, value: str, user: str = "alex") -> UUID:
        """Propose a field's value."""
        data = {"name": name, "value": value}
        content = f"{name}: {value}"
        said = Put(kind="field", content=content, content_key=name, citations=self._now(), data=data)
        return self._proposed(self._profile(user), said)

    def _profile(self, user: str) -> Where:
        return Where(tenant="default", store="user_profile", scope=user_scope(user), user_id=user)

    def _now(self) -> tuple[Citation, ...]:
        (found,) = rows(self.everything, "SELECT clock_timestamp() AS now")
        return (Citation(occurred_at=found["now"]),)

    def _proposed(self, where: Where, said: Put) -> UUID:
        written = self.app.run("default", write, where, [said], WAITS, origin="tool", action="propose_learning")
        (found,) = written.learning_ids
        assert found is not None
        return found


@pytest.fixture
def agent(app_db: Database, everything_db: Database) -> Agent:
    """One."""
    return Agent(app_db, everything_db)


def _live(everything: Database, learning_id: UUID, at: Any) -> bool:
    """Whether it was held at a time, by an as-of query."""
    query = """
        SELECT id FROM learning.learning
        WHERE id = :id AND status <> 'proposed' AND live_from <= :at AND (retired_at IS NULL OR retired_at > :at)
    """
    return bool(rows(everything, query, id=learning_id, at=at))


def test_given_a_proposal_when_listed_then_who_decides_sees_it_and_nobody_else(
    machine: LearningMachine, agent: Agent
) -> None:
    insight, memory = agent.insight("CI", "Retry the login test once"), agent.memory("Is vegetarian", user="kim")
    assert [each.id for each in machine.proposals()] == [memory, insight]
    assert [each.id for each in machine.proposals(store="learned_knowledge")] == [insight]
    assert [each.id for each in machine.proposals(user_id="kim")] == [memory, insight]
    assert [each.id for each in machine.proposals(user_id="alex")] == [insight]
    assert [each.id for each in machine.proposals(limit=1)] == [memory]
    assert [each.id for each in machine.proposals(after=memory)] == [insight]
    assert {each.awaits for each in machine.proposals()} == {"approval"}
    assert machine.learnings(user_id="kim") == ()
    assert [each.id for each in machine.learnings(user_id="kim", status="proposed")] == [memory, insight]
    assert machine.recall(user_id="kim").context == ""
    assert machine.for_tenant("other").proposals() == ()


def test_given_a_proposal_when_approved_then_it_is_live_from_then_on_with_who_approved_it(
    machine: LearningMachine, agent: Agent, everything_db: Database
) -> None:
    proposed = machine.get(agent.insight("CI", "Retry the login test once"))
    (before,) = rows(everything_db, "SELECT clock_timestamp() AS now")
    approved = machine.approve(str(proposed.id), by="lead@acme.com")
    assert (approved.id, approved.status, approved.awaits) == (proposed.id, "active", None)
    assert (approved.decided_by, approved.decided_at) == ("lead@acme.com", approved.live_from)
    assert approved.live_from > before["now"] > proposed.live_from
    assert [(each.origin, each.action, each.by) for each in approved.evidence] == [
        ("tool", "propose_learning", None),
        ("human", "approved", "lead@acme.com"),
    ]
    assert machine.proposals() == ()
    assert "Retry the login test once" in machine.recall(user_id="kim").context
    assert not _live(everything_db, proposed.id, before["now"])


def test_given_a_proposal_when_rejected_then_it_never_was_live_and_the_reason_is_kept(
    machine: LearningMachine, agent: Agent, everything_db: Database
) -> None:
    proposed = agent.insight("CI", "Retry the login test once")
    (before,) = rows(everything_db, "SELECT clock_timestamp() AS now")
    rejected = machine.reject(proposed, by="lead@acme.com", reason="It hides the bug")
    assert (rejected.status, rejected.retired_reason, rejected.awaits) == ("retired", "rejected", None)
    assert rejected.decided_by == "lead@acme.com"
    assert rejected.live_from == rejected.retired_at
    said = rejected.evidence[-1]
    assert (said.action, said.by, said.quote) == ("rejected", "lead@acme.com", "It hides the bug")
    assert machine.proposals() == machine.learnings() == ()
    assert not _live(everything_db, proposed, before["now"])
    assert not _live(everything_db, proposed, rejected.retired_at)


def test_given_a_proposal_when_edited_then_the_new_wording_is_live_with_the_evidence_of_both(
    machine: LearningMachine, agent: Agent
) -> None:
    proposed = machine.get(agent.insight("CI", "Retry the login test"))
    edited = machine.edit(proposed.id, learning="Retry the login test once", tags=["ci"], by="lead@acme.com")
    assert (edited.content, edited.status, edited.origin) == ("CI: Retry the login test once", "active", "human")
    assert edited.id != proposed.id
    assert [each.action for each in edited.evidence] == ["propose_learning", "edited"]
    was = machine.get(proposed.id)
    assert (was.status, was.retired_reason, was.replaced_by) == ("retired", "edited", edited.id)
    assert (was.decided_by, was.content) == ("lead@acme.com", proposed.content)
    assert was.live_from == was.retired_at
    assert [each.id for each in machine.history(edited.id)] == [proposed.id, edited.id]
    assert [each.id for each in machine.learnings()] == [edited.id]


def test_given_a_proposal_of_nearly_the_same_words_when_edited_then_the_wording_of_the_person_counts(
    machine: LearningMachine, agent: Agent
) -> None:
    edited = machine.edit(agent.insight("CI", "retry the login tests"), learning="Retry the login test.", by="bob")
    assert edited.content == "CI: Retry the login test."
    with pytest.raises(InvalidArgument, match="It takes title, learning, context, tags"):
        machine.edit(agent.insight("DB", "Vacuum at night"), by="bob")


def test_given_another_value_of_a_field_when_approved_then_it_takes_the_place_of_the_live_one(
    machine: LearningMachine, agent: Agent
) -> None:
    old = machine.add(field="name", value="Alec", user_id="alex", by="bob")
    proposed = agent.field("name", "Alex")
    assert machine.get(proposed).replaces == old.id
    assert machine.recall(user_id="alex").fields == {"name": "Alec"}
    approved = machine.approve(proposed, by="bob")
    was = machine.get(old.id)
    assert machine.recall(user_id="alex").fields == {"name": "Alex"}
    assert (was.retired_reason, was.replaced_by, was.retired_at) == ("superseded", approved.id, approved.live_from)


def test_given_a_proposal_that_replaces_a_memory_when_decided_then_the_memory_goes_only_if_it_is_approved(
    machine: LearningMachine, agent: Agent
) -> None:
    berlin = machine.add("Lives in Berlin", user_id="alex", by="bob")
    machine.reject(agent.memory("Lives in Rome", replaces=berlin.id), by="bob")
    assert [each.id for each in machine.learnings(user_id="alex")] == [berlin.id]
    paris = machine.approve(agent.memory("Lives in Paris", replaces=berlin.id), by="bob")
    assert [each.id for each in machine.learnings(user_id="alex")] == [paris.id]
    assert machine.get(berlin.id).replaced_by == paris.id
    oslo = machine.edit(agent.memory("Lives in Oslo", replaces=paris.id), content="Lives in Oslo, Norway", by="bob")
    assert [each.id for each in machine.learnings(user_id="alex")] == [oslo.id]
    assert machine.get(paris.id).replaced_by == oslo.id


def test_given_what_a_proposal_replaces_is_gone_when_approved_then_what_came_after_stays(
    machine: LearningMachine, agent: Agent
) -> None:
    berlin = machine.add("Lives in Berlin", user_id="alex", by="bob")
    proposed = agent.memory("Lives in Paris", replaces=berlin.id)
    oslo = machine.update(berlin.id, content="Lives in Oslo", by="eve")
    paris = machine.approve(proposed, by="bob")
    assert {each.id for each in machine.learnings(user_id="alex")} == {oslo.id, paris.id}


def test_given_an_equal_learning_that_is_live_by_now_when_approved_then_it_gains_the_evidence(
    machine: LearningMachine, agent: Agent, everything_db: Database
) -> None:
    proposed = agent.memory("Is vegetarian")
    with everything_db.transaction() as session:  # as where another writer's row slipped in beside the proposal
        from sqlalchemy import text

        session.execute(
            text("""
                INSERT INTO learning.learning (tenant, id, store, kind, scope, user_id, content, content_key, data, status,
                    valid_from, live_from, origin)
                SELECT tenant, :id, store, kind, scope, user_id, content, content_key, data, 'active', valid_from,
                    clock_timestamp(), 'extraction'
                FROM learning.learning WHERE id = :of
            """),
            {"id": (live := uuid7()), "of": proposed},
        )
    approved = machine.approve(proposed, by="bob")
    assert approved.id == live
    assert [each.action for each in approved.evidence] == ["propose_learning", "approved"]
    was = machine.get(proposed)
    assert (was.status, was.retired_reason, was.replaced_by, was.decided_by) == ("retired", "approved", live, "bob")
    with pytest.raises(StaleLearning, match=f"was approved by bob .*learning {live} took its place"):
        machine.approve(proposed, by="eve")


@pytest.mark.parametrize("decision", ["approve", "reject", "edit"])
def test_given_a_decided_proposal_when_decided_again_then_it_is_said_who_did_and_nothing_changes(
    machine: LearningMachine, agent: Agent, everything_db: Database, decision: str
) -> None:
    proposed = agent.memory("Is vegetarian")

    def decide(how: str, by: str) -> Learning:
        more = {"content": f"Is vegan, says {by}"} if how == "edit" else {}
        done: Learning = getattr(machine, how)(proposed, by=by, **more)
        return done

    decide(decision, "bob")
    before = rows(everything_db, "SELECT * FROM learning.learning ORDER BY id")
    words = {
        "approve": "was approved by bob",
        "reject": "was rejected by bob",
        "edit": "was edited and approved by bob",
    }
    for again in ("approve", "reject", "edit"):
        with pytest.raises(StaleLearning, match=words[decision]):
            decide(again, "eve")
    assert rows(everything_db, "SELECT * FROM learning.learning ORDER BY id") == before


def test_given_what_is_no_proposal_when_decided_then_it_is_refused(machine: LearningMachine, agent: Agent) -> None:
    live = machine.add("Is vegetarian", user_id="alex", by="bob")
    with pytest.raises(StaleLearning, match="is live"):
        machine.approve(live.id, by="bob")
    with pytest.raises(UnknownLearning):
        machine.approve(uuid7(), by="bob")
    with pytest.raises(UnknownLearning):
        machine.for_tenant("other").approve(agent.memory("Is tall"), by="bob")
    with pytest.raises(InvalidArgument, match=r"by: .*Say who"):
        machine.approve(live.id, by=" ")


def test_given_a_proposal_when_corrected_as_if_it_were_live_then_it_is_said_that_it_waits(
    machine: LearningMachine, agent: Agent
) -> None:
    proposed = agent.memory("Is vegetarian")
    for call in (machine.retract, lambda each, by: machine.update(each, content="Is vegan", by=by)):
        with pytest.raises(StaleLearning, match="waits as a proposal"):
            call(proposed, by="bob")


def test_given_several_who_decide_at_once_then_exactly_one_wins(machine: LearningMachine, agent: Agent) -> None:
    for number in range(5):
        proposed = agent.memory(f"Likes book {number}")
        decisions = [
            lambda by, proposed=proposed: machine.approve(proposed, by=by),
            lambda by, proposed=proposed: machine.reject(proposed, by=by),
            lambda by, proposed=proposed, number=number: machine.edit(proposed, content=f"Likes tale {number}", by=by),
        ]

        def decide(person: int, decisions: Any = decisions) -> str | None:
            try:
                decisions[person % 3](by=f"person-{person}")
            except StaleLearning:
                return None
            return f"person-{person}"

        with ThreadPoolExecutor(6) as pool:
            (winner,) = [each for each in pool.map(decide, range(6)) if each is not None]
        assert machine.get(proposed).decided_by == winner


def test_given_two_proposals_of_one_key_when_the_later_is_approved_then_one_is_live(
    machine: LearningMachine, agent: Agent
) -> None:
    first, second = agent.field("name", "Alec"), agent.field("name", "Alex")
    assert [each.id for each in machine.proposals()] == [second]
    machine.approve(second, by="bob")
    assert machine.recall(user_id="alex").fields == {"name": "Alex"}
    with pytest.raises(StaleLearning, match="superseded"):
        machine.approve(first, by="bob")


def test_given_a_fact_that_waits_when_it_is_approved_then_its_entity_is_found_by_name_and_before_it_is_not(
    place: Place,
) -> None:
    config = EntityMemoryConfig(mode="AGENTIC", approval="always")
    with place.machine(entity_memory=config) as machine:
        tools = {tool.name: tool for tool in machine.tools(user_id="alex", session_id="s1")}
        tools["add_fact"](entity="Acme Corp", type="company", fact="Uses PostgreSQL")
        assert machine.entity("Acme Corp") is None

        (fact,) = [each for each in machine.proposals() if each.kind == "fact"]
        machine.approve(fact.id, by="ann@acme.example")
        acme = machine.entity("acme corp")
        assert acme is not None
        assert acme.facts == ("Uses PostgreSQL",)
        assert machine.proposals() == ()
