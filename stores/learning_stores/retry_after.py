"""`Retry-After`: when a server wants to be asked again (RFC 9110, section 10.2.3), and the form in milliseconds that some send."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, 0 or more, however many they are; None where nothing says so that can be read. `headers` ignore case.

    A date is compared with the answer's own `Date`, so that two clocks that differ do no harm.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        seconds = _number(headers.get(name))
        if seconds is not None:
            return seconds / unit
    until = _date(headers.get("retry-after"))
    if until is None:
        return None
    now = _date(headers.get("date")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _number(given: str | None) -> float | None:
    try:
        seconds = float(given or "")
    except ValueError:
        return None
    return seconds if seconds >= 0 and math.isfinite(seconds) else None


def _date(given: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(given or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
