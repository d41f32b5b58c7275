"""What of a run of agno's is handed over: the user's words and the answer, and nothing that agno made."""

from typing import Any

from agno.models.message import Message
from agno.run.agent import RunInput, RunOutput
from agno.run.team import TeamRunInput, TeamRunOutput
from pydantic import BaseModel

from learning_machine.integrations.agno.conversation import said_in


class Plan(BaseModel):
    step: str


def said(run: Any, *, asker: str | None = None) -> list[tuple[str, str]]:
    return [(each["role"], each["content"]) for each in said_in(run, asker=asker).messages]


def test_given_examples_history_and_what_a_tool_showed_when_handed_over_then_only_the_turn_is() -> None:
    example = [Message(role="user", content="Hi."), Message(role="assistant", content="Ahoy.")]
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    run = RunOutput(
        run_id="r1",
        input=RunInput(input_content="Look."),
        additional_input=example,
        content="It is a cat.",
        messages=[
            Message(role="system", content="Be brief."),
            *example,
            Message(role="user", content="Look.", from_history=True),
            Message(role="assistant", content="At what?", from_history=True),
            Message(role="user", content="Look.\n\n<references>a cat</references>"),
            Message(role="assistant", content="One moment.", tool_calls=[call]),
            Message(role="tool", content="image", tool_call_id="c1"),
            Message(role="user", content="Take note of the following content"),
            Message(role="assistant", content="It is a cat."),
        ],
    )

    assert said(run) == [("user", "Look."), ("assistant", "One moment."), ("assistant", "It is a cat.")]
    assert said_in(run, asker=None).history == "delta"


def test_given_a_team_that_passes_a_members_answer_on_when_handed_over_then_the_answer_is_in_it() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "delegate_task_to_member", "arguments": "{}"}}
    run = TeamRunOutput(
        run_id="r1",
        input=TeamRunInput(input_content="Look."),
        content="It is a cat.",
        messages=[
            Message(role="user", content="Look."),
            Message(role="assistant", content=None, tool_calls=[call]),
            Message(role="tool", content="It is a cat.", tool_call_id="c1"),
        ],
    )

    assert said(run) == [("user", "Look."), ("assistant", "It is a cat.")]


def test_given_a_structured_answer_when_handed_over_then_it_is_there_as_text() -> None:
    run = RunOutput(
        run_id="r1",
        input=RunInput(input_content="Plan."),
        content=Plan(step="Book"),
        messages=[Message(role="user", content="Plan.")],
    )

    ((_, question), (role, answer)) = said(run)
    assert (question, role) == ("Plan.", "assistant")
    assert "Book" in answer


def test_given_a_list_of_messages_when_handed_over_then_all_are_and_what_is_history_is_found_out() -> None:
    given = [
        Message(role="user", content="I am Al."),
        Message(role="assistant", content="Hi."),
        Message(role="user", content="Bye."),
    ]
    run = RunOutput(
        run_id="r1", input=RunInput(input_content=given), content="Bye, Al.",
        messages=[*given, Message(role="assistant", content="Bye, Al.")],
    )  # fmt: skip

    assert [content for _, content in said(run)] == ["I am Al.", "Hi.", "Bye.", "Bye, Al."]
    assert said_in(run, asker=None).history == "auto"


def test_given_a_list_of_messages_when_a_tool_shows_something_then_what_it_showed_is_not_the_users_word() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    given = [
        Message(role="user", content="Look."),
        Message(role="tool", content="image", tool_call_id="c0"),
        Message(role="user", content="Again."),
    ]
    run = RunOutput(
        run_id="r1", input=RunInput(input_content=given), content="It is a cat.",
        messages=[
            *given,
            Message(role="assistant", content=None, tool_calls=[call]),
            Message(role="tool", content="image", tool_call_id="c1"),
            Message(role="user", content="The tool call above generated the attached media."),
            Message(role="assistant", content="It is a cat."),
        ],
    )  # fmt: skip

    assert said(run) == [("user", "Look."), ("user", "Again."), ("assistant", "It is a cat.")]


def test_given_a_leaders_task_when_handed_over_then_it_is_the_teams_word() -> None:
    run = RunOutput(
        run_id="r1",
        input=RunInput(input_content="The user likes tea."),
        content="Noted.",
        messages=[Message(role="user", content="The user likes tea."), Message(role="assistant", content="Noted.")],
    )

    first, second = said_in(run, asker="team").messages
    assert (first["role"], first["name"], second["role"]) == ("assistant", "team", "assistant")
    assert "name" not in second


def test_given_a_run_without_words_when_handed_over_then_there_is_nothing() -> None:
    assert said(RunOutput(run_id="r1", messages=[])) == []


def test_given_a_run_that_went_on_from_a_finished_one_when_handed_over_then_what_the_user_went_on_with_is_in_it() -> (
    None
):
    before = [Message(role="user", content="I am Al."), Message(role="assistant", content="Hi.")]
    run = RunOutput(
        run_id="r2", forked_from_run_id="r1", input=RunInput(input_content="I am Al."), content="Noted.",
        messages=[*before, Message(role="user", content="I eat no nuts."), Message(role="assistant", content="Noted.")],
    )  # fmt: skip

    found = said_in(run, asker=None)

    assert [each["content"] for each in found.messages] == ["I am Al.", "Hi.", "I eat no nuts.", "Noted."]
    assert [each["id"] for each in found.messages[:2]] == [each.id for each in before]
    assert found.history == "auto"


def test_given_history_that_ends_with_a_tool_when_handed_over_then_the_question_behind_it_is_the_users() -> None:
    run = RunOutput(
        run_id="r2",
        input=RunInput(input_content="And now?"),
        content="Now this.",
        messages=[
            Message(role="tool", content="image", tool_call_id="c1", from_history=True),
            Message(role="user", content="And now?"),
            Message(role="assistant", content="Now this."),
        ],
    )

    assert said(run) == [("user", "And now?"), ("assistant", "Now this.")]


def test_given_a_null_character_when_handed_over_then_it_is_left_out() -> None:
    run = RunOutput(
        run_id="r1", input=RunInput(input_content="I like\0 tea."), content="No\0ted.",
        messages=[Message(role="user", content="I like\0 tea."), Message(role="assistant", content="No\0ted.")],
    )  # fmt: skip

    assert said(run) == [("user", "I like tea."), ("assistant", "Noted.")]
