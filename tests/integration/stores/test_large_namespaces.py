"""Extraction in a namespace that holds much: what it reads is what it looks up, whatever else is there.

Sessions execute the same statement again and again, and Postgres then makes one plan for all places, by what they hold on
average. A namespace that a whole tenant shares holds far more than the average place.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from harness import Place as Served
from harness import event, rows, turn
from integration.stores.steps import claim, mailbox_id, take_in, window_of, work
from learning_schemas.ids import uuid7
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_schemas.spec import Prune as Policy
from learning_stores import entity_lookup
from learning_stores.admission import AT_ONCE
from learning_stores.curator.deduplicate import Deduplicate
from learning_stores.curator.job import JobContext
from learning_stores.curator.prune import Prune
from learning_stores.curator.scopes import Unit
from learning_stores.database import Database
from learning_stores.entity_memory import EntityMemoryStore
from learning_stores.entity_statements import alias_of, fact_of
from learning_stores.insight import insight_put
from learning_stores.learned_knowledge import LearnedKnowledgeStore
from learning_stores.operations import Citation, EntityName, Provenance, Put
from learning_stores.place import Place
from learning_stores.store import Reading
from learning_stores.window import Window
from learning_stores.writing import write

SPEC = StoreSpec(scope="session", debounce=0)
CITED = (Citation(occurred_at=datetime(2026, 11, 22, tzinfo=UTC)),)
ACME = EntityName("Acme Corp", "company")
FEW = 1_000
"""Rows that a look-up may read: a fifth of what the namespace holds of its store, and several times what it takes."""
COUNTED = 2_001
"""Rows, the newest of a place, that say how common a word is."""

_FILL = """
    INSERT INTO learning.entity (tenant, id, namespace, type, name, name_key)
    SELECT 'default', md5('entity' || n)::uuid, 'global', 'project', 'Project ' || n, 'project ' || n
    FROM generate_series(1, 50) AS n;
    INSERT INTO learning.learning
        (tenant, id, store, kind, scope, namespace, about, content, content_key, status, valid_from, live_from, origin)
    SELECT 'default', gen_random_uuid(), store, kind, 'namespace/global', 'global', about, 'Delivers barge x' || n, 'n' || n,
           'active', now(), now() - n * interval '1 s', 'import'
    FROM generate_series(1, 5000) AS n CROSS JOIN LATERAL (
        VALUES ('entity_memory', 'fact', md5('entity' || n % 50 + 1)::uuid), ('learned_knowledge', 'insight', NULL))
        AS each (store, kind, about);
    INSERT INTO learning.learning
        (tenant, id, store, kind, scope, user_id, content, content_key, status, valid_from, live_from, origin)
    SELECT 'default', gen_random_uuid(), 'user_profile', 'memory', 'user/u' || n, 'u' || n, 'Likes ' || n, 'n' || n,
           'active', now(), now(), 'import'
    FROM generate_series(1, 2000) AS n;
    INSERT INTO learning.learning
        (tenant, id, store, kind, scope, namespace, about, content, content_key, status, valid_from, valid_to, live_from,
         retired_at, retired_reason, origin)
    SELECT 'default', gen_random_uuid(), 'entity_memory', 'fact', 'namespace/global', 'global', md5('entity1')::uuid, 'Left',
           'n' || n, 'retired', now(), now(), now() - interval '1 d', now(), 'replaced', 'import'
    FROM generate_series(1, 5000) AS n
"""

_READ = text("""
    SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables
    WHERE schemaname = 'learning' AND relname IN ('learning', 'entity', 'evidence')
""")


def at(store: str) -> Place:
    """The namespace that all users of the tenant share."""
    return Place(
        tenant="default", store=store, scope="namespace/global", user_id="alice", session_id="s1", namespace="global"
    )


def insight(learning: str) -> Put:
    return insight_put(title="Offices", learning=learning, context=None, tags=(), fields=None, citations=CITED)


@pytest.fixture
def window(place: Served, app_db: Database, dispatcher_db: Database, everything_db: Database) -> Window:
    """Ten turns of a session that speaks of Acme, each with a fact that was extracted; around them a large namespace."""
    said = [event(messages=turn(f"Acme Corp moved its office number {n} to Oslo"), session_id="s1") for n in range(10)]
    take_in(dispatcher_db, *said, spec=MachineSpec(stores={"entity_memory": SPEC}))
    held = claim(app_db, mailbox_id(everything_db, "entity_memory"))
    found = window_of(app_db, held)
    spoken = [each for each in found.messages if each.role == "user"]
    facts = [
        fact_of(
            ACME,
            each.text,
            (
                Citation(
                    event_id=each.event_id, message=each.index, quote=each.text, user_id="alice", occurred_at=each.at
                ),
            ),
        )
        for each in spoken
    ]
    work(app_db, held, alias_of(ACME, "Acme Corp", CITED), *facts, window=found, place=at("entity_memory"))
    with psycopg.connect(place.superuser_url, autocommit=True) as connection:
        connection.execute(_FILL)
        connection.execute("VACUUM ANALYZE learning.learning, learning.entity, learning.evidence")
    return found


def read_by(database: Database, ask: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[int, Any]:
    """How many rows it reads with one plan for all places, and what it returns."""

    def counted(session: Session) -> tuple[int, Any]:
        session.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        before = session.scalar(_READ)
        answer = ask(session, *args, **kwargs)
        return int(session.scalar(_READ)) - int(before), answer

    return database.run("default", counted)


@pytest.mark.parametrize("words", ["Acme Corp it is", "It moved again"])
def test_given_a_large_namespace_when_known_entities_are_read_then_only_theirs_are(
    window: Window, app_db: Database, words: str
) -> None:
    asked = replace(window, messages=(replace(window.messages[0], text=words),))
    reading = Reading(place=at("entity_memory"), scopes=["namespace/global"], spec=SPEC)

    read, known = read_by(app_db, EntityMemoryStore().known, reading, asked)

    assert len([each for each in known if each.entity == "Acme Corp"]) == 11
    assert read < FEW


def test_given_a_large_namespace_when_facts_are_written_then_it_is_not_read_as_a_whole(
    window: Window, app_db: Database
) -> None:
    facts = [fact_of(ACME, f"Opens floor {n}", CITED) for n in range(5)] + [
        fact_of(ACME, window.messages[0].text, CITED)
    ]
    read, written = read_by(app_db, write, at("entity_memory"), facts, AT_ONCE, origin="tool", action="tried")
    assert written.changes == {"added": 5, "confirmed": 1}
    assert read < FEW


def test_given_a_large_namespace_when_insights_are_written_then_it_is_not_read_as_a_whole(
    window: Window, app_db: Database
) -> None:
    insights = [insight(f"Floors such as number {n} open early") for n in range(5)]
    read, written = read_by(app_db, write, at("learned_knowledge"), insights, AT_ONCE, origin="tool", action="tried")
    assert written.changes == {"added": 5}
    assert read < FEW


def test_given_a_large_namespace_when_known_insights_are_read_then_only_those_like_the_words_are(
    window: Window, app_db: Database
) -> None:
    saved = insight("Moving an office to Oslo takes a week")
    app_db.run("default", write, at("learned_knowledge"), [saved], AT_ONCE, origin="tool", action="tried")
    reading = Reading(place=at("learned_knowledge"), scopes=["namespace/global"], spec=SPEC)

    read, known = read_by(app_db, LearnedKnowledgeStore().known, reading, window)

    assert [each.content for each in known] == [saved.content]
    assert read < COUNTED + FEW


def test_given_a_large_namespace_when_entities_are_searched_then_only_what_is_found_is_read(
    window: Window, app_db: Database
) -> None:
    values = {
        "query": "who moved an office",
        "kind": None,
        "limit": 5,
        "tenant": "default",
        "scopes": ["namespace/global"],
    }

    read, found = read_by(app_db, entity_lookup.search, **values)

    assert [each.name for each in found] == ["Acme Corp"]
    assert read < 2 * COUNTED


def some(everything_db: Database) -> list[UUID]:
    """Ten of the namespace's facts."""
    query = "SELECT id FROM learning.learning WHERE store = 'entity_memory' AND content LIKE 'Delivers barge x11_' ORDER BY id"
    return [row["id"] for row in rows(everything_db, query)]


@pytest.mark.parametrize("job", [Prune(), Deduplicate()], ids=["prune", "deduplicate"])
def test_given_a_large_namespace_when_the_curator_ends_some_of_it_then_only_those_are_read(
    window: Window, app_db: Database, everything_db: Database, job: Prune | Deduplicate
) -> None:
    ids = tuple(some(everything_db))
    unit = Unit(scope="namespace/global", ids=ids, reasons=("pruned: age",) * len(ids), after={}, looked_at=0)
    run = SimpleNamespace(tenant="default", store="entity_memory", began_at=datetime.now(UTC))
    context = JobContext(run, None, None, {"entity_memory": EntityMemoryStore()})  # type: ignore[arg-type]  # asks for no more
    context.memo["policy"] = Policy(max_age_days=0.001), []

    read, done = read_by(app_db, job.rewrite, context, Provenance(place=at("entity_memory"), made_by=uuid7()), unit)

    assert done.changed == (10 if isinstance(job, Prune) else 0)
    assert read < FEW
