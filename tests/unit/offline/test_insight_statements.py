"""Precision and recall of the insight rules on each set of sentences, held against what the docs publish."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from harness import linear
from learning_ops.offline.insight_statements import TAGS, TITLE_WORDS, Lesson, lessons

ROOT = Path(__file__).parents[3]
SETS = {
    "development": (0, "offline_insights"),
    "held out": (1, "offline_insights"),
    "probes": (None, "offline_insights_probes"),
}
FLOORS = {"development": (0.97, 0.97), "held out": (0.88, 0.88), "probes": (0.90, 0.80)}


def rows(name: str) -> list[dict[str, Any]]:
    half, file = SETS[name]
    read = [json.loads(row) for row in (ROOT / f"tests/data/{file}.jsonl").read_text().splitlines()]
    return [row for row in read if half is None or int(sha256(row["text"].encode()).hexdigest(), 16) % 2 == half]


def key(learning: str, context: str | None) -> tuple[str, str]:
    return learning.casefold(), (context or "").casefold()


@pytest.mark.parametrize("name", SETS)
def test_given_a_set_of_sentences_when_the_rules_read_it_then_the_docs_publish_what_they_reach(name: str) -> None:
    right = given = wanted = 0
    for row in rows(name):
        found = {key(one.learning, one.context) for one in lessons(row["text"])}
        expected = {key(one["learning"], one["context"]) for one in row["expect"]}
        right, given, wanted = right + len(found & expected), given + len(found), wanted + len(expected)
    line = f"| insights, {name} | {len(rows(name))} | {wanted} | {right / given:.3f} | {right / wanted:.3f} |"

    assert right / given >= FLOORS[name][0], line
    assert right / wanted >= FLOORS[name][1], line
    assert line in (ROOT / "docs/offline-model.md").read_text(), f"docs/offline-model.md is stale: {line}"


def test_given_both_halves_when_counted_then_there_are_enough_sentences_and_enough_that_state_nothing() -> None:
    both = rows("development") + rows("held out")

    assert len({row["text"] for row in both}) == len(both) >= 60
    assert min(len(rows("development")), len(rows("held out"))) >= 30
    assert sum(not row["expect"] for row in both) >= 30


@pytest.mark.parametrize("name", SETS)
def test_given_a_lesson_when_described_then_title_and_tags_are_its_own_words(name: str) -> None:
    for row in rows(name):
        for one in lessons(row["text"]):
            assert 1 <= len(one.title.split()) <= TITLE_WORDS
            assert one.title.casefold() in one.learning.casefold()
            assert 1 <= len(one.tags) <= TAGS
            assert all(tag in one.learning.casefold() for tag in one.tags)
            assert row["text"][one.start : one.end].strip()


def test_given_a_condition_when_a_title_is_made_then_it_is_left_out_wherever_it_stands() -> None:
    before = Lesson(learning="When deploying, always tag the release", context="When deploying")
    after = Lesson(learning="Always tag the release when deploying", context="When deploying")

    assert before.title == after.title == "Always tag the release"
    assert before.tags == ["deploying", "tag", "release"]


@pytest.mark.parametrize(
    "text",
    [
        "always " * 90,
        "When " * 110 + ", always x",
        "a is better than " * 35,
        "the tip is " * 50,
        "Tip: test it.\n" * 6_000,
    ],
    ids=["always", "when", "better", "tips", "lines"],
)
def test_given_a_long_hostile_message_when_read_then_it_takes_no_long_time(text: str) -> None:
    with linear():
        lessons(text)
