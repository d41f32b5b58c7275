"""The offline model's verdicts on pairs of entities, and its statements for clusters: sure ones only."""

import json
from typing import Any

import pytest

from learning_ops.offline.consolidation_rules import consolidations
from learning_ops.offline.entity_pair_rules import entity_verdicts
from learning_stores.json_line import block


def judged(a: dict[str, Any], b: dict[str, Any]) -> str:
    """The verdict on one pair, whichever of the two comes first."""
    answers = [
        entity_verdicts(block("pairs", [{"id": "p1", "type": "company", "a": one, "b": other}]))
        for one, other in ((a, b), (b, a))
    ]
    assert answers[0] == answers[1]
    assert answers[0] is not None
    (verdict,) = answers[0]["verdicts"]
    assert verdict["pair"] == "p1"
    return str(verdict["verdict"])


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        ({"name": "Acme Corp"}, {"name": "ACME, Inc."}, "same"),
        ({"name": "Acme"}, {"name": "Globex", "also": ["ACME"]}, "same"),
        (
            {"name": "Acme", "property": ["industry: retail"]},
            {"name": "Acme Ltd", "property": ["industry: steel"]},
            "unsure",
        ),
        ({"name": "Acme 1"}, {"name": "Acme 2"}, "different"),
        ({"name": "Bob"}, {"name": "Bob Smith"}, "unsure"),
        ({"name": "IBM"}, {"name": "International Business Machines"}, "unsure"),
    ],
)
def test_given_two_entries_when_judged_then_only_what_their_names_leave_no_doubt_of_is_said(
    one: dict[str, Any], other: dict[str, Any], verdict: str
) -> None:
    assert judged(one, other) == verdict


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["Likes green tea", "Likes rye bread.", "Likes jazz"], "Likes green tea, rye bread and jazz"),
        (["Likes green tea", "Likes tea in the morning"], None),
        (["Likes green tea", "Drinks black tea"], None),
        (["Likes tea and coffee", "Likes rye bread"], None),
        (["Lives in Bern", "Lives in Basel"], None),
    ],
)
def test_given_a_cluster_when_asked_then_a_list_is_made_only_where_each_statement_is_one_thing_more(
    statements: list[str], told: str | None
) -> None:
    asked = block("clusters", [{"id": "c1", "kind": "memory", "statements": statements}])
    assert consolidations(asked) == {"clusters": [{"cluster": "c1", "statement": told}]}


@pytest.mark.parametrize(
    "text", ["", "<pairs>\nnonsense\n</pairs>", "<pairs>\n{}\n</pairs>", f"<pairs>\n{json.dumps([1])}\n</pairs>"]
)
def test_given_another_programs_data_when_asked_then_there_is_no_verdict(text: str) -> None:
    assert entity_verdicts(text) is None
    assert consolidations(text.replace("pairs", "clusters")) is None
