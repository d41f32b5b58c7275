"""Waiting, by a clock of the test's own."""

import pytest

from harness import event
from learning_machine import Receipt, SettleTimeout, settling
from learning_machine.settling import Waiting
from learning_schemas.spec import DEFAULT_SPEC
from learning_stores.deliveries import DeliveryStates


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(settling, "time", clock)
    return clock


def waiting(timeout: float) -> Waiting:
    sent = event()
    receipt = Receipt(
        event_id=sent.id, tenant="default", user_id="a", session_id="s", via="stream", producer=sent.id, seq=1
    )
    return Waiting(receipt, timeout, DEFAULT_SPEC, "default")


def test_given_no_answer_then_looks_become_rarer_and_the_last_one_is_at_the_end(clock: _Clock) -> None:
    looks: list[float] = []

    def look() -> None:
        for pause in waiting(0.5).pauses():
            looks.append(round(clock.now, 3))
            clock.now += pause

    with pytest.raises(SettleTimeout) as over:
        look()

    assert looks == [0, 0.01, 0.03, 0.08, 0.18, 0.28, 0.38, 0.48, 0.5]
    assert over.value.states == {}
    assert over.value.timeout == 0.5


def test_given_no_time_then_there_is_one_look(clock: _Clock) -> None:
    pauses = waiting(0).pauses()

    assert next(pauses) == 0
    with pytest.raises(SettleTimeout):
        next(pauses)


@pytest.mark.parametrize(
    ("states", "over"),
    [
        ({}, False),
        ({"user_profile": "extracted"}, False),
        ({"user_profile": "extracted", "session_context": "pending"}, False),
        ({"user_profile": "dead", "session_context": "skipped"}, True),
        ({"user_profile": "extracted", "session_context": "nothing_found", "other": "pending"}, False),
    ],
)
def test_given_states_then_it_is_over_when_every_store_is_settled_or_dead(states: dict[str, str], over: bool) -> None:
    assert waiting(1).is_over(DeliveryStates(states, {})) is over


def test_given_a_look_that_failed_then_the_time_out_names_it_and_what_was_known_before(clock: _Clock) -> None:
    wait = waiting(1)
    wait.is_over(DeliveryStates({"user_profile": "pending"}, {"user_profile": "provider"}))
    wait.failed(OSError("connection refused"))
    clock.now = 2

    pauses = wait.pauses()
    next(pauses)
    with pytest.raises(
        SettleTimeout, match=r"user_profile=pending \(provider\) \(OSError: connection refused\)"
    ) as over:
        next(pauses)

    assert over.value.states == {"user_profile": "pending"}
    assert over.value.waits == {"user_profile": "provider"}
