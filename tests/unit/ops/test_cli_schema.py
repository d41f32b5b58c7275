"""The published wire format: what the command prints is what the code takes, and what is checked in."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from learning_ops.cli.schema import Subject, schema_text, wire_schema
from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import uuid7
from learning_schemas.spec import DEFAULT_SPEC

CHECKED_IN = Path(__file__).parents[3] / "docs" / "wire-format.schema.json"


def test_given_the_checked_in_schema_when_the_code_changes_then_it_is_stale() -> None:
    assert CHECKED_IN.read_text(encoding="utf-8") == schema_text(Subject.EVENT), (
        "run: learning-machine schema --output docs/wire-format.schema.json"
    )


@pytest.mark.parametrize("subject", list(Subject))
def test_given_a_subject_when_its_schema_is_made_then_it_is_valid_and_says_what_it_is(subject: Subject) -> None:
    schema = wire_schema(subject)

    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:learning-machine:{subject}:v1"
    assert schema["version"] == 1
    assert schema["title"]
    assert schema["description"]


def test_given_an_event_in_wire_form_when_held_against_the_schema_then_it_fits() -> None:
    event = ConversationCompleted.make(
        {
            "id": uuid7(),
            "user_id": "alex",
            "session_id": "s1",
            "occurred_at": datetime.now(UTC),
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        }
    )
    validator = Draft202012Validator(wire_schema(Subject.EVENT))

    validator.validate(json.loads(event.to_json()))
    assert not validator.is_valid({**json.loads(event.to_json()), "surprise": 1})
    assert not validator.is_valid({**json.loads(event.to_json()), "messages": []})


def test_given_a_spec_when_held_against_its_schema_then_it_fits() -> None:
    Draft202012Validator(wire_schema(Subject.SPEC)).validate(json.loads(DEFAULT_SPEC.to_json()))
