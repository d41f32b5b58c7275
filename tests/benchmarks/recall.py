"""Recall of 1,000 learnings against the same SQL through bare psycopg."""

from functools import partial

import psycopg

from benchmarks.figures import Figure, interleaved, micro, percentile
from benchmarks.place import bench_place
from harness import Place
from learning_schemas.scope import session_scope, user_scope
from learning_stores.database import Database
from learning_stores.recall import RECALL, RecallRequest

TIMES = 300
LEARNINGS = 1_000

# Learnings of one user among those of two hundred.
_FILL = """
    INSERT INTO learning.learning (tenant, id, store, kind, scope, user_id, content, content_key, status, valid_from, live_from,
                                   origin)
    SELECT 'default', gen_random_uuid(), 'user_profile', 'memory', 'user/user-' || u, 'user-' || u,
           'Remembers fact number ' || n || ' about the order of things', md5(u || '/' || n), 'active', now(), now(), 'import'
    FROM generate_series(1, 200) AS u, generate_series(1, %s) AS n
"""


def run() -> list[Figure]:
    """p50 of recall, sync: with the default budget, with one that holds all, and with a query."""
    figures = []
    with bench_place() as place:
        _fill(place)
        with place.machine() as machine, psycopg.connect(place.app_url, autocommit=True) as bare:
            for tokens, query, name in (
                (1_000, None, "the default budget"),
                (100_000, None, "a budget that holds all"),
                (1_000, "Which fact number 77 is about things?", "a query of seven words"),
            ):
                request = RecallRequest(
                    tenant="default",
                    user_id="user-7",
                    session_id="s1",
                    stores=("user_profile", "session_context"),
                    places=(("user_profile", user_scope("user-7")), ("session_context", session_scope("user-7", "s1"))),
                    max_tokens=tokens,
                    deadline=5,
                    query=query,
                )
                sql = partial(_fetch, bare, RECALL, request.parameters())
                recall = partial(
                    machine.recall, query, user_id="user-7", session_id="s1", max_tokens=tokens, deadline=5
                )
                found = recall()
                ours, theirs = (percentile(seconds, 0.5) for seconds in interleaved([recall, sql], TIMES))
                figures.append(
                    Figure(
                        what=f"recall of {LEARNINGS:,} learnings, {name} ({len(found.learnings)} shown) / bare SQL, p50",
                        value=f"{ours / theirs:.2f} × ({micro(ours)} / {micro(theirs)})",
                        goal="≤ 2 ×",
                        reached=ours / theirs <= 2,
                    )
                )
    return figures


def _fetch(connection: psycopg.Connection, statement: str, parameters: tuple[object, ...]) -> object:
    return connection.execute(statement, parameters).fetchone()


def _fill(place: Place) -> None:
    with Database(place.superuser_url) as database, database.engine.begin() as connection:
        connection.exec_driver_sql(_FILL, (LEARNINGS,))
    with psycopg.connect(place.superuser_url, autocommit=True) as connection:
        connection.execute("ANALYZE learning.learning")
