"""The window of an extraction: a mailbox's pending deliveries in order of acceptance, of one spec, up to a token budget.

`occurred_at` dates what was said; it orders nothing. An event larger than the budget is read in parts. What came before the
new messages is shown for context, marked, and cannot be cited.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import from_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.marker import cut_recalled
from learning_stores.mailbox import MAX_WINDOW_EVENTS, Claim

EXTRACTED_ROLES = frozenset({"user", "assistant"})
"""System, developer and tool messages are left out: they are the agent's own words."""

CONTEXT_MESSAGES = 4
"""Messages before the new ones that are shown for context."""

_CUT = " […]"
OVERHEAD_TOKENS = 24  # tokens of a transcript line besides its text


@dataclass(frozen=True, kw_only=True)
class WindowMessage:
    """A message as the prompt shows it, under a label that the patch cites it by."""

    label: str
    event_id: UUID
    index: int
    role: str
    name: str | None
    text: str
    at: datetime
    session_id: str | None
    earlier: bool


@dataclass(frozen=True, kw_only=True)
class WindowDelivery:
    """A claimed delivery, at the generation that the claim saw."""

    event_id: UUID
    generation: int
    attempts: int
    accepted_no: int
    occurred_at: datetime
    next_message: int | None = None  # where to read on afterwards; None: this window has the rest of the event
    replayed_at: datetime | None = None  # since when it waits to be extracted again
    traceparent: str | None = None  # of the turn that it came from


@dataclass(frozen=True, kw_only=True)
class Window:
    """What one extraction reads."""

    user_id: str | None
    spec_hash: str
    deliveries: tuple[WindowDelivery, ...]
    messages: tuple[WindowMessage, ...]
    more: bool  # more is pending than this window took
    agent_id: str | None = None  # of the last of its events
    team_id: str | None = None
    by_label: dict[str, WindowMessage] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_label.update({message.label: message for message in self.messages if not message.earlier})

    @property
    def replayed(self) -> list[tuple[UUID, datetime]]:
        """Its events that are extracted again, each with the moment before which what they gave no longer counts."""
        return [(each.event_id, each.replayed_at) for each in self.deliveries if each.replayed_at is not None]

    @property
    def latest(self) -> datetime:
        """When the last of it was said."""
        return max(delivery.occurred_at for delivery in self.deliveries)

    def only(self, delivery: WindowDelivery) -> "Window":
        """The same window with one of its events."""
        return Window(
            user_id=self.user_id,
            spec_hash=self.spec_hash,
            deliveries=(delivery,),
            messages=tuple(message for message in self.messages if message.event_id == delivery.event_id),
            more=self.more,
            agent_id=self.agent_id,
            team_id=self.team_id,
        )


_PENDING = text("""
    SELECT d.event_id, d.generation, d.attempts, d.accepted_no, d.next_message, d.spec_hash, d.replayed_at, e.session_id,
           e.occurred_at, e.agent_id, e.team_id, e.shown_before, e.traceparent, e.messages::text AS messages
    FROM (
        SELECT * FROM learning.delivery
        WHERE tenant = :tenant AND store = :store AND scope = :scope AND state = 'pending'
        ORDER BY accepted_no LIMIT :limit) AS d
    JOIN learning.conversation_event e ON e.tenant = d.tenant AND e.id = d.event_id
    ORDER BY d.accepted_no
""")

_BEFORE = text("""
    SELECT e.id, e.occurred_at, e.session_id, e.messages::text AS messages
    FROM learning.conversation_event e
    WHERE e.tenant = :tenant AND e.subject = :subject AND e.session_id = :session_id AND e.accepted_no < :accepted_no
    ORDER BY e.accepted_no DESC LIMIT 1
""")


def tokens_of(content: str) -> int:
    """About how many tokens a text has: a quarter of its UTF-8 bytes, rounded up."""
    return -(-len(content.encode()) // 4)


def load_window(session: Session, held: Claim, budget: int) -> Window | None:
    """Read the next window, or None where nothing is pending. `budget` is in tokens of transcript."""
    limit = min(held.window_limit or MAX_WINDOW_EVENTS, MAX_WINDOW_EVENTS)
    rows = session.execute(
        _PENDING, {"tenant": held.tenant, "store": held.store, "scope": held.scope, "limit": limit + 1}
    ).all()
    if not rows:
        return None
    spec_hash, left = rows[0].spec_hash, budget
    deliveries: list[WindowDelivery] = []
    messages: list[WindowMessage] = []
    shown_sessions: set[str | None] = set()
    for row in rows[:limit]:
        if row.spec_hash != spec_hash or (deliveries and left <= 0):
            break
        body = from_json(row.messages)
        start = max(row.next_message, row.shown_before)
        upto, cost = _take(body, start, left, first=not deliveries)
        if deliveries and upto < len(body):
            break  # a whole event fits, or it waits for a window of its own
        left -= cost
        if row.session_id not in shown_sessions:
            shown_sessions.add(row.session_id)
            messages += _context(session, held, row, body, start)
        messages += _lines(
            row.event_id, row.session_id, row.occurred_at, body, range(start, upto), budget, earlier=False
        )
        deliveries.append(
            WindowDelivery(
                event_id=row.event_id,
                generation=row.generation,
                attempts=row.attempts,
                accepted_no=row.accepted_no,
                occurred_at=row.occurred_at,
                next_message=upto if upto < len(body) else None,
                replayed_at=row.replayed_at,
                traceparent=row.traceparent,
            )
        )
        if upto < len(body):
            break
    labelled = tuple(
        WindowMessage(**{**message.__dict__, "label": f"m{number}"}) for number, message in enumerate(messages, 1)
    )
    return Window(
        user_id=held.user_id,
        spec_hash=spec_hash,
        deliveries=tuple(deliveries),
        messages=labelled,
        more=len(rows) > len(deliveries) or deliveries[-1].next_message is not None,
        agent_id=rows[len(deliveries) - 1].agent_id,
        team_id=rows[len(deliveries) - 1].team_id,
    )


def _take(body: Sequence[dict[str, Any]], start: int, budget: int, *, first: bool) -> tuple[int, int]:
    """How far into an event the budget reaches, and what that costs; of the first event one message at least."""
    cost, upto = 0, start
    for message in body[start:]:
        price = tokens_of(message.get("content", "")) + OVERHEAD_TOKENS if message["role"] in EXTRACTED_ROLES else 0
        if cost + price > budget and not (first and cost == 0):
            break
        cost += price
        upto += 1
    return upto, cost


def _lines(
    event_id: UUID,
    session_id: str | None,
    at: datetime,
    body: Sequence[dict[str, Any]],
    indexes: Iterable[int],
    budget: int,
    *,
    earlier: bool,
) -> list[WindowMessage]:
    lines = []
    for index in indexes:
        message = body[index]
        content = cut_recalled(message.get("content", "")).strip()
        if message["role"] not in EXTRACTED_ROLES or not content:
            continue
        if tokens_of(content) > budget:
            content = content.encode()[: budget * 4].decode(errors="ignore") + _CUT
        lines.append(
            WindowMessage(
                label="",
                event_id=event_id,
                index=index,
                role=message["role"],
                name=message.get("name"),
                text=content,
                at=at,
                session_id=session_id,
                earlier=earlier,
            )
        )
    return lines


def _context(
    session: Session, held: Claim, row: Any, body: Sequence[dict[str, Any]], start: int
) -> list[WindowMessage]:
    """The last few messages before the new ones: of the same event, else of the session's event before it."""
    budget = 400
    before = _lines(row.event_id, row.session_id, row.occurred_at, body, range(start), budget, earlier=True)
    if not before and row.session_id is not None:
        key = {
            "tenant": held.tenant,
            "subject": held.subject,
            "session_id": row.session_id,
            "accepted_no": row.accepted_no,
        }
        last = session.execute(_BEFORE, key).one_or_none()
        if last is not None:
            said = from_json(last.messages)
            before = _lines(last.id, last.session_id, last.occurred_at, said, range(len(said)), budget, earlier=True)
    return before[-CONTEXT_MESSAGES:]
