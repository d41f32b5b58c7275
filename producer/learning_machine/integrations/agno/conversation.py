"""What was said in a run of agno's, as the messages of an event.

The user's words are the run's own input: what agno adds to them for the model (references, dependencies) nobody said. What tools
were called with and answered, what the system was told, and the history that was sent along again are left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from learning_schemas.event import History


@dataclass(frozen=True, kw_only=True)
class Said:
    """Messages, and whether they are only the new ones."""

    messages: list[dict[str, Any]]
    history: History


def said_in(run: Any, *, by_team: bool) -> Said:
    """The turn of a `RunOutput` or `TeamRunOutput`.

    `by_team`: the input is a task from a team's leader. It is no word of the user's then, and is not passed off as one.
    """
    given = getattr(getattr(run, "input", None), "input_content", None)
    examples = {message.id for message in getattr(run, "additional_input", None) or ()}
    messages = [message for message in getattr(run, "messages", None) or () if message.id not in examples]
    if isinstance(given, str):
        said = _turn(messages, given)
        history: History = "delta"
    else:
        said = spoken(messages)
        history = "auto"
        for message in said:
            # What was said before may be among them; agno gives it new ids, so that they tell nothing.
            message.pop("id", None)
    answer = _answer(run)
    if said and said[-1]["role"] == "user" and answer:
        said.append({"role": "assistant", "content": answer})  # a member's, which a team passes on as it is
    if by_team:
        said = [{**each, "role": "assistant", "name": "team"} if each["role"] == "user" else each for each in said]
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
        if content:
            entry = {"role": role, "content": content, "id": message.id}
            found.append({name: value for name, value in entry.items() if value is not None})
    return found


def _turn(messages: list[Any], asked: str) -> list[dict[str, Any]]:
    """What the user asked, in these words, and what the assistant said to it."""
    found = spoken(messages)
    users = [place for place, each in enumerate(found) if each["role"] == "user"]
    holding = [place for place in users if asked in str(found[place]["content"])]
    start = (holding or users or [0])[-1]
    question = {**found[start], "content": asked} if users else {"role": "user", "content": asked}
    # A message of the user's role after it is agno's own, such as what a tool showed.
    answers = [each for each in found[start:] if each["role"] == "assistant"]
    return [question, *answers] if asked.strip() else answers


def _answer(run: Any) -> str:
    content = getattr(run, "content", None)
    if content is None or isinstance(content, str):
        return content or ""
    return str(run.get_content_as_string())
