"""Precision and recall of the profile rules on each set of sentences, held against what the docs publish."""

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest

from harness import linear
from learning_ops.offline.statements import statements

ROOT = Path(__file__).parents[3]
HALVES = {"development": "offline_sentences.jsonl", "held out": "offline_sentences_heldout.jsonl"}
SETS = {**HALVES, "probes": "offline_sentences_probes.jsonl"}
FLOORS = {"development": (0.97, 0.95), "held out": (0.95, 0.90), "probes": (0.65, 0.75)}

Found = set[tuple[str, str]]


def sentences(half: str) -> list[tuple[str, Found]]:
    rows = [json.loads(row) for row in (ROOT / "tests/data" / SETS[half]).read_text().splitlines()]
    return [(row["text"], {key(one["slot"], one["value"]) for one in row["expect"]}) for row in rows]


def key(slot: str, value: str) -> tuple[str, str]:
    return slot, re.sub(r"^(?:an?|the|to)\s+", "", value.casefold().strip(" .!,"))


def found_in(text: str) -> Found:
    return {key(("ended:" if one.ended else "") + one.slot, one.value) for one in statements(text)}


def figures(half: str) -> tuple[int, int, float, float]:
    rows = sentences(half)
    right = sum(len(expected & found_in(text)) for text, expected in rows)
    given = sum(len(found_in(text)) for text, _ in rows)
    wanted = sum(len(expected) for _, expected in rows)
    return len(rows), wanted, right / given, right / wanted


@pytest.mark.parametrize("half", SETS)
def test_given_a_set_of_sentences_when_the_rules_read_it_then_the_docs_publish_what_they_reach(half: str) -> None:
    rows, wanted, precision, recall = figures(half)
    line = f"| {half} | {rows} | {wanted} | {precision:.3f} | {recall:.3f} |"

    assert precision >= FLOORS[half][0], line
    assert recall >= FLOORS[half][1], line
    assert line in (ROOT / "docs/offline-model.md").read_text(), (
        f"docs/offline-model.md is stale: it should hold {line}"
    )


def test_given_the_two_halves_when_a_sentence_is_hashed_then_it_lies_in_the_half_that_the_hash_names() -> None:
    for half, remainder in (("development", 0), ("held out", 1)):
        for text, _ in sentences(half):
            assert int(sha256(text.encode()).hexdigest(), 16) % 2 == remainder, text


def test_given_both_halves_when_counted_then_there_are_enough_sentences_and_enough_that_state_nothing() -> None:
    rows = sentences("development") + sentences("held out")

    assert len({text for text, _ in rows}) == len(rows) >= 120
    assert sum(not expected for _, expected in rows) >= 35


@pytest.mark.parametrize("half", SETS)
def test_given_a_statement_when_its_span_is_cut_from_the_message_then_it_is_words_of_the_message(half: str) -> None:
    for text, _ in sentences(half):
        for one in statements(text):
            assert 0 <= one.start < one.end <= len(text)
            assert text[one.start : one.end].strip()


@pytest.mark.parametrize(
    "text",
    [
        "and I " * 50_000,
        "I live in" + " " * 300_000 + "Oslo",
        "\n" * 300_000,
        "[" * 300_000,
        "I live in Oslo " + "for over " * 30_000,
        "`" * 300_000,
    ],
    ids=["clauses", "spaces", "lines", "brackets", "tails", "ticks"],
)
def test_given_a_long_hostile_message_when_read_then_it_takes_no_long_time(text: str) -> None:
    with linear():
        statements(text)
