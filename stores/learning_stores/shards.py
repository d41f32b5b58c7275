"""Shard leases: one reader a stream, so that its order is kept; a stalled reader that wakes up late inserts nothing."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.tally import count

LEASE_SECONDS = 15

_TAKE = text("""
    INSERT INTO learning.shard_lease AS s (shard, owner, token, lease_until)
    SELECT n, :owner, nextval('learning.lease_token'), clock_timestamp() + :seconds * interval '1 s'
    FROM unnest(cast(:shards AS int[])) AS n ORDER BY n
    ON CONFLICT (shard) DO UPDATE SET owner = excluded.owner, token = excluded.token, lease_until = excluded.lease_until
        WHERE s.owner IS NULL OR s.lease_until < clock_timestamp()
    RETURNING shard, token
""")

_LAPSED = text("""
    SELECT shard FROM learning.shard_lease
    WHERE shard = ANY (:shards) AND owner IS NOT NULL AND lease_until < clock_timestamp()
""")

_EXTEND = text("""
    UPDATE learning.shard_lease SET lease_until = clock_timestamp() + :seconds * interval '1 s'
    WHERE (shard, token) IN (SELECT * FROM unnest(cast(:shards AS int[]), cast(:tokens AS bigint[])))
      AND lease_until > clock_timestamp()
    RETURNING shard
""")

_GIVE_UP = text("""
    UPDATE learning.shard_lease SET owner = NULL, lease_until = NULL
    WHERE (shard, token) IN (SELECT * FROM unnest(cast(:shards AS int[]), cast(:tokens AS bigint[])))
""")

# FOR SHARE: a take-over waits until the batch that was read under the lease is committed.
_HELD = text("""
    SELECT shard FROM learning.shard_lease
    WHERE (shard, token) IN (SELECT * FROM unnest(cast(:shards AS int[]), cast(:tokens AS bigint[])))
    ORDER BY shard FOR SHARE
""")


def take_shards(session: Session, owner: str, shards: Iterable[int]) -> dict[int, int]:
    """Lease those of the shards that are free or whose reader is gone. Returns shard to token."""
    wanted = list(shards)
    lapsed = set(session.scalars(_LAPSED, {"shards": wanted}))
    rows = session.execute(_TAKE, {"owner": owner, "shards": wanted, "seconds": LEASE_SECONDS})
    taken = {row.shard: row.token for row in rows}
    count(session, "shard taken over", number=len(lapsed & taken.keys()))
    return taken


def extend_shards(session: Session, held: Mapping[int, int]) -> set[int]:
    """Extend live leases. Returns the shards that are still ours."""
    return set(session.scalars(_EXTEND, {**_arrays(held), "seconds": LEASE_SECONDS}))


def give_up_shards(session: Session, held: Mapping[int, int]) -> None:
    """Give leases back at once."""
    session.execute(_GIVE_UP, _arrays(held))


def holds_shards(session: Session, held: Mapping[int, int]) -> bool:
    """Whether every one of these leases is still ours; then none is taken over before the transaction ends."""
    return set(session.scalars(_HELD, _arrays(held))) == set(held)


def _arrays(held: Mapping[int, int]) -> dict[str, Any]:
    return {"shards": list(held), "tokens": list(held.values())}
