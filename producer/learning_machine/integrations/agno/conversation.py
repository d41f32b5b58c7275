"""What was said in a run of agno's, as the messages of an event.

The user's words are the run's own input, and what a run was gone on with: what agno adds to them for the model (references,
dependencies) nobody said. What tools were called with and answered, what the system was told, and the history that was sent
along again are left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from learning_schemas.event import History


@dataclass(frozen=True, kw_only=True)
class Said:
    """Messages, and whether they are only the new ones."""

    messages: list[dict[str, Any]]
    history: History


_TASK_STATE = "<current_task_state>"
"""How agno begins what it tells a team's leader in the user's role, from one task to the next."""


def said_in(run: Any, *, asker: str | None) -> Said:
    """The turn of a `RunOutput` or `TeamRunOutput`.

    `asker`: "team" where the input is a task from a team's leader, "workflow" where it is a step's, which may be what the step
    before answered. It is no word of the user's then, and is not passed off as one.
    """
    given = getattr(getattr(run, "input", None), "input_content", None)
    examples = {message.id for message in getattr(run, "additional_input", None) or ()}
    messages = [message for message in getattr(run, "messages", None) or () if message.id not in examples]
    theirs = _texts(given)
    messages = [message for before, message in pairwise([None, *messages]) if not _agnos(before, message, theirs)]
    if isinstance(given, str):
        said = _turn(messages, given)
        # One that went on from a finished run begins with that run's messages, under the ids that they were handed over with.
        history: History = "auto" if getattr(run, "forked_from_run_id", None) else "delta"
    else:
        said = spoken(messages)
        history = "auto"
        for message in said:
            # What was said before may be among them; agno gives it new ids, so that they tell nothing.
            message.pop("id", None)
    answer = _answer(run)
    if said and said[-1]["role"] == "user" and answer:
        said.append({"role": "assistant", "content": answer})  # a member's, which a team passes on as it is
    if asker is not None:
        said = [{**each, "role": "assistant", "name": asker} if each["role"] == "user" else each for each in said]
    return Said(messages=said, history=history)


def spoken(messages: Iterable[Any]) -> list[dict[str, Any]]:
    """Who said what, of the user and the assistant; calls of tools without a word are left out."""
    found: list[dict[str, Any]] = []
    for message in messages:
        role = getattr(message, "role", None)
        if role not in ("user", "assistant") or message.from_history or message.temporary:
            continue
        content: Any = message.content
        if not isinstance(content, (str, list)):
            content = message.get_content_string()
        if isinstance(content, str):
            content = content.replace("\0", "")  # models take it, Postgres does not, and nobody says it
        if content:
            entry = {"role": role, "content": content, "id": message.id}
            found.append({name: value for name, value in entry.items() if value is not None})
    return found


def _turn(messages: list[Any], asked: str) -> list[dict[str, Any]]:
    """What the user asked, in these words, what the assistant said to it, and what the user went on with."""
    found = spoken(messages)
    asked = asked.replace("\0", "")
    users = [place for place, each in enumerate(found) if each["role"] == "user"]
    holding = [place for place in users if asked in str(found[place]["content"])]
    start = (holding or users or [0])[0]
    question = {**found[start], "content": asked} if users else {"role": "user", "content": asked}
    later = found[start + 1 if users else start :]
    return [question, *later] if asked.strip() else later


def _texts(given: Any) -> set[str]:
    """What is said in an input that is a list of messages."""
    listed = given if isinstance(given, list) else ()
    return {str(each.get("content") if isinstance(each, dict) else getattr(each, "content", each)) for each in listed}


def _agnos(before: Any, message: Any, theirs: set[str]) -> bool:
    """Whether a message of the user's role is agno's own: what a tool showed, or a team's state of its tasks."""
    if message.role != "user" or str(message.content) in theirs:
        return False
    if message.get_content_string().startswith(_TASK_STATE):
        return True
    # A tool that ended the turn before, and history that ends with a tool, have the user's next words behind them.
    return before is not None and before.role == "tool" and not (before.stop_after_tool_call or before.from_history)


def _answer(run: Any) -> str:
    content = getattr(run, "content", None)
    if content is None or isinstance(content, str):
        return content or ""
    return str(run.get_content_as_string())
