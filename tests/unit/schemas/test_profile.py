"""Profile schemas, as users write them and as they travel."""

from dataclasses import dataclass, field, is_dataclass, make_dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import AfterValidator, BaseModel, Field

from learning_schemas.errors import ConfigurationError
from learning_schemas.profile import UserProfile, import_schema, json_schema_of


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Address:
    street: str | None = None
    number: int | None = None


@dataclass
class Everything(UserProfile):
    text: str | None = field(default=None, metadata={"description": "Some text"})
    whole: int | None = None
    number: float | None = None
    flag: bool | None = None
    color: Color | None = None
    size: Literal["s", "m"] | None = None
    tags: list[str] = field(default_factory=list)
    address: Address | None = None
    addresses: list[Address] = field(default_factory=list)
    scores: dict[str, int] | None = None
    day: date | None = None
    either: int | str | None = None
    old_style: Optional[list[int]] = None  # noqa: UP045 - as users of older code bases write it
    age: Annotated[int, Field(ge=0, le=150)] | None = None
    code: Annotated[str, Field(min_length=2, max_length=5, pattern="^a")] | None = None


class Customer(BaseModel):
    plan: str | None = Field(None, description="The plan they pay for")
    seats: int = Field(1, ge=1)


class Recursive(BaseModel):
    inner: "Recursive | None" = None


class Other:
    pass


@dataclass
class OfOther(UserProfile):
    other: Other | None = None


@dataclass
class OfNothing(UserProfile):
    other: "NoSuchName | None" = None  # type: ignore[name-defined]  # noqa: F821 - what the test is about


class Undecorated(UserProfile):
    plan: str | None = None


@dataclass
class Empty:
    pass


@dataclass
class Checked(UserProfile):
    plan: Annotated[str, AfterValidator(lambda value: value)] | None = None


def test_given_the_base_schema_then_it_is_a_plain_mutable_dataclass_with_defaults() -> None:
    profile = UserProfile()
    profile.name = "Alex"

    assert is_dataclass(UserProfile)
    assert profile == UserProfile(name="Alex", preferred_name=None)


def test_given_a_dataclass_then_types_constraints_and_descriptions_travel_without_defaults_titles_and_references() -> (
    None
):
    schema = json_schema_of(Everything)
    properties = schema["properties"]

    assert schema["type"] == "object"
    assert list(properties) == list(Everything.__dataclass_fields__)
    assert properties["text"] == {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "Some text"}
    assert properties["tags"] == {"type": "array", "items": {"type": "string"}}
    assert properties["color"]["anyOf"][0] == {"type": "string", "enum": ["red", "blue"]}
    assert properties["address"]["anyOf"][0]["properties"]["street"] == {
        "anyOf": [{"type": "string"}, {"type": "null"}]
    }
    assert properties["age"]["anyOf"][0] == {"type": "integer", "minimum": 0, "maximum": 150}
    for word in ("$ref", "$defs", "'default'", "'title'"):
        assert word not in str(schema)


def test_given_a_pydantic_model_then_it_travels_too() -> None:
    assert json_schema_of(Customer) == {
        "type": "object",
        "properties": {
            "plan": {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "The plan they pay for"},
            "seats": {"type": "integer", "minimum": 1},
        },
    }


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (5, "a int is neither"),
        (UserProfile(), "a UserProfile is neither"),
        (Other, "Other is neither"),
        (dict, "dict is neither"),
        (Undecorated, "not decorated with @dataclass"),
        (Empty, "has no fields"),
        (Recursive, "contains itself"),
        (OfOther, "no JSON Schema"),
        (OfNothing, "no JSON Schema"),
        (Checked, r"Python validator .*lambda.*schema_import='.*:Checked'"),
    ],
)
def test_given_a_schema_that_cannot_travel_then_it_is_refused_with_a_remedy(schema: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as refused:
        json_schema_of(schema)

    assert refused.value.field == "user_profile.schema"
    assert refused.value.remedy


@pytest.mark.parametrize(
    "name", ["_hidden", "json", "copy", "schema", "dict", "validate", "model_config", "model_fields"]
)
def test_given_a_field_whose_name_a_patch_cannot_have_then_it_is_refused_by_name(name: str) -> None:
    schema = make_dataclass("Named", [(name, str | None, None)], bases=(UserProfile,))

    with pytest.raises(ConfigurationError, match=f"Named has the field '{name}'"):
        json_schema_of(schema)


class Aliased(BaseModel):
    plan: str | None = Field(None, alias="the plan")


def test_given_an_alias_that_is_no_name_then_it_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'the plan'"):
        json_schema_of(Aliased)


def test_given_a_dataclass_field_with_an_alias_and_a_description_then_the_alias_travels() -> None:
    schema = make_dataclass(
        "S",
        [("plan", Annotated[str | None, Field(alias="tariff")], field(default=None, metadata={"description": "d"}))],
    )

    assert list(json_schema_of(schema)["properties"]) == ["tariff"]


def test_given_a_schema_that_workers_import_then_its_validators_are_accepted() -> None:
    assert "plan" in json_schema_of(Checked, has_import=True)["properties"]


def test_given_a_path_then_the_class_is_imported() -> None:
    assert import_schema("learning_schemas.profile:UserProfile") is UserProfile


@pytest.mark.parametrize(
    "path", ["", "x", ":", "os:path", "os.path", "no.such:Thing", ".profile:UserProfile", "os:no_such"]
)
def test_given_a_path_that_names_no_class_then_it_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"schema_import: .*Name it as 'package.module:Class'"):
        import_schema(path)


def test_given_a_map_whose_names_have_a_pattern_then_it_travels_without_pattern_properties() -> None:
    @dataclass
    class Mapped(UserProfile):
        codes: dict[Annotated[str, Field(pattern="^a")], int] = field(default_factory=dict)

    codes = json_schema_of(Mapped)["properties"]["codes"]

    assert codes == {
        "type": "object",
        "propertyNames": {"pattern": "^a"},
        "additionalProperties": {"type": "integer"},
    }


def test_given_modules_that_may_be_imported_when_another_is_named_then_it_is_refused_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "forbidden_schema_module.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))

    for allowed in ((), ("forbidden_schema_module.inner", "learning_schemas")):
        with pytest.raises(ConfigurationError, match="not among LEARNING_SCHEMA_IMPORTS"):
            import_schema("forbidden_schema_module:Schema", allowed=allowed)
    assert import_schema("learning_schemas.profile:UserProfile", allowed=["learning_schemas.profile"]) is UserProfile


@pytest.mark.parametrize("raised", ["SystemExit(1)", "RuntimeError('no')", "Exception()"])
def test_given_a_module_that_raises_when_imported_then_it_is_a_configuration_error(
    raised: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raising_schema_module.py").write_text(f"raise {raised}")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ConfigurationError, match="cannot be imported"):
        import_schema("raising_schema_module:Schema")


def test_given_a_class_that_is_no_schema_then_it_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="neither a dataclass nor a pydantic model"):
        import_schema("subprocess:Popen")
