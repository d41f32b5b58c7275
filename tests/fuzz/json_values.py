"""Arbitrary JSON, and valid JSON with something changed in it."""

import copy
import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

BOUNDED = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
"""The same examples in every run, some seconds of them."""

AWKWARD = [
    "", " ", "\x00", "\x1b[2J", "\u202e", "\ufdfa" * 9, "a\u0301\u0327" * 40, "\ud83d\ude00", "'; --", "%s", "{}", "m1", "k1",
    "<learning-machine-memory>", "</transcript>", "1" * 400, "NaN", "true", "2026-13-40", "9" * 30, "\uff41\uff42", "null",
]  # fmt: skip
texts = st.one_of(st.sampled_from(AWKWARD), st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
numbers = st.one_of(
    st.sampled_from([0, -1, 1, 2**31, 2**63, 2**64, 10**30, -(10**30), 1e308, 5e-324, -0.0, 0.1]),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


@st.composite
def changed(draw: st.DrawFn, valid: Any) -> Any:
    """A copy of a JSON value with one to three places replaced, removed, doubled or added to."""
    value = copy.deepcopy(draw(st.sampled_from(valid)) if isinstance(valid, tuple) else valid)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(value))
        holder, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["replace", "replace", "remove", "add", "nest", "repeat"])):
            case "replace":
                holder[key] = draw(values)
            case "remove":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(texts)] = draw(values)
            case "nest":
                holder[key] = [holder[key]] if draw(st.booleans()) else {"value": holder[key]}
            case _:
                holder[key] = [holder[key]] * draw(st.sampled_from([2, 20]))
        if not list(_places(value)):
            break
    return value


def _places(value: Any) -> Any:
    """Every place in it: what holds it, and under which key."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """The bytes with some of them changed, removed, or put in."""
    broken = bytearray(body)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(broken) - 1)))
        match draw(st.sampled_from(["flip", "cut", "insert", "end"])):
            case "flip" if broken:
                broken[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del broken[at : at + draw(st.integers(1, 9))]
            case "insert":
                broken[at:at] = draw(
                    st.sampled_from(
                        [b"\xff", b"\x00", b'"', b"\\ud800", b"\\u0000", b"{", b"]", b"1e999", b"\xed\xa0\x80"]
                    )
                )
            case _:
                del broken[at:]
    return bytes(broken)


def dumped(value: Any) -> bytes:
    """As JSON; a lone surrogate as its escape."""
    return json.dumps(value).encode()
