"""Who may touch what: the four roles, table by table, and what row-level security makes of it."""

from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from harness import event, rows
from integration.stores.steps import BOTH_AT_ONCE, claim, mailbox_id, put, take_in, window_of, work
from learning_stores.database import Database
from learning_stores.roles import APP, DISPATCHER, OWNER, ROLES, SEARCH

# Tables of one tenant's rows; the rest belongs to the dispatcher alone.
TENANT_TABLES = {
    "machine_spec", "subject", "conversation_event", "session_message", "delivery", "mailbox", "extraction", "model_call",
    "entity", "learning", "evidence", "learning_embedding", "change",
    "embedding_model", "embedding_due", "embedding_refused", "scope_statistics", "recall_count",
    "forgetting", "forgotten_session", "removed_count", "curator_run", "budget", "budget_reservation", "verdict",
}  # fmt: skip
DISPATCHER_TABLES = {"shard_lease", "dispatcher", "producer_seq", "rejected_event", "ledger_finding"}

# Each role's rights, as design.md says them: Select, Insert, Update, Delete.
RIGHTS: dict[str, dict[str, str]] = {
    APP: {
        "machine_spec": "SI",
        "subject": "SIU",
        "conversation_event": "SIUD",
        "delivery": "SUD",
        "mailbox": "SIUD",
        "extraction": "SIUD",
        "model_call": "SIUD",
        "entity": "SIUD",
        "learning": "SIUD",
        "evidence": "SIUD",
        "learning_embedding": "SIUD",
        "embedding_model": "SIUD",
        "embedding_due": "SIUD",
        "embedding_refused": "SIUD",
        "change": "SIUD",
        "recall_count": "SIUD",
        "scope_statistics": "SIUD",
        "forgetting": "SIU",
        "forgotten_session": "SIU",
        "removed_count": "SIU",
        "curator_run": "SIU",
        "budget": "S",  # what may be spent is set by operators
        "budget_reservation": "SIUD",
        "verdict": "SIUD",
        "session_message": "S",  # which events a session had
    },
    DISPATCHER: {
        "machine_spec": "SIUD",
        "subject": "SIUD",
        "conversation_event": "SIUD",
        "session_message": "SIUD",
        "delivery": "SIUD",
        "mailbox": "SIUD",
        "extraction": "SUD",
        "model_call": "SUD",
        "shard_lease": "SIUD",
        "dispatcher": "SIUD",
        "producer_seq": "SIUD",
        "rejected_event": "SIUD",
        "ledger_finding": "SIUD",
        "embedding_model": "S",
        "embedding_due": "S",
        "embedding_refused": "S",
        "forgetting": "S",
        "forgotten_session": "S",
        "removed_count": "SIU",
        "curator_run": "SIUD",
        "budget": "SIUD",
        "budget_reservation": "S",
    },
    SEARCH: {
        "rejected_event": "SIU",  # to forget what a subject said
        "producer_seq": "SIU",
        "embedding_model": "S",
        "entity": "S",
        "learning": "S",
        "evidence": "S",
        "learning_embedding": "S",
        "session_message": "S",  # to place evidence in its conversation
        "scope_statistics": "S",
    },
}
LETTERS = {"S": "SELECT", "I": "INSERT", "U": "UPDATE", "D": "DELETE"}


def _tables(database: Database) -> set[str]:
    query = """
        SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'learning' AND c.relkind IN ('r', 'p')"""
    return {str(row["relname"]) for row in rows(database, query)}


def _rights(database: Database, role: str, table: str) -> str:
    (found,) = rows(
        database,
        "SELECT "
        + ", ".join(
            f"has_table_privilege(:role, :table, '{right}') AS {letter.lower()}" for letter, right in LETTERS.items()
        ),
        role=role,
        table=f"learning.{table}",
    )
    return "".join(letter for letter in LETTERS if found[letter.lower()])


def unprotected(database: Database) -> list[str]:
    """Tables with a tenant column, and tables without, that row-level security does not guard as it must."""
    query = """
        SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced,
               EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant' AND a.attnotnull) AS tenant,
               EXISTS (SELECT FROM pg_policies p WHERE p.schemaname = 'learning' AND p.tablename = c.relname
                       AND p.policyname = 'one_tenant' AND p.roles @> '{learning_app}'
                       AND p.cmd = 'ALL' AND p.permissive = 'PERMISSIVE'
                       AND p.qual LIKE '%tenant = current_setting(%learning.tenant%'
                       AND p.with_check LIKE '%tenant = current_setting(%learning.tenant%') AS one_tenant,
               (SELECT count(*) FROM pg_policies p WHERE p.schemaname = 'learning' AND p.tablename = c.relname
                AND (p.roles @> '{learning_app}' OR p.roles @> '{public}')) AS for_app
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'learning' AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version'"""
    return [
        row["name"]
        for row in rows(database, query)
        if not row["forced"] or row["for_app"] != int(row["tenant"]) or row["one_tenant"] != row["tenant"]
    ]


def test_given_the_schema_when_its_tables_are_listed_then_this_test_knows_all_of_them(everything_db: Database) -> None:
    assert _tables(everything_db) == TENANT_TABLES | DISPATCHER_TABLES | {"alembic_version"}


@pytest.mark.parametrize("role", [APP, DISPATCHER, SEARCH])
def test_given_a_role_when_its_rights_are_read_then_they_are_those_of_the_design(
    everything_db: Database, role: str
) -> None:
    found = {table: _rights(everything_db, role, table) for table in _tables(everything_db)}
    assert {table: rights for table, rights in found.items() if rights} == RIGHTS[role]
    for other in ("TRUNCATE", "REFERENCES", "TRIGGER"):
        query = "SELECT has_table_privilege(:role, :table, :right) AS may"
        for table in _tables(everything_db):
            assert not rows(everything_db, query, role=role, table=f"learning.{table}", right=other)[0]["may"]


def test_given_the_roles_when_their_attributes_are_read_then_none_sees_past_row_level_security(
    everything_db: Database,
) -> None:
    found = rows(
        everything_db,
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolcanlogin FROM pg_roles "
        "WHERE rolname LIKE 'learning%' ORDER BY rolname",
    )
    assert {row["rolname"] for row in found} == set(ROLES)
    for row in found:
        for power in ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication"):
            assert not row[power], (row["rolname"], power)
        assert row["rolcanlogin"] == (row["rolname"] in (APP, DISPATCHER))
    member = "SELECT pg_has_role(:one, :other, 'MEMBER') AS is_member"
    for one in (APP, DISPATCHER, SEARCH):
        for other in set(ROLES) - {one}:
            assert not rows(everything_db, member, one=one, other=other)[0]["is_member"]


def test_given_everything_in_the_schema_when_its_owner_is_read_then_it_is_the_owner_role_but_of_search(
    everything_db: Database,
) -> None:
    owners = rows(
        everything_db,
        "SELECT DISTINCT pg_get_userbyid(relowner) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'learning' UNION SELECT pg_get_userbyid(proowner) FROM pg_proc p "
        "JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'learning'",
    )
    assert sorted(row["name"] for row in owners) == [OWNER, SEARCH]
    searching = rows(
        everything_db,
        "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
        "WHERE n.nspname = 'learning' AND pg_get_userbyid(proowner) = 'learning_search' ORDER BY 1",
    )
    assert [row["proname"] for row in searching] == [
        "count_received",
        "count_refused",
        "forget_rejected",
        "live_rows",
        "name_subject",
        "newest_rows",
        "place_evidence",
        "rank",
        "refuse_forgotten",
        "rejected_of",
        "report_last",
        "search",
        "text_arm",
        "vector_arm",
    ]


def test_given_every_table_when_the_catalog_is_walked_then_row_level_security_is_forced_with_the_right_policy(
    everything_db: Database,
) -> None:
    assert unprotected(everything_db) == []


_NEW = "CREATE TABLE learning.new_table (tenant text NOT NULL)"
_ENABLED = f"{_NEW}; ALTER TABLE learning.new_table ENABLE ROW LEVEL SECURITY"
_FORCED = f"{_ENABLED}; ALTER TABLE learning.new_table FORCE ROW LEVEL SECURITY"
_MINE = "tenant = current_setting('learning.tenant', true)"


@pytest.mark.parametrize(
    "forgotten",
    [
        _NEW,
        _FORCED,
        f"{_ENABLED}; CREATE POLICY one_tenant ON learning.new_table TO learning_app USING ({_MINE}) WITH CHECK ({_MINE})",
        f"{_FORCED}; CREATE POLICY one_tenant ON learning.new_table TO learning_app USING (true)",
        f"{_FORCED}; CREATE POLICY one_tenant ON learning.new_table FOR SELECT TO learning_app USING ({_MINE})",
        "CREATE POLICY wider ON learning.learning TO learning_app USING (true)",
        "ALTER TABLE learning.mailbox NO FORCE ROW LEVEL SECURITY",
    ],
)
def test_given_a_table_that_lacks_protection_when_the_catalog_is_walked_then_it_is_found(
    everything_db: Database, forgotten: str
) -> None:
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql(forgotten)
    assert len(unprotected(everything_db)) == 1


_FILLED = {
    "curator_run": "INSERT INTO learning.curator_run (tenant, job, due_at) SELECT t, 'prune', now()",
    "budget": "INSERT INTO learning.budget (tenant, store, usd_per_day) SELECT t, '*', 1",
    "budget_reservation": "INSERT INTO learning.budget_reservation (tenant, id, extraction_id, store, purpose, model_asked, "
    "prompt_name, prompt_version, events, expires_at) SELECT t, gen_random_uuid(), gen_random_uuid(), 's', 'p', 'm', 'p', '1', 1, "
    "now()",
    "scope_statistics": "INSERT INTO learning.scope_statistics (tenant, store, scope, rows, mean_words, common) "
    "SELECT t, 's', 's', 1, 1, '{}'",
    "embedding_model": "INSERT INTO learning.embedding_model (tenant, model, state) SELECT t, 'm', 'building'",
    "embedding_refused": "INSERT INTO learning.embedding_refused (tenant, learning_id, model, reason) "
    "SELECT t, (SELECT id FROM learning.learning WHERE tenant = t LIMIT 1), 'm', 'r'",
    "model_call": "INSERT INTO learning.model_call (tenant, id, extraction_id, store, purpose, subject, model_asked, prompt_name, "
    "prompt_version, outcome, events, seconds) SELECT t, gen_random_uuid(), gen_random_uuid(), 's', 'p', 's', 'm', 'p', '1', 'ok', "
    "1, 1",
    "change": "INSERT INTO learning.change (tenant, id, origin, action, store, scope) "
    "SELECT t, gen_random_uuid(), 'tool', 'a', 's', 's'",
    "entity": "INSERT INTO learning.entity (tenant, id, namespace, type, name, name_key) "
    "SELECT t, gen_random_uuid(), 'global', 'company', 'Acme', 'acme'",
    "learning_embedding": "INSERT INTO learning.learning_embedding (tenant, learning_id, model, embedding) "
    "SELECT t, (SELECT id FROM learning.learning WHERE tenant = t LIMIT 1), 'm', '[1]'::public.vector",
    "forgetting": "INSERT INTO learning.forgetting (tenant, id, subject) SELECT t, gen_random_uuid(), 'user/a'",
    "forgotten_session": "INSERT INTO learning.forgotten_session (tenant, scope, forgotten_at) SELECT t, 's', now()",
    "removed_count": "INSERT INTO learning.removed_count (tenant, day, reason) SELECT t, now(), 'forgotten'",
    "verdict": "INSERT INTO learning.verdict (tenant, job, a, b, verdict) SELECT t, 'deduplicate', "
    "'00000000-0000-0000-0000-000000000001'::uuid, '00000000-0000-0000-0000-000000000002'::uuid, 'same'",
    "recall_count": "INSERT INTO learning.recall_count (tenant, learning_id, recalled, last_recalled_at) "
    "SELECT t, (SELECT id FROM learning.learning WHERE tenant = t LIMIT 1), 1, now()",
}


@pytest.mark.parametrize("table", sorted(TENANT_TABLES - {"session_message"}))
def test_given_rows_of_two_tenants_when_the_app_reads_then_it_sees_its_own_alone(
    app_db: Database, dispatcher_db: Database, everything_db: Database, table: str
) -> None:
    for tenant in ("acme", "globex"):
        take_in(dispatcher_db, event(tenant=tenant), spec=BOTH_AT_ONCE)
        held = claim(app_db, mailbox_id(everything_db, tenant=tenant), tenant)
        window = window_of(app_db, held)
        work(app_db, held, put(window, "Works at Netflix"), window=window)
    if table in _FILLED:
        with everything_db.engine.begin() as connection:
            connection.exec_driver_sql(f"{_FILLED[table]} FROM unnest(ARRAY['acme', 'globex']) AS t")
    for tenant, expected in (("acme", {"acme"}), ("globex", {"globex"}), ("third", set()), ("", set()), (None, set())):
        with app_db.transaction(tenant) as session:
            assert set(session.scalars(text(f"SELECT tenant FROM learning.{table}"))) == expected, tenant


def test_given_a_connection_on_which_no_tenant_was_ever_set_when_the_app_reads_then_it_sees_nothing(
    place: Any, dispatcher_db: Database
) -> None:
    take_in(dispatcher_db, event())
    with psycopg.connect(place.app_url) as connection:
        assert connection.execute("SELECT count(*) FROM learning.conversation_event").fetchone() == (0,)


def test_given_a_tenant_when_the_app_writes_another_tenants_row_then_it_is_refused(app_db: Database) -> None:
    statement = text("INSERT INTO learning.machine_spec (tenant, hash, spec) VALUES ('globex', 'x', '{}')")
    with pytest.raises(ProgrammingError, match="row-level security"), app_db.transaction("acme") as session:
        session.execute(statement)


def test_given_a_transaction_of_a_tenant_when_it_is_over_then_the_pooled_connection_has_forgotten_it(
    app_db: Database, dispatcher_db: Database
) -> None:
    take_in(dispatcher_db, event(tenant="acme"))
    with app_db.transaction("acme") as session:
        assert session.scalar(text("SELECT count(*) FROM learning.conversation_event")) == 1
    with app_db.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM learning.conversation_event")) == 0


@pytest.mark.parametrize("table", ["learning", "entity", "evidence", "learning_embedding"])
def test_given_the_dispatcher_when_it_reads_what_was_learned_then_it_is_refused(
    dispatcher_db: Database, table: str
) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"), dispatcher_db.transaction() as session:
        session.execute(text(f"SELECT 1 FROM learning.{table}"))


def test_given_the_dispatcher_when_it_calls_recall_then_it_is_refused(dispatcher_db: Database) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"), dispatcher_db.transaction() as session:
        session.execute(
            text("SELECT learning.recall('default', 'user/a', NULL, 'user/a', '{user_profile}', 100, '{}')")
        )


def test_given_the_functions_of_the_schema_when_their_rights_are_read_then_only_the_app_may_call_recall(
    everything_db: Database,
) -> None:
    found = rows(
        everything_db,
        "SELECT p.proname, p.prosecdef, array(SELECT r FROM unnest(ARRAY['learning_app', 'learning_dispatcher', 'learning_search', "
        "'public']) AS r WHERE has_function_privilege(r, p.oid, 'EXECUTE')) AS callers "
        "FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'learning' ORDER BY 1",
    )
    by_app = {"prosecdef": False, "callers": ["learning_app"]}
    inside = {"prosecdef": False, "callers": ["learning_search"]}  # called by rank, which is that role
    assert found == [
        {"proname": "count_received", "prosecdef": True, "callers": ["learning_app", "learning_search"]},
        {"proname": "count_refused", "prosecdef": True, "callers": ["learning_app", "learning_search"]},
        {"proname": "date_words", **by_app},  # of a generated column: computed as who writes
        {"proname": "embedding_due_added", "prosecdef": False, "callers": []},  # of triggers, which anybody sets off
        {"proname": "embedding_due_changed", "prosecdef": False, "callers": []},
        {"proname": "forget_caller", "prosecdef": False, "callers": []},
        {"proname": "forget_rejected", "prosecdef": True, "callers": ["learning_app", "learning_search"]},
        {"proname": "live_rows", **inside},
        {"proname": "name_subject", "prosecdef": True, "callers": ["learning_search"]},
        {"proname": "newest_rows", **inside},
        {"proname": "place_evidence", "prosecdef": True, "callers": ["learning_search"]},
        {"proname": "rank", "prosecdef": True, "callers": ["learning_app", "learning_search"]},
        {"proname": "recall", **by_app},
        {"proname": "recall", **by_app},  # of revisions 0001 and 0002, for agents that were not upgraded yet
        {"proname": "recall", **by_app},
        {"proname": "refuse", "prosecdef": False, "callers": ["learning_dispatcher", "learning_search"]},
        {"proname": "refuse_forgotten", "prosecdef": True, "callers": ["learning_app", "learning_search"]},
        {"proname": "rejected_of", "prosecdef": True, "callers": ["learning_app", "learning_search"]},
        {"proname": "report_last", "prosecdef": True, "callers": ["learning_app", "learning_search"]},
        {"proname": "search", "prosecdef": True, "callers": ["learning_app", "learning_search"]},
        {"proname": "text_arm", **inside},
        {"proname": "vector_arm", **inside},
        {"proname": "vector_index", "prosecdef": False, "callers": ["learning_app", "learning_search"]},
        {"proname": "verdict_gone", "prosecdef": False, "callers": []},
    ]


def test_given_the_schema_when_anybody_else_looks_then_it_is_closed(everything_db: Database) -> None:
    query = """
        SELECT has_schema_privilege('public', 'learning', 'USAGE') AS usage,
               has_schema_privilege('learning_app', 'learning', 'CREATE') AS make"""
    assert rows(everything_db, query) == [{"usage": False, "make": False}]
