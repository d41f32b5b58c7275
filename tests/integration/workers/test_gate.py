"""The gate before the models: limits that several processes keep together, pauses with one who tries, and a Redis that is away."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
import redis

from harness import Place, SilentServer, eventually
from learning_ops.process import free_port
from learning_workers import gate as gate_module
from learning_workers.backoff import MAX_BACKOFF_SECONDS
from learning_workers.gate import Gate, Held, Pass
from learning_workers.limiter import MAX_LINE_SECONDS, Rate
from learning_workers.pause import TRYING_SECONDS

FREE = Rate(key="model:m", name="m")

Make = Callable[..., Gate]


@pytest.fixture
def make(place: Place) -> Iterator[Make]:
    """Makes gates, each of a process of its own."""
    made: list[Gate] = []

    def gate(url: str | None = place.redis_url) -> Gate:
        made.append(Gate(url))
        return made[-1]

    yield gate
    for each in made:
        each.close()


@pytest.fixture
def client(place: Place) -> Iterator[Any]:
    with redis.Redis.from_url(place.redis_url, decode_responses=True) as client:
        yield client


def limited(requests: int | None = None, tokens: int | None = None, name: str = "m") -> Rate:
    return Rate(key=f"model:{name}", name=name, requests=requests, tokens=tokens)


def held(gate: Gate, rate: Rate = FREE, tokens: int = 1, patience: float = 0.0) -> Held:
    with pytest.raises(Held) as found:
        gate.enter(rate, tokens, patience)
    return found.value


def pause_over(client: Any) -> None:
    """As after some time."""
    client.hset("learning:pause:model:m", "until", 0)


def entered(gate: Gate, rate: Rate, tokens: int = 1) -> bool:
    try:
        return bool(gate.enter(rate, tokens, 0.0))
    except Held:
        return False


def test_given_two_processes_with_many_threads_when_all_ask_then_no_more_enter_than_the_limit_of_requests(
    make: Make,
) -> None:
    gates = [make(), make()]

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda number: entered(gates[number % 2], limited(requests=10)), range(60)))

    assert outcomes.count(True) == 10
    assert entered(gates[0], limited(requests=10, name="another"))


def test_given_a_limit_of_tokens_when_calls_of_several_sizes_are_made_then_their_sum_stays_below_it(make: Make) -> None:
    gate, rate = make(), limited(tokens=1_000)

    assert [entered(gate, rate, size) for size in (600, 500, 300, 100, 1)] == [True, False, True, True, False]
    refused = held(gate, rate, 500)
    assert refused.note == "rate limit: 1000 tokens a minute of m"
    assert 20 < refused.seconds <= MAX_LINE_SECONDS


def test_given_a_call_larger_than_the_limit_of_tokens_when_made_then_it_has_the_limit_for_itself(make: Make) -> None:
    gate, rate = make(), limited(tokens=1_000)

    assert entered(gate, rate, 50_000)
    assert not entered(gate, rate, 1)


def test_given_no_room_for_tokens_when_refused_then_no_request_is_used_up(make: Make) -> None:
    gate = make()
    assert entered(gate, limited(requests=2, tokens=100), 100)

    assert not any(entered(gate, limited(requests=2, tokens=100), 100) for _ in range(5))

    assert entered(gate, limited(requests=2))
    assert not entered(gate, limited(requests=2))


def test_given_many_that_find_no_room_when_told_to_wait_then_they_come_back_one_behind_the_other(make: Make) -> None:
    gates, rate = [make(), make()], limited(requests=6)
    assert all(entered(gates[0], rate) for _ in range(6))

    waits = [held(gates[number % 2], rate).seconds for number in range(4)]

    assert 50 < waits[0] <= 60, "when the first of the six is a minute old"
    assert [round(later - earlier) for earlier, later in pairwise(waits)] == [10, 10, 10]


def test_given_a_line_of_fifteen_minutes_when_more_come_then_they_are_scattered_and_the_line_grows_no_longer(
    make: Make, client: Any
) -> None:
    gate, rate = make(), limited(requests=1)
    assert entered(gate, rate)

    waits = [held(gate, rate).seconds for _ in range(60)]

    assert max(waits) <= MAX_BACKOFF_SECONDS
    assert len({round(wait) for wait in waits[20:]}) > 20
    assert client.pttl("learning:limits:line:model:m") <= (MAX_LINE_SECONDS + 61) * 1000


def test_given_patience_when_room_comes_in_time_then_the_call_is_made(make: Make, client: Any) -> None:
    gate, rate = make(), limited(requests=1)
    assert entered(gate, rate)
    waiting = threading.Event()

    def stopping() -> bool:
        waiting.set()
        return False

    def make_room() -> None:
        waiting.wait(10)
        client.delete(*client.keys("learning:limits:requests*"))

    with ThreadPoolExecutor(1) as threads:
        threads.submit(make_room)
        # Room is a minute away: who waits so long is patient enough.
        assert gate.enter(rate, 1, 90.0, stopping) == Pass(key="model:m", probe=False)


def test_given_patience_when_the_worker_is_told_to_stop_then_it_waits_no_longer(make: Make) -> None:
    gate, rate = make(), limited(requests=1)
    assert entered(gate, rate)

    with pytest.raises(Held):  # a minute later it would be let in
        gate.enter(rate, 1, 90.0, lambda: True)


def test_given_a_429_with_retry_after_when_others_come_then_they_are_told_to_wait_as_long_and_why(make: Make) -> None:
    first, second = make(), make()

    left = first.leave(first.enter(FREE, 1), "throttled", "HTTP 429 slow_down", 120.0)

    assert left is not None
    assert 110 < left <= 180
    refused = held(second)
    assert 110 < refused.seconds <= 180
    assert refused.note == "HTTP 429 slow_down; m is left alone meanwhile"
    assert entered(second, limited(name="another"))


def test_given_calls_under_way_when_they_all_get_a_429_then_the_pause_grows_once(make: Make, client: Any) -> None:
    gate = make()
    passes = [gate.enter(FREE, 1) for _ in range(20)]

    for each in passes:
        gate.leave(each, "throttled", "HTTP 429", 30.0)

    assert client.hget("learning:pause:model:m", "failures") == "1"
    gate.leave(passes[0], "throttled", "HTTP 429", 300.0)
    assert held(gate).seconds > 290, "as long as the provider asks"


def test_given_a_pause_that_is_over_when_many_come_then_one_tries_and_the_others_wait_for_what_becomes_of_it(
    make: Make, client: Any
) -> None:
    gates = [make(), make()]
    gates[0].leave(gates[0].enter(FREE, 1), "throttled", "HTTP 429", 30.0)
    pause_over(client)

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda number: entered(gates[number % 2], FREE), range(40)))

    assert outcomes.count(True) == 1
    assert held(gates[1]).seconds < 10


def test_given_the_one_who_tries_when_it_is_answered_then_everybody_goes_on_and_the_count_begins_anew(
    make: Make, client: Any
) -> None:
    gate = make()
    gate.leave(gate.enter(FREE, 1), "throttled", "HTTP 429", 30.0)
    pause_over(client)
    trying = gate.enter(FREE, 1)
    assert trying.probe

    assert gate.leave(trying, "answered") is None

    assert not client.exists("learning:pause:model:m")
    assert [gate.enter(FREE, 1).probe for _ in range(3)] == [False] * 3


@pytest.mark.parametrize("verdict", ["throttled", "failed"])
def test_given_the_one_who_tries_when_it_fails_again_and_again_then_the_pause_grows_up_to_fifteen_minutes(
    make: Make, client: Any, verdict: Any
) -> None:
    gate = make()
    gate.leave(gate.enter(FREE, 1), "throttled", "HTTP 429")
    pauses = []

    for _ in range(14):
        pause_over(client)
        trying = gate.enter(FREE, 1)
        assert trying.probe
        gate.leave(trying, verdict, "HTTP 429")
        pauses.append(client.pttl("learning:pause:model:m") / 1000 - MAX_BACKOFF_SECONDS)

    assert 0 < pauses[0] <= 2.1
    assert 2.1 < pauses[2] <= 8.1
    assert all(400 < pause <= MAX_BACKOFF_SECONDS for pause in pauses[10:])


def test_given_an_absurd_retry_after_when_paused_then_it_is_fifteen_minutes(make: Make, client: Any) -> None:
    gate = make()

    gate.leave(gate.enter(FREE, 1), "throttled", "HTTP 429", 1e300)

    assert MAX_BACKOFF_SECONDS - 60 < held(gate).seconds <= MAX_BACKOFF_SECONDS + 60


def test_given_the_one_who_tries_when_it_is_never_heard_of_again_then_another_tries_later(
    make: Make, client: Any
) -> None:
    gate = make()
    gate.leave(gate.enter(FREE, 1), "throttled", "HTTP 429", 30.0)
    pause_over(client)
    assert gate.enter(FREE, 1).probe
    assert not entered(gate, FREE)

    now, _ = client.time()
    assert 0 < int(client.hget("learning:pause:model:m", "probe")) / 1000 - now <= TRYING_SECONDS + 1
    client.hset("learning:pause:model:m", "probe", 1)  # as after that time

    assert gate.enter(FREE, 1).probe


def test_given_the_one_who_tries_when_the_limit_has_no_room_for_it_then_another_may_try(
    make: Make, client: Any
) -> None:
    gate, rate = make(), limited(requests=1)
    gate.leave(gate.enter(rate, 1), "throttled", "HTTP 429", 30.0)
    pause_over(client)

    assert held(gate, rate).note == "rate limit: 1 requests a minute of m"

    assert gate.enter(FREE, 1).probe


def test_given_thousands_that_are_sent_away_when_they_are_told_when_to_come_back_then_it_is_not_at_once(
    make: Make, client: Any
) -> None:
    gate = make()
    gate.leave(gate.enter(FREE, 1), "throttled", "HTTP 429", 30.0)
    client.hset("learning:pause:model:m", "held", 4_000)

    waits = [held(gate).seconds for _ in range(200)]

    assert 29 < min(waits) < 60
    assert 180 < max(waits) < 30 + 4_200 / gate_module.RETURNING_A_SECOND + 1


def test_given_nobody_at_redis_address_when_asked_then_calls_are_made_and_it_is_said_once(
    make: Make, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = make(f"redis://127.0.0.1:{free_port()}/0")

    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            gate.leave(gate.enter(limited(requests=1), 1), "throttled", "HTTP 429", 30.0)

    said = caplog.text + "".join(capsys.readouterr())
    assert said.count("without limits or pauses") == 1
    assert "ConnectionError" in said


def test_given_a_redis_that_says_nothing_when_asked_then_it_costs_its_time_out_once(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "AWAY_SECONDS", 3600.0)
    with SilentServer() as silent:
        gate = make(f"redis://127.0.0.1:{silent.port}/0")

        for _ in range(20):
            gate.enter(limited(requests=1), 1)

        assert silent.connections() == 1


def test_given_a_redis_that_comes_back_when_asked_again_then_the_limits_hold_again(
    make: Make, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "AWAY_SECONDS", 0.05)
    gate, rate = make(), limited(requests=1)
    working = gate._pool
    gate_away = make(f"redis://127.0.0.1:{free_port()}/0")
    assert entered(gate_away, rate)
    assert working is not None
    gate_away._limiter, gate_away._pauses = gate._limiter, gate._pauses

    assert entered(gate, rate)
    eventually(lambda: not entered(gate_away, rate), "the limits hold again")


@pytest.mark.parametrize("url", [None, "amqp://guest@localhost//"])
def test_given_no_redis_at_all_when_asked_then_the_gate_is_open(make: Make, url: str | None) -> None:
    gate = make(url)

    assert all(entered(gate, limited(requests=1)) for _ in range(3))
