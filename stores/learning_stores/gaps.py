"""Producers' numbers: how far each one counted, what arrived of it, and what is missing.

A producer numbers its events 1, 2, 3, … A number is accounted for once its event is in the log or was refused. One that is not
may be on its way; it is missing when its producer has been silent for a minute, or when it was given over a minute ago: the
reconciler notes each minute how far a producer with open numbers went, and what was given until then must be here by the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

RANGES_SHOWN = 10
"""Of one producer's missing numbers."""

# Events that came by the fallback are counted when their deliveries are made; until then they are counted here.
_NUMBERED = """
    WITH waiting AS (
        SELECT e.producer, count(*) AS events, max(e.seq) AS highest, max(e.accepted_at) AS last_seen
        FROM learning.conversation_event e
        WHERE e.accepted_no IS NULL AND e.via <> 'stream' AND e.producer IS NOT NULL AND e.seq IS NOT NULL
        GROUP BY e.producer
    ),
    numbered AS (
        SELECT coalesce(p.producer, w.producer) AS producer, greatest(p.highest, p.last_reported, w.highest) AS numbered,
               coalesce(p.received, 0) AS received, coalesce(w.events, 0) AS waiting, coalesce(p.refused, 0) AS refused,
               coalesce(p.last_reported >= greatest(p.highest, w.highest), false) AS closed,
               coalesce(p.first_seen, w.last_seen) AS first_seen, greatest(p.last_seen, w.last_seen) AS last_seen,
               p.sampled, p.sampled_at, coalesce(p.missing, 0) AS missing, p.missing_since
        FROM learning.producer_seq p FULL JOIN waiting w ON w.producer = p.producer
    ),
    gapped AS (
        SELECT n.*, n.numbered - n.received - n.waiting - n.refused AS gap FROM numbered n
        WHERE n.numbered <> n.received + n.waiting + n.refused OR n.missing <> 0 OR n.sampled IS NOT NULL
    ),
    newer AS (  -- what was numbered after the sample and is here
        SELECT n.producer, count(*) AS numbers FROM (
            SELECT g.producer, e.seq FROM gapped g
            JOIN learning.conversation_event e ON e.producer = g.producer AND e.seq > g.sampled
            WHERE g.last_seen >= now() - interval '1 minute' AND e.accepted_at > (
                SELECT min(s.sampled_at) - interval '1 minute' FROM gapped s WHERE s.last_seen >= now() - interval '1 minute')
            UNION
            SELECT g.producer, r.seq FROM gapped g
            JOIN learning.rejected_event r ON r.producer = g.producer AND r.seq > g.sampled) AS n
        GROUP BY n.producer
    ),
    found AS (
        SELECT g.*, CASE
            WHEN g.gap <= 0 THEN 0
            WHEN g.last_seen < now() - interval '1 minute' THEN g.gap
            WHEN g.sampled_at < now() - interval '50 seconds' THEN greatest(0, least(
                g.gap, g.sampled - (g.received + g.waiting + g.refused - coalesce(n.numbers, 0))))
            ELSE least(g.missing, g.gap) END AS lost
        FROM gapped g LEFT JOIN newer n ON n.producer = g.producer
    )
"""

_GAPS = text(f"""{_NUMBERED}
    SELECT producer, numbered, received + waiting AS accepted, refused, gap, lost, closed, first_seen, last_seen, missing_since,
           count(*) OVER () AS producers
    FROM found WHERE lost > 0 OR gap < 0 ORDER BY lost DESC, gap, producer LIMIT :limit
""")  # noqa: S608 - the part is a constant

_TOTALS = text(f"""{_NUMBERED}
    SELECT coalesce(sum(n.numbered), 0) AS numbered, coalesce(sum(n.received), 0) AS received,
           coalesce(sum(n.waiting), 0) AS waiting, coalesce(sum(n.refused), 0) AS refused, count(*) AS producers,
           coalesce((SELECT sum(lost) FROM found), 0) AS missing,
           coalesce((SELECT sum(gap - lost) FROM found WHERE gap > 0), 0) AS on_their_way,
           coalesce((SELECT -sum(gap) FROM found WHERE gap < 0), 0) AS twice
    FROM numbered n
""")  # noqa: S608 - the part is a constant

_EARLIER = timedelta(hours=1)
"""A producer's first event may be in the log for so long before it is counted."""

# In the order of the key, as all who lock these rows.
_SAMPLE = text(f"""{_NUMBERED}
    , held AS (
        SELECT p.producer FROM learning.producer_seq p WHERE p.producer IN (SELECT f.producer FROM found f)
        ORDER BY p.producer FOR NO KEY UPDATE
    )
    UPDATE learning.producer_seq p
    SET sampled = CASE WHEN f.gap = 0 THEN NULL
                       WHEN f.sampled_at > now() - interval '50 seconds' THEN f.sampled ELSE f.numbered END,
        sampled_at = CASE WHEN f.gap = 0 THEN NULL
                          WHEN f.sampled_at > now() - interval '50 seconds' THEN f.sampled_at ELSE now() END,
        missing = f.lost, missing_since = CASE WHEN f.lost > 0 THEN coalesce(p.missing_since, now()) END
    FROM found f JOIN held h ON h.producer = f.producer
    WHERE p.producer = f.producer
""")  # noqa: S608 - the part is a constant

# Which numbers are in the log or were refused, and what lies between them. One scan of the log for all producers asked for.
_RANGES = text("""
    WITH asked AS (
        SELECT * FROM unnest(cast(:producers AS uuid[]), cast(:numbered AS bigint[])) AS a (producer, numbered)
    ),
    known AS (
        SELECT e.producer, e.seq FROM learning.conversation_event e
        WHERE e.producer = ANY (:producers) AND e.seq IS NOT NULL AND e.accepted_at > :since
        UNION
        SELECT r.producer, r.seq FROM learning.rejected_event r WHERE r.producer = ANY (:producers)
        UNION
        SELECT producer, numbered + 1 FROM asked
    ),
    between_them AS (
        SELECT producer, lag(seq, 1, cast(0 AS bigint)) OVER (PARTITION BY producer ORDER BY seq) + 1 AS first, seq - 1 AS last
        FROM known
    ),
    ranges AS (
        SELECT producer, first, last, sum(last - first + 1) OVER (PARTITION BY producer) AS numbers,
               row_number() OVER (PARTITION BY producer ORDER BY first) AS place
        FROM between_them WHERE last >= first
    )
    SELECT producer, first, last, numbers FROM ranges WHERE place <= :shown ORDER BY producer, first
""")


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A producer whose numbers do not add up: `missing` of them are nowhere, or `twice` were counted more than once."""

    producer: UUID
    numbered: int
    accepted: int
    refused: int
    missing: int
    twice: int
    closed: bool  # it reported its last number; else it is running, or ended without a word
    first_seen: datetime
    last_seen: datetime
    since: datetime | None  # the reconciler's first sight of it
    numbers: tuple[tuple[int, int], ...] | None = (
        None  # the first ranges; none where rows that are gone had numbers, too
    )


@dataclass(frozen=True, kw_only=True)
class Totals:
    """numbered + twice = received + waiting + refused + missing + on_their_way, over all producers."""

    producers: int
    numbered: int
    received: int
    waiting: int  # in the log, came by the fallback, and have no deliveries yet
    refused: int
    missing: int
    on_their_way: int  # given less than a minute ago
    twice: int


def totals(session: Session) -> Totals:
    """All producers together. As the dispatcher."""
    return Totals(**{name: int(value) for name, value in session.execute(_TOTALS).one()._mapping.items()})


def gaps(session: Session, limit: int) -> tuple[Gap, ...]:
    """The producers whose numbers do not add up, those with the largest gaps first. As the dispatcher."""
    return tuple(
        Gap(
            producer=row.producer,
            numbered=row.numbered,
            accepted=row.accepted,
            refused=row.refused,
            missing=row.lost,
            twice=max(0, -row.gap),
            closed=row.closed,
            first_seen=row.first_seen,
            last_seen=row.last_seen,
            since=row.missing_since,
        )
        for row in session.execute(_GAPS, {"limit": limit})
    )


def missing_numbers(session: Session, found: Sequence[Gap]) -> dict[UUID, tuple[tuple[int, int], ...]]:
    """The first ranges of each producer's missing numbers, from a scan of the log. Only where they are all that it lacks."""
    asked = [gap for gap in found if gap.missing]
    if not asked:
        return {}
    values = {
        "producers": [gap.producer for gap in asked],
        "numbered": [gap.numbered for gap in asked],
        "since": min(gap.first_seen for gap in asked) - _EARLIER,
        "shown": RANGES_SHOWN,
    }
    lacking = {gap.producer: gap.numbered - gap.accepted - gap.refused for gap in asked}
    ranges: dict[UUID, list[tuple[int, int]]] = {}
    for row in session.execute(_RANGES, values):
        if row.numbers == lacking[row.producer]:
            ranges.setdefault(row.producer, []).append((row.first, row.last))
    return {producer: tuple(each) for producer, each in ranges.items()}


def sample(session: Session) -> None:
    """Note how far producers with open numbers went, and what of it is missing by now. Once a minute, as the dispatcher."""
    session.execute(_SAMPLE)
