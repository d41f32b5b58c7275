"""Making an event of what an agent's loop has: validated, redacted, with an id and a number."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from learning_schemas.errors import ConfigurationError, InvalidEvent
from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import uuid7
from learning_schemas.limits import clean_text
from learning_schemas.message import Message, as_message_input
from learning_schemas.redaction import Redactor
from learning_schemas.spec import MachineSpec

_NAMING = ("name", "field", "key")
"""Where strict schemas write the name of what stands under `value`."""


def draft(
    values: dict[str, Any],
    messages: Iterable[Message | Mapping[str, Any] | object],
    spec: MachineSpec,
    redact: Redactor,
) -> tuple[ConversationCompleted, dict[str, int]]:
    """An event from the arguments of emit, and how many secrets were redacted, by kind.

    Raises `InvalidEvent`. What a redaction hook raises is passed on.
    """
    if type(messages) is not list and (
        isinstance(messages, (str, bytes, bytearray, Mapping, BaseModel)) or not isinstance(messages, Iterable)
    ):
        raise InvalidEvent(
            "messages", f"must be a list of messages, not {type(messages).__name__}", "Wrap a single message in a list"
        )
    for name, store in spec.always().items():
        field = "user_id" if store.scope == "user" else "session_id"
        if values[field] is None:
            raise InvalidEvent(
                field,
                f"is missing, and the store {name} needs it",
                f"Give {field}, or make the machine without {name}",
            )
    values["id"] = uuid7()
    if values["occurred_at"] is None:
        values["occurred_at"] = datetime.now(UTC)
    values["messages"] = tuple([as_message_input(message) for message in messages])
    return redacted(ConversationCompleted.make(values), redact)


def redacted(event: ConversationCompleted, redact: Redactor) -> tuple[ConversationCompleted, dict[str, int]]:
    """The event without its secrets: in what was said, in tool calls and in metadata; and how many, by kind."""
    counts: dict[str, int] = {}
    changed: dict[int, Message] = {}
    for index, message in enumerate(event.messages):
        update: dict[str, Any] = {}
        content = _redacted_text(message.content, redact, counts)
        if content is not message.content:
            update["content"] = content
        if message.tool_calls is not None:
            update["tool_calls"] = redacted_json(message.tool_calls, redact, counts)
        if message.metadata is not None:
            update["metadata"] = redacted_json(message.metadata, redact, counts)
        if update:
            changed[index] = message.model_copy(update=update)
    update = {}
    if changed:
        update["messages"] = tuple([changed.get(index, message) for index, message in enumerate(event.messages)])
    if event.metadata is not None:
        update["metadata"] = redacted_json(event.metadata, redact, counts)
    return event.model_copy(update=update) if counts else event, counts


def _redacted_text(text: str, redact: Redactor, counts: dict[str, int]) -> str:
    kept, found = redact(text)
    if found:
        _clean(kept)
        for kind, count in found.items():
            counts[kind] = counts.get(kind, 0) + count
    return kept


def redacted_json(value: Any, redact: Redactor, counts: dict[str, int]) -> Any:
    """The same JSON with its strings redacted, names included; a name may announce that its value is a secret."""
    if isinstance(value, str):
        return _redacted_text(value, redact, counts)
    if isinstance(value, list):
        return [redacted_json(inner, redact, counts) for inner in value]
    if isinstance(value, dict):
        pairs = {}
        named = next((value[key] for key in _NAMING if isinstance(value.get(key), str)), None)
        for name, inner in value.items():
            kept_name = _redacted_text(name, redact, counts)
            kept = redacted_json(inner, redact, counts)
            announced_by = named if name == "value" and named is not None else kept_name
            if isinstance(inner, str) and kept == inner and (kind := redact.announced(announced_by, inner)):
                kept = f"[redacted: {kind}]"
                counts[kind] = counts.get(kind, 0) + 1
            pairs[kept_name] = kept
        return pairs
    return value


def _clean(text: object) -> None:
    """What a hook gave must be able to travel."""
    try:
        if not isinstance(text, str):
            raise ValueError(f"is {type(text).__name__}")
        clean_text(text)
    except ValueError as error:
        raise ConfigurationError(
            "redaction_hooks", f"what a hook gave {error}", "A hook takes text and gives text"
        ) from None
