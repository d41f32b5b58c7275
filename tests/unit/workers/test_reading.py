"""Reading what may hang."""

import threading

import pytest

from learning_workers.reading import Reading


def test_given_a_reader_that_hangs_when_many_ask_then_each_is_told_in_time_and_one_thread_hangs() -> None:
    over, begun = threading.Event(), []

    def hang() -> int:
        begun.append(threading.get_ident())
        over.wait(30)
        return 7

    reading = Reading(hang, seconds=0.1, fresh=60)
    for _ in range(5):
        with pytest.raises(TimeoutError):
            reading()
    assert len(begun) == 1
    over.set()
    patient = Reading(hang, seconds=10, fresh=60)
    assert patient() == 7


def test_given_an_answer_when_asked_again_then_it_is_kept_while_fresh_and_read_anew_after_that() -> None:
    numbers = iter(range(100))
    kept = Reading(lambda: next(numbers), seconds=10, fresh=3600)
    assert (kept(), kept()) == (0, 0)
    not_kept = Reading(lambda: next(numbers), seconds=10, fresh=0)
    assert (not_kept(), not_kept()) == (1, 2)


def test_given_a_reader_that_raises_when_asked_then_that_is_raised() -> None:
    def fail() -> int:
        raise ConnectionError("away")

    with pytest.raises(ConnectionError, match="away"):
        Reading(fail, seconds=10, fresh=0)()
