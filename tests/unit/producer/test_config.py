"""Configs are checked when they are made, and travel as specs."""

from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from learning_machine import ConfigurationError, LearningMachine, SessionContextConfig, UserProfile, UserProfileConfig
from learning_schemas.spec import DEFAULT_SPEC


@dataclass
class CustomerProfile(UserProfile):
    plan: str | None = field(default=None, metadata={"description": "The plan they pay for"})


@dataclass
class CheckedProfile(UserProfile):
    plan: Annotated[str, AfterValidator(lambda plan: plan)] | None = None


def test_given_a_machine_that_names_no_store_then_it_is_the_default_machine(
    machine_of: Callable[..., LearningMachine],
) -> None:
    assert machine_of().spec == DEFAULT_SPEC
    assert machine_of(user_profile=UserProfileConfig(), session_context=True).spec == DEFAULT_SPEC
    assert machine_of(user_profile=UserProfileConfig(schema=UserProfile), session_context=True).spec == DEFAULT_SPEC


@pytest.mark.parametrize(
    ("stores", "expected"),
    [
        ({"user_profile": True}, ["user_profile"]),
        ({"user_profile": True, "session_context": False}, ["user_profile"]),
        ({"session_context": SessionContextConfig(enable_planning=True)}, ["session_context"]),
    ],
)
def test_given_a_machine_that_names_stores_then_it_has_exactly_those(
    machine_of: Callable[..., LearningMachine], stores: dict[str, Any], expected: list[str]
) -> None:
    assert list(machine_of(**stores).spec.stores) == expected


def test_given_a_configured_machine_then_all_of_it_is_in_the_spec_but_the_tenant(
    machine_of: Callable[..., LearningMachine],
) -> None:
    options: dict[str, Any] = {
        "name": "support",
        "model": "gpt-5.2",
        "user_profile": UserProfileConfig(schema=CustomerProfile, instructions="Be brief.", debounce=0),
        "session_context": SessionContextConfig(enable_planning=True, trigger="session_end"),
    }

    spec = machine_of(**options, tenant="acme").spec

    assert spec == machine_of(**options, tenant="other").spec
    profile = spec.stores["user_profile"]
    assert (spec.name, spec.model, profile.instructions, profile.debounce) == ("support", "gpt-5.2", "Be brief.", 0)
    assert profile.user_schema is not None
    assert list(profile.user_schema["properties"]) == ["name", "preferred_name", "plan"]
    assert spec.stores["session_context"].options == {"planning": True}
    assert spec.stores["session_context"].trigger == "session_end"


def test_given_a_schema_with_a_validator_then_it_needs_a_name_under_which_workers_import_it() -> None:
    with pytest.raises(ConfigurationError, match=r"validator .*schema_import="):
        UserProfileConfig(schema=CheckedProfile)

    config = UserProfileConfig(schema_import="learning_schemas.profile:UserProfile")
    assert config.spec().schema_import == "learning_schemas.profile:UserProfile"


def test_given_two_different_schemas_then_they_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"user_profile.schema_import: does not name"):
        UserProfileConfig(schema=CustomerProfile, schema_import="learning_schemas.profile:UserProfile")


@pytest.mark.parametrize(
    "values",
    [{"debounce": -1}, {"debounce": "x"}, {"max_wait": 1e99}, {"idle_after": float("nan")}, {"trigger": "x"}, {"model": ""},
     {"instructions": "a\x00"}, {"instructions": 5}],
)  # fmt: skip
@pytest.mark.parametrize("config", [UserProfileConfig, SessionContextConfig])
def test_given_a_value_that_cannot_be_then_the_config_refuses_and_names_it(config: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        config(**values)

    store = "user_profile" if config is UserProfileConfig else "session_context"
    assert refused.value.field == f"{store}.{next(iter(values))}"
    assert "Value error" not in str(refused.value)


def test_given_a_pattern_that_workers_have_no_engine_for_then_it_is_refused_when_the_config_is_made() -> None:
    class Looking(BaseModel):
        model_config = ConfigDict(regex_engine="python-re")

        code: Annotated[str, Field(pattern="^(?=a)")] | None = None

    with pytest.raises(ConfigurationError, match=r"user_profile.schema: the pattern '\^\(\?=a\)'"):
        UserProfileConfig(schema=Looking)


def test_given_more_fields_than_a_spec_holds_then_the_config_is_refused() -> None:
    many = make_dataclass("Many", [(f"f{number}", str | None, None) for number in range(101)])

    with pytest.raises(ConfigurationError, match=r"user_profile.user_schema: has more than 100 fields"):
        UserProfileConfig(schema=many)


@pytest.mark.parametrize(
    "made", [lambda: SessionContextConfig(enable_planning="no"), lambda: LearningMachine(redact="no")]
)  # type: ignore[arg-type]  # that is the point
def test_given_a_word_where_a_bool_belongs_then_it_is_not_taken_for_true(
    made: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARNING_DATABASE_URL", "postgresql://user:word@127.0.0.1:1/name")
    monkeypatch.setenv("LEARNING_REDIS_URL", "redis://127.0.0.1:1/0")

    with pytest.raises(ConfigurationError, match=r"is str, not a bool\. Give True or False"):
        made()
