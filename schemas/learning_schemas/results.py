"""What calls answer with. All frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

DeliveryState = Literal["pending", "extracted", "nothing_found", "skipped", "dead"]
SETTLED: frozenset[str] = frozenset({"extracted", "nothing_found", "skipped", "dead"})
"""The states that `settle` waits for: settled or dead."""

Via = Literal["stream", "postgres", "spool"]


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """An event was accepted: its id, where it went, and how many secrets were redacted, by kind."""

    event_id: UUID
    tenant: str
    user_id: str | None
    session_id: str | None
    via: Via
    producer: UUID
    seq: int
    redactions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RecalledLearning:
    """One live learning, as recall gives it. `data` holds what is typed: a field's `name` and `value`, a plan's `steps`."""

    id: UUID
    store: str
    kind: str
    content: str
    data: Mapping[str, Any]
    valid_from: datetime


@dataclass(frozen=True, kw_only=True)
class UnprocessedMessage:
    """Something the same user or session said that is not extracted yet."""

    event_id: UUID
    session_id: str | None
    content: str
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True)
class Recall:
    """What is remembered, for the next model call. `context` is the text for the prompt; the rest is the same, typed.

    `processed_through` is the acceptance time up to which everything said by this user and session is extracted (None:
    nothing is known to be accepted); `pending` counts the events after it. `models` names the models that the learnings
    came from. `degraded` names the cause where recall could not be answered in time; the result is then empty.
    """

    context: str = ""
    learnings: tuple[RecalledLearning, ...] = ()
    unprocessed: tuple[UnprocessedMessage, ...] = ()
    omitted: int = 0
    processed_through: datetime | None = None
    pending: int = 0
    models: tuple[str, ...] = ()
    degraded: str | None = None
    known: frozenset[UUID] = field(
        default=frozenset(), repr=False
    )  # of the caller's own events, those in the event log

    @property
    def fields(self) -> dict[str, Any]:
        """The user's profile fields, name to value."""
        return {
            learning.data["name"]: learning.data["value"] for learning in self.learnings if learning.kind == "field"
        }

    @property
    def memories(self) -> tuple[str, ...]:
        """The free memories of the user."""
        return tuple(learning.content for learning in self.learnings if learning.kind == "memory")

    def __str__(self) -> str:
        return self.context
