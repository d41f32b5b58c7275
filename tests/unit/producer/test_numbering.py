"""Numbers of events: gapless for a process, new after a fork."""

import threading

from forking import in_child
from learning_machine.numbering import Numbering, numbering_for


def test_given_eight_threads_then_the_numbers_are_one_to_the_last_without_gaps() -> None:
    numbering = Numbering()
    taken: list[int] = []

    def take() -> None:
        mine = [numbering.take() for _ in range(1_000)]
        assert {producer for producer, _ in mine} == {numbering.producer}
        taken.extend(number for _, number in mine)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(taken) == list(range(1, 8_001))


def test_given_a_fork_then_the_child_is_another_producer_and_begins_at_one() -> None:
    numbering = numbering_for("redis://here")
    mine, before = numbering.take()
    told = in_child(numbering.take)

    assert str(mine) not in told
    assert told.endswith(", 1)")
    assert numbering.take() == (mine, before + 1)


def test_given_two_places_then_each_is_numbered_by_itself_and_one_place_has_one_numbering() -> None:
    assert numbering_for("redis://there") is numbering_for("redis://there")
    assert numbering_for("redis://there").producer != numbering_for("redis://elsewhere").producer


def test_given_numbers_that_were_not_reported_then_the_last_one_is_due_once_and_in_the_child_its_own() -> None:
    numbering = numbering_for("redis://reported")
    assert numbering.unreported() is None
    numbering.take()
    numbering.take()

    due = numbering.unreported()
    assert due is not None
    assert (due.producer, due.last) == (numbering.producer, 2)
    numbering.was_reported(due)

    assert numbering.unreported() is None
    assert in_child(numbering.unreported) == "None"
    numbering.take()
    again = numbering.unreported()
    assert again is not None
    assert again.last == 3
