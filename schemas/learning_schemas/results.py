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


LearningStatus = Literal["active", "proposed", "retired"]


@dataclass(frozen=True, kw_only=True)
class RecalledLearning:
    """One live learning, as recall gives it. `data` holds what is typed: a field's `name` and `value`, a plan's `steps`.

    `about` names the entity that it is about, where it is about one, and `about_type` its type.
    """

    id: UUID
    store: str
    kind: str
    content: str
    data: Mapping[str, Any]
    valid_from: datetime
    namespace: str | None = None
    about: str | None = None
    about_type: str | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """A learning that search found: its score (comparable within one answer only), and what that stands on.

    `why` holds what applies of `text` (BM25 of shared words), `vector` (cosine of the embeddings) and `neighbours` (what was
    said near it in the same conversation has to do with the query).
    """

    learning: RecalledLearning
    score: float
    why: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Why a learning is there: the words of a message (`event_id`, position `message`, `quote`), or a change.

    `origin` is `extraction`, `tool`, `human`, `curator` or `import`; `source_id` the extraction or the change; `action` and
    `by` say what a tool or a person did, and who. `user_id` is whose words these are, or for whom the
    tool was called.
    """

    origin: str
    source_id: UUID | None
    event_id: UUID | None
    message: int | None
    quote: str | None
    user_id: str | None
    occurred_at: datetime
    action: str | None = None
    by: str | None = None


@dataclass(frozen=True, kw_only=True)
class Learning:
    """One remembered thing with its evidence, oldest first.

    It was true from `valid_from` to `valid_to`, and held from `live_from` to `retired_at` (None: still). `status` is `active`,
    `proposed` (nobody is shown it; `awaits` says `approval` or `corroboration`) or `retired` (`retired_reason` says why,
    `replaced_by` names its successor). `decided_by` and `decided_at` say who approved, edited or rejected a proposal, and when.
    """

    id: UUID
    store: str
    kind: str
    content: str
    data: Mapping[str, Any]
    status: LearningStatus
    namespace: str | None
    user_id: str | None
    session_id: str | None
    agent_id: str | None
    about: str | None
    about_type: str | None
    confidence: float | None
    valid_from: datetime
    valid_to: datetime | None
    live_from: datetime
    retired_at: datetime | None
    retired_reason: str | None
    replaced_by: UUID | None
    replaces: UUID | None
    awaits: str | None
    decided_by: str | None
    decided_at: datetime | None
    origin: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Entity:
    """A named thing, and what is known of it. `distance` is how many relationships away it was found (0: itself)."""

    id: UUID
    namespace: str
    type: str
    name: str
    distance: int = 0
    aliases: tuple[str, ...] = ()
    description: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    facts: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    relationships: tuple[str, ...] = ()
    neighbours: tuple["Entity", ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.type})"


@dataclass(frozen=True, kw_only=True)
class UnprocessedMessage:
    """Something the same user or session said that is not extracted yet."""

    event_id: UUID
    session_id: str | None
    content: str
    occurred_at: datetime


MatchedBy = Literal["text", "text+vector"]


@dataclass(frozen=True, kw_only=True)
class Recall:
    """What is remembered, for the next model call. `context` is the text for the prompt; the rest is the same, typed.

    `processed_through` is the acceptance time up to which everything said by this user and session is extracted (None:
    nothing is known to be accepted); `pending` counts the events after it. `matched_by` says how the query was compared with
    what is remembered: `text` by its words alone (nothing embeds, its embedding was late or failed, or not all of the tenant's
    memory has a vector of that model yet), `text+vector` by its embedding too; None without a query, and where `degraded`.
    `models` names the models that the learnings came from. `lost_fields` names what is remembered under a field that the
    machine's schema has no more (`user_profile.plan`): its data stays readable. `degraded` names the cause where recall could
    not be answered in time; the result is then empty.
    """

    context: str = ""
    learnings: tuple[RecalledLearning, ...] = ()
    unprocessed: tuple[UnprocessedMessage, ...] = ()
    omitted: int = 0
    processed_through: datetime | None = None
    pending: int = 0
    matched_by: MatchedBy | None = None
    models: tuple[str, ...] = ()
    lost_fields: tuple[str, ...] = ()
    degraded: str | None = None
    known: frozenset[UUID] = field(
        default=frozenset(), repr=False
    )  # of the caller's own events, those in the event log

    @property
    def fields(self) -> dict[str, Any]:
        """The user's profile fields, name to value."""
        return {
            learning.data["name"]: learning.data["value"]
            for learning in self.learnings
            if learning.store == "user_profile" and learning.kind == "field"
        }

    @property
    def memories(self) -> tuple[str, ...]:
        """The free memories of the user."""
        return tuple(learning.content for learning in self.learnings if learning.kind == "memory")

    def __str__(self) -> str:
        return self.context
