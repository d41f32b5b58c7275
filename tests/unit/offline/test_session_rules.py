"""What the turns of a session add to its summary, goal, plan and progress."""

from typing import Any

import pytest

from learning_ops.offline.instance import fits
from learning_ops.offline.session_rules import LEFT_OUT, SUMMARY_LENGTH, session_patch
from learning_ops.offline.transcript import read_transcript


@pytest.fixture
def patch(material: Any, session_schema: Any) -> Any:
    def made(*said: tuple[str, str], known: dict[str, str] | None = None, planning: bool = True) -> dict[str, Any]:
        lines = [{"id": f"m{number}", "role": role, "text": text} for number, (role, text) in enumerate(said, start=1)]
        rows = [
            {"id": f"k{number}", "kind": kind, "text": text}
            for number, (kind, text) in enumerate((known or {}).items(), start=1)
        ]
        schema = session_schema(planning=planning)
        read = read_transcript(material(lines, rows))
        assert read is not None
        result = session_patch(read, schema)
        assert fits(result, schema, schema)
        return result

    return made


def test_given_turns_when_summarised_then_each_gives_a_line_and_is_cited(patch: Any) -> None:
    result = patch(
        ("user", "Hi! How do I read a CSV file in Rust? I am new to it."),
        ("assistant", "Use the csv crate. It has a Reader."),
        ("user", "Thanks!"),
        planning=False,
    )

    assert result == {
        "summary": {
            "content": "User asked: How do I read a CSV file in Rust?\nAssistant said: Use the csv crate.",
            "messages": ["m1", "m2"],
        }
    }


def test_given_a_known_summary_when_turns_follow_then_the_new_one_builds_on_it(patch: Any) -> None:
    result = patch(
        ("user", "Now make it faster, please, it takes a minute."), known={"summary": "The user wrote a CSV reader."}
    )

    assert result["summary"]["content"].splitlines() == [
        "The user wrote a CSV reader.",
        "User said: Now make it faster, please, it takes a minute.",
    ]


def test_given_only_small_talk_when_summarised_then_nothing_is_new(patch: Any) -> None:
    assert patch(("user", "Hello!"), ("assistant", "Hi there!")) == {
        "summary": None,
        "goal": None,
        "plan": None,
        "progress": None,
    }


def test_given_a_long_session_when_summarised_again_and_again_then_the_oldest_goes_visibly(patch: Any) -> None:
    known = ""
    for number in range(40):
        content = patch(
            ("user", f"Message number {number} says something of a middling length about topic {number}."),
            known={"summary": known} if known else None,
        )["summary"]["content"]
        known = content

    assert len(known) <= SUMMARY_LENGTH
    assert known.startswith(LEFT_OUT + "\n")
    assert known.count(LEFT_OUT) == 1
    assert "number 39 " in known
    assert "number 0 " not in known


def test_given_the_same_turns_again_when_summarised_then_nothing_is_new(patch: Any) -> None:
    turns = (("user", "I want to set up a CI pipeline."), ("assistant", "Let us begin with the runner."))
    known = patch(*turns)["summary"]["content"]

    assert patch(*turns, known={"summary": known})["summary"] is None


@pytest.mark.parametrize(
    ("said", "goal"),
    [
        ("I want to migrate our database to Postgres 18.", "Migrate our database to Postgres 18"),
        ("Hi, can you help me plan a birthday party?", "Plan a birthday party"),
        ("We need to ship the release by Friday.", "Ship the release by Friday"),
        ("The goal is to cut the bill in half.", "Cut the bill in half"),
        ("I'm trying to learn Finnish grammar.", "Learn Finnish grammar"),
    ],
)
def test_given_a_user_who_names_a_goal_when_read_then_it_is_the_session_s(patch: Any, said: str, goal: str) -> None:
    assert patch(("user", said))["goal"] == {"content": goal, "messages": ["m1"]}


@pytest.mark.parametrize(
    "said",
    [
        "I want to thank you so much.",
        "I don't want to rewrite everything.",
        "I need to go now, bye.",
        "If I want to fly there, what then?",
        "It rains.",
    ],
)
def test_given_a_user_who_names_none_when_read_then_there_is_no_goal(patch: Any, said: str) -> None:
    assert patch(("user", said))["goal"] is None


def test_given_a_known_goal_when_the_user_needs_something_on_the_way_then_it_stays_until_a_new_one_is_named(
    patch: Any,
) -> None:
    known = {"goal": "Migrate to Postgres 18"}

    assert patch(("user", "I need to install the client first."), known=known)["goal"] is None
    assert (
        patch(("user", "Actually, I want to migrate to Valkey."), known=known)["goal"]["content"] == "Migrate to Valkey"
    )


def test_given_a_numbered_list_when_read_then_it_is_the_plan(patch: Any) -> None:
    result = patch(
        ("assistant", "Here is the plan:\n1. Back up the **data**\n2. Upgrade the server\n3) Run the tests\nShall we?")
    )

    assert result["plan"] == {"steps": ["Back up the data", "Upgrade the server", "Run the tests"], "messages": ["m1"]}


def test_given_a_bulleted_list_when_it_is_called_steps_then_it_is_the_plan_and_else_not(patch: Any) -> None:
    assert patch(("assistant", "The steps are\n- Mix the dough\n- Bake it"))["plan"]["steps"] == [
        "Mix the dough",
        "Bake it",
    ]
    assert patch(("assistant", "You need\n- flour\n- eggs"))["plan"] is None
    assert patch(("assistant", "Some ideas:\n1. A picnic\n2. A concert"))["plan"] is None


def test_given_first_then_finally_when_read_then_it_is_the_plan(patch: Any) -> None:
    result = patch(("user", "First we back up the data, then we upgrade the server, and finally run the tests."))

    assert result["plan"]["steps"] == ["Back up the data", "Upgrade the server", "Run the tests"]


def test_given_a_plan_and_steps_done_when_read_then_progress_names_them_after_what_is_known(patch: Any) -> None:
    known = {"plan": "1. Back up the data\n2. Upgrade the server", "progress": "Chose the version"}

    result = patch(
        ("user", "Step 2 is done. I've finished the release notes."),
        ("assistant", "The docs are not done yet."),
        known=known,
    )

    assert result["progress"] == {
        "steps": ["Chose the version", "Step 2: Upgrade the server", "The release notes"],
        "messages": ["m1"],
    }


def test_given_progress_that_is_known_when_said_again_then_nothing_is_new(patch: Any) -> None:
    assert (
        patch(("user", "I've finished the release notes."), known={"progress": '["The release notes"]'})["progress"]
        is None
    )


@pytest.mark.parametrize(
    "said", ["Is step 2 done?", "Step 2 isn't done.", "When step 2 is done, call me.", "Almost done with the docs."]
)
def test_given_what_is_not_done_when_read_then_there_is_no_progress(patch: Any, said: str) -> None:
    assert patch(("user", said))["progress"] is None
