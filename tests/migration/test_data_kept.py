"""A database with data goes back to each older revision, and up again, and holds what it held."""

from collections.abc import Iterable
from typing import Any

import pytest

from harness import Place, event, rows
from integration.stores.steps import BOTH_AT_ONCE, claim, field, mailbox_id, put, take_in, window_of, work
from learning_machine import LearningMachine, UserProfileConfig
from learning_ops.migration import head_revision, migrate, script_directory
from learning_stores.database import Database

OLDER = sorted(
    (script.revision for script in script_directory().walk_revisions() if script.revision != head_revision()),
    reverse=True,
)

Rows = dict[str, list[dict[str, Any]]]


def _tables(db: Database, *, computed: bool = True) -> dict[str, set[str]]:
    """The columns of each table; those that are computed from others may be left out."""
    query = """
        SELECT table_name AS t, column_name AS c FROM information_schema.columns
        WHERE table_schema = 'learning' AND table_name <> 'alembic_version' AND (:computed OR is_generated = 'NEVER')"""
    found: dict[str, set[str]] = {}
    for row in rows(db, query, computed=computed):
        found.setdefault(row["t"], set()).add(row["c"])
    return found


def _everything(db: Database, tables: Iterable[str]) -> Rows:
    """Every row of these tables, whoever's it is."""
    return {
        table: [
            row["j"] for row in rows(db, f"SELECT to_jsonb(t) AS j FROM learning.{table} t ORDER BY to_jsonb(t)::text")
        ]
        for table in sorted(tables)
    }


def _of(held: Rows, columns: dict[str, set[str]]) -> Rows:
    """Of what was held, what these tables and columns hold."""
    return {
        table: sorted(
            ({name: value for name, value in row.items() if name in columns[table]} for row in held[table]), key=repr
        )
        for table in columns
    }


def _fill(place: Place, app_db: Database, dispatcher_db: Database, everything_db: Database) -> None:
    """Something of everything, of two tenants."""
    for tenant in ("acme", "globex"):
        take_in(dispatcher_db, event(tenant=tenant), spec=BOTH_AT_ONCE)
        held = claim(app_db, mailbox_id(everything_db, tenant=tenant), tenant)
        window = window_of(app_db, held)
        work(app_db, held, put(window, "Works at Netflix"), field(window, "name", "Alice"), window=window)
        machine = LearningMachine(
            database_url=place.app_url,
            redis_url=place.redis_url,
            tenant=tenant,
            user_profile=UserProfileConfig(enable_agent_tools=True),
            entity_memory=True,
            learned_knowledge=True,
        )
        with machine:
            tools = {tool.name: tool for tool in machine.tools(user_id="bob", session_id="s1")}
            assert tools["save_memory"](content="Prefers tables") == "Saved."
            learning = {
                "title": "Retry budgets",
                "learning": "Retry idempotent calls alone.",
                "context": "APIs",
                "tags": [],
            }
            assert tools["save_learning"](**learning) == "Saved."
    with everything_db.engine.begin() as connection:
        for statement in (
            (
                "INSERT INTO learning.entity (tenant, id, namespace, type, name, name_key) "
                "SELECT t, gen_random_uuid(), 'global', 'company', 'Netflix', 'netflix' FROM unnest(ARRAY['acme', 'globex']) AS t"
            ),
            (
                "INSERT INTO learning.learning_embedding (tenant, learning_id, model, embedding) "
                "SELECT tenant, id, 'words', '[1, 2]'::public.vector FROM learning.learning"
            ),
            (
                "INSERT INTO learning.model_call (tenant, id, extraction_id, store, purpose, subject, model_asked, prompt_name, "
                "prompt_version, outcome, events, seconds) SELECT tenant, gen_random_uuid(), id, store, 'extract', subject, 'm', "
                "'p', '1', 'ok', 1, 1 FROM learning.extraction"
            ),
            (
                "INSERT INTO learning.rejected_event (stream, entry_id, field, reason, body, body_bytes) "
                "VALUES ('learning:events:0', '1-1', 'event', 'unreadable', '', 0)"
            ),
        ):
            connection.exec_driver_sql(statement)


@pytest.mark.parametrize("revision", OLDER)
def test_given_data_when_taken_back_to_an_older_revision_and_up_again_then_what_that_one_knows_is_the_same(
    place: Place, app_db: Database, dispatcher_db: Database, everything_db: Database, revision: str
) -> None:
    _fill(place, app_db, dispatcher_db, everything_db)
    app_db.close()
    dispatcher_db.close()
    now = _tables(everything_db)
    before = _everything(everything_db, now)
    everything_db.close()

    assert migrate(place.owner_url, {}, revision) == (head_revision(), revision)
    # What is computed may be computed otherwise there: it has to be the same when it is back.
    stored = {
        table: names & now[table] for table, names in _tables(everything_db, computed=False).items() if table in now
    }
    assert _of(_everything(everything_db, stored), stored) == _of(before, stored)
    known = {table: names & now[table] for table, names in _tables(everything_db).items() if table in now}
    everything_db.close()

    assert migrate(place.owner_url, {}) == (revision, head_revision())
    assert _tables(everything_db) == now
    after = _everything(everything_db, now)
    assert _of(after, known) == _of(before, known)
    assert sum(map(len, after.values())) > 20
    # And it works: what was learned is recalled, and something new is learned.
    with place.machine(tenant="acme", recall_deadline=10.0) as machine:
        found = machine.recall(user_id="alice")
        assert found.degraded is None
        assert "Works at Netflix" in found.memories
    take_in(dispatcher_db, event(tenant="acme", user_id="carol"), spec=BOTH_AT_ONCE)
    query = "SELECT id FROM learning.mailbox WHERE store = 'user_profile' AND user_id = 'carol'"
    [mailbox] = rows(everything_db, query)
    held = claim(app_db, mailbox["id"], "acme")
    window = window_of(app_db, held)
    assert work(app_db, held, put(window, "Works at Netflix"), window=window).changes
