"""Deliveries: one row for each (event, store), for ever, and its state.

pending ──▶ extracted | nothing_found | skipped(reason)      settled
   └──────▶ dead(reason)                                     settled, to `settle()`
settled or dead ──replay──▶ pending, generation + 1
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.event import ConversationCompleted
from learning_schemas.scope import USER_NAMESPACE, scope_of
from learning_schemas.spec import StoreSpec
from learning_stores.tally import count, tally_of

_FOREVER = (
    30 * 86_400.0
)  # a session that is never idle and never ends is extracted a month after it began at the latest


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery to make, and what its mailbox must know of it."""

    tenant: str
    event_id: UUID
    store: str
    subject: str
    scope: str | None
    user_id: str | None
    session_id: str | None
    spec_hash: str
    accepted_no: int
    skipped: str | None
    debounce: float
    max_wait: float
    at_once: bool

    @classmethod
    def of(
        cls,
        event: ConversationCompleted,
        subject: str,
        number: int,
        store: str,
        spec: StoreSpec,
        spec_hash: str,
        *,
        nothing_new: bool,
    ) -> Self:
        """The delivery of an event to one store: skipped where all of it is history, or the id that the store needs is missing.

        A store that shares learnings says in its spec that its namespace is each user's own: it then needs a user, too.
        """
        scope = scope_of(spec.scope, event.user_id, event.session_id)
        missing = f"no {spec.scope}_id" if scope is None else None
        if spec.namespace == USER_NAMESPACE and not event.user_id:
            missing = missing or "no user_id"
        by_session = spec.trigger == "session_end"
        return cls(
            tenant=event.tenant,
            event_id=event.id,
            store=store,
            subject=subject,
            scope=scope,
            user_id=event.user_id,
            session_id=event.session_id if spec.scope == "session" else None,
            spec_hash=spec_hash,
            accepted_no=number,
            skipped=missing or ("history" if nothing_new else None),
            debounce=spec.idle_after if by_session else spec.debounce,
            max_wait=_FOREVER if by_session else spec.max_wait,
            at_once=event.end_of_session,
        )


_ADD = text("""
    INSERT INTO learning.delivery (tenant, event_id, store, subject, scope, spec_hash, accepted_no, accepted_at, state, reason,
                                   settled_at)
    SELECT tenant, event_id, store, subject, scope, spec_hash, accepted_no, now(),
           CASE WHEN reason IS NULL THEN 'pending' ELSE 'skipped' END, reason, CASE WHEN reason IS NOT NULL THEN now() END
    FROM json_to_recordset(cast(:rows AS json)) AS d (
        tenant text, event_id uuid, store text, subject text, scope text, spec_hash text, accepted_no bigint, reason text)
""")

# The conflict's update also locks the row, so that a mailbox being released waits for this, or this for it. Rows come
# sorted by key: two batches never wait for each other crosswise. What was due stays due, also what a flush made due since this
# transaction began (and with it `now()`); a flush reaches up to its number;
# an arrival never moves the moment past what an earlier one was promised, whatever its own machine's timing is.
_OPEN_MAILBOXES = text("""
    INSERT INTO learning.mailbox AS m (tenant, store, scope, subject, user_id, session_id, due_at, first_pending_at,
                                       last_event_at, debounce, max_wait, flush_no)
    SELECT tenant, store, scope, subject, user_id, session_id,
           CASE WHEN flush_no > 0 THEN now() ELSE now() + least(debounce, max_wait) * interval '1 s' END, now(), now(),
           debounce * interval '1 s', max_wait * interval '1 s', flush_no
    FROM json_to_recordset(cast(:rows AS json)) AS n (
        tenant text, store text, scope text, subject text, user_id text, session_id text, debounce float8, max_wait float8,
        flush_no bigint)
    ON CONFLICT (tenant, store, scope) DO UPDATE SET
        last_event_at = now(), debounce = excluded.debounce, max_wait = least(m.max_wait, excluded.max_wait),
        flush_no = greatest(m.flush_no, excluded.flush_no),
        due_at = CASE WHEN excluded.flush_no > 0 THEN least(m.due_at, now())
                      WHEN m.due_at <= clock_timestamp() THEN m.due_at
                      ELSE least(m.first_pending_at + least(m.max_wait, excluded.max_wait), now() + excluded.debounce) END
""")


def add_deliveries(session: Session, deliveries: Sequence[NewDelivery]) -> None:
    """Write deliveries, and open or touch the mailboxes of those that are pending."""
    if not deliveries:
        return
    rows = [
        {
            "tenant": each.tenant,
            "event_id": each.event_id,
            "store": each.store,
            "subject": each.subject,
            "scope": each.scope or each.subject,
            "spec_hash": each.spec_hash,
            "accepted_no": each.accepted_no,
            "reason": each.skipped,
        }
        for each in deliveries
    ]
    session.execute(_ADD, {"rows": to_json(rows).decode()})
    for each in deliveries:
        if each.skipped is not None:
            count(session, "settled", each.store, "skipped")
    last: dict[tuple[str, str, str], NewDelivery] = {}
    flushes: dict[tuple[str, str, str], int] = {}
    for each in deliveries:
        if each.skipped is None and each.scope is not None:
            key = (each.tenant, each.store, each.scope)
            last[key] = each
            if each.at_once:
                flushes[key] = each.accepted_no
    if not last:
        return
    mailboxes = [
        {
            "tenant": each.tenant,
            "store": each.store,
            "scope": each.scope,
            "subject": each.subject,
            "user_id": each.user_id,
            "session_id": each.session_id,
            "debounce": each.debounce,
            "max_wait": each.max_wait,
            "flush_no": flushes.get(key, 0),
        }
        for key, each in sorted(last.items())
    ]
    session.execute(_OPEN_MAILBOXES, {"rows": to_json(mailboxes).decode()})


STATES = text("""
    SELECT d.store, d.state, CASE WHEN m.not_before > now() THEN m.wait_reason END AS waits
    FROM learning.delivery d
    LEFT JOIN learning.mailbox m ON m.tenant = d.tenant AND m.store = d.store AND m.scope = d.scope AND d.state = 'pending'
    WHERE d.tenant = :tenant AND d.event_id = :event_id
""")

# Asks for an event's mailboxes to be worked on at once, as often as it is said, whatever debounce they have. A pause, a
# budget or a running window are not overridden: the number stays until everything up to it is done.
# Locked in the order of intake's batches, so that the two never wait for each other crosswise.
FLUSH = text("""
    WITH asked AS (
        SELECT m.id, d.accepted_no
        FROM learning.delivery d
        JOIN learning.mailbox m ON m.tenant = d.tenant AND m.store = d.store AND m.scope = d.scope
        WHERE d.tenant = :tenant AND d.event_id = :event_id AND d.state = 'pending' AND m.flush_no < d.accepted_no
        ORDER BY m.store, m.scope
        FOR UPDATE OF m
    )
    UPDATE learning.mailbox m SET flush_no = greatest(m.flush_no, a.accepted_no), due_at = least(m.due_at, clock_timestamp())
    FROM asked a WHERE m.id = a.id
""")


class DeliveryStates(NamedTuple):
    """An event's deliveries: store to state, and store to what a paused one waits for."""

    states: dict[str, str]
    waits: dict[str, str]


def delivery_states(session: Session, tenant: str, event_id: UUID, *, flush: bool = False) -> DeliveryStates:
    """The states of an event's deliveries; none until intake has made them. With `flush`, ask for them now."""
    if flush:
        session.execute(FLUSH, {"tenant": tenant, "event_id": event_id})
    return states_of(session.execute(STATES, {"tenant": tenant, "event_id": event_id}).all())


def states_of(rows: Sequence[Any]) -> DeliveryStates:
    """The rows of `STATES`."""
    return DeliveryStates({row.store: row.state for row in rows}, {row.store: row.waits for row in rows if row.waits})


# One statement for all that a commit settles. The generation guards against a replay that came in between.
_SETTLE = text("""
    UPDATE learning.delivery d
    SET state = s.state, reason = s.reason, note = s.note, error = s.error, extraction_id = :extraction_id,
        attempts = d.attempts + 1, settled_at = clock_timestamp(), next_message = 0
    FROM unnest(cast(:events AS uuid[]), cast(:generations AS int[]), cast(:states AS text[]), cast(:reasons AS text[]),
                cast(:notes AS text[]), cast(:errors AS text[])) AS s (event_id, generation, state, reason, note, error)
    WHERE d.tenant = :tenant AND d.store = :store AND d.event_id = s.event_id AND d.generation = s.generation
      AND d.state = 'pending'
""")


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What becomes of one claimed delivery."""

    event_id: UUID
    generation: int
    state: str
    reason: str | None = None
    note: str | None = None
    error: str | None = None


def settle_deliveries(
    session: Session, tenant: str, store: str, extraction_id: UUID | None, settlements: Collection[Settlement]
) -> bool:
    """Settle claimed deliveries. False where one of them is no longer the one that was claimed; then roll back."""
    if not settlements:
        return True
    written: Any = session.execute(
        _SETTLE,
        {
            "tenant": tenant,
            "store": store,
            "extraction_id": extraction_id,
            "events": [each.event_id for each in settlements],
            "generations": [each.generation for each in settlements],
            "states": [each.state for each in settlements],
            "reasons": [each.reason for each in settlements],
            "notes": [each.note for each in settlements],
            "errors": [each.error for each in settlements],
        },
    )
    for each in settlements:
        count(session, "settled", store, each.state)
        if each.state == "dead":
            count(session, "dead", store, each.reason or "no reason")
        elif each.generation == 1:
            tally_of(session).recallable.append((store, each.event_id))
    return bool(written.rowcount == len(settlements))


_ADVANCE = text("""
    UPDATE learning.delivery SET next_message = :next_message
    WHERE tenant = :tenant AND store = :store AND event_id = :event_id AND generation = :generation AND state = 'pending'
""")


def advance_delivery(
    session: Session, tenant: str, store: str, event_id: UUID, generation: int, next_message: int
) -> bool:
    """Remember where to read on in an event larger than one window. False where the delivery is no longer the claimed one."""
    written: Any = session.execute(
        _ADVANCE,
        {
            "tenant": tenant,
            "store": store,
            "event_id": event_id,
            "generation": generation,
            "next_message": next_message,
        },
    )
    return bool(written.rowcount == 1)
