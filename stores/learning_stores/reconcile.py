"""Reconciling: what was accepted against what became of it. What does not add up is mended where that is safe, and counted.

The curator does it every minute, over what indexes find at once and the events since the last time, once an hour those of a day,
and writes what it found into `learning.ledger_finding`, where status and metrics read it. The whole, with every event, is `ledger`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.spec import DEFAULT_SPEC
from learning_stores.gaps import gaps as find_gaps
from learning_stores.gaps import sample, totals
from learning_stores.specs import DEFAULT_HASH

IDS_NAMED = 5
"""Of what a finding counts."""

# A pending delivery whose mailbox is gone would wait for ever. No path leads there; if one does, this leads out.
_REOPEN = text("""
    INSERT INTO learning.mailbox (tenant, store, scope, subject, user_id, session_id, due_at, first_pending_at, last_event_at,
                                  debounce, max_wait)
    SELECT d.tenant, d.store, d.scope, d.subject, max(e.user_id),
           CASE WHEN d.scope LIKE 'session/%' THEN max(e.session_id) END, now(), min(d.accepted_at), max(d.accepted_at),
           interval '0', interval '0'
    FROM learning.delivery d
    JOIN learning.conversation_event e ON e.tenant = d.tenant AND e.id = d.event_id
    WHERE d.state = 'pending'
      AND NOT EXISTS (SELECT FROM learning.mailbox m WHERE m.tenant = d.tenant AND m.store = d.store AND m.scope = d.scope)
    GROUP BY d.tenant, d.store, d.scope, d.subject
    ORDER BY d.tenant, d.store, d.scope
    ON CONFLICT DO NOTHING
""")

# Each of these gives the first few ids, and beside each of them how many there are.

# Events that were given a number and lack the delivery to one of their spec's ALWAYS stores. The default spec is registered
# nowhere.
_UNDELIVERED = text("""
    SELECT found.tenant || '/' || found.id AS id, count(*) OVER () AS total FROM (
        SELECT DISTINCT e.tenant, e.id FROM learning.conversation_event e
        LEFT JOIN learning.machine_spec s ON s.tenant = e.tenant AND s.hash = e.spec_hash
        CROSS JOIN LATERAL jsonb_each(
            coalesce(s.spec::jsonb, CASE WHEN e.spec_hash = :default_hash THEN cast(:default_spec AS jsonb) END) -> 'stores'
        ) AS store
        WHERE e.accepted_no IS NOT NULL AND store.value ->> 'mode' = 'ALWAYS'
          AND (cast(:since AS timestamptz) IS NULL OR e.accepted_at > :since)
          AND (cast(:tenant AS text) IS NULL OR e.tenant = :tenant)
          AND (cast(:specs AS text[]) IS NULL OR e.spec_hash = ANY (:specs))
          AND NOT EXISTS (
              SELECT FROM learning.delivery d WHERE d.tenant = e.tenant AND d.event_id = e.id AND d.store = store.key)) AS found
    LIMIT :ids
""")

_WITHOUT_MAILBOX = text("""
    SELECT d.tenant || '/' || d.event_id || '/' || d.store AS id, count(*) OVER () AS total FROM learning.delivery d
    WHERE d.state = 'pending' AND (cast(:tenant AS text) IS NULL OR d.tenant = :tenant)
      AND NOT EXISTS (SELECT FROM learning.mailbox m WHERE m.tenant = d.tenant AND m.store = d.store AND m.scope = d.scope)
    LIMIT :ids
""")

_WITHOUT_EVENT = text("""
    SELECT d.tenant || '/' || d.event_id || '/' || d.store AS id, count(*) OVER () AS total FROM learning.delivery d
    WHERE d.state = 'pending' AND (cast(:tenant AS text) IS NULL OR d.tenant = :tenant)
      AND NOT EXISTS (SELECT FROM learning.conversation_event e WHERE e.tenant = d.tenant AND e.id = d.event_id)
    LIMIT :ids
""")

_UNPREPARED = text("""
    SELECT tenant || '/' || id AS id, count(*) OVER () AS total FROM learning.conversation_event
    WHERE accepted_no IS NULL AND set_aside IS NULL AND forgotten_at IS NULL AND accepted_at < now() - interval '1 minute'
      AND (cast(:tenant AS text) IS NULL OR tenant = :tenant)
    LIMIT :ids
""")

_SET_ASIDE = text("""
    SELECT tenant || '/' || id AS id, count(*) OVER () AS total FROM learning.conversation_event
    WHERE accepted_no IS NULL AND set_aside IS NOT NULL AND forgotten_at IS NULL
      AND (cast(:tenant AS text) IS NULL OR tenant = :tenant)
    LIMIT :ids
""")

_DEFAULT = {"default_hash": DEFAULT_HASH, "default_spec": DEFAULT_SPEC.to_json().decode()}

# Since the last look, which found all of them delivered; once an hour, and as long as some are not, the whole day.
_SINCE = text("""
    SELECT greatest(now() - interval '1 day', max(CASE
        WHEN extract(minute FROM now()) <> 0 AND f.count = 0
        THEN f.looked_at - interval '5 minutes' END))
    FROM learning.ledger_finding f WHERE f.name = 'events_without_delivery'
""")

# In the order of the key, so that of two who reconcile at once the second finds what the first one wrote.
_BEFORE = text("SELECT name, count FROM learning.ledger_finding ORDER BY name FOR UPDATE")
_KEEP = text("""
    INSERT INTO learning.ledger_finding AS f (name, count, ids, since)
    VALUES (:name, :count, :ids, CASE WHEN :count > 0 THEN clock_timestamp() END)
    ON CONFLICT (name) DO UPDATE SET count = excluded.count, ids = excluded.ids, looked_at = excluded.looked_at,
        since = CASE WHEN excluded.count > 0 THEN coalesce(f.since, excluded.since) END
""")
_KEPT = text("SELECT name, count, ids, since, looked_at FROM learning.ledger_finding ORDER BY name")

FINDINGS = {
    "deliveries_without_mailbox": "pending, and in no mailbox; the curator reopens it within the minute",
    "deliveries_without_event": "pending, and the event is not in the log: `learning-machine skip` gives one up",
    "events_unprepared": "accepted over a minute ago and still without deliveries",
    "events_set_aside": "accepted, but their deliveries cannot be made; the next dispatcher that starts tries again",
    "numbers_missing": "numbered by a producer over a minute ago and not arrived: in a spool, not sent again, or lost",
    "numbers_twice": "given by a producer to more than one event, or counted as accepted and as refused",
}
"""What each count of `findings` means."""

UNDELIVERED = {"events_without_delivery": "accepted and prepared, but a store of their spec has no delivery of them"}
"""The same, of what takes longer to find."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that does not add up: how much of it, and the first few: a producer, tenant/event, or tenant/event/store."""

    name: str
    count: int
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A finding as the reconciler last wrote it; of a count of 0 `since` is None."""

    name: str
    count: int
    ids: tuple[str, ...]
    since: datetime | None
    looked_at: datetime


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """What one reconciliation mended and found, by name, and whether that is something else than the one before."""

    counts: dict[str, int]
    changed: bool


def look(session: Session, tenant: str | None = None) -> tuple[Finding, ...]:
    """What does not add up, as far as indexes tell at once; changes nothing. As the dispatcher.

    Of one tenant it tells nothing of numbers: a producer counts over all of them.
    """
    statements = (_WITHOUT_MAILBOX, _WITHOUT_EVENT, _UNPREPARED, _SET_ASIDE)
    named = {"tenant": tenant, "ids": IDS_NAMED}
    found = [_finding(name, session, query, named) for name, query in zip(FINDINGS, statements, strict=False)]
    return tuple(found) if tenant is not None else (*found, *_numbers(session))


def undelivered(
    session: Session, tenant: str | None = None, *, since: datetime | None = None, specs: Sequence[str] | None = None
) -> Finding:
    """Events that lack a delivery; only those accepted since then, and of those specs, where given. As the dispatcher."""
    which = {"since": since, "specs": None if specs is None else list(specs)}
    values = {**_DEFAULT, **which, "tenant": tenant, "ids": IDS_NAMED}
    return _finding("events_without_delivery", session, _UNDELIVERED, values)


def findings(session: Session) -> dict[str, int]:
    """The counts of `look`, by name. As the dispatcher."""
    return {finding.name: finding.count for finding in look(session)}


def last_findings(session: Session) -> tuple[Kept, ...]:
    """What the reconciler found when it last looked. As the dispatcher."""
    return tuple(Kept(**{**row._mapping, "ids": tuple(row.ids)}) for row in session.execute(_KEPT))


def mend(session: Session) -> int:
    """Reopen the mailboxes that pending deliveries lack; how many. As the dispatcher."""
    reopened: Any = session.execute(_REOPEN)
    return int(reopened.rowcount)


def reconcile(session: Session) -> Reconciled:
    """Mend, then find what does not add up, with new events that lack a delivery, and write it down.

    As the dispatcher.
    """
    mended = mend(session)
    sample(session)
    found = (undelivered(session, since=session.scalar(_SINCE)), *look(session))
    before = {row.name: row.count for row in session.execute(_BEFORE)}
    session.execute(_KEEP, [{"name": each.name, "count": each.count, "ids": list(each.ids)} for each in found])
    return Reconciled(
        counts={"mailboxes_reopened": mended, **{each.name: each.count for each in found}},
        changed=any(before.get(each.name, 0) != each.count for each in found),
    )


def _numbers(session: Session) -> tuple[Finding, Finding]:
    summed = totals(session)
    wrong = find_gaps(session, IDS_NAMED * 2) if summed.missing or summed.twice else ()
    return (
        Finding(
            name="numbers_missing",
            count=summed.missing,
            ids=tuple(str(gap.producer) for gap in wrong if gap.missing)[:IDS_NAMED],
        ),
        Finding(
            name="numbers_twice",
            count=summed.twice,
            ids=tuple(str(gap.producer) for gap in wrong if gap.twice)[:IDS_NAMED],
        ),
    )


def _finding(name: str, session: Session, query: Any, values: dict[str, Any]) -> Finding:
    rows = session.execute(query, values).all()
    return Finding(name=name, count=rows[0].total if rows else 0, ids=tuple(row.id for row in rows))
