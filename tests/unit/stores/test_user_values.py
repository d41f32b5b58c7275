"""Values by users' schemas: nothing hangs, fetches or imports, and an unusable schema is told apart from a bad value."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from learning_schemas.errors import ConfigurationError
from learning_schemas.ids import uuid7
from learning_schemas.profile import UserProfile, json_schema_of
from learning_schemas.spec import StoreSpec
from learning_stores import user_values
from learning_stores.operations import LiveLearning
from learning_stores.user_profile import UserProfileStore
from learning_stores.user_values import check_usable, checked_value, lost_fields, refused_value, told, typed_value


@pytest.fixture(autouse=True)
def nothing_imported_before() -> Iterator[None]:
    user_values._imported.cache_clear()
    yield
    user_values._imported.cache_clear()


def _spec(field: dict[str, Any], schema_import: str | None = None) -> StoreSpec:
    schema = {"type": "object", "properties": {"code": field}}
    return StoreSpec(scope="user", user_schema=schema, schema_import=schema_import)


@pytest.mark.timeout(10)
def test_given_a_pattern_that_backtracks_when_a_value_is_checked_then_it_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="code: pattern"):
        checked_value("code", "a" * 4_000 + "!", {"type": "string", "pattern": "^(a+)+$"}, None)


def test_given_pydantics_pattern_then_it_is_usable() -> None:
    field = {"type": "string", "pattern": r"^\p{L}+$"}

    check_usable(_spec(field))
    assert checked_value("code", "Zoë", field, None) == "Zoë"


@pytest.mark.parametrize(
    "field", [{"pattern": "("}, {"anyOf": [{"pattern": "(?=a)"}]}, {"type": "nothing"}, {"minimum": "1"}, {"enum": 5}]
)
def test_given_a_schema_nobody_can_use_when_asked_then_it_is_a_configuration_error(field: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        UserProfileStore().patch_model(_spec(field))

    assert refused.value.field == "user_schema"


@pytest.mark.parametrize("field", [{"pattern": "("}, {"patternProperties": {"(a+)+$": {}}}])
def test_given_an_unusable_schema_when_a_value_is_checked_then_it_is_not_the_values_fault(
    field: dict[str, Any],
) -> None:
    with pytest.raises(ConfigurationError):
        checked_value("code", "x", field, None)


def test_given_a_reference_when_a_value_is_checked_then_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.request

    from referencing.exceptions import Unresolvable

    def fetched(*args: object, **options: object) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr(urllib.request, "urlopen", fetched)
    with pytest.raises(Exception, match=r"127\.0\.0\.1") as refused:
        checked_value("code", "x", {"$ref": "http://127.0.0.1:9/x"}, None)
    assert isinstance(refused.value, Unresolvable)


def test_given_an_import_that_is_not_allowed_when_asked_then_it_is_refused_before_a_model_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LEARNING_SCHEMA_IMPORTS", raising=False)
    with pytest.raises(ConfigurationError, match="LEARNING_SCHEMA_IMPORTS") as refused:
        UserProfileStore().patch_model(_spec({"type": "string"}, "learning_schemas.profile:UserProfile"))
    assert refused.value.field == "schema_import"


def test_given_an_import_that_is_allowed_then_its_class_checks_and_a_field_that_it_lacks_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEARNING_SCHEMA_IMPORTS", "other, learning_schemas.profile")
    path = "learning_schemas.profile:UserProfile"

    assert checked_value("name", "Alex", {}, path) == "Alex"
    with pytest.raises(ValueError, match="name"):
        checked_value("name", 5, {}, path)
    with pytest.raises(ConfigurationError, match="has no field 'code'"):
        checked_value("code", "x", {}, path)


def _row(kind: str, content_key: str, **data: Any) -> LiveLearning:
    return LiveLearning(
        id=uuid7(),
        kind=kind,
        content="as it was said",
        content_key=content_key,
        data=data,
        valid_from=datetime(2026, 11, 22, tzinfo=UTC),
    )


def test_given_fields_that_the_schema_lost_then_they_are_named_and_their_rows_are_as_they_were() -> None:
    rows = [
        _row("field", "tier", name="tier", value="pro"),
        _row("field", "code", name="code", value="A"),
        _row("field", "age", name="age", value=42),
        _row("memory", "name"),
        _row("insight", "key", title="Pin", fields={"severity": "high", "code": "B"}),
        _row("insight", "key2", title="Pin"),
    ]

    assert lost_fields(rows, _spec({"type": "string"})) == ["age", "severity", "tier"]
    assert rows[0].data == {"name": "tier", "value": "pro"}


def test_given_a_custom_store_that_gives_these_kinds_another_form_then_nothing_is_lost_and_nothing_fails() -> None:
    rows = [_row("field", "a", name=7), _row("property", "b"), _row("insight", "c", fields=["severity"])]

    assert lost_fields(rows, _spec({"type": "string"})) == []


def test_given_no_schema_of_ones_own_then_the_profiles_default_fields_are_not_lost_and_a_sessions_are() -> None:
    rows = [_row("field", "name", name="name", value="Alex")]

    assert lost_fields(rows, StoreSpec(scope="user")) == []
    assert lost_fields(rows, StoreSpec(scope="session")) == ["name"]
    assert lost_fields([], StoreSpec(scope="session")) == []


def test_given_a_map_in_strict_form_when_typed_then_it_is_a_map_without_what_postgres_does_not_take() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "integer"}}

    assert typed_value("code", [{"name": "a\x00", "value": 1}], schema, None) == {"a": 1}
    assert typed_value("code", {"a": 1}, schema, None) == {"a": 1}
    with pytest.raises(ValueError, match="code: type"):
        typed_value("code", {"a": "one"}, schema, None)


def test_given_the_agents_own_spec_then_the_class_that_it_names_is_imported_and_another_process_refuses_it() -> None:
    field, path = {"type": "string"}, "learning_schemas.profile:UserProfile"

    assert checked_value("name", "Alex", field, path, own=True) == "Alex"
    with pytest.raises(ConfigurationError):
        checked_value("name", "Alex", field, path)


def test_given_an_install_without_the_validator_then_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'learning-machine\[worker\]'"):
        checked_value("code", 1, {"type": "integer"}, None)


@pytest.mark.parametrize("field", json_schema_of(UserProfile)["properties"].values())
def test_given_an_install_without_the_validator_then_the_default_fields_are_checked_all_the_same(
    monkeypatch: pytest.MonkeyPatch, field: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)

    assert checked_value("name", "Alex", field, None) == "Alex"
    with pytest.raises(ValueError, match="name: type"):
        checked_value("name", 1, field, None)


def test_given_a_refused_value_then_it_is_said_what_the_field_takes_or_what_is_wrong_with_the_schema() -> None:
    field = {"type": "integer", "minimum": 1, "description": "How many"}

    assert refused_value("seats", field, ValueError("seats: minimum")) == (
        'seats takes another value, one of the form {"type":"integer","minimum":1}.'
    )
    assert refused_value("name", {"type": "string"}, ValueError("name: type")) == "name takes a text."
    assert "no schema" in refused_value("seats", field, ConfigurationError("user_schema", "is no schema", "Mend it"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x", "x"),
        (True, "yes"),
        (False, "no"),
        (1.5, "1.5"),
        (["a", 2], "a, 2"),
        ({"a": [1, 2], "b": False}, "a: 1, 2; b: no"),
    ],
)
def test_given_a_value_then_it_is_told_in_words(value: Any, words: str) -> None:
    assert told(value) == words
