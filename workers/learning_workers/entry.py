"""A stream's entry: what it says of itself, whether its event can be taken in, and its rejection where it cannot."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Self
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import from_json

from learning_schemas.errors import InvalidEvent
from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import id_time
from learning_schemas.limits import MAX_EVENT_BYTES, MAX_ID_LENGTH
from learning_schemas.scope import shard_of, stream_name, subject_of
from learning_schemas.spec import MachineSpec
from learning_stores.rejected import Rejection
from learning_stores.specs import Key


@dataclass(frozen=True)
class Entry:
    """A stream entry."""

    shard: int
    id: bytes
    fields: Mapping[bytes, bytes]

    @cached_property
    def about(self) -> tuple[UUID, tuple[str, str]] | None:
        """Its event's id, and whose it is (tenant, subject); None where that cannot be read."""
        try:
            event = from_json(self.fields[b"event"])
            return UUID(event["id"]), (
                event.get("tenant", "default"),
                subject_of(event.get("user_id"), event.get("session_id")),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return sum(map(len, self.fields.values()))


def rejection(entry: Entry, event: ConversationCompleted | None, field: str, reason: str) -> Rejection:
    """What is kept of an entry that was not taken in: of its event, or of what can be read where it has none."""
    body = entry.fields.get(b"event", b"")
    said = _Said.of(event) if event is not None else _Said.read(body[:MAX_EVENT_BYTES])
    return Rejection(
        stream=stream_name(entry.shard),
        entry_id=entry.id.decode(),
        tenant=said.tenant,
        event_id=said.event_id,
        field=field,
        reason=reason,
        body=body,
        subject=said.subject,
        producer=said.producer,
        seq=said.seq,
    )


def check(event: ConversationCompleted, shard: int, shards: int, oldest: datetime, newest: datetime) -> None:
    """Raise `InvalidEvent` for what an event's own schema cannot tell: about nobody, too old or to come, in another's stream."""
    if event.user_id is None and event.session_id is None:
        raise InvalidEvent("user_id", "neither it nor session_id is given", "Say whom the event is about")
    made = id_time(event.id)
    if made < oldest:
        raise InvalidEvent("id", f"was made at {made:%Y-%m-%d}, before what is kept", "Raise LEARNING_RETENTION_DAYS")
    if made > newest:
        raise InvalidEvent("id", f"was made at {made:%Y-%m-%d %H:%M} UTC, which is to come", "Set the producer's clock")
    right = shard_of(event.tenant, subject_of(event.user_id, event.session_id), shards)
    if right != shard:
        raise InvalidEvent(
            "event",
            f"belongs into {stream_name(right)}, not {stream_name(shard)}",
            f"Use {shards} shards on producers and dispatchers (LEARNING_SHARDS)",
        )


def carry(event: ConversationCompleted, body: bytes | None, carried: dict[Key, MachineSpec]) -> None:
    """Add the spec that came with an event, if one did. Raises `InvalidEvent` where it is not the one that the event names."""
    if body is None or event.spec is None or (event.tenant, event.spec) in carried:
        return
    try:
        spec = MachineSpec.from_json(body)
    except (ValidationError, ValueError):
        raise InvalidEvent("spec", "cannot be read", "`learning-machine schema spec` describes it") from None
    if spec.spec_hash() != event.spec:
        raise InvalidEvent(
            "spec", "does not have the hash that the event names", "Name the SHA-256 of its canonical JSON"
        )
    carried[event.tenant, event.spec] = spec


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What an entry says of itself, so that it can be traced, counted and forgotten though it is no valid event."""

    tenant: str | None = None
    event_id: str | None = None
    subject: str | None = None
    producer: UUID | None = None
    seq: int | None = None

    @classmethod
    def of(cls, event: ConversationCompleted) -> Self:
        whose = subject_of(event.user_id, event.session_id) if event.user_id or event.session_id else None
        numbered = event.producer is not None and event.seq is not None
        return cls(
            tenant=event.tenant,
            event_id=str(event.id),
            subject=whose,
            producer=event.producer if numbered else None,
            seq=event.seq if numbered else None,
        )

    @classmethod
    def read(cls, body: bytes) -> Self:
        try:
            found = from_json(body)
        except ValueError:
            return cls()
        if not isinstance(found, dict):
            return cls()
        user_id, session_id = _storable(found.get("user_id")), _storable(found.get("session_id"))
        producer, seq = None, found.get("seq")
        try:
            if type(seq) is int and 0 < seq < 2**63:  # JSON's true is a number to Python, and not to Postgres
                producer = UUID(_storable(found.get("producer")))
        except (TypeError, ValueError):
            seq = None
        return cls(
            tenant=_storable(found.get("tenant", "default")),
            event_id=_storable(found.get("id")),
            subject=subject_of(user_id, session_id) if user_id or session_id else None,
            producer=producer,
            seq=seq if producer is not None else None,
        )


def _storable(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= MAX_ID_LENGTH and "\x00" not in value else None
