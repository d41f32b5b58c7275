"""What a server's Retry-After says, in all its forms, and in those that say nothing."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest

from learning_stores.retry_after import retry_after

NOON = "Wed, 21 Oct 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"RETRY-AFTER": " 1.5 "}, 1.5),
        ({"Retry-After": "0"}, 0.0),
        ({"retry-after-ms": "250", "Retry-After": "7"}, 0.25),
        ({"retry-after-ms": "much", "Retry-After": "7"}, 7.0),
        ({"Retry-After": "Wed, 21 Oct 2026 12:01:30 GMT", "Date": NOON}, 90.0),
        ({"Retry-After": "Wed, 21 Oct 2026 14:01:30 +0200", "Date": NOON}, 90.0),
        ({"Retry-After": "Wed, 21 Oct 2026 11:00:00 GMT", "Date": NOON}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2026 12:01:30 -0000", "Date": NOON}, 90.0),
        ({"Retry-After": "1e300"}, 1e300),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "1e400"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Wed, 99 Oct 2026 12:00:00 GMT"}, None),
        ({"Retry-After": ""}, None),
    ],
)
def test_given_headers_when_read_then_the_seconds_are_known_or_nothing_is(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(httpx2.Headers(headers)) == seconds


def test_given_a_date_and_no_clock_of_the_server_when_read_then_ours_counts() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)

    assert 95 < (retry_after({"retry-after": until}) or 0) <= 100
