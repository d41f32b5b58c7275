"""Ranking and recall of scopes too large to be read whole: what is found there, and by which plans."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from harness import Place, rows
from learning_schemas.ids import uuid7
from learning_stores import ranking
from learning_stores.database import Database
from learning_stores.ranking import RANK, RankRequest
from learning_stores.recall import RECALL, RecallRequest

SHARED = ("learned_knowledge", "namespace/global")
OWN = ("user_profile", "user/alice")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
MANY = 20_500  # more than are counted

_FILL = """
    INSERT INTO learning.learning (tenant, id, store, kind, scope, content, content_key, status, valid_from, live_from, origin)
    SELECT 'default', gen_random_uuid(), 'learned_knowledge', 'insight', 'namespace/global',
           concat_ws(' ', 'Likes tea', CASE WHEN n %% 3 = 0 THEN 'sailing' END, CASE WHEN n %% 4000 = 0 THEN 'harpsichord' END,
                     'number' || n), 'n' || n, 'active', %(now)s, %(now)s + n * interval '1 s', 'import'
    FROM generate_series(1, %(many)s) AS n
"""


@pytest.fixture
def large(place: Place) -> Place:
    """A namespace of `MANY`: all like tea, every third sailing, five the harpsichord."""
    with psycopg.connect(place.superuser_url, autocommit=True) as connection:
        connection.execute(_FILL, {"now": NOW, "many": MANY})
        connection.execute("VACUUM ANALYZE learning.learning")
    return place


def asked(place: Place, query: str, *, as_of: datetime | None = None) -> list[tuple[UUID, str]]:
    """Ids and contents, best first."""
    with psycopg.connect(place.app_url) as connection:
        connection.execute("SELECT set_config('learning.tenant', 'default', true)")
        request = RankRequest(places=(OWN, SHARED), query=query, limit=200, as_of=as_of)
        found = connection.execute(
            f"SELECT r.id, l.content FROM ({RANK}) AS r JOIN learning.learning l USING (id) ORDER BY r.score DESC",
            request.parameters(),
        )
        return [(row[0], row[1]) for row in found]


def keep(database: Database) -> None:
    with database.transaction("default") as session:
        ranking.keep_statistics(session, "default", *SHARED)


@pytest.mark.parametrize("kept", [False, True])
def test_given_a_word_that_nothing_holds_when_ranked_then_the_others_still_find(
    large: Place, app_db: Database, kept: bool
) -> None:
    if kept:
        keep(app_db)
    found = asked(large, "who likes saillling or sailing?")
    assert len(found) == 200
    assert all("sailing" in content for _, content in found)


@pytest.mark.parametrize("kept", [False, True])
def test_given_a_rare_word_beside_a_common_one_when_ranked_then_its_oldest_row_comes_before_the_newest_of_the_other(
    large: Place, app_db: Database, kept: bool
) -> None:
    if kept:
        keep(app_db)
    found = asked(large, "harpsichord sailing")
    assert [("harpsichord" in content) for _, content in found[:6]] == [True] * 5 + [False]
    assert len(found) == 200


def test_given_a_moment_when_a_large_scope_is_ranked_then_what_came_later_is_not_found(large: Place) -> None:
    found = asked(large, "harpsichord", as_of=NOW + timedelta(seconds=8_000))
    assert len(found) == 2


def test_given_a_large_scope_without_kept_statistics_when_ranked_then_its_rows_are_estimated(
    large: Place, everything_db: Database
) -> None:
    (told,) = rows(
        everything_db,
        "SELECT total FROM learning.text_arm('default', ARRAY['learned_knowledge'], ARRAY['namespace/global'], ARRAY['sail'], "
        "NULL, CAST(:weights AS jsonb))",
        weights=ranking.weights_json(ranking.DEFAULT_WEIGHTS),
    )
    assert MANY * 0.9 < told["total"] < MANY * 1.1


def test_given_a_large_scope_when_its_newest_rows_are_looked_up_then_an_index_gives_their_order(
    large: Place, everything_db: Database
) -> None:
    """Beside another place, too; of the places together, Postgres would read and sort them all."""
    with everything_db.transaction("default") as session:
        session.execute(text("SET LOCAL ROLE learning_search"))
        statement = session.scalar(
            text("SELECT learning.newest_rows('default', :stores, :scopes, false, 2001)"),
            {"stores": [OWN[0], SHARED[0]], "scopes": [OWN[1], SHARED[1]]},
        )
        plan = session.connection().exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}").scalar_one()
    scans = [node for node in nodes(plan[0]["Plan"]) if "Scan" in node["Node Type"] and "Relation Name" in node]
    assert "learning_newest" in {node.get("Index Name") for node in scans}
    assert max(node["Actual Rows"] for node in scans) <= 2001


def test_given_a_large_scope_when_recalled_with_a_query_then_its_rows_are_looked_up_and_not_all_read(
    large: Place, everything_db: Database
) -> None:
    """The plans inside the function are seen by what they read."""
    request = RecallRequest(
        tenant="default",
        user_id="alice",
        session_id="s1",
        stores=("user_profile", "learned_knowledge"),
        places=(OWN, SHARED),
        max_tokens=1_000,
        deadline=5,
        query="harpsichord",
    )
    with psycopg.connect(large.app_url, autocommit=True) as connection:
        before = read(everything_db)
        for _ in range(8):  # beyond those that Postgres plans anew
            row = connection.execute(RECALL, request.parameters()).fetchone()
        connection.execute("SELECT pg_stat_force_next_flush()")
    assert row is not None
    contents = [learning["content"] for learning in json.loads(row[0])["learnings"]]
    assert [("harpsichord" in content) for content in contents[:6]] == [True] * 5 + [False]
    assert read(everything_db) - before < 8 * MANY


def read(database: Database) -> int:
    """Rows of learnings that scans of the whole table have read."""
    (told,) = rows(database, "SELECT seq_tup_read AS read FROM pg_stat_user_tables WHERE relname = 'learning'")
    return int(told["read"])


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """A plan's nodes, itself first."""
    return [plan, *(node for each in plan.get("Plans", ()) for node in nodes(each))]


def test_given_a_vector_of_1536_dimensions_when_written_then_it_lies_beside_its_row(
    place: Place, app_db: Database
) -> None:
    key = uuid7()
    with app_db.transaction("default") as session:
        session.execute(
            text("INSERT INTO learning.learning (tenant, id, store, kind, scope, content, content_key, status, valid_from, "
                 "live_from, origin) VALUES ('default', :id, 'user_profile', 'memory', 'user/alice', 'Likes tea', 'k', 'active', "
                 "now(), now(), 'import')"),
            {"id": key},
        )  # fmt: skip
        session.execute(
            text("INSERT INTO learning.learning_embedding (tenant, learning_id, model, embedding) "
                 "VALUES ('default', :id, 'm', cast(:vector AS vector))"),
            {"id": key, "vector": str([place / 1536 for place in range(1, 1537)])},
        )  # fmt: skip
    with psycopg.connect(place.superuser_url, autocommit=True) as connection:
        toast = connection.execute(
            "SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = 'learning.learning_embedding'::regclass"
        ).fetchone()
    assert toast == (0,)
