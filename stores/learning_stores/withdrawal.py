"""Withdrawing evidence: what an extraction said no longer counts, because it is undone, done again or forgotten.

A learning that has other evidence stays. One that has none is retired; what it had taken the place of comes back as a new row,
unless something newer has taken the place since: such a chain is told, and left.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.ids import uuid7
from learning_stores.grounding import fold
from learning_stores.operations import Citation

_NOW = text("SELECT clock_timestamp()")

# Copies of evidence (merged, promoted, corroborated) name the same event: they are withdrawn with it, wherever they are.
_WITHDRAW_EVENTS = text("""
    UPDATE learning.evidence v SET withdrawn_at = clock_timestamp()
    FROM unnest(cast(:events AS uuid[]), cast(:before AS timestamptz[])) AS e (id, before), learning.learning l
    WHERE v.tenant = :tenant AND v.event_id = e.id AND v.added_at < e.before AND v.withdrawn_at IS NULL
      AND v.origin = 'extraction' AND l.tenant = v.tenant AND l.id = v.learning_id AND l.store = :store
    RETURNING v.learning_id
""")

_WITHDRAW_SOURCES = text("""
    UPDATE learning.evidence v SET withdrawn_at = clock_timestamp()
    WHERE v.tenant = :tenant AND v.extraction_id = ANY (:sources) AND v.withdrawn_at IS NULL
    RETURNING v.learning_id
""")

# By id, as every writer of learnings locks them; whoever copies evidence holds the row that it copies from.
_HOLD = text("""
    SELECT l.id FROM learning.learning l WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.status <> 'retired'
    ORDER BY l.id FOR UPDATE
""")

# In a later statement than the one that locked them: evidence that came meanwhile is seen. What never was live stays so.
_FALL = text("""
    UPDATE learning.learning l
    SET status = 'retired', awaits = NULL, retired_at = greatest(cast(:now AS timestamptz), l.live_from),
        live_from = CASE WHEN l.status = 'proposed' THEN greatest(cast(:now AS timestamptz), l.live_from) ELSE l.live_from END,
        retired_reason = :reason, retired_by = :by
    WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.status <> 'retired'
      AND NOT EXISTS (SELECT FROM learning.evidence v
                      WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL)
    RETURNING l.id
""")

# What fell, the rows that these had brought back, and those in their chains that lost their evidence too: what any of them had
# replaced. Of several with one key the newest comes first.
_REPLACED = text("""
    WITH RECURSIVE fallen (id) AS (
        SELECT unnest(cast(:fallen AS uuid[]))
        UNION
        SELECT before.id FROM fallen f CROSS JOIN LATERAL (
            SELECT l.restores AS id FROM learning.learning l
            WHERE l.tenant = :tenant AND l.id = f.id AND l.restores IS NOT NULL
            UNION ALL
            SELECT l.id FROM learning.learning l
            WHERE l.tenant = :tenant AND l.replaced_by = f.id AND l.status = 'retired' AND NOT EXISTS (
                SELECT FROM learning.evidence v
                WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL)) AS before
    )
    SELECT id FROM (
        SELECT l.id, l.valid_from FROM learning.learning l JOIN fallen f ON l.replaced_by = f.id
        WHERE l.tenant = :tenant AND l.status = 'retired' AND l.retired_reason IN ('superseded', 'corrected')
        UNION
        SELECT l.id, l.valid_from FROM learning.learning l
        WHERE l.tenant = :tenant AND l.retired_by = ANY (:sources) AND l.replaced_by IS NULL AND l.status = 'retired'
          AND l.retired_reason = 'retracted') AS replaced
    ORDER BY valid_from DESC, id DESC
""")

# One that was held, has evidence of its own, was not brought back before, and whose key nobody has taken since.
_RESTORE = text("""
    INSERT INTO learning.learning (tenant, id, store, kind, scope, user_id, session_id, namespace, agent_id, team_id, about, target,
        content, content_key, data, language, status, confidence, valid_from, live_from, restores, origin, made_by)
    SELECT l.tenant, cast(:id AS uuid), l.store, l.kind, l.scope, l.user_id, l.session_id, l.namespace, l.agent_id, l.team_id,
           l.about, l.target, l.content, l.content_key, l.data, l.language, 'active', l.confidence, l.valid_from,
           greatest(cast(:now AS timestamptz), l.retired_at), l.id, l.origin, l.made_by
    FROM learning.learning l
    WHERE l.tenant = :tenant AND l.id = :of AND l.live_from < l.retired_at
      AND EXISTS (SELECT FROM learning.evidence v
                  WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL)
      AND NOT EXISTS (SELECT FROM learning.learning o
                      WHERE o.tenant = l.tenant AND o.restores = l.id AND o.status <> 'retired')
    ON CONFLICT (tenant, store, kind, scope, about, content_key, status) WHERE status <> 'retired' DO NOTHING
    RETURNING id
""")

_COPY = text("""
    INSERT INTO learning.evidence (tenant, id, learning_id, origin, extraction_id, event_id, message, quote, user_id, subject,
                                   occurred_at, added_at)
    SELECT tenant, gen_random_uuid(), :onto, origin, extraction_id, event_id, message, quote, user_id, subject, occurred_at,
           added_at
    FROM learning.evidence WHERE tenant = :tenant AND learning_id = :of AND withdrawn_at IS NULL
    ON CONFLICT DO NOTHING
""")

# What these sources had stated and somebody else has replaced since: it was not live when its evidence went.
_OVERTAKEN = text("""
    SELECT l.id, l.replaced_by FROM learning.learning l
    WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.status = 'retired' AND l.replaced_by IS NOT NULL
      AND NOT (l.replaced_by = ANY (:ids))
    ORDER BY l.id
""")


class Chain(NamedTuple):
    """A learning that lost its evidence after another had taken its place: nothing was brought back beneath that one."""

    learning_id: UUID
    replaced_by: UUID


@dataclass(frozen=True, kw_only=True)
class Withdrawn:
    """What a withdrawal did, as ids of learnings."""

    touched: tuple[UUID, ...]
    """Lost evidence."""
    retired: tuple[UUID, ...]
    """Had no other."""
    restored: tuple[UUID, ...]
    """New rows, each of which `restores` what had been replaced or retracted."""
    left: tuple[Chain, ...]
    """Were replaced by others before: left as they are."""


def withdraw_events(
    session: Session, tenant: str, store: str, events: Collection[tuple[UUID, datetime]]
) -> tuple[UUID, ...]:
    """Withdraw what extractions of a store took from events before these moments; the learnings that lose evidence by it."""
    if not events:
        return ()
    values = {
        "tenant": tenant,
        "store": store,
        "events": [each for each, _ in events],
        "before": [at for _, at in events],
    }
    return tuple(sorted(set(session.scalars(_WITHDRAW_EVENTS, values))))


def withdraw_sources(session: Session, tenant: str, sources: Collection[UUID]) -> tuple[UUID, ...]:
    """Withdraw all evidence of these extractions or changes; the learnings that lose evidence by it."""
    found = session.scalars(_WITHDRAW_SOURCES, {"tenant": tenant, "sources": list(sources)})
    return tuple(sorted(set(found)))


def settle_withdrawn(
    session: Session,
    tenant: str,
    touched: Sequence[UUID],
    *,
    by: UUID,
    reason: str,
    sources: Collection[UUID] = (),
) -> Withdrawn:
    """Retire the touched learnings that have no evidence left, and bring back what they had replaced.

    `by` is the extraction or change that does it, and `reason` is kept on what it retires. What one of `sources` had retracted
    comes back too.
    """
    if not touched and not sources:
        return Withdrawn(touched=(), retired=(), restored=(), left=())
    ids = list(touched)
    session.execute(_HOLD, {"tenant": tenant, "ids": ids}).all()
    now = session.scalar(_NOW)
    values = {"tenant": tenant, "ids": ids, "now": now, "by": by, "reason": reason}
    fallen = sorted(session.scalars(_FALL, values))
    restored = []
    replaced = session.scalars(_REPLACED, {"tenant": tenant, "fallen": fallen, "sources": list(sources)}).all()
    for of in replaced:
        new = uuid7()
        if session.scalar(_RESTORE, {"tenant": tenant, "id": new, "of": of, "now": now}) is not None:
            session.execute(_COPY, {"tenant": tenant, "of": of, "onto": new})
            restored.append(new)
    left = session.execute(_OVERTAKEN, {"tenant": tenant, "ids": ids}).all()
    return Withdrawn(
        touched=tuple(touched),
        retired=tuple(fallen),
        restored=tuple(restored),
        left=tuple(Chain(row.id, row.replaced_by) for row in left),
    )


# What was said in these events and was live, until something that still stands took its place.
_PASSED = text("""
    SELECT v.event_id, v.message, v.quote, l.kind, l.valid_to, l.replaced_by
    FROM learning.learning l
    JOIN learning.evidence v ON v.tenant = l.tenant AND v.learning_id = l.id AND v.event_id = ANY (:events)
    WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.status = 'retired' AND l.retired_reason = 'superseded'
      AND l.valid_to IS NOT NULL AND EXISTS (
          SELECT FROM learning.evidence w
          WHERE w.tenant = l.tenant AND w.learning_id = l.replaced_by AND w.withdrawn_at IS NULL)
""")


class Passed(NamedTuple):
    """A statement of an event that is extracted again, which something later has replaced: its like is history beneath that."""

    event_id: UUID
    message: int | None
    quote: str
    kind: str
    valid_to: datetime
    replaced_by: UUID

    def was(self, kind: str, citations: Sequence[Citation]) -> bool:
        """Whether a statement of this kind on these words is the same one, said anew."""
        own = fold(self.quote)
        return kind == self.kind and any(
            (each.event_id, each.message) == (self.event_id, self.message)
            and (fold(each.quote or "") in own or own in fold(each.quote or ""))
            for each in citations
        )


def passed(session: Session, tenant: str, events: Collection[UUID], touched: Collection[UUID]) -> list[Passed]:
    """What these events had stated that is history by now, of the learnings that they gave evidence to."""
    rows = session.execute(_PASSED, {"tenant": tenant, "events": list(events), "ids": list(touched)})
    return [Passed(**{**row._mapping, "quote": row.quote or ""}) for row in rows]


# Of these, the learnings that stand on nothing but what deliveries of one mailbox said that are to be extracted again.
_ALONE = text("""
    SELECT l.id FROM unnest(cast(:ids AS uuid[])) AS l (id)
    WHERE EXISTS (
        SELECT FROM learning.evidence v WHERE v.tenant = :tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL)
      AND NOT EXISTS (
        SELECT FROM learning.evidence v
        WHERE v.tenant = :tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL AND NOT (
            v.origin = 'extraction' AND EXISTS (
                SELECT FROM learning.delivery d
                WHERE d.tenant = v.tenant AND d.event_id = v.event_id AND d.store = :store AND d.scope = :scope
                  AND d.state = 'pending' AND d.replayed_at > v.added_at)))
""")


def said_again(session: Session, tenant: str, store: str, scope: str, ids: Collection[UUID]) -> set[UUID]:
    """Those of these learnings that a replay is about to withdraw: a prompt does not show them as known."""
    values = {"tenant": tenant, "store": store, "scope": scope, "ids": list(ids)}
    return set(session.scalars(_ALONE, values)) if ids else set()
