"""Merging entities in any order and undoing the merges in any other leaves what was held before, and nothing that dangles."""

import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from harness import rows
from integration.stores.past import at, check
from learning_stores import entity_statements as say
from learning_stores.admission import AT_ONCE
from learning_stores.attempts import attempted
from learning_stores.curator import entity_merging as merging
from learning_stores.database import Database
from learning_stores.operations import Citation, EntityName, Put
from learning_stores.place import Place
from learning_stores.undo import named, undo
from learning_stores.writing import record_change, write

NAMES = [EntityName(f"Thing {letter}", "thing") for letter in "ABCDE"]
THING = st.integers(0, len(NAMES) - 1)
STATEMENTS = st.lists(
    st.one_of(
        st.tuples(st.just("fact"), THING, st.sampled_from(["Is red", "Is large"])),
        st.tuples(st.just("property"), THING, st.sampled_from(["red", "blue"])),
        st.tuples(st.just("tie"), THING, THING),
    ),
    max_size=12,
)
MERGES = st.lists(st.tuples(THING, THING), min_size=1, max_size=5)

_HELD = """
    SELECT l.kind, l.about, l.target, l.content_key, l.content, l.data::text AS data, l.valid_from, l.origin, (
        SELECT array_agg(DISTINCT (v.extraction_id, v.added_at)::text) FROM learning.evidence v
        WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL) AS evidence
    FROM learning.learning l WHERE l.tenant = :t AND l.status = 'active' ORDER BY 1, 2, 3, 4"""
_ENTITIES = "SELECT id, name FROM learning.entity WHERE tenant = :t AND merged_into IS NULL ORDER BY name"
_DANGLING = """
    SELECT l.id FROM learning.learning l
    JOIN learning.entity a ON a.tenant = l.tenant AND a.id = l.about
    LEFT JOIN learning.entity t ON t.tenant = l.tenant AND t.id = l.target
    WHERE l.tenant = :t AND l.status = 'active' AND (l.about = l.target OR a.merged_into IS NOT NULL OR t.merged_into IS NOT NULL
        OR right(l.content_key, 36) <> coalesce(l.target::text, right(l.content_key, 36)))"""


def _said(statement: tuple[Any, ...], number: int) -> Put:
    kind, about, rest = statement
    cited = (Citation(occurred_at=at(number)),)
    if kind == "fact":
        return say.fact_of(NAMES[about], rest, cited)
    if kind == "property":
        return say.property_of(NAMES[about], "colour", rest, cited)
    return say.relationship_of(NAMES[about], "next to", NAMES[rest], cited)


def _merge(session: Session, place: Place, pair: tuple[uuid.UUID, uuid.UUID]) -> uuid.UUID | None:
    """Merge the first into the second, as the job does; None where it would not."""

    def work() -> uuid.UUID | None:
        source = record_change(session, place, origin="curator", action="resolve-entities", by="run")
        held = merging.hold(session, place.tenant, pair)
        if len(held) < 2 or merging.kept_apart(session, source, pair[:1]) or merging.tied(session, place.tenant, pair):
            return None
        merging.merge(session, source, {pair[0]: pair[1]})
        return source.made_by

    return attempted(session, work)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(statements=STATEMENTS, merges=MERGES, data=st.data())
def test_given_any_merges_when_undone_in_any_order_then_what_was_held_before_them_is_held_again(
    statements: list[Any], merges: list[tuple[int, int]], data: st.DataObject, app_db: Database, everything_db: Database
) -> None:
    tenant = uuid.uuid4().hex  # an empty place for each example
    place = Place(tenant=tenant, store="entity_memory", scope="namespace/global", namespace="global")
    cited = (Citation(occurred_at=at(0)),)
    told = [say.alias_of(name, name.name, cited) for name in NAMES]
    told += [_said(each, number) for number, each in enumerate(statements, 1) if each[0] != "tie" or each[1] != each[2]]
    for put in told:
        app_db.run(tenant, write, place, [put], AT_ONCE, origin="tool", action="add_fact")
    before, entities = rows(everything_db, _HELD, t=tenant), rows(everything_db, _ENTITIES, t=tenant)
    ids = [entity["id"] for entity in entities]

    made = [app_db.run(tenant, _merge, place, (ids[a], ids[b])) for a, b in merges if a != b]
    changes = [change for change in made if change is not None]
    assert len(rows(everything_db, _ENTITIES, t=tenant)) == len(ids) - len(changes)
    assert rows(everything_db, _DANGLING, t=tenant) == []
    check(everything_db)
    for change in data.draw(st.permutations(changes)):
        (source,) = app_db.run(tenant, named, tenant, [change])
        assert app_db.run(tenant, undo, tenant, source, by="ops").done
        assert rows(everything_db, _DANGLING, t=tenant) == []
        check(everything_db)
    assert rows(everything_db, _ENTITIES, t=tenant) == entities
    assert rows(everything_db, _HELD, t=tenant) == before


@pytest.mark.parametrize("first", [0, 1], ids=["the earlier first", "the later first"])
@pytest.mark.parametrize("ties", [(("tie", 1, 0), ("tie", 2, 0)), (("tie", 2, 0), ("tie", 1, 0))], ids=["B, C", "C, B"])
def test_given_statements_that_a_merge_made_equal_when_one_of_two_merges_is_undone_then_both_count_and_then_both_are_back(
    ties: Any, first: int, app_db: Database, everything_db: Database
) -> None:
    place = Place(tenant="default", store="entity_memory", scope="namespace/global", namespace="global")
    for put in [
        *(say.alias_of(name, name.name, (Citation(occurred_at=at(0)),)) for name in NAMES),
        *map(_said, ties, (1, 2)),
    ]:
        app_db.run("default", write, place, [put], AT_ONCE, origin="tool", action="add_fact")
    before = rows(everything_db, _HELD, t="default")
    ids = [entity["id"] for entity in rows(everything_db, _ENTITIES, t="default")]
    made = [app_db.run("default", _merge, place, (ids[a], ids[b])) for a, b in ((0, 3), (1, 2))]

    for number in (first, 1 - first):
        (source,) = app_db.run("default", named, "default", [made[number]])
        app_db.run("default", undo, "default", source, by="ops")
        said = [row for row in rows(everything_db, _HELD, t="default") if row["kind"] == "relationship"]
        assert {change for row in said for change in row["evidence"]} == {
            change for row in before if row["kind"] == "relationship" for change in row["evidence"]
        }
    assert rows(everything_db, _HELD, t="default") == before
