"""docs/security.md names tests that exist and numbers that are so."""

import re
from pathlib import Path

import pytest

from learning_machine import recalling, tool_arguments
from learning_schemas import limits, patch, spec, user_schema
from learning_stores import entity_names, entity_tools, learning_rows, operations, room
from learning_stores.settings import ServiceSettings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text("utf-8")
MODULES = (
    limits,
    patch,
    spec,
    user_schema,
    entity_names,
    entity_tools,
    learning_rows,
    operations,
    recalling,
    room,
    tool_arguments,
)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([a-z]+/[\w/]+\.(?:py|jsonl))`", TEXT))))
def test_given_a_test_that_the_document_names_then_it_is_there(path: str) -> None:
    assert (ROOT / "tests" / path).is_file()


def test_given_a_number_with_its_constant_then_the_constant_has_it() -> None:
    found = re.findall(r"(\d[\d,]*)[a-z ,]*\(`(MAX_\w+)`\)", TEXT)
    constants = {name: getattr(module, name) for module in MODULES for name in vars(module) if name.startswith("MAX_")}
    assert len(found) >= 15
    for number, name in found:
        assert int(number.replace(",", "")) == constants[name], name
    for number, variable in re.findall(r"([\d,]+) \(`(LEARNING_\w+)`\)", TEXT):
        field = variable.removeprefix("LEARNING_").lower()
        assert int(number.replace(",", "")) == ServiceSettings.model_fields[field].default, variable
