"""Each finding of `doctor`, provoked on a database and a Redis of the test's own; and that no check hides another."""

import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy.engine import make_url

from harness import Place, Processes, event, eventually, execute, rows, turn
from integration.stores.steps import BOTH_AT_ONCE, claim, mailbox_id, put, take_in, window_of, work
from learning_machine.spool_file import created, record, write_all
from learning_ops.doctor import CHECKS, Deployment, Examination, Finding, examine
from learning_ops.doctor.finding import ok
from learning_ops.embedded import DataDirectory, EmbeddedRedis
from learning_ops.process import free_port
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.database import Database
from learning_stores.settings import ServiceSettings
from tcp_proxy import TcpProxy


def deployment_of(place: Place, **settings: Any) -> Deployment:
    """The place, as `doctor` is told of it by variables."""
    given = {
        "database_url": place.app_url,
        "dispatcher_database_url": place.dispatcher_url,
        "owner_database_url": place.owner_url,
        "redis_url": place.redis_url,
        **settings,
    }
    return Deployment(settings=ServiceSettings.load(**given))


def found_by(name: str, deployment: Deployment) -> tuple[Finding, ...]:
    """What one check finds."""
    try:
        return examine(deployment, {name: CHECKS[name]}).findings
    finally:
        deployment.close()


def only(findings: tuple[Finding, ...], level: str) -> Finding:
    """The one finding of that level."""
    [found] = [each for each in findings if each.level == level]
    return found


def levels(findings: tuple[Finding, ...]) -> set[str]:
    return {each.level for each in findings}


@contextmanager
def changed(place: Place, do: str, undo: str) -> Iterator[None]:
    """A statement of the superuser's, taken back afterwards: roles belong to the whole server."""
    execute(place.superuser_url, do)
    try:
        yield
    finally:
        execute(place.superuser_url, undo)


@pytest.fixture
def own_redis() -> Iterator[str]:
    """A server whose settings the test may change."""
    with (
        tempfile.TemporaryDirectory(prefix="learning-redis-") as closed,
        DataDirectory(Path(closed) / "data") as data,
        EmbeddedRedis(data.path / "redis", data.log_path("redis"), data.secret("redis")) as server,
    ):
        yield server.url


def test_given_a_place_as_it_should_be_when_looked_at_then_servers_roles_and_policies_are_fine(place: Place) -> None:
    names = (
        "python",
        "postgres",
        "extensions",
        "redis",
        "schema",
        "roles",
        "logins",
        "policies",
        "persistence",
        "eviction",
    )
    deployment = deployment_of(place)
    try:
        # The tests' own server is the superuser's, and so is this address; everything else is as it should be.
        found = examine(deployment, {name: CHECKS[name] for name in (*names, "clocks", "deliveries", "spool")})
    finally:
        deployment.close()
    assert found.level == "ok", found
    assert {each.check for each in found.findings} >= set(names)


def test_given_a_dead_redis_when_looked_at_then_it_is_one_finding_and_postgres_is_looked_at_all_the_same(
    place: Place,
) -> None:
    execute(place.superuser_url, "ALTER TABLE learning.mailbox NO FORCE ROW LEVEL SECURITY")
    deployment = deployment_of(place, redis_url=f"redis://:secret@127.0.0.1:{free_port()}/0")
    try:
        found = examine(deployment)
    finally:
        deployment.close()
    away = [each for each in found.findings if "LEARNING_REDIS_URL" in each.what]
    assert len([each for each in away if "not looked at" in each.what]) == 1
    assert all(name in away[0].what for name in ("redis", "persistence", "eviction", "workers"))
    assert "secret" not in json.dumps([each.what for each in found.findings])
    clocks = [each.what for each in found.findings if each.check == "clocks"]
    assert any("its clock was not compared" in each for each in clocks)
    assert any("the clock of Postgres is this host's" in each for each in clocks)
    assert any("learning.mailbox" in each.what for each in found.findings if each.check == "policies")


def test_given_a_dead_postgres_when_looked_at_then_it_is_one_finding_and_redis_is_looked_at_all_the_same(
    place: Place, own_redis: str
) -> None:
    with redis.Redis.from_url(own_redis) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    nowhere = f"postgresql://learning_dispatcher:secret@127.0.0.1:{free_port()}/learning"
    deployment = deployment_of(place, dispatcher_database_url=nowhere, redis_url=own_redis)
    try:
        found = examine(deployment)
    finally:
        deployment.close()
    [away] = [each for each in found.findings if "not looked at" in each.what]
    assert "LEARNING_DISPATCHER_DATABASE_URL" in away.what
    assert "policies" in away.what
    assert any("allkeys-lru" in each.what for each in found.findings if each.check == "eviction")


def test_given_a_postgres_that_hangs_when_looked_at_then_each_check_ends_in_its_time(place: Place) -> None:
    url = make_url(place.dispatcher_url)
    proxy = TcpProxy(url.host or "", url.port or 5432)
    proxy.open()
    try:
        proxy.stall()
        hanging = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        deployment = deployment_of(place, dispatcher_database_url=hanging)
        # It hangs for as long as they are looked at.
        found = examine(deployment, {name: CHECKS[name] for name in ("python", "roles", "policies", "persistence")})
    finally:
        proxy.cut()
    assert {each.level for each in found.findings if each.check in ("python", "persistence")} == {"ok"}
    assert any(each.level == "error" and "roles" in each.what for each in found.findings)


def test_given_a_check_that_does_not_end_or_that_fails_when_run_then_it_says_so_and_the_others_have_run(
    place: Place,
) -> None:
    release = threading.Event()

    def endless(_: Deployment) -> list[Finding]:
        release.wait()
        return []

    def broken(_: Deployment) -> list[Finding]:
        raise KeyError("words of somebody")

    deployment = deployment_of(place)
    try:
        found = examine(deployment, {"endless": endless, "broken": broken, "fine": lambda _: [ok("fine")]}, seconds=0.3)
    finally:
        release.set()
        deployment.close()
    told = {each.check: each for each in found.findings}
    assert told["endless"].what == "no answer within 0.3 s"
    assert "KeyError" in told["broken"].what
    assert "words" not in told["broken"].what
    assert told["fine"].level == "ok"
    assert found.level == "error"


def test_given_no_address_when_looked_at_then_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [name for name in os.environ if name.startswith("LEARNING_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    found = examine(Deployment(settings=ServiceSettings.load()))
    told = " ".join(each.what for each in found.findings if each.level == "error")
    assert "LEARNING_DISPATCHER_DATABASE_URL" in told
    assert "LEARNING_REDIS_URL" in told


@pytest.mark.parametrize(
    ("do", "undo", "told", "remedy"),
    [
        (
            "ALTER ROLE learning_app BYPASSRLS",
            "ALTER ROLE learning_app NOBYPASSRLS",
            "learning_app has BYPASSRLS",
            "ALTER ROLE learning_app NOBYPASSRLS",
        ),
        (
            "ALTER ROLE learning_dispatcher SUPERUSER",
            "ALTER ROLE learning_dispatcher NOSUPERUSER",
            "learning_dispatcher is a superuser",
            "ALTER ROLE learning_dispatcher NOSUPERUSER",
        ),
        (
            "ALTER ROLE learning_owner RENAME TO learning_former",
            "ALTER ROLE learning_former RENAME TO learning_owner",
            "role learning_owner is missing",
            "learning-machine migrate",
        ),
    ],
)
def test_given_a_role_that_may_too_much_or_is_missing_when_looked_at_then_it_is_an_error_and_the_remedy_mends_it(
    place: Place, do: str, undo: str, told: str, remedy: str
) -> None:
    with changed(place, do, undo):
        finding = only(found_by("roles", deployment_of(place)), "error")
        assert told in finding.what
        assert finding.remedy == remedy
        if remedy.startswith("ALTER"):
            execute(place.superuser_url, remedy)
            assert levels(found_by("roles", deployment_of(place))) == {"ok"}


def test_given_a_search_role_that_may_log_in_when_looked_at_then_it_is_a_warning(place: Place) -> None:
    with changed(place, "ALTER ROLE learning_search LOGIN", "ALTER ROLE learning_search NOLOGIN"):
        assert "learning_search may log in" in only(found_by("roles", deployment_of(place)), "warning").what


def test_given_agents_that_log_in_as_a_superuser_when_looked_at_then_it_is_an_error(place: Place) -> None:
    findings = found_by("logins", deployment_of(place, database_url=place.superuser_url))
    assert "who is a superuser" in only(findings, "error").what


@pytest.mark.parametrize(
    ("grants", "told"),
    [
        (["GRANT learning_app, learning_dispatcher TO wide"], "has the rights of learning_dispatcher"),
        ([], "is no learning_app"),
    ],
)
def test_given_a_user_of_the_operators_own_when_its_rights_are_others_then_it_is_an_error(
    place: Place, grants: list[str], told: str
) -> None:
    url = make_url(place.app_url).set(username="wide", password="wide").render_as_string(hide_password=False)
    with changed(place, "CREATE ROLE wide LOGIN PASSWORD 'wide'", "DROP ROLE wide"):
        execute(place.superuser_url, *grants)
        assert told in only(found_by("logins", deployment_of(place, database_url=url)), "error").what


def test_given_a_user_of_the_operators_own_with_the_apps_rights_when_looked_at_then_it_is_fine(place: Place) -> None:
    url = make_url(place.app_url).set(username="narrow", password="narrow").render_as_string(hide_password=False)
    with changed(place, "CREATE ROLE narrow LOGIN PASSWORD 'narrow' IN ROLE learning_app", "DROP ROLE narrow"):
        assert levels(found_by("logins", deployment_of(place, database_url=url))) == {"ok"}


@pytest.mark.parametrize(
    ("do", "told"),
    [
        ("ALTER TABLE learning.learning DISABLE ROW LEVEL SECURITY", "row-level security is off on learning.learning"),
        ("ALTER TABLE learning.mailbox NO FORCE ROW LEVEL SECURITY", "does not bind the owner of learning.mailbox"),
        ("DROP POLICY one_tenant ON learning.entity", "learning.entity has no policy that keeps the app to its tenant"),
        ("CREATE POLICY wider ON learning.evidence TO learning_app USING (true)", "policy wider on learning.evidence"),
    ],
)
def test_given_a_table_that_lacks_protection_when_looked_at_then_it_is_an_error_and_the_remedy_mends_it(
    place: Place, do: str, told: str
) -> None:
    execute(place.superuser_url, do)
    finding = only(found_by("policies", deployment_of(place)), "error")
    assert told in finding.what
    assert finding.remedy is not None
    execute(place.superuser_url, *finding.remedy.split("; "))
    assert levels(found_by("policies", deployment_of(place))) == {"ok"}


def test_given_a_database_without_pgvector_when_looked_at_then_it_is_an_error_with_the_statement(place: Place) -> None:
    execute(place.superuser_url, "DROP EXTENSION vector CASCADE")
    finding = only(found_by("extensions", deployment_of(place)), "error")
    assert "CREATE EXTENSION vector WITH SCHEMA public" in str(finding.remedy)


def test_given_pgvector_in_another_schema_when_looked_at_then_it_is_an_error(place: Place) -> None:
    execute(place.superuser_url, "CREATE SCHEMA elsewhere", "ALTER EXTENSION vector SET SCHEMA elsewhere")
    assert "in the schema elsewhere" in only(found_by("extensions", deployment_of(place)), "error").what


def test_given_synchronous_commit_off_when_looked_at_then_it_is_an_error(place: Place) -> None:
    name = make_url(place.superuser_url).database
    execute(place.superuser_url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    assert "synchronous_commit is off" in only(found_by("postgres", deployment_of(place)), "error").what


@pytest.mark.parametrize(
    ("revision", "level", "told"),
    [("0008", "error", "is at 0008, and this version needs"), ("9999", "note", "newer than this version knows")],
)
def test_given_a_schema_of_another_revision_when_looked_at_then_it_is_told(
    place: Place, revision: str, level: str, told: str
) -> None:
    execute(place.superuser_url, f"UPDATE learning.alembic_version SET version_num = '{revision}'")
    assert told in only(found_by("schema", deployment_of(place)), level).what


def test_given_no_owners_address_when_the_schema_is_looked_at_then_it_is_a_note(place: Place) -> None:
    deployment = deployment_of(place, owner_database_url="")
    assert "LEARNING_OWNER_DATABASE_URL" in str(only(found_by("schema", deployment), "note").remedy)


def test_given_a_database_without_a_schema_when_looked_at_then_migrate_is_the_remedy(
    place: Place, servers: tuple[str, str]
) -> None:
    empty = make_url(servers[0]).set(database="postgres").render_as_string(hide_password=False)
    deployment = deployment_of(place, owner_database_url=empty)
    assert only(found_by("schema", deployment), "error").remedy == "learning-machine migrate"


@pytest.mark.parametrize(
    ("setting", "value", "check", "level", "told"),
    [
        ("appendonly", "no", "persistence", "error", "keeps no append-only file"),
        ("appendfsync", "everysec", "persistence", "warning", "up to 2 s of accepted events"),
        ("appendfsync", "no", "persistence", "error", "leaves it to the system"),
        ("maxmemory-policy", "allkeys-lru", "eviction", "error", "maxmemory-policy allkeys-lru"),
        ("maxmemory", "1200000", "eviction", "warning", "of its maxmemory"),
    ],
)
def test_given_a_redis_that_is_set_otherwise_when_looked_at_then_it_is_told_with_the_setting(
    place: Place, own_redis: str, setting: str, value: str, check: str, level: str, told: str
) -> None:
    with redis.Redis.from_url(own_redis) as client:
        client.config_set(setting, value)
    finding = only(found_by(check, deployment_of(place, redis_url=own_redis)), level)
    assert told in finding.what
    assert "CONFIG SET" in str(finding.remedy)


def test_given_a_redis_that_has_evicted_when_looked_at_then_it_says_how_many(place: Place, own_redis: str) -> None:
    with redis.Redis.from_url(own_redis) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.mset({f"key{number}": "x" * 100_000 for number in range(30)})
        client.config_set("maxmemory", "2000000")

        def evicted() -> bool:
            client.set("another", "x" * 100_000)
            return bool(client.info("stats")["evicted_keys"])

        eventually(evicted, "keys are evicted")
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "0")
    assert "has evicted" in only(found_by("eviction", deployment_of(place, redis_url=own_redis)), "warning").what


@pytest.mark.parametrize(
    ("rules", "level", "told", "remedy"),
    [
        ("+ping +info", "note", "could not be read (CONFIG GET is not allowed)", "+config|get"),
        ("+ping", "error", "permissions", "+info"),
    ],
)
def test_given_a_user_of_redis_who_may_not_ask_when_looked_at_then_the_right_that_is_missing_is_the_remedy(
    place: Place, own_redis: str, rules: str, level: str, told: str, remedy: str
) -> None:
    with redis.Redis.from_url(own_redis) as client:
        client.execute_command("ACL", "SETUSER", "narrow", "on", ">narrow", "-@all", "+client", *rules.split())
    url = f"redis://narrow:narrow@{own_redis.rpartition('@')[2]}"
    finding = only(found_by("persistence", deployment_of(place, redis_url=url)), level)
    assert told in finding.what
    assert remedy in str(finding.remedy)


def test_given_a_broker_of_its_own_when_looked_at_then_both_servers_are(place: Place, own_redis: str) -> None:
    with redis.Redis.from_url(own_redis) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    findings = found_by("eviction", deployment_of(place, broker_url=own_redis))
    assert "(broker)" in only(findings, "error").what
    assert len(found_by("redis", deployment_of(place, broker_url=own_redis))) == 2


@pytest.mark.parametrize(("seconds", "level"), [(30.0, "warning"), (-30.0, "warning"), (-4000.0, "error")])
def test_given_a_host_whose_clock_is_off_when_compared_then_each_server_is_told(
    place: Place, seconds: float, level: str
) -> None:
    deployment = deployment_of(place)
    deployment.clock = lambda: time.time() + seconds
    findings = found_by("clocks", deployment)
    assert [each.level for each in findings] == [level, level]
    assert all(("behind" if seconds > 0 else "ahead of") in each.what for each in findings)
    assert all(f"{abs(seconds):.0f}" in each.what for each in findings)


def test_given_nobody_at_work_when_looked_at_then_dispatcher_workers_and_schedule_are_missed(place: Place) -> None:
    deployment = deployment_of(place)
    found = examine(deployment, {name: CHECKS[name] for name in ("dispatchers", "workers", "schedule")})
    deployment.close()
    told = {(each.check, each.level): each.remedy for each in found.findings}
    assert told["dispatchers", "error"] == "learning-machine dispatcher"
    assert "-Q learning.curator" in str(told["schedule", "error"])
    assert any("no worker embeds" in each.what for each in found.findings if each.level == "note")
    queues = {
        each.what.split(" ")[5].strip(",")
        for each in found.findings
        if each.check == "workers" and each.level == "error"
    }
    assert queues == {
        "learning.user_profile",
        "learning.session_context",
        "learning.entity_memory",
        "learning.learned_knowledge",
        "learning.curator",
    }


def test_given_a_worker_for_one_queue_when_looked_at_then_the_others_are_warnings_unless_somebody_waits_there(
    place: Place, processes: Processes, dispatcher_db: Database, model: Any
) -> None:
    worker = processes.worker("user_profile")
    dispatcher = processes.dispatcher()
    eventually(lambda: "ready." in worker.log_path.read_text(), "the worker takes work")
    eventually(lambda: "shards taken" in dispatcher.log_path.read_text(), "the dispatcher reads")
    with place.machine(session_context=True) as machine:
        machine.emit(turn("I love tea."), user_id="alice", session_id="s1")
        eventually(
            lambda: rows(dispatcher_db, "SELECT FROM learning.mailbox WHERE due_at <= clock_timestamp()"), "mail is due"
        )
    findings = found_by("workers", deployment_of(place))
    by_level = {level: " ".join(each.what for each in findings if each.level == level) for level in levels(findings)}
    assert "learning.entity_memory" in by_level["warning"]
    assert "learning.session_context, where 1 mailbox wait" in by_level["error"]
    assert "learning.user_profile" not in by_level["error"] + by_level["warning"]
    assert levels(found_by("dispatchers", deployment_of(place))) == {"ok"}
    assert (
        "nobody reads the shards 8, 9" in only(found_by("dispatchers", deployment_of(place, shards=10)), "error").what
    )
    more = found_by("dispatchers", deployment_of(place, shards=4))
    assert only(more, "warning").remedy == "set LEARNING_SHARDS=8 here and for every agent"


def test_given_a_curator_that_is_busy_and_does_not_answer_when_looked_at_then_its_lease_counts(
    place: Place, everything_db: Database
) -> None:
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO learning.curator_run (tenant, job, due_at, state, owner, token, lease_until, tick) "
            "VALUES ('', 'reconcile', now(), 'running', 'x', 1, now() + interval '30 s', now())"
        )
    findings = found_by("workers", deployment_of(place))
    assert not any("learning.curator" in each.what for each in findings if each.level == "error")
    assert levels(found_by("schedule", deployment_of(place))) == {"ok"}


def test_given_beat_that_stopped_when_looked_at_then_since_when_is_told(place: Place, everything_db: Database) -> None:
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO learning.curator_run (tenant, job, due_at, state, tick, finished_at) "
            "VALUES ('', 'reconcile', now(), 'done', '2026-01-02 03:04:00+00', now())"
        )
    assert "since 2026-01-02 03:04 UTC" in only(found_by("schedule", deployment_of(place)), "error").what
    off = deployment_of(place, curator_reconcile="off")
    assert "is off" in only(found_by("schedule", off), "note").what


def _learn(app_db: Database, dispatcher_db: Database, everything_db: Database) -> None:
    """One learning of the default tenant."""
    take_in(dispatcher_db, event(), spec=BOTH_AT_ONCE)
    held = claim(app_db, mailbox_id(everything_db, tenant="default"), "default")
    window = window_of(app_db, held)
    work(app_db, held, put(window, "Works at Netflix"), window=window)


def _embedding(place: Place, **settings: Any) -> tuple[Finding, ...]:
    given = {"embedding_model": "words", "embedding_base_url": "http://127.0.0.1:9/v1", **settings}
    return found_by("embedding", deployment_of(place, **given))


def test_given_learnings_without_vectors_when_looked_at_then_the_share_and_what_waits_are_told(
    place: Place, app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    assert levels(found_by("embedding", deployment_of(place))) == {"ok"}
    assert levels(_embedding(place)) == {"ok"}
    _learn(app_db, dispatcher_db, everything_db)
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO learning.embedding_model (tenant, model, state) VALUES ('default', 'words', 'building')"
        )
    assert "0 of 1 live learnings (0.0%)" in only(_embedding(place), "note").what
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE learning.embedding_due SET since = now() - interval '1 hour'")
    overdue = only(_embedding(place), "error")
    assert "1 learning of 1 tenant wait for their vector" in overdue.what
    assert "-Q learning.embed" in str(overdue.remedy)
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE learning.embedding_model SET failures = 3, not_before = now() + interval '1 min', wait_note = '401'"
        )
    assert "embedding with words waits in 1 tenant (401)" in only(_embedding(place), "warning").what


def test_given_every_learning_with_its_vector_or_refused_when_looked_at_then_it_says_so(
    place: Place, app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    _learn(app_db, dispatcher_db, everything_db)
    with everything_db.engine.begin() as connection:
        for statement in (
            "INSERT INTO learning.embedding_model (tenant, model, state, dimensions) VALUES ('default', 'words', 'reading', 1)",
            (
                "INSERT INTO learning.learning_embedding (tenant, learning_id, model, embedding) "
                "SELECT tenant, id, 'words', '[1]'::public.vector FROM learning.learning"
            ),
            "DELETE FROM learning.embedding_due",
        ):
            connection.exec_driver_sql(statement)
    assert "1 of 1 live learnings (100.0%)" in only(_embedding(place), "ok").what
    moved = only(_embedding(place, embedding_model="other"), "warning")
    assert moved.remedy == "learning-machine reembed other"
    with everything_db.engine.begin() as connection:
        for statement in (
            "INSERT INTO learning.embedding_model (tenant, model, state) VALUES ('default', 'third', 'building')",
            (
                "INSERT INTO learning.embedding_refused (tenant, learning_id, model, reason) "
                "SELECT tenant, id, 'words', 'too odd' FROM learning.learning"
            ),
        ):
            connection.exec_driver_sql(statement)
    assert "the move to third is not complete" in only(_embedding(place), "warning").what
    assert "refused the text of 1 learning" in only(_embedding(place), "note").what


def test_given_models_that_nobody_knows_when_looked_at_then_who_names_them_is_told(
    place: Place, dispatcher_db: Database
) -> None:
    stores = {"user_profile": StoreSpec(scope="user", model="gpt-17"), "session_context": StoreSpec(scope="session")}
    take_in(dispatcher_db, event(tenant="acme"), spec=MachineSpec(stores=stores, model="gpt-5"))
    finding = only(found_by("models", deployment_of(place)), "error")
    assert "'gpt-17'" in finding.what
    assert "tenant acme" in finding.what
    assert '[models."gpt-17"]' in str(finding.remedy)
    assert "LEARNING_MODEL" in " ".join(
        each.what for each in found_by("models", deployment_of(place, model="qwen9")) if "qwen9" in each.what
    )


def test_given_a_model_without_a_price_when_looked_at_then_it_is_a_note_and_with_a_budget_a_warning(
    place: Place, everything_db: Database
) -> None:
    file = place.directory / "models.toml"
    lines = ['base_url = "http://127.0.0.1:9/v1"', 'api = "chat"', 'key_variable = "NO_KEY"', "max_output_tokens = 100"]
    file.write_text("\n".join(['[models."own"]', *lines]))
    settings = {"model": "own", "models_file": file}
    assert "price of own is not known" in only(found_by("models", deployment_of(place, **settings)), "note").what
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO learning.budget (tenant, store, usd_per_day) VALUES ('*', '*', 1)")
    assert "it is not asked" in only(found_by("models", deployment_of(place, **settings)), "warning").what
    file.write_text("nonsense")
    assert "LEARNING_MODELS_FILE" in only(found_by("models", deployment_of(place, **settings)), "error").what


def test_given_dead_deliveries_and_refused_events_when_looked_at_then_store_reason_and_command_are_told(
    place: Place, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(), spec=BOTH_AT_ONCE)
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE learning.delivery SET state = 'dead', reason = 'crashes', settled_at = now() WHERE store = 'user_profile'"
        )
        connection.exec_driver_sql(
            "INSERT INTO learning.rejected_event (stream, entry_id, field, reason, body, body_bytes) "
            "VALUES ('learning:events:0', '1-1', 'event', 'unreadable', '', 0)"
        )
    findings = found_by("deliveries", deployment_of(place))
    dead = only(findings, "warning")
    assert dead.what == "1 delivery to user_profile died (crashes)"
    assert "dead list --store user_profile --reason crashes" in str(dead.remedy)
    assert "1 event could not be accepted" in only(findings, "note").what


def _spool(place: Place, mode: int = 0o700, **settings: Any) -> tuple[Path, Deployment]:
    directory = place.directory / "spool"
    directory.mkdir(exist_ok=True)
    directory.chmod(mode)
    return directory, deployment_of(place, spool_dir=str(directory), **settings)


def test_given_a_spool_that_others_may_read_or_write_or_that_is_missing_when_looked_at_then_chmod_is_the_remedy(
    place: Place,
) -> None:
    directory, deployment = _spool(place, 0o750)
    assert only(found_by("spool", deployment), "warning").remedy == f"chmod 700 {directory}"
    directory, deployment = _spool(place, 0o777)
    assert "open to every user" in only(found_by("spool", deployment), "error").what
    missing = deployment_of(place, spool_dir=str(place.directory / "missing"))
    assert "mkdir -p -m 700" in str(only(found_by("spool", missing), "error").remedy)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a directory to somebody else needs root")
def test_given_a_spool_of_another_user_when_looked_at_then_it_is_a_note(place: Place) -> None:
    directory, deployment = _spool(place)
    os.chown(directory, 65534, 65534)
    assert "belongs to another user (uid 65534)" in only(found_by("spool", deployment), "note").what


def test_given_files_that_wait_in_the_spool_when_looked_at_then_drain_is_the_remedy_until_a_process_holds_them(
    place: Place,
) -> None:
    directory, deployment = _spool(place)
    assert levels(found_by("spool", deployment)) == {"ok"}
    descriptor, path = created(directory, "host-1-aaaaaaaa", "127.0.0.1:5432/learning")
    write_all(descriptor, record(b"{}", b"{}"))
    held = only(found_by("spool", _spool(place)[1]), "note")
    assert "1 event wait in files" in held.what
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))
    assert "has not drained them" in only(found_by("spool", _spool(place)[1]), "warning").what
    os.close(descriptor)
    left = only(found_by("spool", _spool(place)[1]), "warning")
    assert "1 event in 1 file" in left.what
    assert left.remedy == f"`learning-machine spool drain {directory}`"
    path.with_suffix(".refused").write_text("refused\n")
    told = [each.what for each in found_by("spool", _spool(place)[1])]
    assert any("1 record set aside or damaged" in each for each in told)
    path.write_bytes(path.read_bytes() + b"x" * 4096)
    full = found_by("spool", _spool(place, spool_bytes=4096)[1])
    assert any("full, emit raises NotAccepted" in each.what for each in full)


def test_given_an_examination_when_written_as_json_then_it_has_levels_checks_and_remedies(place: Place) -> None:
    deployment = deployment_of(place)
    found: Examination = examine(deployment, {"python": CHECKS["python"]})
    deployment.close()
    [told] = found.as_dict()["findings"]
    assert set(told) == {"level", "check", "what", "remedy"}
    assert told["check"] == "python"
    assert found.as_dict()["level"] == "ok"
