"""Forgetting what was learned: a bounded batch of learnings at a time, each batch one transaction that settles it whole.

Evidence goes with its quotes. A learning behind which somebody else's words stand stays; any other is deleted with its vectors,
its counts and its history, and what it had taken the place of comes back. A person's approval, promotion or correction of
somebody's words does not outlive those words; what a person adds of their own does.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from learning_stores.consolidated import untenable
from learning_stores.curator.retiring import CONSOLIDATED, MERGED
from learning_stores.forgetting_entities import forget_entities, hold_entities, say_again
from learning_stores.forgetting_target import Scope
from learning_stores.forgetting_wording import restate
from learning_stores.withdrawal import settle_withdrawn

LEARNINGS_AT_ONCE = 100

Samples = list[str]
"""Contents of what was deleted, kept in memory only, for the search at the end."""

MAX_SAMPLES = 200

_SUBJECT = text("SELECT true FROM learning.subject WHERE tenant = :tenant AND subject = :subject FOR UPDATE")

# A word of a person about what others said. It goes with that.
_DEPENDENT = """(v.origin = 'curator' OR (v.origin = 'human' AND v.event_id IS NULL
    AND (v.subject IS NULL OR v.subject = :subject) AND EXISTS (
    SELECT FROM learning.change c WHERE c.tenant = v.tenant AND c.id = v.extraction_id AND c.action <> 'added')))"""

_ROWS = """
    SELECT l.id, l.kind, l.store, l.scope, l.content, l.data,
           coalesce({unsupported}, false) AS unsupported,
           EXISTS (SELECT FROM learning.evidence v WHERE v.tenant = l.tenant AND v.learning_id = l.id
                   AND v.withdrawn_at IS NULL AND NOT coalesce({said}, false) AND NOT {dependent}
                   AND NOT coalesce({own} AND {old}, false)) AS independent,
           EXISTS (SELECT FROM learning.evidence v
                   JOIN learning.change c ON c.tenant = v.tenant AND c.id = v.extraction_id
                   WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL AND v.origin = 'human'
                   AND c.action IN ('corrected', 'edited')) AS corrected,
           coalesce(x.subject, c.subject) AS maker, c.action AS made_as
    FROM learning.learning l
    LEFT JOIN learning.extraction x ON x.tenant = l.tenant AND x.id = l.made_by
    LEFT JOIN learning.change c ON c.tenant = l.tenant AND c.id = l.made_by
    WHERE l.tenant = :tenant AND l.id = ANY (:ids)
    ORDER BY l.id
"""

# What a person made of a learning by correcting it, and what was promoted of that; what the curator made of it.
_SUCCESSORS = text(f"""
    SELECT l.replaced_by FROM learning.learning l
    WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.replaced_by IS NOT NULL
      AND l.retired_reason IN ('corrected', 'edited', '{CONSOLIDATED}', '{MERGED}')
    UNION
    SELECT w.learning_id FROM learning.evidence v
    JOIN learning.change c ON c.tenant = v.tenant AND c.id = v.extraction_id AND c.action IN ('corrected', 'edited')
    JOIN learning.evidence w ON w.tenant = v.tenant AND w.extraction_id = v.extraction_id
    WHERE v.tenant = :tenant AND v.learning_id = ANY (:ids) AND v.origin = 'human'
""")  # noqa: S608 - constants
_CORRECTED_FROM = text("""
    SELECT l.id, l.replaced_by FROM learning.learning l
    WHERE l.tenant = :tenant AND l.replaced_by = ANY (:ids) AND l.retired_reason IN ('corrected', 'edited')
    UNION
    SELECT made.id, v.learning_id FROM learning.evidence v
    JOIN learning.change c ON c.tenant = v.tenant AND c.id = v.extraction_id AND c.action IN ('corrected', 'edited')
    JOIN learning.learning made ON made.tenant = v.tenant AND made.made_by = c.id AND made.id <> v.learning_id
    WHERE v.tenant = :tenant AND v.learning_id = ANY (:ids) AND v.origin = 'human'
""")
_HOLD = text(
    "SELECT l.id FROM learning.learning l WHERE l.tenant = :tenant AND l.id = ANY (:ids) ORDER BY l.id FOR UPDATE"
)
_WITHDRAW_ALL = text("""
    UPDATE learning.evidence SET withdrawn_at = clock_timestamp()
    WHERE tenant = :tenant AND learning_id = ANY (:ids) AND withdrawn_at IS NULL
""")
_DELETE_ALL = text("DELETE FROM learning.evidence WHERE tenant = :tenant AND learning_id = ANY (:ids)")
_UNTIE = (
    text("UPDATE learning.learning SET replaced_by = NULL WHERE tenant = :tenant AND replaced_by = ANY (:ids)"),
    text("UPDATE learning.learning SET restores = NULL WHERE tenant = :tenant AND restores = ANY (:ids)"),
    text("UPDATE learning.learning SET replaces = NULL WHERE tenant = :tenant AND replaces = ANY (:ids)"),
)
_VECTORS = text("SELECT count(*) FROM learning.learning_embedding WHERE tenant = :tenant AND learning_id = ANY (:ids)")
_QUOTES = text("SELECT count(*) FROM learning.evidence WHERE tenant = :tenant AND learning_id = ANY (:ids)")
_DELETE = text("DELETE FROM learning.learning WHERE tenant = :tenant AND id = ANY (:ids)")
_STATISTICS = text("""
    DELETE FROM learning.scope_statistics s
    USING unnest(cast(:stores AS text[]), cast(:scopes AS text[])) AS w (store, scope)
    WHERE s.tenant = :tenant AND s.store = w.store AND s.scope = w.scope
""")


def forget_learnings(session: Session, scope: Scope, samples: Samples) -> Counter[str]:
    """Settle one batch; nothing where there is no more. Counts by table, and `restored`, `reworded` learnings."""
    values = scope.values
    session.execute(_SUBJECT, values)
    ids = _batch(session, scope)
    if not ids:
        return Counter()
    entities = hold_entities(session, scope.target.tenant, ids)
    session.execute(_HOLD, {**values, "ids": ids}).all()
    # In later statements than the ones that locked: evidence that came meanwhile is seen.
    say_again(session, scope, ids, _DEPENDENT)
    rows = _rows(session, scope, ids)
    fallen = _fallen(session, scope, rows)
    # What says all that several said stays no longer than each of them. Those of them that stay keep their own evidence.
    apart = untenable(session, scope.target.tenant, ids, fallen, scope.said, scope.values).keys() - set(fallen)
    counts = Counter[str]()
    # Not before they are held: whoever copied a learning without its evidence would leave nothing by which to find the copy.
    _withdraw(session, scope, ids)
    session.execute(_WITHDRAW_ALL, {**values, "ids": fallen})
    session.execute(_DELETE_ALL, {**values, "ids": sorted(apart)})
    withdrawn = settle_withdrawn(session, scope.target.tenant, ids, by=scope.forgetting_id, reason="forgotten")
    counts["restored"] = len(withdrawn.restored)
    fallen = sorted({*fallen, *apart})
    counts += _delete(session, scope, rows, fallen, samples)
    kept = [row for row in rows if row.id not in fallen]
    counts["evidence"] += _delete_evidence(session, scope, [row.id for row in kept])
    counts["reworded"] += restate(session, scope, [row for row in kept if not row.unsupported])
    counts += forget_entities(session, scope, entities)
    return +counts


def _batch(session: Session, scope: Scope) -> list[UUID]:
    """Learnings to look at: those with evidence that is to go, those of its own, and what people made of them."""
    statement = text(f"""
        (SELECT v.learning_id AS id FROM learning.evidence v WHERE v.tenant = :tenant AND {scope.said}
         GROUP BY v.learning_id LIMIT {LEARNINGS_AT_ONCE})
        UNION
        (SELECT l.id FROM learning.learning l WHERE l.tenant = :tenant AND {scope.unsupported} LIMIT {LEARNINGS_AT_ONCE})
    """)  # noqa: S608 - our own words
    ids = set(session.scalars(statement, scope.values))
    # With what it had replaced, so that none of that is brought back only to go next.
    before = text(f"""
        SELECT l.id FROM learning.learning l
        WHERE l.tenant = :tenant AND l.replaced_by = ANY (:ids) AND ({scope.own} OR EXISTS (
            SELECT FROM learning.evidence v WHERE v.tenant = l.tenant AND v.learning_id = l.id AND {scope.said}))
    """)  # noqa: S608 - our own words
    last = ids
    while last:
        values = {**scope.values, "ids": list(last)}
        last = {*session.scalars(_SUCCESSORS, values), *session.scalars(before, values)} - ids
        ids |= last
    return sorted(ids)


def _rows(session: Session, scope: Scope, ids: Collection[UUID]) -> Sequence[Row[Any]]:
    parts = {"own": scope.own, "unsupported": scope.unsupported, "said": scope.said, "old": scope.old}
    statement = text(_ROWS.format(**parts, dependent=_DEPENDENT))
    return session.execute(statement, {**scope.values, "ids": list(ids)}).all()


def _fallen(session: Session, scope: Scope, rows: Sequence[Row[Any]]) -> list[UUID]:
    """Those behind which nothing stands: of its own, or others' without any words but the forgotten ones.

    What a person corrected stays as long as what they corrected stays.
    """
    ids = [row.id for row in rows]
    before: dict[UUID, set[UUID]] = {}
    for row in session.execute(_CORRECTED_FROM, {"tenant": scope.target.tenant, "ids": ids}):
        before.setdefault(row.replaced_by, set()).add(row.id)
    fallen = {row.id for row in rows if not row.independent and (row.unsupported or not row.corrected)}
    open_ = {row.id for row in rows if row.corrected and not row.independent} - fallen
    while more := {each for each in open_ if before.get(each, set()) <= fallen}:
        fallen |= more
        open_ -= more
    return sorted(fallen)


def _withdraw(session: Session, scope: Scope, ids: Sequence[UUID]) -> None:
    statement = text(f"""
        UPDATE learning.evidence v SET withdrawn_at = clock_timestamp()
        WHERE v.tenant = :tenant AND v.learning_id = ANY (:ids) AND v.withdrawn_at IS NULL AND {scope.said}
    """)  # noqa: S608 - our own words
    session.execute(statement, {**scope.values, "ids": list(ids)})


def _delete(
    session: Session, scope: Scope, rows: Sequence[Row[Any]], fallen: Sequence[UUID], samples: Samples
) -> Counter[str]:
    if not fallen:
        return Counter()
    values = {"tenant": scope.target.tenant, "ids": fallen}
    gone = [row for row in rows if row.id in set(fallen)]
    samples += [row.content for row in gone][: MAX_SAMPLES - len(samples)]
    counts = Counter(learning=len(gone), evidence=session.scalar(_QUOTES, values) or 0)
    counts["learning_embedding"] = session.scalar(_VECTORS, values) or 0
    for statement in _UNTIE:
        session.execute(statement, values)
    places = {"stores": [row.store for row in gone], "scopes": [row.scope for row in gone]}
    statistics: Any = session.execute(_STATISTICS, {**values, **places})
    counts["scope_statistics"] = statistics.rowcount
    session.execute(_DELETE, values)
    return counts


def _delete_evidence(session: Session, scope: Scope, ids: Sequence[UUID]) -> int:
    statement = text(f"""
        DELETE FROM learning.evidence v
        WHERE v.tenant = :tenant AND v.learning_id = ANY (:ids) AND ({scope.said} OR ({scope.old} AND EXISTS (
            SELECT FROM learning.learning l WHERE l.tenant = v.tenant AND l.id = v.learning_id AND {scope.own})))
    """)  # noqa: S608 - our own words
    written: Any = session.execute(statement, {**scope.values, "ids": list(ids)})
    return int(written.rowcount)
