"""Promotion: an insight in a wider namespace, by a person's word, with all that it stands on and nobody's name on it."""

from typing import Any

import pytest

from harness import Place, rows
from learning_machine import InvalidArgument, LearnedKnowledgeConfig, LearningMachine, StaleLearning
from learning_stores.database import Database


@pytest.fixture
def machine(place: Place) -> Any:
    """Each user's insights are their own, until they are promoted."""
    config = LearnedKnowledgeConfig(namespace="user", also_reads=("team-x", "global"))
    with place.machine(user_profile=True, learned_knowledge=config) as machine:
        yield machine


def test_given_an_insight_of_one_user_when_promoted_step_by_step_then_others_have_it_and_none_of_its_owner(
    machine: LearningMachine, everything_db: Database
) -> None:
    own = machine.add(title="CI", learning="Retry the login test once", tags=["ci"], user_id="alex", by="alex")
    assert machine.recall(user_id="kim").context == ""
    team = machine.promote(own.id, "team-x", by="lead@acme.com")
    everywhere = machine.promote(str(team.id), "global", by="cto@acme.com")
    assert (team.content, team.data, team.namespace, team.user_id) == (own.content, own.data, "team-x", None)
    assert [(each.action, each.by) for each in everywhere.evidence] == [
        ("added", "alex"),
        ("promoted", "lead@acme.com"),
        ("promoted", "cto@acme.com"),
    ]
    assert machine.get(own.id).status == machine.get(team.id).status == "active"
    assert "Retry the login test once" in machine.recall(user_id="kim").context
    shared = rows(everything_db, "SELECT user_id, session_id FROM learning.learning WHERE namespace <> 'user'")
    assert shared == [{"user_id": None, "session_id": None}] * 2
    # Whose conversation it came from stays with the evidence, so that it goes when they are forgotten.
    subjects = rows(everything_db, "SELECT DISTINCT subject FROM learning.evidence WHERE learning_id = :id", id=team.id)
    assert {each["subject"] for each in subjects} == {"user/alex", None}


def test_given_an_equal_insight_there_when_promoted_then_it_gains_the_evidence(machine: LearningMachine) -> None:
    first = machine.add(title="CI", learning="Retry the login test once", user_id="alex", by="alex")
    second = machine.add(title="Tests", learning="You should retry the login test once.", user_id="kim", by="kim")
    there = machine.promote(first.id, "global", by="lead")
    assert machine.promote(second.id, "global", by="lead").id == there.id
    again = machine.promote(first.id, "global", by="lead")
    assert again.id == there.id
    people = [each.by for each in again.evidence if each.action == "added"]
    assert sorted(people, key=str) == ["alex", "kim"]
    assert len(machine.learnings(namespace="global")) == 1


def test_given_what_cannot_be_promoted_when_tried_then_it_is_said_why(machine: LearningMachine) -> None:
    own = machine.add(title="CI", learning="Retry the login test once", user_id="alex", by="alex")
    everywhere = machine.promote(own.id, "global", by="lead")
    memory = machine.add("Is vegetarian", user_id="alex", by="bob")
    for learning, namespace, argument in (
        (own, "user", "namespace"),
        (everywhere, "user", "namespace"),
        (everywhere, "global", "namespace"),
        (everywhere, "team-x", "namespace"),
        (own, "", "namespace"),
        (memory, "global", "learning_id"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            machine.promote(learning.id, namespace, by="lead")
        assert refused.value.argument == argument
    machine.retract(own.id, by="alex")
    with pytest.raises(StaleLearning, match="retracted"):
        machine.promote(own.id, "team-x", by="lead")
    assert len(machine.learnings(user_id="alex", store="learned_knowledge")) == 1
