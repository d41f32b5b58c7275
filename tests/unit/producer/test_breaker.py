"""Leaving a server alone: how long, who tries again, and what opens nothing. Times are given, and nobody waits."""

from learning_machine.breaker import Breaker, breaker_for


def test_given_a_failure_then_nothing_is_tried_for_a_second_and_then_one_probe_at_a_time() -> None:
    breaker = Breaker()
    assert breaker.allows(10.0, 0.5)

    breaker.failed(10.0, 10.5, "OSError: gone")

    assert breaker.is_open
    assert not breaker.allows(11.4, 0.5)
    assert breaker.why(10.5) == "not tried again for 1.0 s, after OSError: gone"
    assert breaker.allows(11.5, 0.5)
    assert not breaker.allows(11.6, 0.5)


def test_given_probes_that_fail_then_the_pause_doubles_to_half_a_minute() -> None:
    breaker, now, pauses = Breaker(), 100.0, []
    for _ in range(8):
        breaker.failed(now, now, "x")
        pause = next(seconds for seconds in range(1, 99) if breaker.allows(now + seconds, 0.5))
        pauses.append(pause)
        now += pause

    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_given_a_success_then_it_is_closed_and_the_next_failure_begins_at_a_second_again() -> None:
    breaker = Breaker()
    breaker.failed(1.0, 1.0, "x")
    breaker.failed(3.0, 3.0, "x")
    breaker.succeeded(6.0)
    assert breaker.allows(6.0, 0.5)

    breaker.failed(7.0, 7.0, "x")

    assert not breaker.allows(7.9, 0.5)
    assert breaker.allows(8.0, 0.5)


def test_given_many_attempts_at_once_that_fail_then_they_count_as_one() -> None:
    breaker = Breaker()
    for number in range(50):
        breaker.failed(1.0, 1.5 + number / 1000, "x")

    assert breaker.allows(2.6, 0.5)


def test_given_an_attempt_that_fails_while_another_goes_through_then_nothing_opens() -> None:
    breaker = Breaker()
    breaker.succeeded(1.2)

    breaker.failed(1.0, 1.5, "waited too long")

    assert not breaker.is_open


def test_given_a_probe_that_is_never_heard_of_then_the_next_one_follows() -> None:
    breaker = Breaker()
    breaker.failed(1.0, 1.0, "x")
    assert breaker.allows(2.0, 5.0)

    assert not breaker.allows(6.9, 5.0)
    assert breaker.allows(7.0, 5.0)


def test_given_no_other_place_then_it_is_tried_every_second_however_long_it_is_away() -> None:
    breaker = Breaker()
    for now in (1.0, 10.0, 20.0, 40.0):
        breaker.failed(now, now, "x")

    assert not breaker.allows(41.0, 0.5)
    assert breaker.allows(41.0, 0.5, urgent=True)
    assert not breaker.allows(41.5, 0.5, urgent=True)


def test_given_one_address_then_all_machines_of_the_process_know_the_same_of_it() -> None:
    assert breaker_for("redis://one") is breaker_for("redis://one")
    assert breaker_for("redis://one") is not breaker_for("redis://two")
