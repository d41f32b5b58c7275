"""Forgetting what was sent: events, deliveries, and the records of what was done with them, a bounded batch at a time."""

from collections import Counter
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.scope import USER_NAMESPACE, namespace_scope
from learning_stores.forgetting_target import Scope

EVENTS_AT_ONCE = 200
ROWS_AT_ONCE = 1_000
DELIVERIES_WALKED = 20_000

_SUBJECT = text("SELECT true FROM learning.subject WHERE tenant = :tenant AND subject = :subject FOR UPDATE")

_OF_SUBJECT = f"""
    SELECT id FROM learning.conversation_event WHERE tenant = :tenant AND subject = :subject AND accepted_at < :at
    LIMIT {EVENTS_AT_ONCE} FOR UPDATE
"""  # noqa: S608 - a number
_OF_SESSION = f"""
    SELECT id FROM learning.conversation_event
    WHERE tenant = :tenant AND subject = :subject AND session_id = :session_id AND accepted_at < :at
    LIMIT {EVENTS_AT_ONCE} FOR UPDATE
"""  # noqa: S608 - a number
_DELETE_DELIVERIES = text(
    "DELETE FROM learning.delivery WHERE tenant = :tenant AND event_id = ANY (:ids) RETURNING state"
)
# One that was opened again since, as by a replay.
_DELETE_MAILBOXES = text("""
    DELETE FROM learning.mailbox m WHERE m.tenant = :tenant AND m.subject = :subject AND NOT EXISTS (
        SELECT FROM learning.delivery d
        WHERE d.tenant = m.tenant AND d.store = m.store AND d.scope = m.scope AND d.state = 'pending')
""")
_DELETE_EVENTS = text("""
    DELETE FROM learning.conversation_event WHERE tenant = :tenant AND id = ANY (:ids)
    RETURNING producer, seq, via, accepted_no
""")
_EMPTY = text("""
    UPDATE learning.conversation_event
    SET messages = '[]', metadata = NULL, traceparent = NULL, body_bytes = 0, forgotten_at = :at,
        set_aside = CASE WHEN accepted_no IS NULL THEN 'forgotten' END
    WHERE tenant = :tenant AND id = :event_id AND forgotten_at IS NULL
""")
_SKIP = text("""
    UPDATE learning.delivery
    SET state = 'skipped', reason = 'forgotten', note = NULL, error = NULL, next_message = 0, replayed_at = NULL,
        settled_at = coalesce(settled_at, clock_timestamp())
    WHERE tenant = :tenant AND event_id = :event_id AND (state <> 'skipped' OR reason <> 'forgotten')
""")
# Events that came by the fallback are counted when their deliveries are made.
_RECEIVED = text("SELECT learning.count_received(:producer, :highest, :received)")
_REMOVED = text("""
    INSERT INTO learning.removed_count AS r (tenant, day, reason, events, numbered, deliveries, dead)
    VALUES (:tenant, current_date, 'forgotten', :events, :numbered, :deliveries, :dead)
    ON CONFLICT (tenant, day, reason) DO UPDATE SET events = r.events + excluded.events,
        numbered = r.numbered + excluded.numbered, deliveries = r.deliveries + excluded.deliveries, dead = r.dead + excluded.dead
""")

# Deliveries whose event retention took: by the key, because no index has their subject.
_WALK = """
    WITH page AS MATERIALIZED (
        SELECT d.event_id, d.store, d.subject, d.accepted_at FROM learning.delivery d
        WHERE d.tenant = :tenant AND (d.event_id, d.store) > (cast(:after_event AS uuid), :after_store)
        ORDER BY d.event_id, d.store LIMIT :page),
    gone AS (
        DELETE FROM learning.delivery d USING page p
        WHERE d.tenant = :tenant AND d.event_id = p.event_id AND d.store = p.store AND p.subject = :subject
          AND p.accepted_at < :at AND {which} AND NOT EXISTS (
              SELECT FROM learning.conversation_event e WHERE e.tenant = d.tenant AND e.id = d.event_id)
        RETURNING d.state)
    SELECT (SELECT count(*) FROM gone) AS deliveries, (SELECT count(*) FROM gone WHERE state = 'dead') AS dead,
           last.event_id, last.store
    FROM (SELECT event_id, store FROM page ORDER BY event_id DESC, store DESC LIMIT 1) AS last
"""
_FIRST = UUID(int=0), ""
Cursor = tuple[UUID, str]

_SOURCES: dict[str, dict[str, str]] = {
    "subject": {
        # Nothing that was accepted after it is extracted within ten minutes, but what is dated ahead, whose delivery says so.
        "extraction": """subject = :subject AND (committed_at < :at OR (
            committed_at < :at + interval '10 minutes' AND NOT EXISTS (
                SELECT FROM learning.delivery d WHERE d.tenant = :tenant AND d.extraction_id = extraction.id)))""",
        "change": "subject = :subject AND changed_at < :at",
    },
    "session": {
        "extraction": "subject = :subject AND scope = :scope AND committed_at < :at",
        "change": "subject = :subject AND session_id = :session_id AND changed_at < :at",
    },
    "event": {},
}
_CALLS = text(f"""
    UPDATE learning.model_call SET subject = '', user_id = NULL WHERE tenant = :tenant AND id IN (
        SELECT id FROM learning.model_call WHERE tenant = :tenant AND subject = :subject AND subject <> '' AND called_at < :at
        LIMIT {ROWS_AT_ONCE})
""")  # noqa: S608 - a number
_STATISTICS = text("""
    DELETE FROM learning.scope_statistics
    WHERE tenant = :tenant AND (scope = ANY (:scopes) OR starts_with(scope, cast(:prefix AS text)))
""")
_REJECTED = text("SELECT learning.forget_rejected(:subject, cast(:event_id AS text))")


def forget_events(session: Session, scope: Scope) -> Counter[str]:
    """Delete one batch of events with their deliveries, or empty the one event; nothing where there is no more.

    What is deleted is counted, so that the ledger still adds up.
    """
    values = scope.values
    session.execute(_SUBJECT, values)
    if scope.target.kind == "event":
        emptied: Any = session.execute(_EMPTY, values)
        skipped: Any = session.execute(_SKIP, values)
        return +Counter(conversation_event=emptied.rowcount, delivery=skipped.rowcount)
    find = _OF_SUBJECT if scope.target.kind == "subject" else _OF_SESSION
    ids = list(session.scalars(text(find), values))
    if not ids:
        return Counter()
    states = list(session.scalars(_DELETE_DELIVERIES, {**values, "ids": ids}))
    session.execute(_DELETE_MAILBOXES, values)
    events = session.execute(_DELETE_EVENTS, {**values, "ids": ids}).all()
    received: dict[UUID, list[int]] = {}
    for event in events:
        if event.accepted_no is None and event.via != "stream" and event.producer is not None and event.seq is not None:
            received.setdefault(event.producer, []).append(event.seq)
    for producer, numbers in sorted(received.items()):
        session.execute(_RECEIVED, {"producer": producer, "highest": max(numbers), "received": len(numbers)})
    numbered = sum(event.producer is not None and event.seq is not None for event in events)
    _removed(session, scope, len(events), numbered, len(states), states.count("dead"))
    return Counter(conversation_event=len(events), delivery=len(states))


def forget_strays(session: Session, scope: Scope, after: Cursor = _FIRST) -> tuple[Counter[str], Cursor | None]:
    """Delete deliveries whose events are gone, among the next so many; where to go on, None at the end."""
    if scope.target.kind == "event":
        return Counter(), None
    which = "true"
    if scope.target.kind == "session":
        which = """EXISTS (SELECT FROM learning.session_message m
                           WHERE m.tenant = d.tenant AND m.scope = :scope AND m.event_id = d.event_id)"""
    place = {"after_event": after[0], "after_store": after[1], "page": DELIVERIES_WALKED}
    row = session.execute(text(_WALK.format(which=which)), {**scope.values, **place}).one_or_none()
    if row is None:
        return Counter(), None
    if row.deliveries:
        _removed(session, scope, 0, 0, row.deliveries, row.dead)
    return +Counter(delivery=row.deliveries), (row.event_id, row.store)


def forget_sources(session: Session, scope: Scope) -> Counter[str]:
    """Delete one batch of extractions and changes, and take the names off model calls; nothing where there is no more."""
    counts = Counter[str]()
    for table, which in _SOURCES[scope.target.kind].items():
        statement = text(
            f"DELETE FROM learning.{table} WHERE tenant = :tenant AND id IN "  # noqa: S608 - our own words
            f"(SELECT id FROM learning.{table} WHERE tenant = :tenant AND {which} LIMIT {ROWS_AT_ONCE})"
        )
        written: Any = session.execute(statement, scope.values)
        counts[table] = written.rowcount
    if scope.target.kind == "subject":
        written = session.execute(_CALLS, scope.values)
        counts["model_call"] = written.rowcount
        written = session.execute(_STATISTICS, {"tenant": scope.target.tenant, **_scopes(scope)})
        counts["scope_statistics"] = written.rowcount
    return +counts


def forget_rejected(session: Session, scope: Scope) -> int:
    """Empty the bodies of what was rejected of this subject; of a session, too, all of its user's. How many."""
    event_id = scope.target.event_id
    values = {"subject": scope.target.subject, "event_id": None if event_id is None else str(event_id)}
    return int(session.scalar(_REJECTED, values) or 0)


def _scopes(scope: Scope) -> dict[str, Any]:
    subject, user_id = scope.target.subject, scope.target.user_id
    if user_id is None:
        session_scope = f"session//{subject.partition('/')[2]}"
        return {"scopes": [session_scope], "prefix": session_scope}
    own = namespace_scope(USER_NAMESPACE, user_id)
    return {"scopes": [subject, own], "prefix": f"session/{subject.partition('/')[2]}/"}


def _removed(session: Session, scope: Scope, events: int, numbered: int, deliveries: int, dead: int) -> None:
    counted = {"events": events, "numbered": numbered, "deliveries": deliveries, "dead": dead}
    session.execute(_REMOVED, {"tenant": scope.target.tenant, **counted})
