"""All stores and modes of one machine against real processes: what is said is what is known, and what waits is not shown."""

from typing import Any

import pytest

from harness import turn
from learning_machine import EntityMemoryConfig, LearnedKnowledgeConfig, LearningMachine

ACME = "Acme Corp just migrated to PostgreSQL and hired Bob as CTO."
LESSON = "Lesson learned: always pin the base image when you build containers."
STORES = ("user_profile", "session_context", "entity_memory", "learned_knowledge")


@pytest.fixture(scope="module")
def machine(system: Any) -> Any:
    """A machine with all four stores, all extracting in the background."""
    system.processes.dispatcher()
    system.processes.worker(*STORES)
    with system.place.machine(
        user_profile=True,
        session_context=True,
        entity_memory=EntityMemoryConfig(debounce=0),
        learned_knowledge=LearnedKnowledgeConfig(mode="ALWAYS", debounce=0),
    ) as machine:
        yield machine


def _said(machine: LearningMachine, words: str, user_id: str, session_id: str = "s1") -> dict[str, str]:
    receipt = machine.emit(turn(words), user_id=user_id, session_id=session_id)
    return machine.settle(receipt, timeout=60)


def test_given_a_sentence_about_a_company_when_extracted_then_entities_facts_events_and_the_edge_are_known(
    machine: LearningMachine,
) -> None:
    states = _said(machine, ACME, "alice")
    assert states["entity_memory"] == "extracted"

    acme = machine.entity("ACME corp")
    assert acme is not None
    assert str(acme) == "Acme Corp (company)"
    assert acme.facts == ("Uses PostgreSQL",)
    assert len(acme.events) == 2
    assert [str(near) for near in acme.neighbours] == ["Bob (person)"]
    assert any("CTO" in edge for edge in acme.relationships)
    # Every one of them stands on the words.
    found = machine.learnings(store="entity_memory")
    assert {learning.kind for learning in found} == {"alias", "fact", "event", "relationship"}
    assert all(evidence.quote and evidence.quote in ACME for learning in found for evidence in learning.evidence)
    # Another user of the tenant reads the same world.
    context = machine.recall(user_id="bob", session_id="s9").context
    assert "Acme Corp (company): Uses PostgreSQL" in context


def test_given_a_fact_that_changes_when_extracted_then_the_old_one_ends_when_the_new_one_was_said(
    machine: LearningMachine,
) -> None:
    _said(machine, "Initech uses Oracle.", "alice", "s2")
    _said(machine, "Initech switched from Oracle to MariaDB.", "alice", "s2")
    initech = machine.entity("Initech")
    assert initech is not None
    assert initech.facts == ("Uses MariaDB",)
    (old,) = [each for each in machine.learnings(status="retired", kind="fact") if each.content == "Uses Oracle"]
    assert old.valid_to is not None
    assert old.replaced_by is not None
    assert [each.content for each in machine.history(old.id)] == ["Uses Oracle", "Uses MariaDB"]


def test_given_an_insight_of_one_user_when_a_second_says_it_then_a_third_recalls_it_and_before_nobody_does(
    machine: LearningMachine,
) -> None:
    _said(machine, LESSON, "alice", "s3")
    (waiting,) = machine.proposals(store="learned_knowledge")
    assert (waiting.awaits, waiting.user_id) == ("corroboration", None)
    assert "base image" not in machine.recall(user_id="carol", session_id="s1").context

    _said(machine, LESSON, "bob", "s3")
    assert machine.proposals(store="learned_knowledge") == ()
    assert "base image" in machine.recall(user_id="carol", session_id="s1").context


def test_given_a_machine_of_the_users_own_namespace_when_others_look_then_they_see_nothing_and_no_user_means_nothing(
    system: Any, machine: LearningMachine
) -> None:
    with system.place.machine(entity_memory=EntityMemoryConfig(namespace="user", debounce=0)) as own:
        _said(own, "Hooli uses Cassandra.", "dora")
        assert own.entity("Hooli", user_id="dora") is not None
        assert own.entity("Hooli", user_id="erik") is None
        assert machine.entity("Hooli") is None
        assert "Hooli" in own.recall(user_id="dora").context
        assert own.recall(user_id="erik").context == ""
        assert own.recall(session_id="s1").context == ""
        assert _said(own, "Hooli uses Cassandra.", None, "s7") == {"entity_memory": "skipped"}  # type: ignore[arg-type] - no user
