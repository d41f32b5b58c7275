"""Entities: one row for one thing, whatever it is called and however many sessions meet it at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from harness import rows
from learning_schemas.ids import uuid7
from learning_stores import entities
from learning_stores.admission import AT_ONCE
from learning_stores.database import Database
from learning_stores.grounding import content_key
from learning_stores.operations import Citation, EntityName, Put
from learning_stores.place import Place
from learning_stores.writing import Written, write

NOW = datetime(2026, 11, 22, tzinfo=UTC)
GLOBAL = Place(
    tenant="default",
    store="entity_memory",
    scope="namespace/global",
    user_id="alice",
    session_id="s1",
    namespace="global",
)
ACME, BOB = EntityName("Acme Corp", "company"), EntityName("Bob", "person")


def _cited() -> tuple[Citation, ...]:
    return (Citation(event_id=uuid7(), message=0, quote="said so", occurred_at=NOW),)


def alias(of: EntityName, name: str) -> Put:
    return Put(
        kind="alias", content=name, content_key=content_key(name), about=of, citations=_cited(), equal_by_key=True
    )


def fact(of: EntityName, content: str) -> Put:
    return Put(
        kind="fact", content=content, content_key=content_key(content), about=of, citations=_cited(), equal_by_key=True
    )


def edge(source: EntityName, relation: str, target: EntityName) -> Put:
    return Put(
        kind="relationship",
        content=f"{source.name}: {relation} {target.name}",
        content_key=content_key(relation),
        about=source,
        target=target,
        data={"relation": relation},
        citations=_cited(),
        equal_by_key=True,
    )


def said(app_db: Database, *operations: Put, place: Place = GLOBAL) -> Written:
    return app_db.run(place.tenant, write, place, operations, AT_ONCE, origin="tool", action="tried")


def _entities(everything_db: Database) -> list[tuple[str, str]]:
    return [
        (row["type"], row["name"])
        for row in rows(everything_db, "SELECT type, name FROM learning.entity ORDER BY type, name")
    ]


def test_given_a_name_and_its_alias_in_one_patch_when_written_then_both_mean_one_entity(
    app_db: Database, everything_db: Database
) -> None:
    said(app_db, alias(ACME, "Acme Corp"), alias(ACME, "Acme"), fact(EntityName("Acme", "company"), "Uses PostgreSQL"))
    assert _entities(everything_db) == [("company", "Acme Corp")]
    # And from then on, in any case and width.
    said(app_db, fact(EntityName(" ACME ", "Company"), "Has 42 employees"))
    assert _entities(everything_db) == [("company", "Acme Corp")]
    assert len(rows(everything_db, "SELECT DISTINCT about FROM learning.learning")) == 1


def test_given_one_name_of_two_types_when_written_then_they_stay_two(app_db: Database, everything_db: Database) -> None:
    mercury = EntityName("Mercury", "planet"), EntityName("Mercury", "element")
    said(app_db, *(fact(each, "Is known since antiquity") for each in mercury))
    assert _entities(everything_db) == [("element", "Mercury"), ("planet", "Mercury")]
    assert len(rows(everything_db, "SELECT FROM learning.learning WHERE status = 'active'")) == 2


def test_given_an_alias_of_two_when_used_then_it_is_neither_of_them(app_db: Database, everything_db: Database) -> None:
    smith, jones = EntityName("Bob Smith", "person"), EntityName("Bob Jones", "person")
    said(app_db, alias(smith, "Bob"), alias(jones, "Bob"))
    said(app_db, fact(BOB, "Plays chess"))
    assert _entities(everything_db) == [("person", "Bob"), ("person", "Bob Jones"), ("person", "Bob Smith")]


def test_given_names_that_are_merely_alike_when_written_then_they_stay_apart(
    app_db: Database, everything_db: Database
) -> None:
    said(app_db, *(fact(EntityName(name, "person"), "Runs") for name in ("Al", "Alan", "Alan B", "always")))
    assert len(_entities(everything_db)) == 4


def test_given_sessions_that_meet_the_same_things_at_once_when_written_then_each_is_made_once(
    app_db: Database, everything_db: Database
) -> None:
    def meet(number: int) -> Written:
        place = replace(GLOBAL, user_id=f"user{number}")
        first, second = (ACME, BOB) if number % 2 else (BOB, ACME)
        return said(
            app_db, fact(first, "Is new"), fact(second, f"Was met {number}"), edge(BOB, "CTO of", ACME), place=place
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(meet, range(20)))
    assert _entities(everything_db) == [("company", "Acme Corp"), ("person", "Bob")]
    (edges,) = rows(everything_db, "SELECT count(*) AS n FROM learning.learning WHERE kind = 'relationship'")
    assert edges == {"n": 1}
    (evidence,) = rows(
        everything_db,
        "SELECT count(*) AS n FROM learning.evidence v JOIN learning.learning l ON l.id = v.learning_id "
        "WHERE l.kind = 'relationship'",
    )
    assert evidence == {"n": 20}


def test_given_one_relation_to_two_when_written_then_both_edges_live(app_db: Database, everything_db: Database) -> None:
    said(app_db, edge(BOB, "works for", ACME), edge(BOB, "works for", EntityName("Globex", "company")))
    query = """
        SELECT s.name AS source, t.name AS target FROM learning.learning l
        JOIN learning.entity s ON s.id = l.about JOIN learning.entity t ON t.id = l.target ORDER BY 2"""
    assert rows(everything_db, query) == [
        {"source": "Bob", "target": "Acme Corp"},
        {"source": "Bob", "target": "Globex"},
    ]


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_given_two_users_own_namespaces_when_both_write_then_each_has_an_entity_of_its_own(
    app_db: Database, everything_db: Database, name: str
) -> None:
    for user in ("alice", "bob"):
        place = replace(GLOBAL, scope=f"namespace/user/{user}", user_id=user, namespace="user")
        said(app_db, fact(ACME, "Is a customer"), place=place)
    mine = rows(everything_db, "SELECT namespace FROM learning.entity WHERE user_id = :name", name=name)
    assert mine == [{"namespace": "user"}]
    owned = rows(everything_db, "SELECT FROM learning.learning WHERE user_id = :name", name=name)
    assert len(owned) == 1


def test_given_many_entities_when_some_are_named_then_each_is_found_by_the_index_of_names(
    app_db: Database, everything_db: Database
) -> None:
    """Under every write of an entity: a namespace of very many is not read through."""
    with everything_db.transaction() as session:
        session.execute(
            text("""
            INSERT INTO learning.entity (tenant, id, namespace, type, name, name_key)
            SELECT 'default', gen_random_uuid(), 'global', 'company', 'Company ' || n, 'company ' || n
            FROM generate_series(1, 5000) AS n""")
        )
        session.execute(text("ANALYZE learning.entity"))
    values = {"tenant": "default", "namespace": "global", "user_id": None, "types": ["company"], "names": ["company 7"]}
    with app_db.transaction("default") as session:
        explained = text(f"EXPLAIN (ANALYZE, COSTS OFF) {entities._NAMED.text}")
        plan = [row[0] for row in session.execute(explained, values)]
    read = [line for line in plan if "Index Cond" in line and "user_id IS NULL" in line]
    assert read, plan
    assert "name_key = " in read[0], plan
