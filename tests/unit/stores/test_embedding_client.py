"""The embedding client against a server that answers as it likes: one attempt, a hard deadline, a typed failure for the rest."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from embedding_doubles import DIMENSIONS, Hang, vectors
from forking import in_child
from harness import asometimes
from learning_ops.offline.embeddings import embed
from learning_stores.embedding_client import EmbeddingClient, EmbeddingFailed
from learning_stores.embedding_endpoint import EmbeddingEndpoint
from scripted_model import Answer, ScriptedModel

SECRET = "I keep it under the mat"
TEXTS = ["Is vegetarian", SECRET, "Is vegetarian"]


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedModel]:
    with ScriptedModel().running() as model:
        yield model


@pytest.fixture
def client(scripted: ScriptedModel) -> Iterator[EmbeddingClient]:
    scripted.answer = vectors
    client = EmbeddingClient(EmbeddingEndpoint(model="m", base_url=scripted.url, key="not-a-key"))
    yield client
    client.close()


def near(vector: Any, other: Any) -> bool:
    return len(vector) == len(other) and list(vector) == pytest.approx(list(other), abs=1e-6)


@pytest.mark.parametrize("as_text", [True, False])
async def test_given_texts_when_embedded_then_each_has_its_vector_in_either_form_from_threads_and_from_asyncio(
    scripted: ScriptedModel, client: EmbeddingClient, as_text: bool
) -> None:
    scripted.answer = lambda asked: vectors(asked, as_text=as_text)

    found = await client.aembed(TEXTS, 10)
    again = await asyncio.to_thread(client.embed, TEXTS, 10)

    for each in (found, again):
        assert all(near(vector, embed(text, DIMENSIONS)) for text, vector in zip(TEXTS, each.vectors, strict=True))
        assert (each.model, each.tokens) == ("m", 3)
        assert 0 < each.seconds < 10
    sent = scripted.asked[-1]
    assert sent.path == "/v1/embeddings"
    assert sent.body == {"model": "m", "input": TEXTS, "encoding_format": "base64"}


def test_given_dimensions_when_embedded_then_they_are_asked_for_and_an_answer_of_others_is_refused(
    scripted: ScriptedModel,
) -> None:
    scripted.answer = vectors
    client = EmbeddingClient(EmbeddingEndpoint(model="m", base_url=scripted.url, key="k", dimensions=4))
    try:
        assert len(client.embed(["a"], 10).vectors[0]) == 4
        assert scripted.asked[-1].body["dimensions"] == 4
        scripted.answer = lambda asked: vectors(
            asked, data=[{"object": "embedding", "index": 0, "embedding": [1.0, 0.0]}]
        )
        with pytest.raises(EmbeddingFailed, match="4 dimensions were asked for, and 2 came") as failed:
            client.embed(["a"], 10)
        assert failed.value.outcome == "refused_request"
    finally:
        client.close()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(status=429), "rate_limited"),
        (Answer(status=500), "server_error"),
        (Answer(status=503), "server_error"),
        (Answer(status=408), "timeout"),
        (Answer(status=401), "refused_request"),
        (Answer(status=404, text="model_not_found"), "refused_request"),
        (Answer(status=400), "refused"),
        (Answer(status=413), "refused"),
        (Answer(raw=b"<html>sign in</html>", headers={"Content-Type": "text/html"}), "server_error"),
        (Answer(raw=b"{}"), "server_error"),
        (Answer(raw=b"null"), "server_error"),
        (Answer(raw=b'{"data": [], "model": "m"}'), "server_error"),
        (Answer(raw=b'{"data": [{"index": 0, "embedding": "%%%"}], "model": "m"}'), "server_error"),
        (Answer(raw=b'{"data": [{"index": 0, "embedding": "AAA="}], "model": "m"}'), "server_error"),
        (Answer(raw=b'{"data": [{"index": 0, "embedding": []}], "model": "m"}'), "server_error"),
        (Answer(raw=b'{"data": [{"index": 0, "embedding": ["x"]}], "model": "m"}'), "server_error"),
        (Answer(raw=b'{"data": [{"index": 0, "embedding": [NaN]}], "model": "m"}'), "server_error"),
        (Answer(raw=b'{"data": [{"index": 0, "embedding": [1' + b"0" * 400 + b"]}]}"), "server_error"),
        (Answer(raw=b'{"data": [{"index": 7, "embedding": [1]}], "model": "m"}'), "server_error"),
    ],
)
def test_given_anything_but_vectors_when_embedded_then_the_failure_is_typed_and_repeats_no_text(
    scripted: ScriptedModel, client: EmbeddingClient, answer: Answer, outcome: str
) -> None:
    scripted.answer = lambda _: answer
    before = len(scripted.asked)

    with pytest.raises(EmbeddingFailed) as failed:
        client.embed([SECRET], 10)

    assert failed.value.outcome == outcome
    assert SECRET not in str(failed.value)
    assert len(scripted.asked) == before + 1, "one attempt"


def test_given_vectors_of_unlike_length_when_embedded_then_it_is_no_answer(
    scripted: ScriptedModel, client: EmbeddingClient
) -> None:
    data = [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]
    scripted.answer = lambda _: Answer(raw=json.dumps({"data": data, "model": "m"}).encode())

    with pytest.raises(EmbeddingFailed, match="another form"):
        client.embed(["a", "b"], 10)


def test_given_vectors_too_long_or_too_short_to_compute_with_when_embedded_then_their_direction_is_kept(
    scripted: ScriptedModel, client: EmbeddingClient
) -> None:
    data = [{"index": i, "embedding": [3 * size, 4 * size]} for i, size in enumerate((1e30, 1e6, 1e-30, 1.0))]
    scripted.answer = lambda _: Answer(raw=json.dumps({"data": data, "model": "m"}).encode())

    found = client.embed(["a", "b", "c", "d"], 10).vectors

    assert all(near(vector, [0.6, 0.8]) for vector in found[:3])
    assert near(found[3], [3.0, 4.0])


def test_given_a_vector_of_zeros_when_embedded_then_its_text_is_refused_since_it_has_no_cosine(
    scripted: ScriptedModel, client: EmbeddingClient
) -> None:
    data = [{"index": 0, "embedding": [1.0, 0.0]}, {"index": 1, "embedding": [0.0, 0.0]}]
    scripted.answer = lambda _: Answer(raw=json.dumps({"data": data, "model": "m"}).encode())

    with pytest.raises(EmbeddingFailed, match="zeros") as failed:
        client.embed(["a", SECRET], 10)

    assert failed.value.outcome == "refused"


@pytest.mark.parametrize(("headers", "seconds"), [({"Retry-After": "7"}, 7.0), ({"Retry-After": "soon"}, None)])
def test_given_a_limit_when_embedded_then_the_failure_says_when_to_come_back(
    scripted: ScriptedModel, client: EmbeddingClient, headers: dict[str, str], seconds: float | None
) -> None:
    scripted.answer = lambda _: Answer(status=429, headers=headers)

    with pytest.raises(EmbeddingFailed) as failed:
        client.embed(["a"], 10)

    assert failed.value.retry_after == seconds


@pytest.mark.parametrize("deadline", [0.15, 0.5])
async def test_given_a_server_that_hangs_or_trickles_when_embedded_then_the_deadline_is_kept(
    scripted: ScriptedModel, client: EmbeddingClient, deadline: float
) -> None:
    await client.aembed(["warm"], 10)
    await asyncio.to_thread(client.embed, ["warm"], 10)
    hang = Hang()
    for answer in (hang, lambda _: Answer(trickle=True, raw=b"{}")):
        scripted.answer = answer
        for ask in (client.aembed, partial(asyncio.to_thread, client.embed)):

            async def in_time(ask: Callable[..., Awaitable[Any]] = ask) -> bool:
                began = time.monotonic()
                with pytest.raises(EmbeddingFailed) as failed:
                    await ask([SECRET], deadline)
                took = time.monotonic() - began
                assert failed.value.outcome == "timeout"
                assert took >= deadline * 0.9
                return took < deadline + 0.3

            await asometimes(in_time, f"it is given up after {deadline} s")
    hang.go.set()


def test_given_nobody_at_the_address_when_embedded_then_it_is_unreachable() -> None:
    client = EmbeddingClient(EmbeddingEndpoint(model="m", base_url="http://127.0.0.1:1/v1", key="k"))

    with pytest.raises(EmbeddingFailed) as failed:
        client.embed(["a"], 10)

    client.close()
    assert failed.value.outcome == "unreachable"


def test_given_openai_without_a_key_when_embedded_then_nothing_is_sent_and_the_variables_are_named() -> None:
    client = EmbeddingClient(EmbeddingEndpoint(model="m"))

    with pytest.raises(EmbeddingFailed, match="OPENAI_API_KEY") as failed:
        client.embed(["a"], 10)

    client.close()
    assert failed.value.outcome == "refused_request"


def test_given_a_client_in_use_when_forked_then_the_child_embeds_and_the_parent_goes_on(
    scripted: ScriptedModel, client: EmbeddingClient
) -> None:
    client.embed(["a"], 10)

    child = in_child(lambda: len(client.embed(["b"], 10).vectors[0]))

    assert child == str(DIMENSIONS)
    assert len(client.embed(["c"], 10).vectors[0]) == DIMENSIONS


def test_given_the_module_when_imported_then_the_sdk_is_not_until_a_vector_is_asked_for() -> None:
    code = "import sys, learning_stores.embedding_client; print('openai' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


def test_given_one_event_loop_after_the_other_when_embedded_then_each_works(client: EmbeddingClient) -> None:
    async def once() -> int:
        return len((await client.aembed(["a"], 10)).vectors)

    assert [asyncio.run(once()), asyncio.run(once())] == [1, 1]


def test_given_a_client_that_was_closed_when_embedded_then_it_begins_anew_and_its_thread_had_ended(
    client: EmbeddingClient,
) -> None:
    client.embed(["a"], 10)
    client.close()
    assert "embedding-calls" not in {thread.name for thread in threading.enumerate()}

    assert len(client.embed(["b"], 10).vectors) == 1
