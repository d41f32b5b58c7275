"""What calls answer with."""

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime

import pytest

from learning_schemas.ids import uuid7
from learning_schemas.results import SETTLED, Recall, RecalledLearning


def _learning(kind: str, content: str, **data: object) -> RecalledLearning:
    return RecalledLearning(
        id=uuid7(), store="user_profile", kind=kind, content=content, data=data, valid_from=datetime.now(UTC)
    )


def test_given_a_recall_then_fields_and_memories_are_read_from_its_learnings_and_its_text_is_the_context() -> None:
    recall = Recall(
        context="<block>",
        learnings=(
            _learning("field", "name: Alice", name="name", value="Alice"),
            _learning("memory", "Works at Netflix"),
            _learning("summary", "They said hello."),
        ),
    )

    assert recall.fields == {"name": "Alice"}
    assert recall.memories == ("Works at Netflix",)
    assert str(recall) == "<block>"


def test_given_a_result_then_it_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Recall().pending = 1  # type: ignore[misc]  # what the test is about


def test_given_the_states_then_all_but_pending_are_settled() -> None:
    assert set(SETTLED) == {"extracted", "nothing_found", "skipped", "dead"}
