"""Postgres behind PgBouncer in transaction mode: the whole path, over two server connections for each role."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from harness import Place, Processes, eventually, execute, rows, turn
from learning_machine import LearnedKnowledgeConfig, LearningMachine, UserProfileConfig
from learning_ops.doctor import CHECKS, Deployment, examine
from learning_ops.offline.server import OfflineModel
from learning_ops.process import free_port
from learning_stores.database import Database
from learning_stores.settings import ServiceSettings
from pgbouncer import Bouncer, bouncing, documented, needs_pgbouncer
from running_stack import run

pytestmark = needs_pgbouncer

CONNECTIONS = 2
USERS = 12


@pytest.fixture
def bouncer(place: Place) -> Iterator[Bouncer]:
    """PgBouncer before the place's database, and the role set as the docs say."""
    execute(place.superuser_url, documented("sql"))
    try:
        with bouncing([place.app_url, place.dispatcher_url], CONNECTIONS) as bouncer:
            yield bouncer
    finally:
        execute(place.superuser_url, "ALTER ROLE learning_app RESET statement_timeout")


@pytest.fixture
def behind(place: Place, bouncer: Bouncer) -> Place:
    """The place, by way of PgBouncer."""
    return replace(place, app_url=bouncer.through(place.app_url), dispatcher_url=bouncer.through(place.dispatcher_url))


def _server_connections(db: Database, user: str) -> int:
    query = "SELECT count(*) AS n FROM pg_stat_activity WHERE usename = :user AND datname = current_database()"
    return int(rows(db, query, user=user)[0]["n"])


def _machine(place: Place) -> LearningMachine:
    return place.machine(
        user_profile=UserProfileConfig(debounce=0, enable_agent_tools=True),
        session_context=True,
        entity_memory=True,
        learned_knowledge=LearnedKnowledgeConfig(mode="AGENTIC"),
        recall_deadline=10.0,
    )


def _command(place: Place, *arguments: str) -> str:
    ended = run(*arguments, cwd=place.directory, env=place.env)
    assert ended.returncode == 0, ended.stderr
    return str(ended.stdout)


@pytest.mark.timeout(600)
def test_given_every_process_behind_it_when_agents_speak_recall_and_forget_then_all_of_it_works(
    behind: Place, bouncer: Bouncer, model: OfflineModel, everything_db: Database
) -> None:
    behind.extra_env |= {
        "LEARNING_MODEL": "offline-rules-1",
        "LEARNING_MODEL_BASE_URL": model.url,
        "LEARNING_MODEL_API_KEY": "not-a-key",
        "LEARNING_EMBEDDING_MODEL": "offline-rules-1",
        "LEARNING_EMBEDDING_BASE_URL": model.url,
        "LEARNING_EMBEDDING_API_KEY": "not-a-key",
    }
    processes = Processes(behind, warm=True)
    try:
        processes.dispatcher()
        processes.worker("user_profile", "session_context", "entity_memory", "learned_knowledge", "embed", threads=8)
        processes.worker("curator", threads=1, name="curator")
        with _machine(behind) as machine:
            with ThreadPoolExecutor(8) as pool:
                receipts = list(
                    pool.map(
                        lambda number: machine.emit(
                            turn(f"I'm Bob{number}, I work at Netflix."), user_id=f"user{number}", session_id="s1"
                        ),
                        range(USERS),
                    )
                )
            for receipt in receipts:
                assert machine.settle(receipt, timeout=90)["user_profile"] == "extracted"
            with ThreadPoolExecutor(8) as pool:
                answers = list(
                    pool.map(lambda n: machine.recall(user_id=f"user{n % USERS}", session_id="s1"), range(48))
                )
            assert {answer.degraded for answer in answers} == {None}
            assert all("Works at Netflix" in answer.memories for answer in answers)

            tools = {tool.name: tool for tool in machine.tools(user_id="user1", session_id="s1")}
            assert tools["save_memory"](content="Prefers concise answers") == "Saved."
            saved = tools["save_learning"](
                title="Retry budgets", learning="Retry idempotent calls alone.", context="APIs", tags=["http"]
            )
            assert saved == "Saved."
            assert "Retry budgets" in tools["search_learnings"](query="retry of calls")

            async def from_asyncio() -> None:
                async with _machine(behind) as other:
                    receipt = await other.aemit(turn("I love tea."), user_id="user2", session_id="s2")
                    assert (await other.asettle(receipt, timeout=90))["user_profile"] == "extracted"
                    found = await asyncio.gather(*(other.arecall(user_id="user2", session_id="s2") for _ in range(24)))
                    assert {answer.degraded for answer in found} == {None}
                    assert {"Likes tea" in str(answer.memories) for answer in found} == {True}

            asyncio.run(from_asyncio())
            assert machine.forget(user_id="user3").counts
            assert machine.recall(user_id="user3", session_id="s1").memories == ()
        assert json.loads(_command(behind, "status", "--json"))["backlog"] == []
        _command(behind, "status", "--ledger")
        _command(behind, "curate", "prune", "--tenant", "default", "--store", "user_profile")
        _command(behind, "curate", "deduplicate", "--tenant", "default", "--store", "user_profile")
        assert "Works at Netflix" in _command(behind, "export", "--user", "user1")
        eventually(
            lambda: not rows(everything_db, "SELECT FROM learning.embedding_due"), "everything is embedded", timeout=60
        )
        query = "SELECT FROM learning.curator_run WHERE job = 'reconcile' AND state = 'done'"
        eventually(lambda: rows(everything_db, query), "the curator has reconciled", timeout=90)
        for role in ("learning_app", "learning_dispatcher"):
            assert 0 < _server_connections(everything_db, role) <= CONNECTIONS
    finally:
        processes.stop_all()
    told = bouncer.log + "".join(each.read_text() for each in Path(behind.directory).glob("*.log"))
    for trouble in ("prepared statement", "StorageFailed", '"level": "error"', "unsupported startup parameter"):
        assert trouble not in told
    assert rows(everything_db, "SELECT DISTINCT state FROM learning.delivery WHERE state IN ('dead', 'pending')") == []


def _asked(session: Session) -> tuple[int, str]:
    row = session.execute(text("SELECT pg_backend_pid(), current_setting('learning.tenant', true)")).one()
    return int(row[0]), str(row[1])


def test_given_two_clients_of_one_server_connection_when_they_repeat_statements_then_neither_meets_the_others(
    place: Place,
) -> None:
    with (
        bouncing([place.app_url], 1) as single,
        Database(single.through(place.app_url)) as one,
        Database(single.through(place.app_url)) as other,
    ):
        seen = set()
        for _ in range(12):  # past the point at which the driver would prepare
            for database, tenant in ((one, "acme"), (other, "globex"), (one, None)):
                backend, found = database.run(tenant, _asked)
                assert found == (tenant or "")
                seen.add(backend)
        assert len(seen) == 1

        async def the_same() -> set[int]:
            found = {(await database.arun("acme", _asked))[0] for _ in range(12) for database in (one, other)}
            await one.aclose()
            await other.aclose()
            return found

        assert asyncio.run(the_same()) == seen


def test_given_recalls_of_several_machines_when_a_server_connection_is_shared_then_no_setting_stays_on_it(
    place: Place,
) -> None:
    execute(place.superuser_url, "ALTER ROLE learning_app SET statement_timeout = '17s'")
    try:
        with bouncing([place.app_url], 1) as single, Database(single.through(place.app_url)) as other:
            behind = replace(place, app_url=single.through(place.app_url))
            with behind.machine(recall_deadline=5.0) as machine:
                assert machine.recall(user_id="alice").degraded is None
                with other.engine.connect() as connection:
                    assert connection.scalar(text("SHOW statement_timeout")) == "17s"
                    assert connection.scalar(text("SELECT current_setting('learning.tenant', true)")) in (None, "")
    finally:
        execute(place.superuser_url, "ALTER ROLE learning_app RESET statement_timeout")


def test_given_more_clients_than_the_pool_may_serve_when_one_waits_too_long_then_recall_is_degraded_and_comes_back(
    place: Place,
) -> None:
    with bouncing([place.app_url], 1) as single, Database(single.through(place.app_url)) as holder:
        behind = replace(place, app_url=single.through(place.app_url))
        with behind.machine(recall_deadline=0.5) as machine:
            assert eventually(lambda: machine.recall(user_id="alice").degraded is None, "a first recall")
            with holder.transaction("default") as session:
                session.execute(text("SELECT 1"))
                assert machine.recall(user_id="alice").degraded is not None
            eventually(lambda: machine.recall(user_id="alice").degraded is None, "recall comes back")


def test_given_a_redis_that_is_away_when_events_go_to_postgres_by_way_of_it_then_they_are_accepted(
    place: Place, everything_db: Database
) -> None:
    with bouncing([place.app_url], 1) as single:
        behind = replace(place, app_url=single.through(place.app_url), redis_url=f"redis://127.0.0.1:{free_port()}/0")
        with behind.machine(emit_deadline=10.0) as machine:
            taken = {machine.emit(turn(f"I love tea {n}."), user_id="alice", session_id="s1").via for n in range(12)}
    assert taken == {"postgres"}
    assert rows(everything_db, "SELECT count(*) AS n FROM learning.conversation_event") == [{"n": 12}]


def test_given_a_pooler_when_the_doctor_looks_then_it_says_so_and_finds_nothing_wrong(
    behind: Place, bouncer: Bouncer
) -> None:
    settings = ServiceSettings.load(
        database_url=behind.app_url,
        dispatcher_database_url=behind.dispatcher_url,
        owner_database_url=behind.owner_url,
        redis_url=behind.redis_url,
    )
    deployment = Deployment(settings=settings)
    try:
        names = ("postgres", "extensions", "schema", "roles", "logins", "policies", "clocks")
        found = examine(deployment, {name: CHECKS[name] for name in names})
    finally:
        deployment.close()
    assert found.level == "ok", found
    assert any("a pooler stands before Postgres" in each.what for each in found.findings)
