"""Producers: which of their numbers arrived, and the last one that each gave, as its `close()` reported it."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.closing import ProducerClosed

# Producers number their events without gaps; `received` against `highest` says how many are missing.
_NUMBERED = text("""
    INSERT INTO learning.producer_seq AS p (producer, highest, received)
    SELECT * FROM unnest(cast(:producers AS uuid[]), cast(:highest AS bigint[]), cast(:received AS bigint[]))
    ON CONFLICT (producer) DO UPDATE SET highest = greatest(p.highest, excluded.highest),
        received = p.received + excluded.received, last_seen = clock_timestamp()
    RETURNING p.producer, p.refused
""")

# A number that was refused before (its user was closed) and is accepted now, sent again, is no longer one that was refused.
_ACCEPTED_AFTER_ALL = text("""
    WITH after_all AS (
        UPDATE learning.rejected_event r SET producer = NULL, seq = NULL
        FROM unnest(cast(:producers AS uuid[]), cast(:numbers AS bigint[])) AS n (producer, seq)
        WHERE r.producer = n.producer AND r.seq = n.seq
        RETURNING n.producer, n.seq
    )
    UPDATE learning.producer_seq p SET refused = p.refused - a.numbers
    FROM (SELECT producer, count(DISTINCT seq) AS numbers FROM after_all GROUP BY 1) AS a
    WHERE p.producer = a.producer
""")

# In the order of the key, as all who lock these rows. A producer of which nothing arrived is one whose events are all missing.
_REPORT = text("""
    INSERT INTO learning.producer_seq AS p (producer, highest, received, last_reported)
    SELECT producer, 0, 0, max(last) FROM unnest(cast(:producers AS uuid[]), cast(:lasts AS bigint[])) AS said (producer, last)
    GROUP BY producer ORDER BY producer
    ON CONFLICT (producer) DO UPDATE SET last_reported = greatest(p.last_reported, excluded.last_reported),
        last_seen = clock_timestamp()
""")


# As the app, which does not write the table itself.
_REPORT_DIRECTLY = text("SELECT learning.report_last(:producer, :last)")


def count_received(session: Session, numbers: Sequence[tuple[UUID, int]]) -> None:
    """Count (producer, number) pairs of events that are accepted in this transaction. As the dispatcher."""
    counted: dict[UUID, tuple[int, int]] = {}
    for producer, seq in numbers:
        highest, received = counted.get(producer, (0, 0))
        counted[producer] = max(highest, seq), received + 1
    if not counted:
        return
    producers = sorted(counted)
    rows = session.execute(
        _NUMBERED,
        {
            "producers": producers,
            "highest": [counted[producer][0] for producer in producers],
            "received": [counted[producer][1] for producer in producers],
        },
    )
    refused_some = {producer for producer, refused in rows if refused}
    again = [(producer, seq) for producer, seq in numbers if producer in refused_some]
    if again:
        columns = {"producers": [producer for producer, _ in again], "numbers": [seq for _, seq in again]}
        session.execute(_ACCEPTED_AFTER_ALL, columns)


def report_last(session: Session, closings: Sequence[ProducerClosed]) -> None:
    """Keep the greatest number that each producer reported. As the dispatcher."""
    if closings:
        session.execute(
            _REPORT, {"producers": [each.producer for each in closings], "lasts": [each.last for each in closings]}
        )


def report_last_directly(session: Session, closing: ProducerClosed) -> None:
    """The same of one producer, as the app: where Redis does not take its word."""
    session.execute(_REPORT_DIRECTLY, {"producer": closing.producer, "last": closing.last})
