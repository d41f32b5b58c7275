"""Bringing a database to the schema of this version, and back: as superuser, as the owner role, and without the right to."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from harness import execute, role_url
from learning_ops.embedded import DataDirectory, EmbeddedPostgres
from learning_ops.migration import RolesMissing, head_revision, migrate
from learning_stores.database import Database, driver_url
from learning_stores.roles import OWNER, ROLES

LOGIN = {"learning_app": "app's \\ %s password", "learning_dispatcher": "dispatcher%%password"}


@pytest.fixture(scope="module")
def bare() -> Iterator[EmbeddedPostgres]:
    """A server of this module's own: roles belong to a whole server, and some of these tests must not have them."""
    with (
        tempfile.TemporaryDirectory(prefix="learning-migrate-") as closed,
        DataDirectory(Path(closed) / "data") as data,
    ):
        postgres = EmbeddedPostgres(data.path / "postgres", data.log_path("postgres"), data.secret("postgres"))
        postgres.launch()
        postgres.wait_ready()
        try:
            yield postgres
        finally:
            postgres.stop()


@pytest.fixture
def url(bare: EmbeddedPostgres) -> Iterator[str]:
    """The superuser's address of an empty database, on a server that has none of the roles."""
    name = "fresh"
    execute(bare.superuser_url, f"CREATE DATABASE {name}")
    yield role_url(bare.superuser_url, name)
    execute(bare.superuser_url, f"DROP DATABASE {name} WITH (FORCE)")
    for role in (*ROLES, "plain", "maker"):
        execute(bare.superuser_url, f"DROP ROLE IF EXISTS {role}")


def _logins(url: str) -> dict[str, str]:
    return {
        role: make_url(url).set(username=role, password=password).render_as_string(hide_password=False)
        for role, password in LOGIN.items()
    }


def _as(url: str, role: str, password: str) -> str:
    return make_url(url).set(username=role, password=password).render_as_string(hide_password=False)


def _found(url: str, query: str) -> list[object]:
    engine = create_engine(driver_url(url))
    try:
        with engine.connect() as connection:
            return list(connection.scalars(text(query)))
    finally:
        engine.dispose()


def _catalog(url: str) -> list[object]:
    """Everything in the schema: tables with columns, indexes, policies, grants, functions, sequences."""
    return _found(
        url,
        """
        SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
        FROM information_schema.columns WHERE table_schema = 'learning'
        UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'learning'
        UNION ALL SELECT 'policy ' || tablename || ' ' || policyname || ' ' || roles::text || qual FROM pg_policies
        UNION ALL SELECT 'acl ' || relname || ' ' || coalesce(relacl::text, '') || relforcerowsecurity FROM pg_class
                  WHERE relnamespace = 'learning'::regnamespace AND relkind IN ('r', 'S')
        UNION ALL SELECT 'function ' || pg_get_functiondef(oid) || coalesce(proacl::text, '') FROM pg_proc
                  WHERE pronamespace = 'learning'::regnamespace
        ORDER BY 1""",
    )


def test_given_an_empty_database_when_migrated_as_superuser_then_roles_log_in_with_their_passwords(url: str) -> None:
    assert migrate(url, _logins(url)) == (None, head_revision())
    for role, login in _logins(url).items():
        with Database(login) as database, database.transaction("default") as session:
            assert session.scalar(text("SELECT current_user")) == role
            assert session.scalar(text("SELECT count(*) FROM learning.delivery")) == 0


def test_given_a_migrated_database_when_migrated_again_then_nothing_changes(url: str) -> None:
    migrate(url, _logins(url))
    before = _catalog(url)
    assert migrate(url, _logins(url)) == (head_revision(), head_revision())
    assert _catalog(url) == before


def test_given_a_migrated_database_when_taken_back_to_base_and_up_again_then_it_is_as_before(url: str) -> None:
    migrate(url, _logins(url))
    before = _catalog(url)
    assert len(before) > 200
    assert migrate(url, _logins(url), "base") == (head_revision(), None)
    left = _found(
        url, "SELECT relname FROM pg_class WHERE relnamespace = 'learning'::regnamespace AND relkind IN ('r', 'S', 'v')"
    )
    assert left == ["alembic_version"]
    assert _found(url, "SELECT proname FROM pg_proc WHERE pronamespace = 'learning'::regnamespace") == []
    assert migrate(url, _logins(url)) == (None, head_revision())
    assert _catalog(url) == before


def test_given_missing_roles_and_no_right_to_make_them_when_migrated_then_the_sql_is_told_without_passwords(
    url: str,
) -> None:
    execute(url, "CREATE ROLE plain LOGIN PASSWORD 'plain'", "ALTER DATABASE fresh OWNER TO plain")
    with pytest.raises(RolesMissing) as caught:
        migrate(_as(url, "plain", "plain"), _logins(url))
    told = str(caught.value)
    for role in ROLES:
        assert f'CREATE ROLE "{role}"' in told
    for password in LOGIN.values():
        assert password not in told
    assert "BYPASSRLS" in told
    assert _found(url, "SELECT nspname FROM pg_namespace WHERE nspname = 'learning'") == []
    execute(url, "ALTER DATABASE fresh OWNER TO CURRENT_USER")


def test_given_roles_and_rights_made_by_somebody_else_when_migrated_as_the_owner_role_then_it_is_enough(
    url: str,
) -> None:
    execute(
        url,
        *(f"CREATE ROLE {role} LOGIN PASSWORD 'given'" for role in ROLES if role != "learning_search"),
        "CREATE ROLE learning_search NOLOGIN",
        f"GRANT learning_search TO {OWNER} WITH INHERIT FALSE, SET TRUE",
        f"GRANT CREATE ON DATABASE fresh TO {OWNER}",
        "CREATE EXTENSION vector WITH SCHEMA public",
    )
    owner = _as(url, OWNER, "given")
    assert migrate(owner, _logins(url)) == (None, head_revision())
    assert migrate(owner, _logins(url), "base") == (head_revision(), None)
    assert migrate(owner, _logins(url)) == (None, head_revision())
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'learning'"
    assert _found(url, owners) == [OWNER]


def test_given_one_migrated_as_superuser_when_another_makes_the_same_as_owner_then_they_are_equal(
    url: str, bare: EmbeddedPostgres
) -> None:
    migrate(url, _logins(url))
    by_superuser = _catalog(url)
    execute(url, f"ALTER ROLE {OWNER} LOGIN PASSWORD 'given'")
    execute(bare.superuser_url, "CREATE DATABASE second")
    second = role_url(bare.superuser_url, "second")
    execute(second, f"GRANT CREATE ON DATABASE second TO {OWNER}", "CREATE EXTENSION vector WITH SCHEMA public")
    try:
        migrate(_as(second, OWNER, "given"), _logins(second))
        assert _catalog(second) == by_superuser
    finally:
        execute(bare.superuser_url, "DROP DATABASE second WITH (FORCE)")


def test_given_an_owner_of_the_database_who_may_make_roles_when_migrated_then_it_is_enough(url: str) -> None:
    """As on a managed server, where nobody is superuser; the extension is made by whoever may."""
    execute(
        url,
        "CREATE ROLE maker LOGIN CREATEROLE PASSWORD 'maker'",
        "ALTER DATABASE fresh OWNER TO maker",
        "CREATE EXTENSION vector WITH SCHEMA public",
    )
    try:
        assert migrate(_as(url, "maker", "maker"), _logins(url)) == (None, head_revision())
    finally:
        execute(url, "ALTER DATABASE fresh OWNER TO CURRENT_USER")


def test_given_memory_of_the_revision_before_when_upgraded_then_its_evidence_has_its_subject_and_it_goes_back_and_forth(
    url: str,
) -> None:
    migrate(url, _logins(url), "0001")
    execute(
        url,
        """
        INSERT INTO learning.extraction (tenant, id, store, subject, scope, token, spec_hash, model, prompt_name, prompt_version,
                                         events, messages, outcome, changes, dropped, started_at)
        SELECT t, md5(t)::uuid, 'user_profile', 'user/' || t, 'user/' || t, 1, 'h', 'm', 'p', '1', 1, 1, 'extracted', '{}', '{}',
               now()
        FROM unnest(ARRAY['acme', 'globex']) AS t""",
        """
        INSERT INTO learning.learning (tenant, id, store, kind, scope, content, content_key, status, valid_from, live_from, origin,
                                       made_by)
        SELECT tenant, id, store, 'memory', scope, 'Likes tea', 'tea', 'active', now(), now(), 'extraction', id
        FROM learning.extraction""",
        """
        INSERT INTO learning.evidence (tenant, id, learning_id, origin, extraction_id, event_id, message, quote, occurred_at)
        SELECT tenant, id, id, 'extraction', id, id, 0, 'I like tea', now() FROM learning.extraction""",
    )
    # As the owner's role does it: row-level security hides these rows from it, and must not hide them from the fill.
    execute(url, f"ALTER ROLE {OWNER} LOGIN PASSWORD 'given'")
    owner = _as(url, OWNER, "given")
    assert migrate(owner, _logins(url), "0002") == ("0001", "0002")
    subjects = "SELECT subject FROM learning.evidence ORDER BY 1"
    assert _found(url, subjects) == ["user/acme", "user/globex"]
    execute(
        url,
        """
        INSERT INTO learning.learning (tenant, id, store, kind, scope, content, content_key, status, awaits, valid_from, live_from,
                                       origin)
        VALUES ('acme', gen_random_uuid(), 'learned_knowledge', 'insight', 'namespace/global', 'Retry', 'retry', 'proposed',
                'approval', now(), now(), 'tool')""",
    )
    assert migrate(owner, _logins(url), "0001") == ("0002", "0001")
    assert _found(url, "SELECT status FROM learning.learning ORDER BY content") == ["active", "active", "retired"]
    assert migrate(owner, _logins(url), "0002") == ("0001", "0002")
    assert _found(url, subjects) == ["user/acme", "user/globex"]
