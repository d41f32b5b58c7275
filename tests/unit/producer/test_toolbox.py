"""A machine's tools before any server is asked: which there are, for whom, and what they say when the memory is away."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from learning_machine import (
    CustomStoreConfig,
    InvalidArgument,
    LearnedKnowledgeConfig,
    LearningMachine,
    LearningStore,
    TenantRequired,
    UserProfileConfig,
)

Make = Callable[..., LearningMachine]


def names(machine: LearningMachine, **ids: str) -> list[str]:
    return [tool.name for tool in machine.tools(**ids)]


def test_given_modes_then_the_agent_has_the_tools_of_those_that_have_any(machine_of: Make) -> None:
    profile = ["update_profile", "save_memory", "update_memory", "forget_memory"]

    assert names(machine_of()) == []
    assert names(machine_of(user_profile=UserProfileConfig(mode="AGENTIC")), user_id="alice") == profile
    assert names(machine_of(user_profile=UserProfileConfig(enable_agent_tools=True)), user_id="alice") == profile
    assert names(machine_of(learned_knowledge=True)) == ["search_learnings", "save_learning"]
    assert names(machine_of(learned_knowledge=LearnedKnowledgeConfig(mode="PROPOSE"))) == [
        "search_learnings",
        "propose_learning",
    ]


def test_given_a_store_that_needs_an_id_then_without_it_there_are_no_tools_at_all_and_the_error_names_it(
    machine_of: Make, notes: type[LearningStore]
) -> None:
    profile = machine_of(user_profile=UserProfileConfig(mode="AGENTIC"))
    own = machine_of(learned_knowledge=True, namespace="user")
    of_session = machine_of(stores=[CustomStoreConfig(store=notes, mode="AGENTIC")])

    with pytest.raises(InvalidArgument, match=r"user_id: is not given, and user_profile needs it"):
        profile.tools(session_id="s1")
    with pytest.raises(
        InvalidArgument, match=r"user_id: is not given, and learned_knowledge in the namespace \"user\" needs"
    ):
        own.tools(session_id="s1")
    with pytest.raises(InvalidArgument, match=r"session_id: is not given, and notes needs it"):
        of_session.tools(user_id="alice")
    for ids in ({"user_id": ""}, {"agent_id": 5}, {"team_id": " x"}, {"session_id": "a\n"}):
        with pytest.raises(InvalidArgument, match=f"{next(iter(ids))}: "):
            machine_of().tools(**ids)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(TenantRequired):
        machine_of(learned_knowledge=True, require_tenant=True).tools()


def test_given_a_tool_then_it_is_told_to_either_api_in_its_form(machine_of: Make) -> None:
    for tool in machine_of(learned_knowledge=True, user_profile=UserProfileConfig(mode="AGENTIC")).tools(user_id="a"):
        chat, responses = tool.to_openai(), tool.to_openai("responses")

        assert chat == {"type": "function", "function": {key: responses[key] for key in list(responses)[1:]}}
        assert responses["type"] == "function"
        assert (responses["name"], responses["strict"]) == (tool.name, True)
        assert responses["description"]
        parameters = json.loads(json.dumps(responses["parameters"]))
        assert parameters["required"] == list(parameters["properties"])
        assert parameters["additionalProperties"] is False
        with pytest.raises(InvalidArgument, match=r"api: .*chat, responses"):
            tool.to_openai("other")  # type: ignore[arg-type]  # that is the point


def test_given_tools_twice_then_they_are_equal_and_can_be_in_a_set(machine_of: Make) -> None:
    machine = machine_of(learned_knowledge=True)

    assert machine.tools() == machine.tools()
    assert len({*machine.tools(), *machine.tools()}) == 2


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("take_note", {}, "Not saved: text is missing. It must be a text: What to note"),
        ("take_note", {"text": "x", "tags": "a"}, "Not saved: tags cannot be used"),
        ("take_note", {"text": "x", "tags": [], "colour": 1}, "Not saved: colour is not an argument of take_note."),
        ("find_notes", {"query": "x", "limit": 100}, "No answer: limit cannot be used"),
        ("find_notes", {"self": "x"}, "No answer: self is not an argument of find_notes. It takes query, limit"),
    ],
)
async def test_given_bad_arguments_then_the_answer_says_so_and_no_server_is_asked(
    machine_of: Make, notes: type[LearningStore], name: str, arguments: dict[str, Any], told: str
) -> None:
    machine = machine_of(stores=[CustomStoreConfig(store=notes, mode="AGENTIC")])
    tool = next(tool for tool in machine.tools(session_id="s1") if tool.name == name)

    assert tool(**arguments).startswith(told)
    assert await tool.acall(**arguments) == tool(**arguments)


async def test_given_no_server_then_the_answer_says_that_nothing_was_saved_and_names_no_address(
    machine_of: Make, notes: type[LearningStore], caplog: pytest.LogCaptureFixture
) -> None:
    machine = machine_of(stores=[CustomStoreConfig(store=notes, mode="AGENTIC")])
    take, find = machine.tools(session_id="s1")

    for answer in (take(text="x", tags=[]), await take.acall(text="x", tags=[])):
        assert answer == "Not saved: the memory cannot be reached (OperationalError). Try again later."
    assert find(query="x") == "No answer: the memory cannot be reached (OperationalError). Try again later."
    assert "the tool take_note of tenant default failed: " in caplog.text
    await machine.aclose()
    machine.close()


def test_given_tools_then_the_instructions_tell_of_them_and_are_the_same_bytes(
    machine_of: Make, notes: type[LearningStore]
) -> None:
    def made() -> LearningMachine:
        return machine_of(
            user_profile=UserProfileConfig(mode="AGENTIC"),
            learned_knowledge=True,
            stores=[CustomStoreConfig(store=notes, mode="AGENTIC")],
        )

    told = made().instructions()

    assert told == made().instructions() == made().for_tenant("acme").instructions()
    for name in ("save_memory", "search_learnings", "save_learning", "take_note: note what matters."):
        assert name in told
    assert machine_of().instructions() == ""
    assert "propose_learning" not in told
    assert "save_learning" not in machine_of(user_profile=UserProfileConfig(mode="AGENTIC")).instructions()
