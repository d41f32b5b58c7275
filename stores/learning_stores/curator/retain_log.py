"""Retention of what was sent and of what was done with it, a bounded batch at a time. As the dispatcher.

An event is removed only with all its deliveries settled, under its subject's lock, by which replay, forgetting and intake wait:
a pending delivery whose event is gone cannot come to be. What is removed is counted, so that the ledger still adds up.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

EVENTS_AT_ONCE = 500
ROWS_AT_ONCE = 5_000


@dataclass(frozen=True, kw_only=True)
class Batch:
    """How many rows were looked at, removed, and kept though they are old; and where to go on (None: the end)."""

    removed: int
    looked_at: int
    after: str | None
    kept: int = 0


# Ids are time-ordered, and what is that old by its id is rejected when it comes again. One that waits for its deliveries waits.
_EVENTS = text(f"""
    SELECT id, subject FROM learning.conversation_event
    WHERE tenant = :tenant AND id > cast(:after AS uuid) AND id < cast(:last AS uuid) AND accepted_at < :before
      AND accepted_no IS NOT NULL
    ORDER BY id LIMIT {EVENTS_AT_ONCE}
""")  # noqa: S608 - a number

# In the order of the key, as all who lock several.
_SUBJECTS = text("""
    SELECT true FROM learning.subject WHERE tenant = :tenant AND subject = ANY (:subjects) ORDER BY subject FOR UPDATE
""")

# In a later statement than the one that locked the subjects: a replay that was before us is seen.
_REMOVE_EVENTS = text("""
    WITH gone AS (
        DELETE FROM learning.conversation_event e
        WHERE e.tenant = :tenant AND e.id = ANY (:ids) AND NOT EXISTS (
            SELECT FROM learning.delivery d
            WHERE d.tenant = e.tenant AND d.event_id = e.id AND d.state IN ('pending', 'dead'))
        RETURNING e.producer IS NOT NULL AND e.seq IS NOT NULL AS numbered)
    SELECT count(*) AS events, count(*) FILTER (WHERE numbered) AS numbered FROM gone
""")

_COUNT = text("""
    INSERT INTO learning.removed_count AS r (tenant, day, reason, events, numbered, deliveries)
    VALUES (:tenant, current_date, 'retention', :events, :numbered, :deliveries)
    ON CONFLICT (tenant, day, reason) DO UPDATE SET events = r.events + excluded.events,
        numbered = r.numbered + excluded.numbered, deliveries = r.deliveries + excluded.deliveries
""")

_DELIVERIES = text(f"""
    WITH page AS MATERIALIZED (
        SELECT d.event_id, d.store FROM learning.delivery d
        WHERE d.tenant = :tenant AND (d.event_id, d.store) > (cast(:after_event AS uuid), :after_store)
          AND d.event_id < cast(:last AS uuid)
        ORDER BY d.event_id, d.store LIMIT {ROWS_AT_ONCE}),
    gone AS (
        DELETE FROM learning.delivery d USING page p
        WHERE d.tenant = :tenant AND d.event_id = p.event_id AND d.store = p.store
          AND d.settled_at < :before AND d.state NOT IN ('pending', 'dead') AND NOT EXISTS (
              SELECT FROM learning.conversation_event e WHERE e.tenant = d.tenant AND e.id = d.event_id)
        RETURNING true)
    SELECT (SELECT count(*) FROM gone) AS removed, (SELECT count(*) FROM page) AS looked_at, last.event_id, last.store
    FROM (SELECT event_id, store FROM page ORDER BY event_id DESC, store DESC LIMIT 1) AS last
""")  # noqa: S608 - a number

# Of a table whose rows are old by a moment of their own: the next page of them, and of these what may go.
_OLDER = f"""
    WITH page AS MATERIALIZED (
        SELECT r.id, r.{{moment}} AS at FROM learning.{{table}} r
        WHERE r.tenant = :tenant AND r.{{moment}} < :before
          AND (r.{{moment}}, r.id) > (cast(:after_at AS timestamptz), cast(:after_id AS uuid))
        ORDER BY r.{{moment}}, r.id LIMIT {ROWS_AT_ONCE}),
    gone AS (
        DELETE FROM learning.{{table}} r USING page p WHERE r.tenant = :tenant AND r.id = p.id AND {{which}} RETURNING true)
    SELECT (SELECT count(*) FROM gone) AS removed, (SELECT count(*) FROM page) AS looked_at, last.at, last.id
    FROM (SELECT id, at FROM page ORDER BY at DESC, id DESC LIMIT 1) AS last
"""  # noqa: S608 - a number

# What a delivery names settled it, and its trace shows it.
_UNNAMED = "NOT EXISTS (SELECT FROM learning.delivery d WHERE d.tenant = r.tenant AND d.extraction_id = r.id)"
# A tick is known to have run as long as it is the newest one: its row stays, whatever its age.
_OVERTAKEN = """(r.tick IS NULL OR EXISTS (
        SELECT FROM learning.curator_run n
        WHERE n.job = r.job AND n.tenant = r.tenant AND n.store = r.store AND n.tick > r.tick))"""
_EXTRACTIONS = text(_OLDER.format(table="extraction", moment="committed_at", which=_UNNAMED))
_MODEL_CALLS = text(_OLDER.format(table="model_call", moment="called_at", which="true"))
_RUNS = text(_OLDER.format(table="curator_run", moment="finished_at", which=_OVERTAKEN))
_FREQUENT_RUNS = text(f"""
    DELETE FROM learning.curator_run r
    WHERE r.tenant = '' AND r.job = 'reconcile' AND r.state = 'done' AND r.changed = 0 AND r.finished_at < :before
      AND {_OVERTAKEN}
""")  # noqa: S608 - a constant

# The number of a refused event stays: it is by this row that it is counted once, should it come again.
_REJECTED = text(f"""
    WITH page AS MATERIALIZED (
        SELECT id, producer FROM learning.rejected_event
        WHERE id > :after AND rejected_at < :before AND (producer IS NULL OR body_bytes > 0 OR body <> '')
        ORDER BY id LIMIT {ROWS_AT_ONCE}),
    emptied AS (
        UPDATE learning.rejected_event r SET body = '', body_bytes = 0, subject = NULL FROM page p
        WHERE r.id = p.id AND p.producer IS NOT NULL RETURNING r.id),
    gone AS (DELETE FROM learning.rejected_event r USING page p WHERE r.id = p.id AND p.producer IS NULL RETURNING r.id)
    SELECT (SELECT count(*) FROM emptied) + (SELECT count(*) FROM gone) AS removed, (SELECT count(*) FROM page) AS looked_at,
           (SELECT max(id) FROM page) AS last
""")  # noqa: S608 - a number

_FIRST = UUID(int=0)


def id_before(moment: datetime) -> UUID:
    """The least UUIDv7 of a moment: what was made before then has a smaller one."""
    return UUID(int=int(moment.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62)


def remove_events(session: Session, tenant: str, before: datetime, after: str | None) -> Batch:
    """Remove one batch of events older than `before`, by their id and their arrival; never one with a delivery pending or dead."""
    values = {"tenant": tenant, "after": after or _FIRST, "last": id_before(before), "before": before}
    rows = session.execute(_EVENTS, values).all()
    if not rows:
        return Batch(removed=0, looked_at=0, after=None)
    subjects = sorted({row.subject for row in rows})
    session.execute(_SUBJECTS, {"tenant": tenant, "subjects": subjects}).all()
    gone = session.execute(_REMOVE_EVENTS, {"tenant": tenant, "ids": [row.id for row in rows]}).one()
    _count(session, tenant, gone.events, gone.numbered, 0)
    last = str(rows[-1].id) if len(rows) == EVENTS_AT_ONCE else None
    return Batch(removed=gone.events, looked_at=len(rows), after=last, kept=len(rows) - gone.events)


def remove_deliveries(session: Session, tenant: str, before: datetime, after: str | None) -> Batch:
    """Remove deliveries whose event is gone and which were settled before then. `after` is event/store."""
    event, _, store = (after or f"{_FIRST}/").partition("/")
    values = {"tenant": tenant, "before": before, "after_event": event, "after_store": store, "last": id_before(before)}
    row = session.execute(_DELIVERIES, values).one_or_none()
    if row is None:
        return Batch(removed=0, looked_at=0, after=None)
    _count(session, tenant, 0, 0, row.removed)
    last = f"{row.event_id}/{row.store}" if row.looked_at == ROWS_AT_ONCE else None
    return Batch(removed=row.removed, looked_at=row.looked_at, after=last)


def remove_extractions(session: Session, tenant: str, before: datetime, after: str | None) -> Batch:
    """Remove extractions that committed before then and that no delivery names."""
    return older(session, _EXTRACTIONS, tenant, before, after)


def remove_model_calls(session: Session, tenant: str, before: datetime, after: str | None) -> Batch:
    """Remove model calls made before then; what they cost is no longer known."""
    return older(session, _MODEL_CALLS, tenant, before, after)


def remove_runs(session: Session, tenant: str, before: datetime, after: str | None) -> Batch:
    """Remove reports of runs that ended before then, but the one of each job's newest tick."""
    return older(session, _RUNS, tenant, before, after)


def older(session: Session, statement: Any, tenant: str, before: datetime, after: str | None) -> Batch:
    """Remove a batch by a statement that gives `removed`, `looked_at`, `at` and `id`. `after` is moment/id."""
    at, _, last_id = (after or f"-infinity/{_FIRST}").rpartition("/")
    row = session.execute(
        statement, {"tenant": tenant, "before": before, "after_at": at, "after_id": last_id}
    ).one_or_none()
    if row is None:
        return Batch(removed=0, looked_at=0, after=None)
    last = f"{row.at.isoformat()}/{row.id}" if row.looked_at == ROWS_AT_ONCE else None
    return Batch(removed=row.removed, looked_at=row.looked_at, after=last, kept=row.looked_at - row.removed)


def remove_frequent_runs(session: Session, before: datetime) -> int:
    """Remove the reports of reconciliations, one a minute, that ended before then and mended nothing."""
    written: Any = session.execute(_FREQUENT_RUNS, {"before": before})
    return int(written.rowcount)


def remove_rejected(session: Session, before: datetime, after: str | None) -> Batch:
    """Remove what was rejected before then; of what a producer numbered only the words go."""
    row = session.execute(_REJECTED, {"before": before, "after": int(after or 0)}).one()
    last = str(row.last) if row.looked_at == ROWS_AT_ONCE else None
    return Batch(removed=row.removed, looked_at=row.looked_at, after=last)


def _count(session: Session, tenant: str, events: int, numbered: int, deliveries: int) -> None:
    if events or deliveries:
        values = {"events": events, "numbered": numbered, "deliveries": deliveries}
        session.execute(_COUNT, {"tenant": tenant, **values})
