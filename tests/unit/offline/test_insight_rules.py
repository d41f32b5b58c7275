"""The lessons that messages state, set against the insights that are known."""

from typing import Any

import pytest

from learning_ops.offline.insight_rules import alike, insight_patch
from learning_ops.offline.instance import fits
from learning_ops.offline.transcript import read_transcript
from learning_stores.grounding import quote_holds

PIN = {
    "id": "k1",
    "kind": "insight",
    "title": "Always pin dependencies",
    "text": "Always pin dependencies when building container images",
}


@pytest.fixture
def patch(material: Any, insight_schema: Any) -> Any:
    def made(*said: Any, known: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        lines = [
            {"id": f"m{number}", "role": "user", **({"text": one} if isinstance(one, str) else one)}
            for number, one in enumerate(said, start=1)
        ]
        schema = insight_schema()
        read = read_transcript(material(lines, known))
        assert read is not None
        result = insight_patch(read, schema)
        assert fits(result, schema, schema)
        texts = {line["id"]: line["text"] for line in lines}
        assert all(quote_holds(one["quote"], texts[one["message"]]) for several in result.values() for one in several)
        return result

    return made


def test_given_a_lesson_when_read_then_it_has_title_context_and_tags_and_quotes_its_sentence(patch: Any) -> None:
    said = "Our images broke. Lesson learned: always pin dependencies when building container images."

    assert patch(said) == {
        "insights": [
            {
                "title": "Always pin dependencies",
                "learning": "Always pin dependencies when building container images",
                "context": "When building container images",
                "tags": ["pin", "dependencies", "building", "container", "images"],
                "message": "m1",
                "quote": "Lesson learned: always pin dependencies when building container images.",
            }
        ],
        "confirm": [],
        "retract": [],
    }


@pytest.mark.parametrize(
    "said",
    [
        "Always pin dependencies when building container images.",
        "Tip: always pin your dependencies when building container images!",
    ],
)
def test_given_a_known_insight_when_it_is_said_again_then_it_is_confirmed_and_not_added(patch: Any, said: str) -> None:
    result = patch(said, known=[PIN])

    assert [one["learning"] for one in result["confirm"]] == ["k1"]
    assert result["insights"] == []


def test_given_a_known_insight_when_its_opposite_is_said_then_this_is_a_new_one_and_the_known_one_stays(
    patch: Any,
) -> None:
    result = patch("Never pin dependencies when building container images.", known=[PIN])

    assert [one["title"] for one in result["insights"]] == ["Never pin dependencies"]
    assert result["confirm"] == result["retract"] == []


@pytest.mark.parametrize(
    "said",
    [
        "Please forget that you should always pin dependencies when building container images.",
        "It is not true that always pin dependencies when building container images",
    ],
)
def test_given_a_known_insight_when_it_is_taken_back_in_its_own_words_then_it_is_retracted(
    patch: Any, said: str
) -> None:
    other = {**PIN, "id": "k2", "title": "Test the rollback", "text": "Test the rollback before a deploy"}

    assert [one["learning"] for one in patch(said, known=[PIN, other])["retract"]] == ["k1"]


def test_given_lines_by_role_when_read_then_user_and_assistant_teach_and_others_and_earlier_lines_do_not(
    patch: Any,
) -> None:
    result = patch(
        {"role": "assistant", "text": "Tip: sort the input first."},
        {"role": "tool", "text": "Tip: shuffle the input first."},
        {"role": "user", "text": "Tip: drop the input first.", "earlier": True},
    )

    assert [one["learning"] for one in result["insights"]] == ["Sort the input first"]


def test_given_a_lesson_said_twice_when_read_then_it_stands_once(patch: Any) -> None:
    assert len(patch("Tip: sort the input first.", "Lesson: sort the input first.")["insights"]) == 1


def test_given_two_texts_when_compared_then_they_are_alike_by_content_and_denial() -> None:
    assert alike("Always test the rollback before a deploy", "test a rollback before the deploy")
    assert not alike("Always test the rollback", "Never test the rollback")
    assert not alike("Test the rollback", "Test the alarm")
    assert not alike("", "")
