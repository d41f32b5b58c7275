"""What producers say of themselves: the last number that each gave, as its `close()` reported it."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.closing import ProducerClosed

# In the order of the key, as all who lock these rows. A producer of which nothing arrived is one whose events are all missing.
_REPORT = text("""
    INSERT INTO learning.producer_seq AS p (producer, highest, received, last_reported)
    SELECT producer, 0, 0, max(last) FROM unnest(cast(:producers AS uuid[]), cast(:lasts AS bigint[])) AS said (producer, last)
    GROUP BY producer ORDER BY producer
    ON CONFLICT (producer) DO UPDATE SET last_reported = greatest(p.last_reported, excluded.last_reported),
        last_seen = clock_timestamp()
""")


def report_last(session: Session, closings: Sequence[ProducerClosed]) -> None:
    """Keep the greatest number that each producer reported. As the dispatcher."""
    if closings:
        session.execute(
            _REPORT, {"producers": [each.producer for each in closings], "lasts": [each.last for each in closings]}
        )
