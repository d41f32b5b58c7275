"""Making an event of what an agent's loop has: validated, redacted, with an id and a number."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from learning_schemas.errors import InvalidEvent
from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import uuid7
from learning_schemas.message import Message, as_message_input
from learning_schemas.redaction import Redactor
from learning_schemas.spec import MachineSpec


def draft(
    values: Mapping[str, Any],
    messages: Iterable[Message | Mapping[str, Any] | object],
    spec: MachineSpec,
    redact: Redactor,
) -> tuple[ConversationCompleted, dict[str, int]]:
    """An event from the arguments of emit, and how many secrets were redacted, by kind.

    Raises `InvalidEvent`. What a redaction hook raises is passed on.
    """
    if isinstance(messages, (str, bytes, Mapping)):
        raise InvalidEvent(
            "messages", f"must be a list of messages, not {type(messages).__name__}", "Wrap a single message in a list"
        )
    _check_stores(values, spec)
    event = ConversationCompleted.make(
        {
            "id": uuid7(),
            "occurred_at": datetime.now(UTC),
            **{name: value for name, value in values.items() if value is not None},
            "messages": tuple(as_message_input(message) for message in messages),
        }
    )
    return _redacted(event, redact)


def _check_stores(values: Mapping[str, Any], spec: MachineSpec) -> None:
    for name, store in spec.stores.items():
        field = "user_id" if store.scope == "user" else "session_id"
        if not values.get(field):
            raise InvalidEvent(
                field,
                f"is missing, and the store {name} needs it",
                f"Give {field}, or make the machine without {name}",
            )


def _redacted(event: ConversationCompleted, redact: Redactor) -> tuple[ConversationCompleted, dict[str, int]]:
    counts: Counter[str] = Counter()
    changed: dict[int, Message] = {}
    for index, message in enumerate(event.messages):
        content, found = redact(message.content) if message.content else ("", None)
        calls = message.tool_calls
        if calls is not None:
            calls, in_calls = _redacted_json(calls, redact)
            found = dict(Counter(found or {}) + in_calls) or None
        if found:
            counts.update(found)
            changed[index] = message.model_copy(update={"content": content, "tool_calls": calls})
    if not changed:
        return event, {}
    messages = tuple(changed.get(index, message) for index, message in enumerate(event.messages))
    return event.model_copy(update={"messages": messages}), dict(counts)


def _redacted_json(value: Any, redact: Redactor) -> tuple[Any, Counter[str]]:
    """The same JSON with its strings redacted."""
    counts: Counter[str] = Counter()
    if isinstance(value, str):
        value, found = redact(value)
        counts.update(found or {})
    elif isinstance(value, dict):
        pairs = {name: _redacted_json(inner, redact) for name, inner in value.items()}
        value = {name: inner for name, (inner, _) in pairs.items()}
        counts.update(sum((found for _, found in pairs.values()), Counter[str]()))
    elif isinstance(value, list):
        items = [_redacted_json(inner, redact) for inner in value]
        value = [inner for inner, _ in items]
        counts.update(sum((found for _, found in items), Counter[str]()))
    return value, counts
