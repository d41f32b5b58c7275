"""The endpoints, read by the real OpenAI SDK."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from pydantic import BaseModel

from learning_ops.offline import NOTHING_FOUND_NOTE, OFFLINE_MODEL_NAME
from learning_ops.offline.server import OfflineModel, Settings, loopback_socket, running


class Cited(BaseModel):
    content: str
    message: str
    quote: str


class Field(BaseModel):
    value: str | None
    message: str
    quote: str


class Fields(BaseModel):
    name: Field | None
    preferred_name: Field | None


class Update(Cited):
    learning: str


class Retract(BaseModel):
    learning: str
    message: str
    quote: str


class user_profile_patch(BaseModel):  # noqa: N801 - the SDK takes the format's name from the class
    fields: Fields
    add: list[Cited]
    update: list[Update]
    retract: list[Retract]


class Leaf(BaseModel):
    word: str
    size: int
    tags: list[str]
    more: "Leaf | None"


ALICE = [{"id": "m1", "role": "user", "text": "I'm Alice, I work at Netflix"}]


def test_given_a_pydantic_patch_when_parsed_by_responses_then_it_is_filled_and_names_the_model(
    client: openai.OpenAI, material: Any
) -> None:
    response = client.responses.parse(
        model="gpt-5.6",
        instructions="Extract what lasts.",
        input=[{"role": "user", "content": material(ALICE)}],
        text_format=user_profile_patch,
        service_tier="flex",
    )

    patch = response.output_parsed
    assert patch is not None
    assert patch.fields.name == Field(value="Alice", message="m1", quote="I'm Alice, I")
    assert patch.add == [Cited(content="Works at Netflix", message="m1", quote="I work at Netflix")]
    assert response.model == OFFLINE_MODEL_NAME == "offline-rules-1"
    assert (response.status, response.service_tier) == ("completed", "flex")
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response.usage.output_tokens == -(-len(response.output_text.encode()) // 4)


def test_given_the_same_request_twice_when_answered_then_the_text_is_the_same(
    client: openai.OpenAI, material: Any
) -> None:
    texts = {
        client.responses.parse(model="m", input=material(ALICE), text_format=user_profile_patch).output_text
        for _ in range(2)
    }

    assert len(texts) == 1


def test_given_a_raw_schema_when_created_then_the_answer_fits_it(
    client: openai.OpenAI, material: Any, session_schema: Any
) -> None:
    form: Any = {
        "type": "json_schema",
        "name": "session_context_patch",
        "strict": True,
        "schema": session_schema(planning=True),
    }

    response = client.responses.create(
        model="m",
        input=material([{"id": "a", "role": "user", "text": "Help me plan a garden."}]),
        text={"format": form},
    )

    assert json.loads(response.output_text) == {
        "summary": {"content": "User said: Help me plan a garden.", "messages": ["a"]},
        "goal": {"content": "Plan a garden", "messages": ["a"]},
        "plan": None,
        "progress": None,
    }


def test_given_chat_completions_when_parsed_then_it_says_the_same(client: openai.OpenAI, material: Any) -> None:
    completion = client.chat.completions.parse(
        model="m",
        messages=[
            {"role": "system", "content": "Extract."},
            {"role": "user", "content": [{"type": "text", "text": material(ALICE)}]},
        ],
        response_format=user_profile_patch,
    )

    patch = completion.choices[0].message.parsed
    assert patch is not None
    assert [one.content for one in patch.add] == ["Works at Netflix"]
    assert completion.model == OFFLINE_MODEL_NAME
    assert completion.usage is not None
    assert completion.usage.prompt_tokens_details is not None
    assert completion.usage.prompt_tokens_details.cached_tokens == 0


@pytest.mark.parametrize(
    "text",
    [
        "no blocks",
        "<transcript>\nnot json\n</transcript>",
        "<known>\n</known>\n<transcript>\n[]\n</transcript>",
        "<transcript>",
    ],
)
def test_given_an_input_without_a_readable_transcript_when_asked_then_the_patch_is_valid_and_empty(
    client: openai.OpenAI, text: str
) -> None:
    patch = client.responses.parse(model="m", input=text, text_format=user_profile_patch).output_parsed

    assert patch == user_profile_patch(fields=Fields(name=None, preferred_name=None), add=[], update=[], retract=[])


def test_given_an_unknown_format_when_asked_then_the_emptiest_instance_comes_back(client: openai.OpenAI) -> None:
    leaf = client.responses.parse(model="m", input="hello", text_format=Leaf).output_parsed

    assert leaf == Leaf(word="", size=0, tags=[], more=None)


def test_given_a_known_name_on_another_shape_when_asked_then_the_answer_fits_that_shape(
    client: openai.OpenAI, material: Any
) -> None:
    schema = {
        "type": "object",
        "properties": {"x": {"type": "boolean"}},
        "required": ["x"],
        "additionalProperties": False,
    }
    form: Any = {"type": "json_schema", "name": "user_profile_patch", "strict": True, "schema": schema}

    assert json.loads(client.responses.create(model="m", input=material(ALICE), text={"format": form}).output_text) == {
        "x": False
    }


def test_given_a_schema_without_a_small_instance_when_asked_then_the_request_is_refused(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"x": {"$ref": "#"}}, "required": ["x"], "additionalProperties": False}
    form: Any = {"type": "json_schema", "name": "endless", "strict": True, "schema": schema}

    with pytest.raises(openai.BadRequestError, match="No small value fits this schema"):
        client.responses.create(model="m", input="x", text={"format": form})


def test_given_no_schema_when_asked_then_the_answer_says_what_it_is(client: openai.OpenAI) -> None:
    tool: Any = {
        "type": "function",
        "name": "look",
        "parameters": {"type": "object", "properties": {}},
        "strict": False,
    }

    response = client.responses.create(model="m", input="What is the capital\nof France?", tools=[tool])
    completion = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello"}])

    assert response.output_text.startswith("[offline model] ")
    assert response.output_text.endswith("You said: What is the capital of France?")
    assert str(completion.choices[0].message.content).startswith("[offline model] ")
    assert completion.choices[0].finish_reason == "stop"


def test_given_long_instructions_seen_before_when_asked_again_then_their_tokens_are_cached(
    client: openai.OpenAI,
) -> None:
    instructions = "x" * 4 * 1500

    details = []
    for tail in ("first", "second"):
        usage = client.responses.create(model="m", instructions=instructions + tail, input="hello").usage
        assert usage is not None
        details.append((usage.input_tokens_details.cached_tokens, usage.input_tokens_details.cache_write_tokens))

    assert details == [(0, 1408), (1408, 0)]


def test_given_an_output_limit_when_the_answer_is_longer_then_it_is_incomplete(client: openai.OpenAI) -> None:
    response = client.responses.create(model="m", input="hello", max_output_tokens=16)
    completion = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hello"}], max_completion_tokens=3
    )

    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage is not None
    assert response.usage.output_tokens <= 16
    assert completion.choices[0].finish_reason == "length"


def test_given_streaming_when_asked_for_then_it_is_refused_with_a_reason(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="does not stream"):
        client.responses.create(model="m", input="hello", stream=True)
    with pytest.raises(openai.BadRequestError, match="does not stream"):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}], stream=True)


@pytest.mark.parametrize(
    ("path", "body", "param", "code"),
    [
        ("responses", {"input": "x"}, "model", "missing_required_parameter"),
        ("responses", {"model": "m"}, "input", "missing_required_parameter"),
        ("responses", {"model": "m", "input": 3}, "input", "invalid_type"),
        ("responses", {"model": "m", "input": ["x"]}, "input[0]", "invalid_type"),
        ("responses", {"model": "m", "input": "x", "instructions": 1}, "instructions", "invalid_type"),
        (
            "responses",
            {"model": "m", "input": "x", "max_output_tokens": 0},
            "max_output_tokens",
            "integer_below_min_value",
        ),
        (
            "responses",
            {"model": "m", "input": "x", "text": {"format": {"type": "xml"}}},
            "text.format.type",
            "unsupported_value",
        ),
        (
            "responses",
            {"model": "m", "input": "x", "text": {"format": {"type": "json_schema"}}},
            "text.format.name",
            "missing_required_parameter",
        ),
        ("responses", {"model": "m", "input": "x", "text": "json"}, "text", "invalid_type"),
        ("responses", {"model": "m", "input": "x", "text": {"format": "json"}}, "text.format", "invalid_type"),
        ("chat/completions", {"model": "m"}, "messages", "missing_required_parameter"),
        ("chat/completions", {"model": "m", "messages": [1]}, "messages[0]", "invalid_type"),
        (
            "chat/completions",
            {"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 2},
            "n",
            "unsupported_value",
        ),
        (
            "chat/completions",
            {"model": "m", "messages": [{"role": "user"}], "response_format": []},
            "response_format",
            "invalid_type",
        ),
        ("embeddings", {"model": "m"}, "input", "missing_required_parameter"),
        ("embeddings", {"model": "m", "input": [1, 2]}, "input", "unsupported_value"),
    ],
)
def test_given_a_malformed_body_when_sent_then_the_error_names_the_parameter(
    offline: OfflineModel, path: str, body: dict[str, Any], param: str, code: str
) -> None:
    answered = httpx2.post(f"{offline.url}/{path}", json=body)

    error = answered.json()["error"]
    assert (answered.status_code, error["type"], error["param"], error["code"]) == (
        400,
        "invalid_request_error",
        param,
        code,
    )


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_given_a_body_that_is_no_json_object_when_sent_then_it_is_refused(offline: OfflineModel, raw: bytes) -> None:
    answered = httpx2.post(f"{offline.url}/responses", content=raw)

    assert answered.status_code == 400
    assert answered.json()["error"]["type"] == "invalid_request_error"


def test_given_an_unknown_path_or_method_when_asked_then_the_error_has_the_api_s_form(offline: OfflineModel) -> None:
    assert httpx2.get(f"{offline.url}/nothing").json()["error"]["message"] == "Invalid URL (GET /v1/nothing)"
    assert httpx2.get(f"{offline.url}/responses").status_code == 405


def test_given_models_when_listed_then_there_is_the_one(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [OFFLINE_MODEL_NAME]
    assert client.models.retrieve(OFFLINE_MODEL_NAME).id == OFFLINE_MODEL_NAME
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-5.6")


def test_given_an_api_key_when_a_request_lacks_it_then_401_and_health_needs_none() -> None:
    with (
        running(Settings(api_key="right")) as model,
        openai.OpenAI(base_url=model.url, api_key="wrong", max_retries=0) as wrong,
        openai.OpenAI(base_url=model.url, api_key="right", max_retries=0) as right,
    ):
        with pytest.raises(openai.AuthenticationError) as refused:
            wrong.responses.create(model="m", input="x")
        assert refused.value.code == "invalid_api_key"
        assert httpx2.get(f"{model.url}/models").status_code == 401
        assert right.responses.create(model="m", input="x").status == "completed"

        health = httpx2.get(model.url.removesuffix("/v1") + "/healthz")
        assert health.json() == {"status": "ok", "model": OFFLINE_MODEL_NAME}


def test_given_a_request_log_when_requests_are_served_then_it_keeps_a_hash_and_bodies_only_on_request(
    tmp_path: Path,
) -> None:
    for bodies in (False, True):
        path = tmp_path / f"log-{bodies}.jsonl"
        with (
            running(Settings(request_log=path, request_log_bodies=bodies)) as model,
            openai.OpenAI(base_url=model.url, api_key="k", max_retries=0) as sdk,
        ):
            sdk.responses.parse(model="gpt-5.6", input="a private word", text_format=Leaf)
            with pytest.raises(openai.BadRequestError):
                sdk.responses.create(model="gpt-5.6", input="a private word", stream=True)

        rows = [json.loads(row) for row in path.read_text().splitlines()]
        assert [(row["endpoint"], row["model"], row["format"], row["status"]) for row in rows] == [
            ("/v1/responses", "gpt-5.6", "Leaf", 200),
            ("/v1/responses", "gpt-5.6", None, 400),
        ]
        assert all(len(row["input_sha256"]) == 64 for row in rows)
        assert path.stat().st_mode & 0o777 == 0o600
        assert ("a private word" in path.read_text()) is bodies


def test_given_nothing_found_when_noted_then_the_note_names_the_way_out() -> None:
    assert NOTHING_FOUND_NOTE == "offline rules found nothing here; start with --model openai"


async def test_given_its_socket_when_a_client_connects_then_answers_are_sent_at_once() -> None:
    asked: asyncio.Queue[int] = asyncio.Queue()

    def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted: socket.socket = writer.get_extra_info("socket")
        asked.put_nowait(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    bound = loopback_socket("127.0.0.1", 0)
    server = await asyncio.start_server(connected, sock=bound)
    async with server:
        _, writer = await asyncio.open_connection(*bound.getsockname())
        assert await asked.get()
        writer.close()
        await writer.wait_closed()
