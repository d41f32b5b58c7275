"""The model client against a server that answers as it likes: one attempt, a hard deadline, a typed outcome for everything."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

from learning_schemas.patch import profile_patch_model
from learning_schemas.spec import StoreSpec
from learning_workers.model_client import ModelClient, Question, Usage
from learning_workers.models import Model
from learning_workers.outcomes import (
    AnswerFailure,
    CutOff,
    InvalidOutput,
    Misconfigured,
    ProviderFailure,
    RateLimited,
    Refused,
    SchemaRefused,
    ServerFailed,
    TimedOut,
    Unreachable,
)
from scripted_model import Answer, ScriptedModel, patch

EMPTY = patch(fields={"name": None, "preferred_name": None}, add=[], update=[], retract=[])
SECRET = "I keep it under the mat"
APIS: list[Literal["responses", "chat"]] = ["responses", "chat"]


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedModel]:
    with ScriptedModel().running() as model:
        yield model


@pytest.fixture
def client_for() -> Iterator[Callable[..., ModelClient]]:
    made: list[ModelClient] = []

    def make(deadline: float = 10.0, key: str | None = "not-a-key") -> ModelClient:
        made.append(ModelClient(lambda _: key, deadline))
        return made[-1]

    yield make
    for client in made:
        client.close()


def question(scripted: ScriptedModel, api: Literal["responses", "chat"] = "responses", **values: Any) -> Question:
    given = {"base_url": scripted.url, "max_output_tokens": 100, "key_variable": "UNSET_IN_TESTS", **values}
    return Question(
        model=Model(name="offline-rules-1", api=api, **given),
        instructions="Answer.",
        data=f"<known>\n</known>\n<transcript>\n</transcript>\n{SECRET}",
        name="user_profile_patch",
        patch_model=profile_patch_model(StoreSpec(scope="user")),
    )


@pytest.mark.parametrize("api", APIS)
def test_given_a_patch_when_asked_then_patch_model_usage_and_time_are_in_the_reply(
    scripted: ScriptedModel, client_for: Callable[..., ModelClient], api: Literal["responses", "chat"]
) -> None:
    scripted.answer = lambda _: EMPTY

    reply = client_for().ask(question(scripted, api, reasoning_effort="low"))

    assert reply.failure is None
    assert reply.patch is not None
    assert reply.patch.model_dump() == {
        "fields": {"name": None, "preferred_name": None}, "add": [], "update": [], "retract": [],
    }  # fmt: skip
    assert reply.model == "offline-rules-1"
    assert reply.usage == Usage(input=100, cached=40 if api == "responses" else None, output=10)
    assert 0 < reply.seconds < 10
    sent = scripted.asked[-1]
    assert sent.path.endswith("/responses" if api == "responses" else "/chat/completions")
    assert sent.store == "user_profile"
    assert sent.instructions == "Answer."
    assert sent.body["reasoning"]["effort"] == "low" if api == "responses" else sent.body["reasoning_effort"] == "low"
    assert sent.body.get("store", False) is False


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("answer", "kind", "outcome"),
    [
        (Answer(text="no patch"), InvalidOutput, "invalid_output"),
        (Answer(text='{"fields": {}, "add": [], "update": [], "retract": []}'), InvalidOutput, "invalid_output"),
        (Answer(text=""), InvalidOutput, "invalid_output"),
        (Answer(text=None, refusal=True), Refused, "refused"),
        (Answer(text="{", cut_off=True), CutOff, "cut_off"),
        (Answer(status=429), RateLimited, "rate_limited"),
        (Answer(status=500), ServerFailed, "server_error"),
        (Answer(status=503), ServerFailed, "server_error"),
        (Answer(status=529), ServerFailed, "server_error"),
        (Answer(status=408), TimedOut, "timeout"),
        (Answer(status=401), Misconfigured, "refused_request"),
        (Answer(status=404, text="model_not_found"), Misconfigured, "refused_request"),
        (Answer(status=400, text="invalid_json_schema"), SchemaRefused, "unusable_schema"),
        (Answer(status=400, text="unsupported_parameter"), Misconfigured, "refused_request"),
        (Answer(status=400, text="context_length_exceeded"), CutOff, "cut_off"),
        (Answer(status=413), CutOff, "cut_off"),
        (Answer(status=400, text="content_policy_violation"), Refused, "refused"),
        (Answer(raw=b"<html>sign in</html>", headers={"Content-Type": "text/html"}), ServerFailed, "server_error"),
        (Answer(raw=b"{}"), ServerFailed, "server_error"),
        (Answer(raw=b"null"), ServerFailed, "server_error"),
        (Answer(status=500, raw=b"<html>", headers={"Content-Type": "text/html"}), ServerFailed, "server_error"),
        (Answer(status=400, raw=b'{"error": {"code": ["odd"], "type": 3}}'), Misconfigured, "refused_request"),
    ],
)
def test_given_anything_but_a_patch_when_asked_then_the_outcome_is_typed_and_repeats_no_text(
    scripted: ScriptedModel,
    client_for: Callable[..., ModelClient],
    api: Literal["responses", "chat"],
    answer: Answer,
    kind: type[Exception],
    outcome: str,
) -> None:
    scripted.answer = lambda _: answer
    before = len(scripted.asked)

    reply = client_for().ask(question(scripted, api))

    if api == "chat" and answer.raw in (b"{}", b"null"):
        assert isinstance(reply.failure, (ServerFailed, InvalidOutput))
    else:
        assert type(reply.failure) is kind
        assert reply.failure.outcome == outcome  # type: ignore[union-attr]  # is a failure, by the line above
    assert reply.patch is None
    assert SECRET not in str(reply.failure)
    assert len(scripted.asked) == before + 1  # no retry of the SDK's


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "Retry-After": "7"}, 0.25),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "-3"}, None),
    ],
)
def test_given_retry_after_when_the_provider_refuses_then_it_is_read_where_it_can_be(
    scripted: ScriptedModel, client_for: Callable[..., ModelClient], headers: dict[str, str], seconds: float | None
) -> None:
    scripted.answer = lambda _: Answer(status=429, headers=headers)

    failure = client_for().ask(question(scripted)).failure

    assert isinstance(failure, RateLimited)
    assert failure.retry_after == seconds


@pytest.mark.parametrize("api", APIS)
def test_given_a_server_that_sends_a_byte_now_and_then_when_the_deadline_passes_then_the_call_is_cut_off(
    scripted: ScriptedModel, client_for: Callable[..., ModelClient], api: Literal["responses", "chat"]
) -> None:
    scripted.answer = lambda _: Answer(text="{}", trickle=True)
    # It would send for as long as somebody listens.
    assert isinstance(client_for(deadline=0.5).ask(question(scripted, api)).failure, TimedOut)


@pytest.mark.parametrize("api", APIS)
def test_given_a_server_without_usage_when_asked_then_it_is_unknown_and_not_nought(
    scripted: ScriptedModel, client_for: Callable[..., ModelClient], api: Literal["responses", "chat"]
) -> None:
    scripted.answer = lambda _: Answer(text=EMPTY.text, without_usage=True)

    reply = client_for().ask(question(scripted, api))

    assert reply.failure is None
    assert reply.usage == Usage(input=None, cached=None, output=None)


def test_given_no_key_when_asked_then_nothing_is_sent_and_the_variable_is_named(
    scripted: ScriptedModel, client_for: Callable[..., ModelClient]
) -> None:
    before = len(scripted.asked)

    failure = client_for(key=None).ask(question(scripted)).failure

    assert isinstance(failure, Misconfigured)
    assert "UNSET_IN_TESTS" in failure.note
    assert len(scripted.asked) == before


def test_given_nobody_at_the_address_when_asked_then_it_is_unreachable(
    scripted: ScriptedModel, client_for: Callable[..., ModelClient]
) -> None:
    failure = client_for().ask(question(scripted, base_url="http://127.0.0.1:9/v1")).failure

    assert isinstance(failure, Unreachable)


def test_given_the_kinds_of_failure_when_classed_then_each_is_either_the_providers_or_the_answers() -> None:
    of_provider = {RateLimited, ServerFailed, TimedOut, Unreachable, Misconfigured}
    of_answer = {CutOff, Refused, SchemaRefused, InvalidOutput}

    assert set(ProviderFailure.__subclasses__()) == of_provider
    assert set(AnswerFailure.__subclasses__()) == of_answer
    assert len({kind.outcome for kind in of_provider | of_answer}) == 9
