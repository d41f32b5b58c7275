"""The tools of the user profile: fields by the schema, memories by their words or id, and answers that are true."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from harness import Place as Served
from harness import rows
from learning_machine import Approval, LearningMachine, Recall, Tool, UserProfile, UserProfileConfig
from learning_schemas.ids import uuid7
from learning_stores.applying import apply
from learning_stores.database import Database
from learning_stores.operations import Citation, Provenance, Put
from learning_stores.place import Place
from learning_stores.user_values import lost_fields


@dataclass
class Customer(UserProfile):
    tier: Literal["free", "pro"] | None = None
    seats: int | None = field(default=None, metadata={"description": "How many seats they pay for"})
    tags: list[str] = field(default_factory=list)
    extra: dict[str, str] | None = None
    pro: bool | None = None


class Agent:
    """One user's tools, and what is recalled for that user."""

    def __init__(self, machine: LearningMachine, user_id: str) -> None:
        self._machine, self._user_id = machine, user_id
        self.tools: dict[str, Tool] = {tool.name: tool for tool in machine.tools(user_id=user_id)}

    def call(self, tool: str, **arguments: Any) -> str:
        return self.tools[tool](**arguments)

    def recall(self) -> Recall:
        return self._machine.recall(user_id=self._user_id)


Agents = Callable[..., Agent]


@pytest.fixture
def agents(place: Served) -> Iterator[Agents]:
    with ExitStack() as machines:

        def of(user_id: str = "alice", **config: Any) -> Agent:
            made = place.machine(user_profile=UserProfileConfig(mode="AGENTIC", **config))
            return Agent(machines.enter_context(made), user_id)

        yield of


def test_given_fields_of_every_type_when_set_then_recall_has_them_typed(agents: Agents) -> None:
    agent = agents(schema=Customer)
    for name, value in (
        ("preferred_name", "Al"),
        ("tier", "pro"),
        ("seats", 3),
        ("tags", ["a", "b"]),
        ("extra", [{"name": "city", "value": "Berlin"}]),
        ("pro", True),
    ):
        assert agent.call("update_profile", field=name, value=value) == "Saved."

    assert agent.recall().fields == {
        "preferred_name": "Al",
        "tier": "pro",
        "seats": 3,
        "tags": ["a", "b"],
        "extra": {"city": "Berlin"},
        "pro": True,
    }
    assert agents("bob", schema=Customer).recall().fields == {}


def test_given_a_field_that_is_set_when_set_again_then_it_is_updated_or_known_and_stands_once(
    agents: Agents, everything_db: Database
) -> None:
    agent = agents()
    agent.call("update_profile", field="name", value="Alex")

    assert agent.call("update_profile", field="name", value="Alex") == "Already known; noted again."
    assert agent.call("update_profile", field="name", value="Alexandra") == "Updated."
    assert agent.recall().fields == {"name": "Alexandra"}
    history = rows(everything_db, "SELECT status, retired_reason FROM learning.learning ORDER BY live_from, id")
    assert history == [
        {"status": "retired", "retired_reason": "superseded"},
        {"status": "active", "retired_reason": None},
    ]


def test_given_an_unknown_field_when_set_then_the_answer_names_those_there_are(agents: Agents) -> None:
    answer = agents(schema=Customer).call("update_profile", field="shoe_size", value="43")

    assert answer.startswith("Not saved: there is no field 'shoe_size'.")
    for name in ("name", "preferred_name", "tier", "seats", "tags", "extra", "pro"):
        assert name in answer


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("tier", "gold", '"enum":["free","pro"]'),
        ("seats", "many", "takes a whole number"),
        ("tags", [1], '"type":"array"'),
        ("name", 7, "takes a text"),
        ("name", "", "takes a text"),
    ],
)
def test_given_a_value_of_another_type_when_set_then_the_answer_says_what_the_field_takes(
    agents: Agents, name: str, value: Any, takes: str
) -> None:
    agent = agents(schema=Customer)
    answer = agent.call("update_profile", field=name, value=value)

    assert answer.startswith("Not saved: ")
    assert takes in answer
    assert agent.recall().learnings == ()


def test_given_an_imported_schema_of_the_agents_own_when_a_field_is_set_then_that_class_checks_it(
    agents: Agents,
) -> None:
    agent = agents(schema_import="learning_machine:UserProfile")

    assert agent.call("update_profile", field="name", value="Alex") == "Saved."


def test_given_a_memory_when_saved_updated_and_forgotten_by_its_words_then_recall_follows(
    agents: Agents,
) -> None:
    agent = agents()
    assert agent.call("save_memory", content="Likes  tea") == "Saved."
    assert agent.call("save_memory", content="likes tea.") == "Already known; noted again."
    assert agent.call("update_memory", memory="- Likes tea.", content="Likes coffee") == "Updated."
    assert agent.recall().memories == ("Likes coffee",)

    assert agent.call("forget_memory", memory="LIKES COFFEE") == "Forgotten."
    assert agent.recall().learnings == ()
    assert agent.call("forget_memory", memory="Likes coffee") == "Not forgotten: nothing like that is remembered."


def test_given_words_that_name_no_memory_when_forgotten_then_the_nearest_are_offered_with_ids_that_work(
    agents: Agents,
) -> None:
    agent = agents()
    for content in ("Likes green tea", "Likes black tea", "Likes tea", "Drinks tea at noon", "Lives in Berlin"):
        agent.call("save_memory", content=content)

    answer = agent.call("forget_memory", memory="likes green tea very much")

    assert answer.startswith("Not forgotten: no memory says just that. The nearest are ")
    offered = answer.partition(" are ")[2].split("; ")
    assert len(offered) == 3
    learning_id, _, content = offered[0].partition(": ")
    assert content == "Likes green tea"
    assert agent.call("forget_memory", memory=learning_id) == "Forgotten."
    assert "Likes green tea" not in agent.recall().memories


def test_given_two_memories_when_one_is_updated_to_say_what_the_other_does_then_one_is_left(agents: Agents) -> None:
    agent = agents()
    agent.call("save_memory", content="Likes tea")
    agent.call("save_memory", content="Likes coffee")

    assert agent.call("update_memory", memory="Likes tea", content="Likes coffee") == "Updated."
    assert agent.recall().memories == ("Likes coffee",)


def test_given_a_field_when_forgotten_by_its_name_or_words_then_it_is_and_update_memory_points_to_the_right_tool(
    agents: Agents,
) -> None:
    agent = agents()
    agent.call("update_profile", field="preferred_name", value="Al")
    agent.call("update_profile", field="name", value="Alex")

    refused = agent.call("update_memory", memory="name: Alex", content="Is called Bo")
    assert refused == "Not updated: name is a field of the profile; update_profile sets it."
    assert agent.call("forget_memory", memory="preferred name") == "Forgotten."
    assert agent.call("forget_memory", memory="name: Alex") == "Forgotten."
    assert agent.recall().fields == {}


def test_given_a_memory_as_recall_shows_it_when_forgotten_then_it_is_found(agents: Agents) -> None:
    agent = agents()
    agent.call("save_memory", content="Writes <b>bold</b> texts")
    agent.call("save_memory", content="Tells long stories " * 150)

    shown = [line for line in agent.recall().context.splitlines() if line.startswith("- ")]
    assert any(line.endswith(" […]") for line in shown)
    assert [agent.call("forget_memory", memory=line) for line in shown] == ["Forgotten."] * 2


def test_given_another_users_memory_when_named_by_id_then_it_is_not_touched(
    agents: Agents, everything_db: Database
) -> None:
    agents("alice").call("save_memory", content="Likes tea")
    (row,) = rows(everything_db, "SELECT id FROM learning.learning")

    answer = agents("bob").call("forget_memory", memory=str(row["id"]))

    assert answer == "Not forgotten: nothing like that is remembered."
    assert agents("alice").recall().memories == ("Likes tea",)


def test_given_an_approval_policy_when_an_agent_writes_then_nothing_is_used_and_retractions_are_held_back(
    agents: Agents,
) -> None:
    agents().call("save_memory", content="Likes tea")
    agent = agents(approval=Approval(always=True))

    assert agent.call("save_memory", content="Likes jazz") == "Proposed: a person decides before it is used."
    assert agent.call("save_memory", content="Likes jazz") == "Already proposed; noted again."
    assert agent.call("update_memory", memory="Likes tea", content="Likes coffee").startswith("Proposed: ")
    assert agent.call("forget_memory", memory="Likes tea") == "Not forgotten: a person has to decide this."
    assert agent.recall().memories == ("Likes tea",)


@pytest.mark.parametrize(("content", "answer"), [(" ", "Not saved: it is empty."), ("x" * 4_001, None)])
def test_given_what_cannot_be_kept_when_saved_then_it_is_refused(
    agents: Agents, content: str, answer: str | None
) -> None:
    agent = agents()
    told = agent.call("save_memory", content=content)

    assert told == answer if answer else "4,000" in told
    assert agent.recall().learnings == ()


def test_given_a_field_that_the_schema_lost_then_it_is_still_recalled_and_named_as_lost(
    agents: Agents,
) -> None:
    before = agents(schema=Customer)
    before.call("update_profile", field="tier", value="pro")
    before.call("update_profile", field="name", value="Alex")

    recalled = agents().recall()

    assert recalled.fields == {"tier": "pro", "name": "Alex"}
    assert lost_fields(recalled.learnings, UserProfileConfig(mode="AGENTIC").spec()) == ["tier"]
    assert agents().call("update_profile", field="tier", value="free").startswith("Not saved: there is no field")
    assert agents().call("forget_memory", memory="tier") == "Forgotten."


def test_given_words_dated_later_than_now_when_a_tool_contradicts_them_then_it_says_that_it_changed_nothing(
    agents: Agents, app_db: Database
) -> None:
    later = (
        Citation(event_id=uuid7(), message=0, user_id="alice", occurred_at=datetime.now(UTC) + timedelta(minutes=5)),
    )
    said = Put(
        kind="field",
        content="name: Alex",
        content_key="name",
        citations=later,
        data={"name": "name", "value": "Alex"},
    )
    place = Place(tenant="default", store="user_profile", scope="user/alice", user_id="alice")
    app_db.run("default", apply, Provenance(place=place, made_by=uuid7()), [said])
    agent = agents()

    assert agent.call("update_profile", field="name", value="Bo") == "Not saved: something newer is known."
    assert agent.call("forget_memory", memory="name") == "Not forgotten: something newer is known."
    assert agent.recall().fields == {"name": "Alex"}


def test_given_the_profile_without_tools_then_there_are_none_and_the_guidance_is_empty(place: Served) -> None:
    with place.machine(user_profile=True) as machine:
        assert machine.tools(user_id="alice") == []
        assert machine.instructions() == ""


def test_given_extraction_and_tools_together_then_the_agent_has_the_tools_and_is_told_of_fields(place: Served) -> None:
    config = UserProfileConfig(enable_agent_tools=True, schema=Customer)
    with place.machine(user_profile=config) as machine:
        names = [tool.name for tool in machine.tools(user_id="alice")]
        guidance = machine.instructions()

    assert names == ["update_profile", "save_memory", "update_memory", "forget_memory"]
    assert all(name in guidance for name in (*names, "tier", "seats"))
