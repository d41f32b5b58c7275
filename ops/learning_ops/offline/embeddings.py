"""Embeddings by feature hashing (Weinberger et al., 2009).

Each word and each pair of neighbouring words adds 1 or -1 to one place of the vector, both chosen by a hash.
Texts that share words are near; synonyms are not. The vector is L2-normalised, so that the inner product is the cosine.
"""

import base64
import itertools
import math
import re
import struct
import unicodedata
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from learning_ops.offline import OFFLINE_MODEL_NAME
from learning_ops.offline.problem import Problem, missing, unsupported, wrong_type
from learning_ops.offline.request import count_parameter, text_parameter
from learning_ops.offline.usage import tokens

DEFAULT_DIMENSIONS = 256
MAX_DIMENSIONS = 3_072
MAX_INPUTS = 2_048

_WORD = re.compile(r"\w+")


def embed(text: str, dimensions: int = DEFAULT_DIMENSIONS) -> list[float]:
    """The unit vector of a text, of that many dimensions."""
    places = [0.0] * dimensions
    for feature in _features(text):
        number = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest())
        places[(number >> 1) % dimensions] += 1.0 if number & 1 else -1.0
    length = math.sqrt(sum(place * place for place in places))
    if length == 0:  # every feature met its opposite, which short vectors make possible
        places[0] = length = 1.0
    return [place / length for place in places]


def as_base64(vector: list[float]) -> str:
    """The vector as the API sends it in base64: little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _features(text: str) -> Iterator[str]:
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    if not words:
        yield text
    yield from words
    for first, second in itertools.pairwise(words):
        yield f"{first} {second}"


def embedding_list(body: Mapping[str, Any]) -> dict[str, Any]:
    """Answer `POST /v1/embeddings`: one vector an input, in its order; raises Problem."""
    text_parameter(body, "model")
    given = body.get("input")
    if given is None:
        raise missing("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list):
        raise wrong_type("input", "a string or an array", given)
    if not 1 <= len(texts) <= MAX_INPUTS:
        raise Problem(400, f"Invalid 'input': expected 1 to {MAX_INPUTS} inputs, but got {len(texts)}.", param="input")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise unsupported("input", "The offline model embeds strings only: it has no tokens that stand for text.")
        if not text:
            raise Problem(400, f"Invalid 'input[{number}]': input cannot be an empty string.", param="input")
    dimensions = count_parameter(body, "dimensions") or DEFAULT_DIMENSIONS
    if dimensions > MAX_DIMENSIONS:
        raise Problem(400, f"Invalid 'dimensions': at most {MAX_DIMENSIONS}, but got {dimensions}.", param="dimensions")
    form = body.get("encoding_format") or "float"
    if form not in {"float", "base64"}:
        raise unsupported("encoding_format", f"Invalid value: {form!r}. Supported values are: 'float' and 'base64'.")
    vectors = [embed(text, dimensions) for text in texts]
    used = sum(tokens(text) for text in texts)
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": number,
                "embedding": as_base64(vector) if form == "base64" else vector,
            }
            for number, vector in enumerate(vectors)
        ],
        "model": OFFLINE_MODEL_NAME,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }
