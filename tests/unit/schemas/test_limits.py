"""Ids, text and JSON as an event may hold them."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from learning_schemas.limits import MAX_DEPTH, MAX_JSON_VALUES, Id, Text, check_json, clean_text, dumped_model

IDS: TypeAdapter[str] = TypeAdapter(Id)
TEXTS: TypeAdapter[str] = TypeAdapter(Text)


@pytest.mark.parametrize(
    "value",
    [
        "a",
        "x" * 255,
        "alex@example.com",
        "日本語",
        "José",
        "e\u0301",
        "\u0645\u06cc\u200c\u062e",
        "👩\u200d💻",
        "a b",
        "ab/%25",
    ],
)
def test_given_a_visible_id_then_it_is_taken_as_it_is(value: str) -> None:
    assert IDS.validate_python(value) == value


@pytest.mark.parametrize(
    "value",
    ["", "x" * 256, " a", "a ", "a\n", "\ta", "a\x00b", "a\x1bb", "a\x7fb", "a\x85b", "\xa0a", "a\u3000", "a\ud800", "\udfffa",
     "a\u202eb", "a\u2066b", "\u200b", "a\u200bb", "\ufeffa", "a\u2028b", "a\u2029b", "\u200ea", "a\u061cb", "a\u2060b",
     0, 5, True, 1.5, None, ["a"], {"a": 1}, object()],
)  # fmt: skip
def test_given_what_is_no_visible_id_then_it_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        IDS.validate_python(value)


@pytest.mark.parametrize("value", ["a\x00", "\ud800", "x\udc00y"])
def test_given_text_that_postgres_cannot_hold_then_it_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"NUL|surrogate"):
        clean_text(value)
    with pytest.raises(ValidationError):
        TEXTS.validate_python(value)


@given(st.text())
def test_given_any_text_then_what_is_taken_can_be_encoded(value: str) -> None:
    try:
        kept = clean_text(value)
    except ValueError:
        assert "\x00" in value or any(0xD800 <= ord(c) <= 0xDFFF for c in value)
    else:
        assert kept == value
        assert kept.encode().decode() == value


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def test_given_json_as_deep_as_it_may_be_then_it_is_taken_and_one_level_more_is_not() -> None:
    assert check_json(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    with pytest.raises(ValueError, match="too deeply"):
        check_json(nested(MAX_DEPTH + 1))


def test_given_json_deeper_than_pythons_stack_or_with_a_cycle_then_it_is_refused() -> None:
    cycle: dict[str, Any] = {}
    cycle["a"] = cycle
    for value in (nested(100_000), cycle):
        with pytest.raises(ValueError, match="too deeply"):
            check_json(value)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, 10**400, -(10**400), b"x", {1}, object(), {5: 1}, {None: 1}, {"a\x00": 1},
     {"\ud800": 1}, {"a": "\ud800"}, [["\x00"]], BaseModel],
)  # fmt: skip
def test_given_what_json_cannot_hold_then_it_is_refused_without_being_repeated(value: object) -> None:
    with pytest.raises(ValueError, match=r"has a ") as refused:
        check_json({"secret": value})
    assert "secret" not in str(refused.value)


class _Call(BaseModel):
    name: str
    odd: Any = None


def test_given_tuples_mappings_and_an_sdks_objects_then_they_become_plain_json() -> None:
    given_value = {"calls": (_Call(name="f"), {"x": (1, 2.5, None, True)})}

    assert check_json(given_value) == {"calls": [{"name": "f"}, {"x": [1, 2.5, None, True]}]}


def test_given_json_then_the_copy_does_not_change_with_it() -> None:
    inner = [1]
    kept = check_json({"a": inner})

    inner.append(2)

    assert kept == {"a": [1]}


def test_given_no_model_then_nothing_is_dumped() -> None:
    assert dumped_model({"a": 1}) is None
    assert dumped_model(_Call) is None
    assert dumped_model(_Call(name="f")) == {"name": "f"}


def test_given_more_values_than_may_be_on_all_levels_then_they_are_refused() -> None:
    half = MAX_JSON_VALUES // 2 - 1

    assert len(check_json([[0] * half, {str(n): n for n in range(half)}])) == 2
    with pytest.raises(ValueError, match="more than 20,000 values"):
        check_json([[0] * half, [0] * half, 0])
