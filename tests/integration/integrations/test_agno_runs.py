"""agno's Agent and Team with our memory: what is recalled, offered, executed and handed over in a run, in every way to run."""

import re
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.team import Team

from chat_model import ChatModel
from harness import Place, Processes, eventually, rows
from learning_machine.integrations.agno import LearnedKnowledgeConfig, LearningMachine, LearningMode, UserProfileConfig
from learning_ops.offline.server import OfflineModel
from learning_stores.database import Database

Make = Callable[..., LearningMachine]
Way = Callable[..., str]


@pytest.fixture(params=["agent", "team"])
def runner(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes an agent, or a team."""
    made: Callable[..., Any] = request.getfixturevalue(request.param)
    return made


def said(event: dict[str, Any]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in event["messages"]]


def test_given_a_run_when_it_has_its_answer_then_one_event_has_the_question_and_the_answer(
    runner: Callable[..., Any], way: Way, learning: Make, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    asked = runner(learning=learning(user_profile=True))

    answer = way(asked, "I work at Netflix.", user_id="alice", session_id="s1")

    (event,) = events(1)
    assert answer
    assert said(event) == [("user", "I work at Netflix."), ("assistant", answer)]
    assert (event["user_id"], event["session_id"], event["history"]) == ("alice", "s1", "delta")
    assert event["team_id" if isinstance(asked, Team) else "agent_id"] == asked.id


def test_given_a_run_when_another_follows_at_once_then_its_prompt_has_what_was_said(
    runner: Callable[..., Any], way: Way, learning: Make, chat: ChatModel
) -> None:
    machine = learning(user_profile=True)
    way(runner(learning=machine), "I work at Netflix.", user_id="alice", session_id="s1")

    way(runner(learning=machine), "Where do I work?", user_id="alice", session_id="s2")

    assert "I work at Netflix." in chat.system
    assert "<learning-machine-memory" in chat.system


def test_given_a_run_when_its_words_are_extracted_then_a_second_session_remembers_by_another_machine(
    agent: Callable[..., Agent],
    team: Callable[..., Team],
    learning: Make,
    chat: ChatModel,
    model: OfflineModel,
    processes: Processes,
) -> None:
    processes.dispatcher()
    processes.worker("user_profile")
    first = learning(user_profile=True)
    agent(learning=first).run("I prefer window seats.", user_id="alice", session_id="s1")
    eventually(lambda: first.memory.learnings(user_id="alice"), "something is learned of alice")
    first.close()

    answer = team(learning=learning(user_profile=True)).run(
        "Which seats do I prefer?", user_id="alice", session_id="s2"
    )

    assert "window seats" in str(answer.content)
    assert "(not processed yet)" not in chat.system


def test_given_an_agentic_store_when_the_user_asks_to_save_then_our_tool_is_offered_and_executed(
    runner: Callable[..., Any],
    way: Way,
    learning: Make,
    chat: ChatModel,
    events: Callable[[int], list[dict[str, Any]]],
) -> None:
    machine = learning(learned_knowledge=LearnedKnowledgeConfig(mode=LearningMode.AGENTIC))
    tip = "Save this lesson: always pin the base image when you build containers."

    answer = way(runner(learning=machine), tip, user_id="alice", session_id="s1")

    assert {"search_learnings", "save_learning"} <= set(chat.tools)
    assert "Saved" in answer
    (saved,) = machine.memory.learnings(store="learned_knowledge")
    assert "pin the base image" in saved.content
    # The conversation is handed over, the calls in it are not.
    assert said(events(1)[0])[0] == ("user", tip)
    assert {role for role, _ in said(events(1)[0])} == {"user", "assistant"}
    assert "pin the base image" in way(
        runner(learning=machine), "How should I build containers?", user_id="bob", session_id="s2"
    )


def test_given_tools_when_a_run_is_asked_then_the_guidance_and_the_memory_are_in_the_prompt_once(
    agent: Callable[..., Agent], learning: Make, chat: ChatModel
) -> None:
    machine = learning(user_profile=UserProfileConfig(mode=LearningMode.AGENTIC))
    helper = agent(learning=machine)
    helper.run("Remember that I prefer window seats.", user_id="alice", session_id="s1")

    helper.run("Which seats do I prefer?", user_id="alice", session_id="s2")

    assert chat.system.count("You have a memory that outlasts this conversation") == 1
    assert chat.system.count("I prefer window seats") + chat.system.count("prefers window seats") >= 1
    assert "window seats" in str(chat.asked[-1]["messages"])


def test_given_no_user_when_a_run_is_made_then_only_the_tools_that_need_none_are_offered(
    agent: Callable[..., Agent], learning: Make, chat: ChatModel
) -> None:
    machine = learning(user_profile=UserProfileConfig(mode=LearningMode.AGENTIC), learned_knowledge=True)

    agent(learning=machine).run("Hello.", session_id="s1")

    assert set(chat.tools) == {"search_learnings", "save_learning"}


def test_given_history_in_the_context_when_a_session_goes_on_then_each_event_has_its_own_turn_alone(
    agent: Callable[..., Agent], learning: Make, place: Place, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    from agno.db.in_memory import InMemoryDb

    helper = agent(learning=learning(user_profile=True), db=InMemoryDb(), add_history_to_context=True)

    for text in ("I work at Netflix.", "I live in Oslo.", "I live in Oslo."):
        helper.run(text, user_id="alice", session_id="s1")

    assert [said(event)[0] for event in events(3)] == [
        ("user", "I work at Netflix."),
        ("user", "I live in Oslo."),
        ("user", "I live in Oslo."),
    ]
    assert [len(event["messages"]) for event in events(3)] == [2, 2, 2]


def test_given_what_agno_adds_to_the_users_words_when_handed_over_then_it_is_not_among_them(
    agent: Callable[..., Agent], learning: Make, chat: ChatModel, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    helper = agent(learning=learning(user_profile=True), add_dependencies_to_context=True)

    helper.run("I work at Netflix.", user_id="alice", session_id="s1", dependencies={"weather": "it rains in Oslo"})

    assert "it rains in Oslo" in str(chat.asked[-1]["messages"])
    assert said(events(1)[0])[0] == ("user", "I work at Netflix.")


def test_given_a_list_of_messages_as_input_when_handed_over_then_history_is_told_from_what_is_new(
    agent: Callable[..., Agent],
    learning: Make,
    place: Place,
    processes: Processes,
    model: OfflineModel,
    events: Callable[[int], list[dict[str, Any]]],
) -> None:
    from agno.models.message import Message

    first = [Message(role="user", content="I work at Netflix.")]

    agent(learning=learning(user_profile=True)).run(first, user_id="alice", session_id="s1")

    (event,) = events(1)
    assert said(event)[0] == ("user", "I work at Netflix.")
    assert event.get("history", "auto") == "auto"
    assert "id" not in event["messages"][0]


def test_given_a_member_with_a_memory_when_the_leader_gives_it_a_task_then_its_words_are_not_the_users(
    agent: Callable[..., Agent], learning: Make, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    member = agent(name="Member", learning=learning(user_profile=True))
    crew = Team(name="Crew", members=[member], model=member.model, telemetry=False)
    crew.initialize_team()

    member.run("The user works at Netflix.", user_id="alice", session_id="s1")

    (event,) = events(1)
    assert [message["role"] for message in event["messages"]] == ["assistant", "assistant"]
    assert event["messages"][0]["name"] == "team"


def test_given_one_machine_when_many_agents_run_and_copies_of_them_then_each_turn_is_handed_over_once(
    agent: Callable[..., Agent], learning: Make, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    machine = learning(user_profile=True)
    helper = agent(learning=machine)
    helper.run("Hello.", user_id="alice", session_id="s1")
    other = helper.deep_copy()
    by_hand = agent(learning=machine, post_hooks=[machine.capture_hook()])

    for each in (helper, other, by_hand):
        each.run("I work at Netflix.", user_id="alice", session_id="s1")

    found = [said(event)[0][1] for event in events(4)]
    assert found == ["Hello.", "I work at Netflix.", "I work at Netflix.", "I work at Netflix."]
    assert len(helper.post_hooks or []) == len(other.post_hooks or []) == len(by_hand.post_hooks or []) == 1


def test_given_post_hooks_of_the_users_when_a_run_ends_then_they_are_called_as_before(
    agent: Callable[..., Agent], learning: Make, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    called: list[str] = []

    def note(run_output: Any) -> None:
        called.append(str(run_output.content))

    answer = agent(learning=learning(user_profile=True), post_hooks=[note]).run(
        "Hello.", user_id="alice", session_id="s1"
    )

    assert called == [answer.content]
    assert len(events(1)) == 1


def test_given_the_lines_of_the_guide_when_run_then_they_make_an_agent_whose_second_session_remembers(
    place: Place, chat: ChatModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEARNING_MODEL", "offline-rules-1")
    monkeypatch.setenv("LEARNING_MODEL_BASE_URL", chat.url)
    monkeypatch.setenv("LEARNING_MODEL_API_KEY", "not-a-key")
    monkeypatch.setenv("LEARNING_DATABASE_URL", place.app_url)
    monkeypatch.setenv("LEARNING_REDIS_URL", place.redis_url)
    guide = (Path(__file__).parents[3] / "docs" / "migrating-from-agno.md").read_text()
    names: dict[str, Any] = {}

    for block in re.findall(r"```python\n(.*?)```", guide, re.DOTALL):
        exec(block, names)

    assert names["agent"].learning_machine is names["learning"]
    assert set(names["learning"].memory.spec.stores) == {
        "user_profile", "session_context", "entity_memory", "learned_knowledge",
    }  # fmt: skip
    assert "From memory: I'm allergic to peanuts." in capsys.readouterr().out
    names["model"].get_client().close()


def test_given_a_run_that_waits_for_a_person_when_it_goes_on_then_one_event_has_the_question_and_the_answer(
    agent: Callable[..., Agent], learning: Make, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    from agno.tools import tool

    @tool(requires_confirmation=True)
    def save_learning(title: str, learning: str, context: str = "", tags: str = "") -> str:
        """Save a lesson."""
        return f"Kept: {title}"

    helper = agent(learning=learning(user_profile=True), tools=[save_learning])
    asked = "Save this lesson: always pin the base image."
    waiting = helper.run(asked, user_id="alice", session_id="s1")
    assert waiting.is_paused
    for requirement in waiting.active_requirements:
        requirement.confirm()

    answer = helper.continue_run(run_response=waiting, user_id="alice", session_id="s1")

    assert "Kept" in str(answer.content)
    assert [said(event) for event in events(1)] == [[("user", asked), ("assistant", answer.content)]]


def test_given_an_answer_that_a_guardrail_refuses_when_the_run_ends_then_nothing_is_handed_over(
    agent: Callable[..., Agent], learning: Make, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    from agno.exceptions import CheckTrigger, OutputCheckError

    refuse = True

    def check(run_output: Any) -> None:
        if refuse:
            raise OutputCheckError("not so", check_trigger=CheckTrigger.OUTPUT_NOT_ALLOWED)

    helper = agent(learning=learning(user_profile=True), post_hooks=[check])
    helper.run("Say something bad.", user_id="alice", session_id="s1")
    refuse = False
    helper.run("Say something good.", user_id="alice", session_id="s1")

    assert [said(event)[0][1] for event in events(1)] == ["Say something good."]


def test_given_a_store_that_a_program_looks_up_when_printed_and_searched_then_it_shows_what_is_remembered(
    agent: Callable[..., Agent], learning: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = learning(user_profile=True, learned_knowledge=True)
    agent(learning=machine).run("Save this lesson: always pin the base image.", user_id="alice", session_id="s1")
    machine.memory.add("Is vegetarian", user_id="alice", by="ann")

    profile, knowledge = machine.user_profile_store, machine.learned_knowledge_store
    assert profile is not None
    assert knowledge is not None
    profile.print(user_id="alice")
    knowledge.print(query="base image")
    profile.print(user_id="bob")

    shown = capsys.readouterr().out
    assert "Is vegetarian (memory)" in shown
    assert "always pin the base image" in shown.lower()
    assert "Nothing is remembered" in shown
    assert [each.content for each in profile.get(user_id="alice")] == ["Is vegetarian"]
    recalled = machine.recall(user_id="alice", session_id="s2", message="What do I eat?")
    assert [each.content for each in recalled["user_profile"]] == ["Is vegetarian"]


def test_given_a_program_that_calls_the_machine_by_hand_then_it_does_what_agnos_does(
    learning: Make, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    from agno.models.message import Message

    machine = learning(user_profile=UserProfileConfig(mode=LearningMode.AGENTIC))
    talk = [Message(role="user", content="I work at Netflix."), Message(role="assistant", content="Noted.")]

    machine.process(talk, user_id="alice", session_id="s1")

    assert said(events(1)[0]) == [("user", "I work at Netflix."), ("assistant", "Noted.")]
    assert "save_memory" in machine.instructions()
    assert "I work at Netflix." in machine.build_context(user_id="alice", session_id="s2", message="Where?")
    assert {tool.name for tool in machine.get_tools(user_id="alice", session_id="s1")} >= {"save_memory"}
    assert machine.build_context() == ""


def test_given_no_user_when_a_run_ends_then_its_turn_is_handed_over_for_the_session(
    agent: Callable[..., Agent], learning: Make, model: OfflineModel, processes: Processes
) -> None:
    processes.dispatcher()
    processes.worker("session_context")
    machine = learning(user_profile=True, session_context=True)

    agent(learning=machine).run("I want to plan a trip to Rome.", session_id="s1")

    eventually(lambda: machine.memory.learnings(session_id="s1"), "something is learned of the session", timeout=60)
    assert "Rome" in machine.build_context(session_id="s1")


def test_given_no_user_when_every_store_needs_one_then_nothing_is_handed_over_and_nothing_complained_of(
    agent: Callable[..., Agent],
    learning: Make,
    events: Callable[[int], list[dict[str, Any]]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    helper = agent(learning=learning(user_profile=True))

    helper.run("Hello.", session_id="s1")
    helper.run("Hello.", user_id="alice", session_id="s1")

    assert [event["user_id"] for event in events(1)] == ["alice"]
    assert "handing a turn over failed" not in caplog.text


def test_given_a_finished_run_that_is_gone_on_with_then_the_new_words_are_learned_and_the_old_not_again(
    runner: Callable[..., Any],
    learning: Make,
    model: OfflineModel,
    processes: Processes,
    everything_db: Database,
) -> None:
    from agno.db.in_memory import InMemoryDb

    machine = learning(user_profile=True)
    asked = runner(learning=machine, db=InMemoryDb())
    first = asked.run("I work at Netflix.", user_id="alice", session_id="s1")

    asked.continue_run(run_response=first, input="I am allergic to peanuts.", user_id="alice", session_id="s1")

    processes.dispatcher()
    processes.worker("user_profile")
    eventually(lambda: len(machine.memory.learnings(user_id="alice")) >= 2, "both are learned", timeout=60)
    assert rows(everything_db, "SELECT count(*) AS shown FROM learning.session_message") == [{"shown": 4}]


def test_given_steps_of_a_workflow_when_they_end_then_what_one_hands_to_the_next_is_not_the_users_word(
    agent: Callable[..., Agent], learning: Make, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    from agno.workflow import Step, Workflow

    machine = learning(user_profile=True)
    steps: list[Any] = [Step(name=name, agent=agent(name=name, learning=machine)) for name in ("one", "two")]

    Workflow(name="both", steps=steps, telemetry=False).run(
        input="I work at Netflix.", user_id="alice", session_id="s1"
    )

    found = events(2)
    assert [[message["role"] for message in event["messages"]] for event in found] == [["assistant"] * 2] * 2
    assert {event["messages"][0]["name"] for event in found} == {"workflow"}


def test_given_a_team_in_a_team_with_a_memory_when_the_leader_gives_it_a_task_then_its_words_are_not_the_users(
    team: Callable[..., Team], learning: Make, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    inner = team(name="Inner", learning=learning(user_profile=True))
    team(name="Outer", members=[inner]).initialize_team()

    inner.run("The user works at Netflix.", user_id="alice", session_id="s1")

    (event,) = events(1)
    assert [message["role"] for message in event["messages"]] == ["assistant", "assistant"]


def test_given_an_attempt_that_is_to_leave_no_trace_when_run_then_nothing_is_saved_or_handed_over(
    agent: Callable[..., Agent], learning: Make, chat: ChatModel, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    from agno.environments.runner import _isolate_attempt

    machine = learning(user_profile=True, learned_knowledge=True, entity_memory=True)
    helper = agent(learning=machine)
    attempt = helper.deep_copy()
    _isolate_attempt(attempt)

    attempt.run("Save this lesson: always pin the base image.", user_id="rollout-1", session_id="rollout-1")
    attempt.learning.close()

    assert set(chat.tools) == {"search_learnings", "search_entities"}
    assert machine.memory.learnings(store="learned_knowledge") == ()
    helper.run("Hello.", user_id="alice", session_id="s1")
    assert [event["user_id"] for event in events(1)] == ["alice"]


def test_given_a_copy_of_a_machine_when_its_agent_runs_then_the_turn_is_handed_over(
    agent: Callable[..., Agent], learning: Make, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    machine = learning(user_profile=True)
    agent(learning=machine).run("Hello.", user_id="bob", session_id="s1")

    agent(learning=copy(machine)).run("I work at Netflix.", user_id="alice", session_id="s1")

    assert [event["user_id"] for event in events(2)] == ["bob", "alice"]
