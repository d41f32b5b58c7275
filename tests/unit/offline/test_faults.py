"""Faults on purpose come as often as asked, in the form the SDK knows, and again the same for the same seed."""

import json
import threading
import time
from typing import Any

import httpx2
import openai
import pytest

from harness import eventually
from learning_ops.offline.faults import Faults, FaultsRefused
from learning_ops.offline.server import OfflineModel, Settings, running


def test_given_rates_when_many_requests_are_drawn_then_the_shares_are_near_and_the_draw_is_repeatable() -> None:
    faults = Faults(rate_429=0.2, rate_garbage=0.1, seed=7)

    drawn = [faults.draw(number) for number in range(10_000)]

    assert drawn == [faults.draw(number) for number in range(10_000)]
    assert drawn != [faults.changed({"seed": 8}).draw(number) for number in range(10_000)]
    assert drawn.count("429") / 10_000 == pytest.approx(0.2, abs=0.02)
    assert drawn.count("garbage") / 10_000 == pytest.approx(0.1, abs=0.02)
    assert set(drawn) == {None, "429", "garbage"}


@pytest.mark.parametrize(
    "settings",
    [{"rate_429": 1.1}, {"latency": -1}, {"rate_500": "many"}, {"made_up": 1}, {"rate_429": 0.6, "rate_500": 0.6}],
)
def test_given_settings_out_of_range_when_set_then_they_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(FaultsRefused):
        Faults().changed(settings)


def test_given_429_when_asked_then_the_sdk_sees_a_rate_limit_with_its_wait(
    offline: OfflineModel, client: openai.OpenAI
) -> None:
    offline.faults = Faults(rate_429=1, retry_after=3)

    with pytest.raises(openai.RateLimitError) as limited:
        client.responses.create(model="m", input="x")

    assert limited.value.code == "rate_limit_exceeded"
    assert limited.value.response.headers["retry-after"] == "3"
    with pytest.raises(openai.RateLimitError):
        client.embeddings.create(model="m", input="x")


def test_given_500_when_asked_then_the_sdk_sees_a_server_error(offline: OfflineModel, client: openai.OpenAI) -> None:
    offline.faults = Faults(rate_500=1)

    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])


def test_given_garbage_when_asked_for_json_then_the_text_is_none(offline: OfflineModel, client: openai.OpenAI) -> None:
    offline.faults = Faults(rate_garbage=1)
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    form: Any = {"type": "json_schema", "name": "x", "strict": True, "schema": schema}

    response = client.responses.create(model="m", input="x", text={"format": form})

    assert response.status == "completed"
    with pytest.raises(json.JSONDecodeError):
        json.loads(response.output_text)


def test_given_refusal_when_asked_then_it_comes_as_a_refusal_part(offline: OfflineModel, client: openai.OpenAI) -> None:
    offline.faults = Faults(rate_refusal=1)

    message: Any = client.responses.create(model="m", input="x").output[0]
    choice = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}]).choices[0]

    assert (message.content[0].type, bool(message.content[0].refusal)) == ("refusal", True)
    assert (choice.message.content, bool(choice.message.refusal)) == (None, True)


def test_given_truncated_when_asked_then_the_response_is_incomplete(
    offline: OfflineModel, client: openai.OpenAI
) -> None:
    offline.faults = Faults(rate_truncated=1)

    response = client.responses.create(model="m", input="x")
    choice = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}]).choices[0]

    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert choice.finish_reason == "length"


def test_given_timeout_when_the_client_gives_up_then_the_next_request_is_served(
    offline: OfflineModel, client: openai.OpenAI
) -> None:
    offline.faults = Faults(rate_timeout=1)
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.2).responses.create(model="m", input="x")

    offline.faults = Faults()

    assert client.responses.create(model="m", input="x").status == "completed"


def test_given_timeout_when_the_client_stays_then_an_error_comes_after_the_time(
    offline: OfflineModel, client: openai.OpenAI
) -> None:
    offline.faults = Faults(rate_timeout=1, timeout_seconds=0.05)

    with pytest.raises(openai.InternalServerError, match="timed out"):
        client.responses.create(model="m", input="x")


def test_given_hanging_and_slow_requests_when_the_server_stops_then_it_stops_at_once() -> None:
    for faults in (Faults(rate_timeout=1), Faults(latency=600)):
        answers: list[int] = []
        with running(Settings(faults=faults)) as model:
            url = model.url
            asking = threading.Thread(
                target=lambda url=url, answers=answers: answers.append(
                    httpx2.post(f"{url}/responses", json={"model": "m", "input": "x"}, timeout=60).status_code
                )
            )
            asking.start()
            eventually(lambda model=model: model.requests, "it is asked")
        asking.join()
        assert len(answers) == 1


def test_given_latency_when_asked_then_the_answer_takes_at_least_as_long(
    offline: OfflineModel, client: openai.OpenAI
) -> None:
    offline.faults = Faults(latency=0.15)
    started = time.monotonic()

    client.responses.create(model="m", input="x")

    assert time.monotonic() - started >= 0.15


def test_given_control_when_posted_then_the_faults_change_and_bad_ones_are_refused(
    offline: OfflineModel, client: openai.OpenAI
) -> None:
    url = offline.url.removesuffix("/v1") + "/control"

    assert httpx2.post(url, json={"rate_500": 1.0}).json()["faults"]["rate_500"] == 1.0
    with pytest.raises(openai.InternalServerError):
        client.responses.create(model="m", input="x")
    assert httpx2.post(url, json={"rate_500": 2}).status_code == 400
    assert httpx2.post(url, json={"rate_500": 0}).status_code == 200
    assert client.responses.create(model="m", input="x").status == "completed"
    assert httpx2.get(url).json()["requests"] == 2


def test_given_no_control_option_when_asked_then_there_is_none() -> None:
    with running() as model:
        assert httpx2.get(model.url.removesuffix("/v1") + "/control").status_code == 404
