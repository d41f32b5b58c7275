"""Vectors that are the same for the same text, of length one, and near where words are shared."""

import base64
import math
import struct

import httpx2
import openai
import pytest

from learning_ops.offline import OFFLINE_MODEL_NAME
from learning_ops.offline.embeddings import MAX_INPUTS, embed
from learning_ops.offline.server import OfflineModel


def cosine(left: list[float], right: list[float]) -> float:
    return sum(one * other for one, other in zip(left, right, strict=True))


@pytest.mark.parametrize("text", ["Likes hiking in the hills", "a", "!!!", "東京に住んでいます", "  "])
@pytest.mark.parametrize("dimensions", [1, 2, 256, 1536])
def test_given_any_text_when_embedded_then_the_vector_has_length_one(text: str, dimensions: int) -> None:
    vector = embed(text, dimensions)

    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1)
    assert vector == embed(text, dimensions)


def test_given_texts_when_they_share_words_then_they_are_nearer_than_those_that_share_none() -> None:
    asked = embed("Where does Alice work?")

    assert (
        cosine(asked, embed("alice's work is at Netflix"))
        > 0.2
        > abs(cosine(asked, embed("Dislikes mushrooms on pizza")))
    )


def test_given_word_order_when_it_differs_then_the_vectors_do() -> None:
    assert cosine(embed("dog bites man"), embed("man bites dog")) < 0.999


def test_given_the_sdk_when_asked_for_base64_by_default_and_for_floats_then_both_are_the_same(
    client: openai.OpenAI,
) -> None:
    default = client.embeddings.create(model="text-embedding-3-small", input=["one thing", "another"])
    floats = client.embeddings.create(model="m", input=["one thing", "another"], encoding_format="float")

    assert default.model == OFFLINE_MODEL_NAME
    assert [one.index for one in default.data] == [0, 1]
    assert default.data[1].embedding == pytest.approx(floats.data[1].embedding, abs=1e-6)
    assert default.data[0].embedding == pytest.approx(embed("one thing"), abs=1e-6)
    assert (default.usage.prompt_tokens, default.usage.total_tokens) == (5, 5)


def test_given_dimensions_when_asked_then_they_are_honoured_in_base64(offline: OfflineModel) -> None:
    body = {"model": "m", "input": "x", "dimensions": 8, "encoding_format": "base64"}

    encoded = httpx2.post(f"{offline.url}/embeddings", json=body).json()["data"][0]["embedding"]

    assert list(struct.unpack("<8f", base64.b64decode(encoded))) == pytest.approx(embed("x", 8))


def test_given_too_many_inputs_an_empty_one_or_too_many_dimensions_when_asked_then_400(client: openai.OpenAI) -> None:
    assert len(client.embeddings.create(model="m", input=["x"] * MAX_INPUTS, dimensions=2).data) == MAX_INPUTS
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="m", input=["x"] * (MAX_INPUTS + 1))
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="m", input=["x", ""])
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="m", input="x", dimensions=100_000)
