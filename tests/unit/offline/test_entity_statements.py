"""Precision and recall of the entity rules on each set of sentences, held against what the docs publish."""

import json
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from harness import linear
from learning_ops.offline.entity_rules import entity_patch
from learning_ops.offline.entity_statements import entity_statements
from learning_ops.offline.transcript import Line, Transcript

ROOT = Path(__file__).parents[3]
SAID = date(2026, 11, 22)
SETS = {
    "development": (0, "offline_entities"),
    "held out": (1, "offline_entities"),
    "probes": (None, "offline_entities_probes"),
}
FLOORS = {"development": (0.97, 0.97), "held out": (0.95, 0.95), "probes": (0.90, 0.80)}

Atom = tuple[str | None, ...]


def rows(name: str) -> list[dict[str, Any]]:
    half, file = SETS[name]
    read = [json.loads(row) for row in (ROOT / f"tests/data/{file}.jsonl").read_text().splitlines()]
    return [row for row in read if half is None or int(sha256(row["text"].encode()).hexdigest(), 16) % 2 == half]


def atoms(patch: dict[str, Any]) -> set[Atom]:
    """Everything that a patch says, one thing each."""
    found: set[Atom] = set()
    for one in patch["entities"]:
        found.add(("entity", one["name"], one["type"]))
        found |= {("alias", one["name"], alias) for alias in one["aliases"]}
        found |= {("description", one["name"], one["description"])} if one["description"] else set()
    found |= {("fact", one["entity"], one["content"]) for one in patch["facts"]}
    found |= {("property", one["entity"], one["name"], one["value"]) for one in patch["properties"]}
    found |= {("event", one["entity"], one["content"], one["date"]) for one in patch["events"]}
    found |= {("relationship", one["source"], one["relation"], one["target"]) for one in patch["relationships"]}
    return found


@pytest.mark.parametrize("name", SETS)
def test_given_a_set_of_sentences_when_the_rules_read_it_then_the_docs_publish_what_they_reach(
    name: str, entity_schema: Any
) -> None:
    right = given = wanted = 0
    for row in rows(name):
        line = Line(id="m1", role="user", text=row["text"], at=SAID)
        found = atoms(entity_patch(Transcript(lines=(line,)), entity_schema()))
        expected = {tuple(atom) for atom in row["expect"]}
        right, given, wanted = right + len(found & expected), given + len(found), wanted + len(expected)
    line_published = f"| entities, {name} | {len(rows(name))} | {wanted} | {right / given:.3f} | {right / wanted:.3f} |"

    assert right / given >= FLOORS[name][0], line_published
    assert right / wanted >= FLOORS[name][1], line_published
    assert line_published in (ROOT / "docs/offline-model.md").read_text(), (
        f"docs/offline-model.md is stale: {line_published}"
    )


def test_given_both_halves_when_counted_then_there_are_enough_sentences_and_enough_that_state_nothing() -> None:
    both = rows("development") + rows("held out")

    assert len({row["text"] for row in both}) == len(both) >= 90
    assert min(len(rows("development")), len(rows("held out"))) >= 40
    assert sum(not row["expect"] for row in both) >= 30


@pytest.mark.parametrize("name", SETS)
def test_given_a_statement_when_its_span_is_cut_then_it_is_words_of_the_message(name: str) -> None:
    for row in rows(name):
        for one in entity_statements(row["text"], SAID):
            assert row["text"][one.start : one.end].strip()
            assert 0 <= one.start < one.end <= len(row["text"])


def test_given_the_same_message_when_read_with_another_day_then_only_what_is_relative_moves() -> None:
    text = "Acme Corp hired Bob yesterday. Globex Inc was founded in 2001."

    def dates(said: date | None) -> list[str | None]:
        return [one.date for one in entity_statements(text, said) if one.kind == "event"]

    assert dates(SAID) == ["2026-11-21", "2001"]
    assert dates(date(2025, 1, 1)) == ["2024-12-31", "2001"]
    assert dates(None) == [None, "2001"]


@pytest.mark.parametrize(
    "text",
    [
        "Acme " * 60_000,
        "Acme Corp hired Bob.\n" * 4_000,
        "Acme Corp hired Bob and " * 24,
        "Bank of " * 74,
        "Acme, the, " * 50,
        "Acme (Acme) " * 48,
        "Acme Corp" + " " * 580 + "x",
        "my friend " * 55 + "Acme",
        "Acme Corp is " + "just now already " * 30,
    ],
    ids=["names", "lines", "clauses", "links", "asides", "aliases", "spaces", "leads", "adverbs"],
)
def test_given_a_long_hostile_message_when_read_then_it_takes_no_long_time(text: str) -> None:
    with linear():
        entity_statements(text, SAID)
