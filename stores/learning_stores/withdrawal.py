"""Withdrawing evidence: what an extraction said no longer counts, because it is undone, done again or forgotten.

A learning that has other evidence stays. One that has none is retired; what it had taken the place of comes back as a new row,
unless something newer has taken the place since: such a chain is told, and left. What words had taken back that no longer
count comes back too, and what was live because two users supported it waits for a second one again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.ids import uuid7
from learning_stores.admission import CORROBORATING_USERS
from learning_stores.consolidated import dissolve
from learning_stores.curator.retiring import CONSOLIDATED, CONTRADICTED, DISPLACED, EXPIRED, MERGED
from learning_stores.giving_way import give_way
from learning_stores.merged_entities import STANDS, hold_entities_of
from learning_stores.replay_known import END_STANDS

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

# By id, as every writer of learnings locks them. Retired ones too: evidence is copied from what comes back.
_HOLD = text("SELECT id FROM learning.learning WHERE tenant = :tenant AND id = ANY (:ids) ORDER BY id FOR UPDATE")

# Whoever copies evidence holds the row that it copies from. What was copied before that row was ours is a copy of something
# withdrawn: a copy keeps its original's moment, by which it differs from the same words said again.
_WITHDRAW_COPIES = text("""
    UPDATE learning.evidence c SET withdrawn_at = clock_timestamp()
    FROM learning.evidence v
    WHERE v.tenant = :tenant AND v.learning_id = ANY (:ids) AND v.withdrawn_at IS NOT NULL AND c.tenant = v.tenant
      AND c.extraction_id = v.extraction_id AND c.withdrawn_at IS NULL AND c.origin = v.origin AND c.added_at = v.added_at
      AND c.event_id IS NOT DISTINCT FROM v.event_id AND c.message IS NOT DISTINCT FROM v.message
    RETURNING c.learning_id
""")

_WITHOUT_EVIDENCE = """NOT EXISTS (
        SELECT FROM learning.evidence v WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL)"""

# In a later statement than the one that locked them: evidence that came meanwhile is seen. What never was live stays so.
_FALL = text(f"""
    UPDATE learning.learning l
    SET status = 'retired', awaits = NULL, retired_at = greatest(cast(:now AS timestamptz), l.live_from),
        live_from = CASE WHEN l.status = 'proposed' THEN greatest(cast(:now AS timestamptz), l.live_from) ELSE l.live_from END,
        retired_reason = :reason, retired_by = :by
    WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.status <> 'retired' AND {_WITHOUT_EVIDENCE}
    RETURNING l.id
""")  # noqa: S608 - both parts are constants

# Live because so many users supported it (nobody approved it), and fewer do now.
_UNSUPPORTED = text("""
    UPDATE learning.learning l
    SET status = 'retired', retired_at = greatest(cast(:now AS timestamptz), l.live_from), retired_reason = :reason,
        retired_by = :by
    WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.status = 'active' AND l.decided_at IS NOT NULL AND l.decided_by IS NULL
      AND (SELECT count(DISTINCT v.subject) FILTER (WHERE v.subject LIKE 'user/%')
                  + :users * count(*) FILTER (WHERE v.origin <> 'extraction')
           FROM learning.evidence v
           WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL) < :users
    RETURNING l.id
""")

# What fell, the rows that these had brought back, and those in their chains that have no evidence left either: what any of
# them had replaced, or kept from becoming live. And what was taken back by words that no longer count. What had been merged into
# one of these, or ended in its favour, by what was undone while it was overtaken, comes back with it, unless it did before.
_REPLACED = text(f"""
    WITH RECURSIVE untold (id) AS (
        SELECT l.id FROM learning.learning l
        WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.status = 'retired' AND l.replaced_by IS NULL
          AND l.retired_reason IN ('retracted', 'retracted by a person') AND NOT EXISTS (
              SELECT FROM learning.evidence v
              WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.extraction_id = l.retired_by AND v.withdrawn_at IS NULL)
    ), fallen (id) AS (
        (SELECT unnest(cast(:fallen AS uuid[]))
         UNION
         SELECT l.id FROM untold u JOIN learning.learning l ON l.tenant = :tenant AND l.id = u.id WHERE {_WITHOUT_EVIDENCE})
        UNION
        SELECT before.id FROM fallen f CROSS JOIN LATERAL (
            SELECT l.restores AS id FROM learning.learning l
            WHERE l.tenant = :tenant AND l.id = f.id AND l.restores IS NOT NULL
            UNION ALL
            SELECT l.id FROM learning.learning l
            WHERE l.tenant = :tenant AND l.replaced_by = f.id AND l.status = 'retired' AND {_WITHOUT_EVIDENCE}) AS before
    ), returned (id) AS (
        SELECT l.id FROM learning.learning l JOIN fallen f ON l.replaced_by = f.id
        WHERE l.tenant = :tenant AND l.status = 'retired' AND NOT l.id = ANY (cast(:fallen AS uuid[]))
          AND l.retired_reason IN ('superseded', 'corrected', 'late', '{CONTRADICTED}', '{CONSOLIDATED}', '{DISPLACED}')
        UNION
        SELECT id FROM untold
    ), parted (id, merged) AS (
        SELECT id, false FROM returned
        UNION
        SELECT before.id, before.merged FROM parted p CROSS JOIN LATERAL (
            SELECT l.restores AS id, false AS merged FROM learning.learning l
            WHERE l.tenant = :tenant AND l.id = p.id AND l.restores IS NOT NULL
            UNION ALL
            SELECT l.id, true FROM learning.learning l
            JOIN learning.change c ON c.tenant = l.tenant AND c.id = l.retired_by AND c.undone_at IS NOT NULL
            WHERE l.tenant = :tenant AND l.replaced_by = p.id AND l.status = 'retired'
              AND l.retired_reason IN ('{MERGED}', '{CONTRADICTED}', '{CONSOLIDATED}')
              AND NOT EXISTS (SELECT FROM learning.learning o WHERE o.tenant = l.tenant AND o.restores = l.id)) AS before
    )
    SELECT l.id, l.valid_from FROM learning.learning l
    WHERE l.tenant = :tenant AND l.id IN (SELECT id FROM returned UNION SELECT id FROM parted WHERE merged)
    ORDER BY l.valid_from DESC, l.id DESC
""")  # noqa: S608 - both parts are constants

# One that was held (or was not, for being late), has evidence of its own, was not brought back before, and whose key nobody has
# taken since; about what stands for its entities now, which a merge may have changed, and no tie of one thing to itself. Never
# live at a moment at which another row of its key was. Until when it was true is known only of what expired.
_RESTORE = text(f"""
    INSERT INTO learning.learning (tenant, id, store, kind, scope, user_id, session_id, namespace, agent_id, team_id, about, target,
        content, content_key, data, language, status, awaits, confidence, valid_from, valid_to, live_from, restores, origin,
        made_by, decided_by, decided_at)
    SELECT l.tenant, cast(:id AS uuid), l.store, l.kind, l.scope, l.user_id, l.session_id, l.namespace, l.agent_id, l.team_id,
           s.about, s.target, l.content, s.content_key, l.data, l.language, :status, :awaits, l.confidence, l.valid_from,
           CASE WHEN l.retired_reason = '{EXPIRED}' THEN l.valid_to END,
           (SELECT greatest(cast(:now AS timestamptz), max(o.retired_at)) FROM learning.learning o
            WHERE o.tenant = l.tenant AND o.scope = l.scope AND o.content_key = s.content_key AND o.status = 'retired'
              AND o.store = l.store AND o.kind = l.kind AND o.about IS NOT DISTINCT FROM s.about),
           l.id, l.origin, l.made_by, CASE WHEN :status = 'active' THEN l.decided_by END,
           CASE WHEN :status = 'active' THEN l.decided_at END
    FROM learning.learning l CROSS JOIN LATERAL ({STANDS}) AS s
    WHERE l.tenant = :tenant AND l.id = :of AND (l.live_from < l.retired_at OR l.retired_reason = 'late')
      AND (s.target IS NULL OR s.about <> s.target OR l.about = l.target)
      AND EXISTS (SELECT FROM learning.evidence v
                  WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL)
      AND NOT EXISTS (SELECT FROM learning.learning o
                      WHERE o.tenant = l.tenant AND o.restores = l.id AND o.status <> 'retired')
    ON CONFLICT (tenant, store, kind, scope, about, content_key, status) WHERE status <> 'retired' DO NOTHING
    RETURNING id
""")  # noqa: S608 - a constant

_PROPOSED = text("""
    SELECT o.id FROM learning.learning l
    JOIN learning.learning o ON o.tenant = l.tenant AND o.store = l.store AND o.kind = l.kind AND o.scope = l.scope
     AND o.content_key = l.content_key AND o.about IS NOT DISTINCT FROM l.about AND o.status = 'proposed'
    WHERE l.tenant = :tenant AND l.id = :of FOR UPDATE OF o
""")

# What a merge had copied is known as that in the copy of it, too, so that undoing the merge takes it away there.
_COPY = text("""
    INSERT INTO learning.evidence (tenant, id, learning_id, origin, extraction_id, event_id, message, quote, user_id, subject,
                                   occurred_at, added_at, copied_by)
    SELECT tenant, gen_random_uuid(), :onto, origin, extraction_id, event_id, message, quote, user_id, subject, occurred_at,
           added_at, copied_by
    FROM learning.evidence WHERE tenant = :tenant AND learning_id = :of AND withdrawn_at IS NULL
    ON CONFLICT DO NOTHING
""")

# What lost its evidence after something that still stands had taken its place; and what these sources had ended in favour of
# something that stands without them.
_LEFT = text(f"""
    SELECT l.id, l.replaced_by FROM learning.learning l
    WHERE l.tenant = :tenant AND l.status = 'retired' AND l.replaced_by IS NOT NULL
      AND ((l.id = ANY (:ids) AND {_WITHOUT_EVIDENCE})
           OR (l.retired_by = ANY (:sources) AND l.retired_reason IN ('superseded', 'corrected')))
      AND {END_STANDS}
    ORDER BY l.id
""")  # noqa: S608 - both parts are constants


class Chain(NamedTuple):
    """A learning whose place another has that still stands: nothing was brought back beneath that one."""

    learning_id: UUID
    replaced_by: UUID


@dataclass(frozen=True, kw_only=True)
class Withdrawn:
    """What a withdrawal did, as ids of learnings."""

    touched: tuple[UUID, ...]
    """Lost evidence."""
    retired: tuple[UUID, ...]
    """Had no other, or too little to be live."""
    restored: tuple[UUID, ...]
    """New rows, each of which `restores` what had been replaced or retracted, or is a proposal again."""
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
    """Retire the touched learnings that have no evidence left, and bring back what they had replaced or taken back.

    `by` is the extraction or change that does it, and `reason` is kept on what it retires. With `sources`, what these had
    ended in favour of something that stays is told as left, too. May be ended as a deadlock: run the transaction again.
    """
    if not touched and not sources:
        return Withdrawn(touched=(), retired=(), restored=(), left=())
    ids = _hold(session, tenant, touched)
    now = session.scalar(_NOW)
    values = {"tenant": tenant, "ids": ids, "now": now, "by": by, "reason": reason}
    fallen = sorted(session.scalars(_FALL, values))
    unsupported = sorted(session.scalars(_UNSUPPORTED, {**values, "users": CORROBORATING_USERS}))
    restored = [_propose_again(session, tenant, of, now) for of in unsupported]
    dissolved, apart = dissolve(session, tenant, ids, now=now, by=by, reason=reason)
    fallen += [*unsupported, *dissolved]
    returning = session.scalars(_REPLACED, {**values, "fallen": [*fallen, *apart]}).all()
    restored += bring_back(session, tenant, returning, undone_by=by if reason == "undone" else None)
    left = session.execute(_LEFT, {"tenant": tenant, "ids": ids, "sources": list(sources)}).all()
    return Withdrawn(
        touched=tuple(ids),
        retired=tuple(fallen),
        restored=tuple(restored),
        left=tuple(Chain(row.id, row.replaced_by) for row in left),
    )


def bring_back(session: Session, tenant: str, ids: Sequence[UUID], *, undone_by: UUID | None) -> tuple[UUID, ...]:
    """New rows for retired learnings, as far as they have evidence and nobody has their keys; of one key the first counts.

    With `undone_by`, the change of an undo, the others give way where they were led to that key by a merge.
    """
    hold_entities_of(session, tenant, ids)
    session.execute(_HOLD, {"tenant": tenant, "ids": sorted(ids)}).all()
    now = session.scalar(_NOW)
    new = []
    for of in ids:
        if (back := _restore(session, tenant, of, now, "active", None)) is not None:
            new.append(back)
        elif undone_by is not None:
            give_way(session, tenant, of, undone_by)
    return tuple(new)


def _hold(session: Session, tenant: str, touched: Collection[UUID]) -> list[UUID]:
    """Lock the touched learnings, and whatever got a copy of their evidence before they were locked."""
    held: set[UUID] = set()
    new = set(touched)
    while new:
        session.execute(_HOLD, {"tenant": tenant, "ids": sorted(new)}).all()
        held |= new
        new = set(session.scalars(_WITHDRAW_COPIES, {"tenant": tenant, "ids": sorted(new)})) - held
    return sorted(held)


def _restore(
    session: Session, tenant: str, of: UUID, now: datetime | None, status: str, awaits: str | None
) -> UUID | None:
    new = uuid7()
    values = {"tenant": tenant, "id": new, "of": of, "now": now, "status": status, "awaits": awaits}
    if session.scalar(_RESTORE, values) is None:
        return None
    session.execute(_COPY, {"tenant": tenant, "of": of, "onto": new})
    return new


def _propose_again(session: Session, tenant: str, of: UUID, now: datetime | None) -> UUID:
    """The proposal that has what is left of its evidence: a new one, or the one of its key that is there."""
    new = _restore(session, tenant, of, now, "proposed", "corroboration")
    if new is None:
        new = session.scalars(_PROPOSED, {"tenant": tenant, "of": of}).one()
        session.execute(_COPY, {"tenant": tenant, "of": of, "onto": new})
    return new
