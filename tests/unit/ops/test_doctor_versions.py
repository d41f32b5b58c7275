"""Versions that are too old: what no server of the tests is."""

import pytest

from learning_ops.doctor.finding import counted
from learning_ops.doctor.versions import OLDEST_PGVECTOR, OLDEST_POSTGRES, OLDEST_REDIS, judged, parts


@pytest.mark.parametrize(
    ("told", "numbers"),
    [("0.8.5", (0, 8, 5)), ("7.0.15", (7, 0, 15)), ("18", (18,)), ("0.9.0beta1", (0, 9, 0)), ("1.x", (1,)), ("", ())],
)
def test_given_a_version_as_a_server_tells_it_when_read_then_its_numbers_are_compared(
    told: str, numbers: tuple[int, ...]
) -> None:
    assert parts(told) == numbers


@pytest.mark.parametrize(
    ("version", "oldest", "level"),
    [
        ((14,), (OLDEST_POSTGRES,), "error"),
        ((15,), (OLDEST_POSTGRES,), "ok"),
        ((0, 7, 4), OLDEST_PGVECTOR, "error"),
        ((0, 8), OLDEST_PGVECTOR, "ok"),
        ((0, 10, 0), OLDEST_PGVECTOR, "ok"),
        ((6, 0, 16), OLDEST_REDIS, "error"),
        ((6, 2, 0), OLDEST_REDIS, "ok"),
    ],
)
def test_given_a_version_when_it_is_older_than_what_is_needed_then_it_is_an_error_with_the_remedy(
    version: tuple[int, ...], oldest: tuple[int, ...], level: str
) -> None:
    found = judged("It", version, oldest, ".".join(map(str, version)), "upgrade it")
    assert found.level == level
    assert (found.remedy == "upgrade it") == (level == "error")


@pytest.mark.parametrize(
    ("number", "noun", "told"),
    [
        (1, "delivery", "1 delivery"),
        (2, "delivery", "2 deliveries"),
        (3, "mailbox", "3 mailboxes"),
        (1200, "event", "1,200 events"),
    ],
)
def test_given_a_number_of_things_when_told_then_it_reads_well(number: int, noun: str, told: str) -> None:
    assert counted(number, noun) == told
