"""Schedules: crontab syntax, the newest tick and the next one, in UTC."""

from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from celery.schedules import crontab

from learning_schemas.errors import ConfigurationError
from learning_stores.curator.schedule import Schedule
from learning_stores.settings import ServiceSettings


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def schedule(text: str) -> Schedule:
    found = Schedule.parse(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "now", "newest", "following"),
    [
        ("* * * * *", "2026-03-01T12:34:56", "2026-03-01T12:34", "2026-03-01T12:35"),
        ("10 2 * * *", "2026-03-01T02:10:00", "2026-03-01T02:10", "2026-03-02T02:10"),
        ("10 2 * * *", "2026-03-01T02:09:59", "2026-02-28T02:10", "2026-03-01T02:10"),
        ("*/15 8-10/2 * * *", "2026-03-01T09:00", "2026-03-01T08:45", "2026-03-01T10:00"),
        ("0 0 29 feb *", "2026-03-01T00:00", "2024-02-29T00:00", "2028-02-29T00:00"),
        ("0 5 * * sun", "2026-11-21T12:00", "2026-11-15T05:00", "2026-11-22T05:00"),
        ("0 5 * * 7", "2026-11-21T12:00", "2026-11-15T05:00", "2026-11-22T05:00"),
        ("0 5 1 * mon", "2026-11-20T12:00", "2026-11-16T05:00", "2026-11-23T05:00"),
        ("0 5 1 * mon", "2026-11-30T12:00", "2026-11-30T05:00", "2026-12-01T05:00"),
        ("30 5/6 * * *", "2026-11-30T12:00", "2026-11-30T11:30", "2026-11-30T17:30"),
        ("5,50 * * * mon-fri", "2026-11-21T12:00", "2026-11-20T23:50", "2026-11-23T00:05"),
    ],
)
def test_given_a_schedule_when_its_ticks_are_asked_for_then_they_are_the_last_and_the_next(
    text: str, now: str, newest: str, following: str
) -> None:
    assert schedule(text).newest(at(now)) == at(newest)
    assert schedule(text).next(at(now)) == at(following)


@pytest.mark.parametrize("text", ["*/7 * * * *", "3-59/13 */5 * * *", "0 0 */10 * *", "0 4 * */3 *", "17 3 * * 1-5"])
def test_given_a_schedule_with_one_kind_of_day_when_walked_then_its_ticks_are_celerys(text: str) -> None:
    minute, hour, day, month, weekday = text.split()
    now = at("2026-01-30T23:59")
    days = {"day_of_month": day, "month_of_year": month, "day_of_week": weekday}
    # An app of its own: the current one may be ours, which wants its addresses.
    celerys = crontab(minute, hour, **days, nowfun=lambda: now, app=Celery("schedules", set_as_current=False))
    for _ in range(40):
        following = schedule(text).next(now)
        assert following is not None
        delta = celerys.remaining_delta(now)
        expected = delta[0] + delta[1]
        assert following == expected.replace(second=0, microsecond=0)
        assert schedule(text).newest(following + timedelta(seconds=59)) == following
        now = following


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *", "5-3 * * * *",
     "a * * * *", "0 0 31 feb *", "1- * * * *", "* * * * * *", "²  * * * *"],
)  # fmt: skip
def test_given_what_is_no_schedule_when_settings_are_read_then_the_variable_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ServiceSettings.load(curator_prune=text)
    assert "LEARNING_CURATOR_PRUNE" in str(caught.value)


def test_given_off_when_settings_are_read_then_the_job_has_no_schedule() -> None:
    assert ServiceSettings.load(curator_prune="off").schedule("prune") is None
    assert ServiceSettings.load(curator_prune=" 5  4 * * * ").curator_prune == "5 4 * * *"
    assert schedule("5 4 * * *") == ServiceSettings.load(curator_prune="5 4 * * *").schedule("prune")
