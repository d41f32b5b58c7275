"""Python validators, wherever they hide."""

from dataclasses import dataclass
from typing import Annotated, Any

import pydantic.dataclasses
import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainValidator,
    TypeAdapter,
    WrapValidator,
    field_validator,
    model_validator,
)

from learning_schemas.validators import python_validator


def _checked(value: int) -> int:
    return value


class _ByField(BaseModel):
    a: int = 1

    @field_validator("a")
    @classmethod
    def check_a(cls, value: int) -> int:
        return value


class _Inherits(_ByField):
    b: int = 1


class _ByModel(BaseModel):
    a: int = 1

    @model_validator(mode="after")
    def check_all(self) -> "_ByModel":
        return self


class _AfterInit(BaseModel):
    a: int = 1

    def model_post_init(self, context: Any, /) -> None:
        raise ValueError("never")


class _Holds(BaseModel):
    inner: list[dict[str, _ByField | None]] = []


@dataclass
class _PostInit:
    a: int = 1

    def __post_init__(self) -> None:
        self.a += 1


@dataclass
class _InheritsPostInit(_PostInit):
    b: int = 1


@dataclass
class _HoldsPostInit:
    inner: _PostInit | None = None


@pydantic.dataclasses.dataclass
class _PydanticDataclass:
    a: int = 1

    @field_validator("a")
    @classmethod
    def check_a(cls, value: int) -> int:
        return value


@dataclass
class _After:
    a: Annotated[int, AfterValidator(_checked)] = 1


@dataclass
class _Before:
    a: Annotated[int, BeforeValidator(_checked)] | None = None


@dataclass
class _Wrap:
    a: list[Annotated[int, WrapValidator(lambda value, handler: handler(value))]] | None = None


@dataclass
class _Plain:
    a: Annotated[int, PlainValidator(_checked)] = 1


@dataclass
class _OfAnotherPackage:
    a: Annotated[int, AfterValidator(_checked)] = 1


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        (_ByField, "_ByField.check_a"),
        (_Inherits, "_Inherits.check_a"),
        (_ByModel, "_ByModel.check_all"),
        (_AfterInit, "_AfterInit.model_post_init"),
        (_Holds, "_ByField.check_a"),
        (_PostInit, "_PostInit.__post_init__"),
        (_InheritsPostInit, "_InheritsPostInit.__post_init__"),
        (_HoldsPostInit, "_PostInit.__post_init__"),
        (_PydanticDataclass, "_PydanticDataclass.check_a"),
        (_After, "_checked"),
        (_Before, "_checked"),
        (_Wrap, "_Wrap.<lambda>"),
        (_Plain, "_checked"),
    ],
)
def test_given_a_class_with_a_python_validator_then_it_is_named(schema: type, name: str) -> None:
    assert python_validator(schema, TypeAdapter(schema).core_schema) == name


def test_given_a_validator_of_a_package_whose_name_begins_like_pydantics_then_it_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_checked, "__module__", "pydantic_app.checks")

    assert python_validator(_OfAnotherPackage, TypeAdapter(_OfAnotherPackage).core_schema) == "_checked"


class _Private(BaseModel):
    a: Annotated[int, Field(ge=0, le=5)] = 1
    _cached: int = 3


@dataclass
class _OnlyConstraints:
    a: Annotated[str, Field(pattern="^a", max_length=3)] | None = None
    inner: list[_Private] | None = None


@pytest.mark.parametrize("schema", [_Private, _OnlyConstraints])
def test_given_only_what_json_schema_can_say_then_there_is_none(schema: type) -> None:
    assert python_validator(schema, TypeAdapter(schema).core_schema) is None
