"""Event ids."""

import threading
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from learning_schemas import ids
from learning_schemas.ids import id_time, uuid7


def test_given_many_ids_within_one_millisecond_then_each_is_later_than_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_800_000_000_000_000_000)

    made = [uuid7() for _ in range(10_000)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_given_a_clock_that_goes_back_then_ids_still_rise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_800_000_000_000_000_000)
    first = uuid7()
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_799_999_999_000_000_000)

    assert uuid7() > first


def test_given_a_clock_that_was_an_hour_ahead_then_ids_follow_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_800_003_600_000_000_000)
    uuid7()
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_800_000_000_000_000_000)

    made = [uuid7(), uuid7()]

    assert id_time(made[0]) == datetime.fromtimestamp(1_800_000_000, tz=UTC)
    assert made[1] > made[0]


def test_given_eight_threads_then_no_id_is_made_twice_and_each_thread_sees_rising_ones() -> None:
    made: list[list[UUID]] = [[] for _ in range(8)]

    def make(mine: list[UUID]) -> None:
        mine.extend(uuid7() for _ in range(2_000))

    threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(mine == sorted(mine) for mine in made)
    assert len({one for mine in made for one in mine}) == 16_000


def test_given_an_id_then_it_is_a_uuid_of_version_7_and_tells_its_time() -> None:
    before = datetime.now(UTC)
    made = uuid7()
    after = datetime.now(UTC)

    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert (before.timestamp() * 1000) // 1 <= id_time(made).timestamp() * 1000 <= after.timestamp() * 1000 + 1
    assert id_time(UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")) == datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)


def test_given_another_version_or_a_time_after_9999_then_there_is_no_time() -> None:
    with pytest.raises(ValueError, match="version 7"):
        id_time(uuid4())
    with pytest.raises(ValueError, match="9999"):
        id_time(UUID("ffffffff-ffff-7fff-bfff-ffffffffffff"))
