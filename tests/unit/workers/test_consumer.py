"""How often a worker sends what its tasks tell of themselves."""

from typing import Any

import pytest
from celery.worker.consumer import Consumer as CeleryConsumer

from learning_workers import consumer as module
from learning_workers.consumer import EVENTS_EVERY, Consumer


class Clock:
    """A clock that stands, and a loop that keeps what is to be called later."""

    now = 100.0

    def __init__(self) -> None:
        self.later: list[tuple[float, Any]] = []

    def monotonic(self) -> float:
        return self.now

    def call_later(self, seconds: float, work: Any) -> None:
        self.later.append((seconds, work))


class Sent:
    """Counts what is sent."""

    times = 0

    def flush(self) -> None:
        self.times += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def consumer(clock: Clock) -> Any:
    """A consumer with nothing but a loop and a place to send to."""
    consumer = Consumer.__new__(Consumer)
    consumer.hub, consumer.event_dispatcher = clock, Sent()
    return consumer


def test_given_events_at_one_moment_when_the_loop_turns_after_each_then_they_are_sent_together_a_little_later(
    consumer: Any, clock: Clock
) -> None:
    for _ in range(5):
        consumer._flush_events()
    assert consumer.event_dispatcher.times == 0

    [(seconds, send)] = clock.later
    send()

    assert seconds == EVENTS_EVERY
    assert consumer.event_dispatcher.times == 1


def test_given_a_loop_that_lost_its_timers_when_there_are_events_later_then_they_are_sent(
    consumer: Any, clock: Clock
) -> None:
    consumer._flush_events()
    clock.later.clear()  # as with a connection that is lost
    clock.now += EVENTS_EVERY
    consumer._flush_events()

    assert len(clock.later) == 1


def test_given_events_that_were_not_sent_yet_when_the_worker_stops_then_they_are_before_its_connection_goes(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent_by_then = []
    monkeypatch.setattr(CeleryConsumer, "stop", lambda self: sent_by_then.append(self.event_dispatcher.times))
    consumer._flush_events()
    consumer.stop()

    assert sent_by_then == [1]
