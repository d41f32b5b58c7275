"""Phrases of time, resolved against a day: Sunday, 22 November 2026."""

from datetime import date

import pytest

from learning_ops.offline.dates import find_date, leading_date

SAID = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("phrase", "resolved"),
    [
        ("today", "2026-11-22"),
        ("this morning", "2026-11-22"),
        ("yesterday", "2026-11-21"),
        ("the day before yesterday", "2026-11-20"),
        ("last night", "2026-11-21"),
        ("two days ago", "2026-11-20"),
        ("3 weeks ago", "2026-11-01"),
        ("a couple of months ago", "2026-09"),
        ("eleven months ago", "2025-12"),
        ("ten years ago", "2016"),
        ("a few days ago", None),
        ("last week", "2026-11-15"),
        ("last month", "2026-10"),
        ("last year", "2025"),
        ("last Friday", "2026-11-20"),
        ("on Monday", "2026-11-16"),
        ("on Sunday", "2026-11-15"),
        ("last summer", None),
        ("this year", "2026"),
        ("earlier this month", "2026-11"),
        ("this week", None),
        ("in March", "2026-03"),
        ("in December", "2025-12"),
        ("last November", "2025-11"),
        ("in March 2024", "2024-03"),
        ("in early 2020", "2020"),
        ("on 3 March 2026", "2026-03-03"),
        ("on March 3rd", "2026-03-03"),
        ("on the 24th of December", "2025-12-24"),
        ("on 2026-05-01", "2026-05-01"),
        ("on February 30, 2026", None),
        ("on 2026-02-31", None),
    ],
)
def test_given_a_phrase_of_time_when_resolved_then_the_date_is_as_exact_as_its_words(
    phrase: str, resolved: str | None
) -> None:
    assert find_date(f"it happened {phrase}", SAID) == ("it happened", resolved)


def test_given_no_day_of_speaking_when_resolved_then_only_what_is_absolute_has_a_date() -> None:
    assert find_date("it happened yesterday", None) == ("it happened", None)
    assert find_date("it happened in March", None) == ("it happened", None)
    assert find_date("it happened in March 2024", None) == ("it happened", "2024-03")


@pytest.mark.parametrize(
    "text", ["it may happen", "we march in step", "in 20265 cases", "version 2026-01-011", "mondays"]
)
def test_given_words_that_only_look_like_a_time_when_read_then_there_is_none(text: str) -> None:
    assert find_date(text, SAID) is None


def test_given_the_earliest_years_when_counted_back_then_nothing_fails() -> None:
    assert find_date("it happened 9 weeks ago", date(1, 1, 5)) == ("it happened", None)
    assert find_date("it happened last month", date(1, 1, 5)) == ("it happened", None)


def test_given_a_phrase_in_front_when_led_then_it_is_cut_off_the_front() -> None:
    assert leading_date("Last week, Acme hired Bob", SAID) == ("Acme hired Bob", "2026-11-15")
    assert leading_date("Acme hired Bob last week", SAID) is None
