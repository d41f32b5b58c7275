"""Connections: transactions, one tenant each, forks, cancellation, and what an error may say."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from harness import event, eventually, rows
from integration.stores.steps import take_in
from learning_schemas.errors import ConfigurationError
from learning_stores.database import Database


def _settings(session: Session) -> dict[str, str]:
    names = ("learning.tenant", "statement_timeout", "idle_in_transaction_session_timeout", "transaction_isolation")
    return {name: str(session.scalar(text("SELECT current_setting(:name)"), {"name": name})) for name in names}


def test_given_a_transaction_when_it_begins_then_tenant_and_bounds_are_its_own(app_db: Database) -> None:
    assert app_db.run("acme", _settings) == {
        "learning.tenant": "acme",
        "statement_timeout": "30s",
        "idle_in_transaction_session_timeout": "30s",
        "transaction_isolation": "read committed",
    }
    with app_db.engine.connect() as connection:
        assert connection.scalar(text("SELECT current_setting('learning.tenant', true)")) in (None, "")
        assert connection.scalar(text("SELECT current_setting('statement_timeout')")) == "0"


def test_given_a_server_whose_default_is_repeatable_read_when_work_runs_then_later_statements_still_see_more(
    app_db: Database, everything_db: Database
) -> None:
    with everything_db.engine.begin() as connection:
        name = connection.scalar(text("SELECT current_database()"))
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    assert app_db.run("acme", _settings)["transaction_isolation"] == "read committed"


def test_given_an_error_in_a_transaction_when_it_is_left_then_nothing_is_kept_and_the_connection_is_given_back(
    app_db: Database, everything_db: Database
) -> None:
    class Stop(Exception):
        pass

    def work(session: Session) -> None:
        session.execute(text("INSERT INTO learning.machine_spec (tenant, hash, spec) VALUES ('acme', 'x', '{}')"))
        raise Stop

    with pytest.raises(Stop):
        app_db.run("acme", work)
    assert rows(everything_db, "SELECT FROM learning.machine_spec") == []
    assert app_db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a queue pool has it


def test_given_a_statement_that_fails_when_its_error_is_printed_then_no_parameter_is_in_it(app_db: Database) -> None:
    secret = "what-alice-said"
    with pytest.raises(DBAPIError) as caught, app_db.transaction("acme") as session:
        session.execute(text("SELECT 1 / (length(cast(:said AS text)) - :n)"), {"said": secret, "n": len(secret)})
    assert secret not in str(caught.value)


def test_given_a_row_that_breaks_a_rule_when_the_error_is_printed_then_the_row_is_not_in_it(app_db: Database) -> None:
    """Postgres itself keeps it back from roles that row-level security binds."""
    secret = "what-alice-said"
    with pytest.raises(DBAPIError) as caught, app_db.transaction("acme") as session:
        session.execute(
            text(
                "INSERT INTO learning.learning (tenant, id, store, kind, scope, content, content_key, status, valid_from, "
                "live_from, origin) "
                "VALUES ('acme', gen_random_uuid(), 's', 'k', 'user/a', :said, 'k', 'wrong', now(), now(), 'tool')"
            ),
            {"said": secret},
        )
    assert "check constraint" in str(caught.value)
    assert secret not in str(caught.value)


def test_given_a_statement_over_its_time_when_it_runs_then_the_server_ends_it_and_the_next_one_works(
    app_db: Database,
) -> None:
    def work(session: Session) -> None:
        session.execute(text("SET LOCAL statement_timeout = '50ms'"))
        session.execute(text("SELECT pg_sleep(10)"))

    with pytest.raises(OperationalError, match="statement timeout"):
        app_db.run("acme", work)
    assert app_db.run("acme", _settings)["statement_timeout"] == "30s"


def test_given_a_connection_that_the_server_ended_in_the_middle_when_work_goes_on_then_it_fails_and_is_not_repeated(
    app_db: Database, everything_db: Database
) -> None:
    calls = []

    def work(session: Session) -> None:
        calls.append(session.scalar(text("SELECT pg_backend_pid()")))
        with everything_db.engine.begin() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": calls[-1]})
        session.execute(text("SELECT 1"))

    with pytest.raises(OperationalError):
        app_db.run("acme", work)
    assert len(calls) == 1


async def test_given_tasks_that_are_cancelled_in_work_when_they_are_then_every_connection_is_given_back(
    app_db: Database, everything_db: Database
) -> None:
    def slow(session: Session) -> None:
        session.execute(text("SELECT pg_sleep(20)"))

    tasks = [asyncio.create_task(app_db.arun("acme", slow)) for _ in range(4)]
    sleeping = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    await asyncio.to_thread(eventually, lambda: len(rows(everything_db, sleeping)) == 4, "four sleep")
    for task in tasks:
        task.cancel()
    done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert all(isinstance(each, asyncio.CancelledError) for each in done)
    assert app_db.async_engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a queue pool has it
    assert (await app_db.arun("acme", _settings))["learning.tenant"] == "acme"
    await app_db.aclose()


def test_given_many_event_loops_when_each_works_then_each_has_its_own_connections(app_db: Database) -> None:
    async def once() -> str:
        answer = await app_db.arun("acme", _settings)
        await app_db.aclose()
        return answer["learning.tenant"]

    assert [asyncio.run(once()) for _ in range(3)] == ["acme"] * 3


def test_given_many_threads_when_they_work_then_each_has_a_transaction_of_its_own(app_db: Database) -> None:
    def tenant_of(number: int) -> str:
        return app_db.run(f"tenant{number}", _settings)["learning.tenant"]

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(tenant_of, range(40))) == [f"tenant{number}" for number in range(40)]


FORKING = """
import os, sys
from sqlalchemy import text
from learning_stores.database import Database
from learning_stores.recall import Recaller, RecallRequest

def pid(session):
    return session.scalar(text("SELECT pg_backend_pid()"))

database = Database(sys.argv[1])
recaller = Recaller(database)
request = RecallRequest(tenant="default", user_id="a", session_id=None, stores=("user_profile",),
    places=(("user_profile", "user/a"),), max_tokens=100, deadline=10.0)
mine = database.run("default", pid)
assert recaller.recall(request).degraded is None
child = os.fork()
if child == 0:
    theirs = database.run("default", pid)
    fine = theirs != mine and recaller.recall(request).degraded is None
    recaller.close()
    database.close()
    os._exit(0 if fine else 1)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert database.run("default", pid) == mine
assert recaller.recall(request).degraded is None
recaller.close()
database.close()
print("fine")
"""


def test_given_a_fork_when_parent_and_child_both_work_then_each_has_its_own_connections(place: Any) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FORKING, place.app_url], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, "fine"), ran.stderr


@pytest.mark.parametrize(
    "url",
    [
        "not a url",
        "mysql://user:hunter22@localhost/name",
        "postgresql://user:hunter22@localhost:port/name",
        "postgresql://user:hunter22@localhost/name?nonsense=1",
    ],
)
def test_given_a_malformed_address_when_a_database_is_made_then_the_error_names_the_field_and_no_password(
    url: str,
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Database(url, field="owner_database_url")
    assert "owner_database_url" in str(caught.value)
    assert "hunter22" not in str(caught.value)


def test_given_an_address_with_the_short_scheme_when_used_then_it_works(place: Any, dispatcher_db: Database) -> None:
    take_in(dispatcher_db, event())
    with Database(place.app_url.replace("postgresql://", "postgres://", 1)) as database:
        assert database.run("default", _settings)["learning.tenant"] == "default"


def test_given_a_thread_in_a_transaction_when_the_database_is_closed_then_its_connection_is_closed_after_it(
    app_db: Database,
) -> None:
    with app_db.transaction("acme") as session:
        before: Any = session.connection().connection.driver_connection
        app_db.close()
        assert session.scalar(text("SELECT 1")) == 1
    assert before.closed
    with app_db.transaction("acme") as session:
        after: Any = session.connection().connection.driver_connection
    assert not after.closed
