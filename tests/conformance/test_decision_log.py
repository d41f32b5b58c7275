"""What the cookbook's store does besides what every store has to: fuller rows, outcomes, and its tool."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from conformance.test_stores import TestDecisionLog as Sound
from conformance.test_stores import decided
from decision_log import DecisionLogStore
from harness import Place
from learning_machine import CustomStoreConfig
from learning_ops.addresses import Addresses
from learning_ops.conformance import Said, known_as
from learning_ops.conformance.scene import Scene

PORT = "We decided to use port 80 because it is free."


@pytest.fixture
def addresses(place: Place) -> Addresses:
    return Addresses(
        database_url=place.app_url,
        dispatcher_database_url=place.dispatcher_url,
        owner_database_url=place.owner_url,
        redis_url=place.redis_url,
    )


@pytest.fixture
def scene(addresses: Addresses) -> Iterator[Scene]:
    with Scene(Sound.case, addresses) as scene:
        yield scene


def port(message: str, known: Any) -> dict[str, Any]:
    return decided(message, "We decided to use port 80", "Use port 80", reasoning="it is free")


def outcome(words: str, decision: str | None = None) -> Any:
    def patch(message: str, known: Any) -> dict[str, Any]:
        meant = decision or known_as(known, "port 80")
        return {
            "decisions": [],
            "outcomes": [{"decision": meant, "outcome": words, "message": message, "quote": "It turned out that"}],
        }

    return patch


def test_given_a_decision_when_its_outcome_is_told_elsewhere_then_the_fuller_row_takes_its_place(scene: Scene) -> None:
    scene.hear(Said(text=PORT, patch=port), session="kickoff")
    told = Said(text="It turned out that port 80 is taken.", patch=outcome("port 80 is taken"))
    scene.hear(told, user="bob", session="review")
    [live], [old] = scene.learnings(), scene.learnings("retired")
    assert live["content"] == "Use port 80, because it is free. Outcome: port 80 is taken"
    assert live["data"] == {"decision": "Use port 80", "reasoning": "it is free", "outcome": "port 80 is taken"}
    assert (old["content"], old["replaced_by"]) == ("Use port 80, because it is free", live["id"])
    assert live["user_id"] is None, "a team's decision is no user's"

    scene.hear(
        Said(
            text="As I said: we decided to use port 80.",
            patch=lambda m, _: decided(m, "we decided to use port 80", "Use port 80"),
        )
    )
    assert [row["id"] for row in scene.learnings()] == [live["id"]], "said again, it keeps its outcome"


def test_given_a_decision_and_its_outcome_in_one_window_when_extracted_then_they_are_one_row(
    scene: Scene,
) -> None:
    def both(message: str, known: Any) -> dict[str, Any]:
        return port(message, known) | {"outcomes": outcome("nobody minded", "use port 80.")(message, known)["outcomes"]}

    said = Said(text=f"{PORT} It turned out that nobody minded.", patch=both)
    event_id = scene.hear(said)
    [live] = scene.learnings()
    assert live["data"]["outcome"] == "nobody minded"
    [evidence] = scene.rows("SELECT quote FROM learning.evidence")  # one message is evidence once
    assert evidence["quote"] == "We decided to use port 80"
    scene.hear_again(event_id, said)
    assert [row["id"] for row in scene.everything()] == [live["id"]]


def test_given_an_outcome_of_no_known_decision_when_extracted_then_it_is_dropped_and_counted(scene: Scene) -> None:
    made = scene.store.operations(
        scene.store.patch_model(scene.spec).model_validate(outcome("it rained", "Use an umbrella")("m1", [])),
        scene.window(Said(text="It turned out that it rained.", patch=port)),
        {},
        scene.spec,
    )
    assert (made.kept, made.dropped) == ((), {"unknown decision": 1})


def test_given_the_tool_when_it_is_called_then_it_says_what_was_kept_and_an_outcome_is_added_by_the_same_words(
    scene: Scene,
) -> None:
    [record] = scene.machine.tools(user_id="ada", session_id="s1")
    assert record(decision="Use port 80", reasoning="it is free", alternatives=["port 81"]) == "Recorded."
    assert record(decision="use port 80.", alternatives=None) == "Already recorded."
    assert record(decision="Use port 80", outcome="it is taken") == "Recorded."
    assert "empty" in record(decision="  ")
    [live] = scene.learnings()
    assert live["content"] == "Use port 80 instead of port 81, because it is free. Outcome: it is taken"
    assert live["origin"] == "tool"
    assert "record_decision" in scene.machine.instructions()
    assert live["content"] in scene.recalled(user="bob", session="s9")


def test_given_approval_when_the_tool_is_called_then_it_says_that_a_person_decides_and_nothing_is_recalled(
    addresses: Addresses,
) -> None:
    log = CustomStoreConfig(store=DecisionLogStore, enable_agent_tools=True, approval="always")
    with Scene(replace(Sound.case, machine={"stores": [log]}), addresses) as scene:
        [record] = scene.machine.tools(user_id="ada", session_id="s1")
        assert record(decision="Use port 80") == "Proposed: a person decides before it is used."
        assert scene.recalled(session="s1") == ""
        assert [row["awaits"] for row in scene.learnings("proposed")] == ["approval"]
