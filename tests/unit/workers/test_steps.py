"""In which order a dispatcher takes entries of the streams and events that wait in the log."""

from collections.abc import Collection, Sequence
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from learning_stores.unprepared import Waiting
from learning_workers import dispatcher
from learning_workers.dispatcher import steps
from learning_workers.entry import Entry

SHARD = 3
Step = tuple[int, list[int], list[int]]


def entry(number: int, user: str = "alice", *, shard: int = SHARD, session: str | None = None) -> Entry:
    told = {"id": str(UUID(int=number)), "user_id": user or None, "session_id": session}
    return Entry(shard, f"{number}-0".encode(), {b"event": to_json(told)})


def waits(number: int, user: str = "alice", tenant: str = "default") -> Waiting:
    return Waiting(UUID(int=number), (tenant, f"user/{user}"))


def taken(
    entries: Sequence[Entry],
    waiting: dict[int, list[Waiting]],
    *,
    at_end: Collection[int] = (),
    waited: Collection[int] = (),
) -> tuple[list[Step], list[int]]:
    """The steps, and what is left for later, with the events' numbers."""
    later: list[Entry] = []
    found = steps(entries, waiting, at_end, {UUID(int=each) for each in waited}, later)
    return [(shard, [_number(each) for each in some], [each.int for each in ready]) for shard, some, ready in found], [
        _number(each) for each in later
    ]


def _number(given: Entry) -> int:
    return int(given.id.partition(b"-")[0])


def test_given_nothing_that_waits_then_all_entries_are_one_step_in_the_order_in_which_they_were_read() -> None:
    entries = [entry(2), entry(1, shard=5), entry(3, "bob")]

    assert taken(entries, {}, at_end={SHARD, 5}) == ([(0, [2, 1, 3], [])], [])


def test_given_a_waiting_event_then_it_comes_between_the_older_and_the_younger_entries_of_its_subject() -> None:
    entries = [entry(1), entry(3), entry(5)]

    found, later = taken(entries, {SHARD: [waits(2), waits(4)]})

    assert found == [(SHARD, [1], [2]), (SHARD, [3], [4]), (SHARD, [5], [])]
    assert later == []


def test_given_entries_of_others_and_of_another_tenant_then_no_waiting_event_comes_before_them() -> None:
    entries = [entry(5, "bob"), entry(6, "", session="alice")]

    found, _ = taken(entries, {SHARD: [waits(2), waits(3, "bob", "acme")]})

    assert found == [(SHARD, [5, 6], [])]


def test_given_an_entry_that_cannot_be_read_then_it_keeps_its_place_and_nothing_waits_for_it() -> None:
    entries = [entry(1), Entry(SHARD, b"9-0", {b"closed": b"{}"}), entry(3)]

    found, _ = taken(entries, {SHARD: [waits(2)]})

    assert found == [(SHARD, [1, 9], [2]), (SHARD, [3], [])]


@pytest.mark.parametrize(
    ("at_end", "waited", "ready"),
    [
        (set[int](), {1, 2}, []),  # an older one may be in the rest of the stream
        ({SHARD}, set[int](), []),  # and may have come into it after the read
        ({SHARD}, {1}, [1]),
        ({SHARD}, {1, 2}, [1, 2]),
        ({SHARD + 1}, {1, 2}, []),
    ],
)
def test_given_no_younger_entry_then_a_waiting_event_comes_once_its_stream_was_read_to_the_end_after_it_was_seen(
    at_end: set[int], waited: set[int], ready: list[int]
) -> None:
    entries = [entry(7, "bob")]

    found, _ = taken(entries, {SHARD: [waits(1), waits(2)]}, at_end=at_end, waited=waited)

    assert found == [(SHARD, [7], ready)]


def test_given_an_older_entry_of_the_same_subject_at_the_end_then_it_comes_before_the_waiting_event() -> None:
    found, _ = taken([entry(1)], {SHARD: [waits(2)]}, at_end={SHARD}, waited={2})

    assert found == [(SHARD, [1], [2])]


def test_given_several_shards_then_each_has_its_own_order() -> None:
    entries = [entry(4, shard=1), entry(3, shard=0), entry(5, "bob", shard=1)]

    found, _ = taken(entries, {1: [waits(2)], 2: [waits(1, "eve")]}, at_end={2}, waited={1})

    assert found == [(0, [3], []), (1, [], [2]), (1, [4, 5], []), (2, [], [1])]


def test_given_a_subject_of_which_more_may_wait_then_its_younger_entries_come_later_and_those_of_others_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatcher, "WAITING_AT_ONCE", 3)
    entries = [entry(2), entry(8), entry(9, "bob"), entry(10)]

    found, later = taken(entries, {SHARD: [waits(1), waits(3), waits(4)]})

    assert found == [(SHARD, [], [1]), (SHARD, [2], [3, 4]), (SHARD, [9], [])]
    assert later == [8, 10]


def test_given_a_subject_of_which_one_that_waits_is_younger_than_its_entry_then_all_older_ones_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatcher, "WAITING_AT_ONCE", 3)

    found, later = taken([entry(8)], {SHARD: [waits(1), waits(2), waits(9)]})

    assert found == [(SHARD, [], [1, 2]), (SHARD, [8], [])]
    assert later == []


def test_given_many_that_wait_and_an_entry_of_somebody_else_then_the_entry_goes_in_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Held back until the others are prepared, it would keep the stream from being read to its end, which they wait for.
    monkeypatch.setattr(dispatcher, "WAITING_AT_ONCE", 3)

    found, later = taken([entry(8, "bob")], {SHARD: [waits(1), waits(2), waits(3)]})

    assert (found, later) == ([(SHARD, [8], [])], [])


USERS = ["alice", "bob", "eve"]


@given(st.lists(st.tuples(st.sampled_from(USERS), st.booleans()), max_size=40), st.integers(1, 5), st.data())
def test_given_events_by_stream_and_by_log_when_worked_off_then_each_subjects_are_in_the_order_of_emission(
    emitted: list[tuple[str, bool]], at_once: int, data: st.DataObject
) -> None:
    stream = [entry(number, user) for number, (user, by_stream) in enumerate(emitted) if by_stream]
    log = [waits(number, user) for number, (user, by_stream) in enumerate(emitted) if not by_stream]
    numbered: list[int] = []
    unfinished: list[Entry] = []
    seen: set[UUID] = set()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dispatcher, "WAITING_AT_ONCE", at_once)
        for _ in range(4 * len(emitted) + 4):
            at_end: set[int] = set()
            if not unfinished:
                reach = data.draw(st.integers(1, 8))
                unfinished, stream = stream[:reach], stream[reach:]
                at_end = {SHARD} if len(unfinished) < reach else set()
            waiting = _as_read(log, at_once, unfinished)
            later: list[Entry] = []
            for _, some, ready in steps(unfinished, waiting, at_end, seen, later):
                numbered += [_number(each) for each in some]
                numbered += sorted(each.int for each in ready)
                log = [each for each in log if each.id not in ready]
            unfinished = later
            seen = {each.id for several in waiting.values() for each in several}

    assert sorted(numbered) == list(range(len(emitted)))
    for user in USERS:
        theirs = [number for number in numbered if emitted[number][0] == user]
        assert theirs == sorted(theirs)


def _as_read(log: list[Waiting], limit: int, unfinished: list[Entry]) -> dict[int, list[Waiting]]:
    """What `unprepared.waiting` gives."""
    first = log[:limit]
    if len(first) == limit:
        for whose in {each.about[1] for each in unfinished if each.about is not None}:
            first += [each for each in log if each.whose == whose][:limit]
    return {SHARD: sorted(set(first), key=lambda each: each.id)} if first else {}
