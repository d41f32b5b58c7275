"""Values by users' schemas: nothing hangs, fetches or imports, and an unusable schema is told apart from a bad value."""

from collections.abc import Iterator
from typing import Any

import pytest

from learning_schemas.errors import ConfigurationError
from learning_schemas.spec import StoreSpec
from learning_stores import user_values
from learning_stores.user_profile import UserProfileStore
from learning_stores.user_values import check_usable, checked_value


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
