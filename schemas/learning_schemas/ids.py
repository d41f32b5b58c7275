"""Event ids: UUID version 7 (RFC 9562, section 5.7), so that ids sort by the time at which they were made."""

import os
import threading
import time
from datetime import UTC, datetime
from uuid import UUID

_lock = threading.Lock()
_last = 0
_STEPS_BACK = 60_000 << 12
LAST_MILLISECOND = 253_402_300_799_000  # 9999-12-31T23:59:59Z, where datetime ends


def uuid7() -> UUID:
    """A new UUIDv7, later than every one that this process made before, also within one millisecond.

    The 12 bits after the millisecond carry its fraction (RFC 9562, section 6.2, method 3), stepped on a tie. Where the clock
    was set back by more than a minute, ids go back with it: ones that are ahead of the server's clock are refused.
    """
    global _last
    now = time.time_ns()
    stamp = (now // 1_000_000) << 12 | (now % 1_000_000) * 4096 // 1_000_000
    with _lock:
        if _last - _STEPS_BACK < stamp <= _last:
            stamp = _last + 1
        _last = stamp
    random = int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=(stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64 | 0x2 << 62 | random)


def id_time(event_id: UUID) -> datetime:
    """When a UUIDv7 was made, to the millisecond, in UTC. Raises ValueError for another version or a time after 9999."""
    if event_id.version != 7:
        raise ValueError(f"{event_id} is not a UUID of version 7")
    milliseconds = event_id.int >> 80
    if milliseconds > LAST_MILLISECOND:
        raise ValueError(f"{event_id} names a time after the year 9999")
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def reset_after_fork() -> None:
    """Give the child of a fork a lock that no thread of the parent holds."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=reset_after_fork)
