"""The event: a conversation, or a turn of one, that was completed. Immutable; its key is (tenant, id)."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError, PydanticSerializationError

from learning_schemas.errors import InvalidEvent
from learning_schemas.finding import first_finding
from learning_schemas.ids import LAST_MILLISECOND
from learning_schemas.limits import MAX_EVENT_BYTES, MAX_JSON_VALUES, MAX_KEY_BYTES, MAX_MESSAGES, Id, Text
from learning_schemas.message import JsonObject, Message
from learning_schemas.scope import session_scope

History = Literal["auto", "delta", "full"]
"""What the messages of an event are: only new ones (`delta`), the whole history (`full`), or to be found out (`auto`)."""

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=1)


def _seven(value: UUID) -> UUID:
    if value.version != 7:
        raise ValueError("must be a UUID of version 7, which carries the time at which the event was made")
    if value.int >> 80 > LAST_MILLISECOND:
        raise ValueError("names a time after the year 9999")
    return value


def _no_number(value: object) -> object:
    if isinstance(value, (int, float)):
        raise ValueError("is a number")
    return value


def _plausible(value: datetime) -> datetime:
    if value < _EARLIEST or value > datetime.now(UTC) + _AHEAD:
        raise ValueError("is before 1970 or more than a day ahead")
    return value


def _short_user(value: str, info: ValidationInfo) -> str:
    _check_key(info.data.get("tenant", ""), value, "")
    return value


def _short_session(value: str, info: ValidationInfo) -> str:
    _check_key(info.data.get("tenant", ""), info.data.get("user_id"), value)
    return value


def _check_key(tenant: str, user_id: str | None, session_id: str) -> None:
    size = len(f"{tenant}{session_scope(user_id, session_id)}".encode())
    if size > MAX_KEY_BYTES:
        problem = "makes a key of {size} bytes with the ids before it, over the limit of {limit}"
        raise PydanticCustomError(_KEY_TOO_LONG, problem, {"size": f"{size:,}", "limit": f"{MAX_KEY_BYTES:,}"})


_KEY_TOO_LONG = "key_too_long"


class ConversationCompleted(BaseModel):
    """What was said, by whom, in which session: version 1 of the wire format.

    `id` is a UUIDv7 that the producer mints; sending the same event again under the same id is harmless.
    `occurred_at` (with a time zone) dates what was said; it orders nothing. `spec` is the hash of the machine's spec;
    None means the default machine (user profile and session context). `producer` and `seq` number the events of one
    producer process without gaps, so that a lost one can be named.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    id: Annotated[UUID, AfterValidator(_seven)]
    tenant: Id = "default"
    user_id: Annotated[Id, AfterValidator(_short_user)] | None = None
    session_id: Annotated[Id, AfterValidator(_short_session)] | None = None
    agent_id: Id | None = None
    team_id: Id | None = None
    occurred_at: Annotated[AwareDatetime, BeforeValidator(_no_number), AfterValidator(_plausible)]
    messages: Annotated[tuple[Message, ...], Field(min_length=1, max_length=MAX_MESSAGES)]
    history: History = "auto"
    end_of_session: Annotated[bool, Field(strict=True)] = False
    spec: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    producer: UUID | None = None
    seq: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    traceparent: Annotated[Text, Field(max_length=128)] | None = None
    metadata: JsonObject | None = None

    def to_json(self) -> bytes:
        """The wire form, UTF-8, without the fields that are absent. Raises `InvalidEvent` where a value changed since."""
        try:
            return self.__pydantic_serializer__.to_json(self, exclude_none=True)
        except PydanticSerializationError:
            raise InvalidEvent("event", "holds a value that JSON cannot hold", _REMEDIES["event"]) from None

    def body_hash(self) -> bytes:
        """SHA-256 of what the event says, without who sent it how: two sendings of one event are equal by it."""
        return hashlib.sha256(
            self.__pydantic_serializer__.to_json(
                self, exclude_none=True, exclude={"producer", "seq", "traceparent", "spec"}
            )
        ).digest()

    @classmethod
    def make(cls, values: Mapping[str, Any]) -> Self:
        """Validate values from Python. Raises `InvalidEvent` that names the first field at fault."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise invalid_event(error) from None

    @classmethod
    def from_json(cls, body: bytes, *, max_bytes: int = MAX_EVENT_BYTES) -> Self:
        """Validate a wire entry. Raises `InvalidEvent` that names the first field at fault."""
        check_size(body, max_bytes)
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            raise invalid_event(error) from None


def check_size(body: bytes, max_bytes: int) -> None:
    """Raise `InvalidEvent` when an event's JSON is longer than `max_bytes`."""
    if len(body) > max_bytes:
        raise InvalidEvent(
            "event",
            f"is {len(body):,} bytes of JSON, over the limit of {max_bytes:,}",
            "Emit the conversation turn by turn, or raise LEARNING_MAX_EVENT_BYTES on producers and dispatchers",
        )


_REMEDIES = {
    "role": "Use one of user, assistant, system, developer, tool",
    "messages": f"Give between 1 and {MAX_MESSAGES:,} messages, each with a role",
    "content": "Give a string without NUL and lone surrogates, or a list of parts such as {'type': 'text', 'text': …}",
    "occurred_at": "Give a datetime with a time zone, such as datetime.now(UTC)",
    "history": "Use one of auto, delta, full",
    "end_of_session": "Give true or false",
    "id": "Let emit mint the id, or give a UUIDv7 for an event and 1 to 255 visible characters for a message",
    "metadata": f"Give a JSON object of at most 16 levels and {MAX_JSON_VALUES:,} values",
    "tool_calls": f"Give JSON of at most 16 levels and {MAX_JSON_VALUES:,} values",
    "spec": "Give the 64 hex digits of a machine's spec hash, or leave it out",
    "event": "Give one JSON object as `learning-machine schema` describes it",
}
_ID_REMEDY = "Give 1 to 255 visible characters without space around them"


def invalid_event(error: ValidationError) -> InvalidEvent:
    """The first of pydantic's findings as an `InvalidEvent`; never with the input itself, which may be private."""
    found = first_finding(error)
    if found.kind == "extra_forbidden":
        remedy = "Remove it or correct its name; `learning-machine schema` lists the fields"
    elif found.kind == _KEY_TOO_LONG:
        remedy = "Give shorter ids, or hash them"
    elif found.name.endswith("_id") or found.name in ("tenant", "name"):
        remedy = _ID_REMEDY
    elif found.field.startswith("messages[") and found.name == "messages":
        remedy = "Give each message as an object with a role and content, or as a Message"
    else:
        remedy = _REMEDIES.get(found.name or "event", "Write it as `learning-machine schema` describes it")
    return InvalidEvent(found.field or "event", found.problem, remedy)
