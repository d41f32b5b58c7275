"""Patch models, as every store asks the model for them."""

from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from learning_ops.offline.strict_schema import check_strict_schema
from learning_schemas.patch import profile_patch_model, session_patch_model
from learning_schemas.profile import UserProfile, json_schema_of
from learning_schemas.spec import StoreSpec


class Tier(Enum):
    FREE = "free"
    PAID = "paid"


@dataclass
class Address:
    street: str | None = None
    tags: list[str] = field(default_factory=list)


class Seat(BaseModel):
    number: Annotated[int, Field(ge=1, le=9)] = 1
    code: Annotated[str, Field(pattern="^[A-Z]+$", max_length=3)] | None = None


@dataclass
class CustomerProfile(UserProfile):
    text: str | None = field(default=None, metadata={"description": "Some text"})
    whole: int | None = None
    number: float | None = None
    flag: bool | None = None
    tier: Tier | None = None
    size: Literal["s", "m"] | None = None
    tags: list[str] = field(default_factory=list)
    address: Address | None = None
    seats: list[Seat] = field(default_factory=list)
    scores: dict[str, int] | None = None
    by_city: dict[str, Address] | None = None
    anything: dict[str, Any] | None = None
    day: date | None = None
    either: int | str | None = None
    model_name: str | None = None


def _profile(schema: type | None) -> StoreSpec:
    return StoreSpec(scope="user", user_schema=None if schema is None else json_schema_of(schema))


@pytest.mark.parametrize("schema", [None, UserProfile, CustomerProfile, Seat])
def test_given_any_profile_schema_then_the_patchs_schema_is_strict_and_has_its_fields(schema: type | None) -> None:
    model = profile_patch_model(_profile(schema))

    json_schema = model.model_json_schema()
    check_strict_schema(json_schema)
    fields = json_schema["$defs"]["fields"]["properties"]
    assert set(fields) == set(json_schema_of(schema or UserProfile)["properties"])


@pytest.mark.parametrize("planning", [False, True])
def test_given_a_session_then_the_patchs_schema_is_strict_and_plans_only_where_it_is_asked_to(planning: bool) -> None:
    model = session_patch_model(StoreSpec(scope="session", options={"planning": True} if planning else {}))

    check_strict_schema(model.model_json_schema())
    assert set(model.model_fields) == {"summary"} | ({"goal", "plan", "progress"} if planning else set())


def test_given_an_answer_then_each_field_is_read_by_its_name() -> None:
    model = profile_patch_model(_profile(CustomerProfile))
    said = {"message": "m1", "quote": "on the paid tier"}
    answer = {
        "fields": dict.fromkeys(json_schema_of(CustomerProfile)["properties"])
        | {"tier": {"value": "paid", **said}, "model_name": {"value": "T", **said}},
        "add": [{"content": "Is a customer", **said}],
        "update": [],
        "retract": [{"learning": "k1", **said}],
    }

    patch = model.model_validate(answer)

    assert patch.fields.tier.value == "paid"
    assert patch.fields.model_name.value == "T"
    assert patch.fields.text is None
    assert patch.retract[0].learning == "k1"


def test_given_an_answer_with_more_than_was_asked_for_then_it_is_refused() -> None:
    with pytest.raises(ValidationError):
        session_patch_model(StoreSpec(scope="session")).model_validate({"summary": None, "goal": None})


@pytest.mark.parametrize("planning", [False, True])
def test_given_a_session_with_fields_of_its_own_then_the_patchs_schema_is_strict_and_has_them(planning: bool) -> None:
    options = {"planning": True} if planning else {}
    schema = json_schema_of(CustomerProfile)
    model = session_patch_model(StoreSpec(scope="session", options=options, user_schema=schema))

    json_schema = model.model_json_schema()
    check_strict_schema(json_schema)
    assert set(json_schema["$defs"]["fields"]["properties"]) == set(schema["properties"])
    assert ("plan" in model.model_fields) is planning
