"""Event ids: UUID version 7 (RFC 9562, section 5.7), so that ids sort by the time at which they were made."""

import os
import threading
import time
from datetime import UTC, datetime
from uuid import UUID

_lock = threading.Lock()
_last = 0


def uuid7() -> UUID:
    """A new UUIDv7, later than every one that this process made before, also within one millisecond.

    The 12 bits after the millisecond carry its fraction (RFC 9562, section 6.2, method 3), stepped on a tie.
    """
    global _last
    now = time.time_ns()
    stamp = (now // 1_000_000) << 12 | (now % 1_000_000) * 4096 // 1_000_000
    with _lock:
        stamp = _last = stamp if stamp > _last else _last + 1
    random = int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=(stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64 | 0x2 << 62 | random)


def id_time(event_id: UUID) -> datetime:
    """The moment at which a UUIDv7 was made, to the millisecond, in UTC. Raises ValueError for another version."""
    if event_id.version != 7:
        raise ValueError(f"{event_id} is not a UUID of version 7")
    return datetime.fromtimestamp((event_id.int >> 80) / 1000, tz=UTC)


def reset_after_fork() -> None:
    """Give the child of a fork a lock that no thread of the parent holds."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=reset_after_fork)
