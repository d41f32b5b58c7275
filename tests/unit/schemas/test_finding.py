"""Pydantic's findings in our words."""

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from learning_schemas.finding import first_finding


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    flags: list[bool] = Field(default=[], max_length=2)


class _Outer(BaseModel):
    inner: list[_Inner]
    metadata: dict[str, int] = {}


@pytest.mark.parametrize(
    ("value", "field", "problem"),
    [
        ({"inner": [{}]}, "inner[0].name", "is missing"),
        ({"inner": [{"name": "a", "odd": 1}]}, "inner[0].odd", "is not a field that exists"),
        ({"inner": [{"name": "a", "flags": [True] * 3}]}, "inner[0].flags", "holds more than 2"),
        ({"inner": [5]}, "inner[0]", "is not an object"),
        ({"inner": [], "metadata": {"private": "words"}}, "metadata", "input should be a valid integer"),
        ({"inner": [{"name": "\ud800"}]}, "inner[0].name", "has a lone surrogate"),
    ],
)
def test_given_a_fault_then_field_and_problem_are_said_in_words(value: object, field: str, problem: str) -> None:
    with pytest.raises(ValidationError) as refused:
        _Outer.model_validate(value)

    found = first_finding(refused.value)

    assert found.field == field
    assert found.problem.startswith(problem)
    assert "words" not in found.problem
