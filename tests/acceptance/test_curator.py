"""The curator as it runs: workers with beats, killed in the middle; commands that run, show and undo what it did."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from harness import Place, Processes, eventually, rows
from integration.stores.past import Past, check, says
from learning_ops.process import ManagedProcess
from learning_schemas.ids import uuid7
from learning_schemas.spec import MachineSpec, Prune, StoreSpec
from learning_stores.database import Database
from learning_stores.ledger import ledger
from learning_workers.curator import JOBS
from running_stack import run

SPEC = MachineSpec(stores={"user_profile": StoreSpec(scope="user", debounce=0, prune=Prune(max_age_days=30))})
OFF = {f"LEARNING_CURATOR_{job.upper().replace('-', '_')}": "off" for job in JOBS}


class Upkeep:
    """A place with a past, the curators that work on it, and the commands."""

    def __init__(self, place: Place, past: Past, db: Database, processes: Processes) -> None:
        self.place, self.past, self.db, self.processes = place, past, db, processes
        self.env = {
            **OFF,
            "LEARNING_CURATOR_SPREAD": "0",
            "LEARNING_RETENTION_DAYS": "1",
            "LEARNING_RETAIN_EVENTS_DAYS": "30",
        }

    def curator(self, name: str = "curator", *, beat: bool = True, **env: str) -> ManagedProcess:
        """A curator's worker, with a beat of its own."""
        argv = [
            "-m",
            "celery",
            "-A",
            "learning_workers.app",
            "worker",
            "-Q",
            "learning.curator",
            "-P",
            "solo",
            "-n",
            f"{name}@%h",
        ]
        beats = ["-B", "-s", str(self.place.directory / f"{name}-beat")] if beat else []
        quiet = ["--without-mingle", "--without-gossip", "--loglevel", "INFO"]
        return self.processes.start(name, [*argv, *beats, *quiet], {**self.env, **env})

    def runs(self, job: str, store: str = "") -> list[dict[str, Any]]:
        """The runs of one job, that of the first tick first."""
        query = (
            "SELECT * FROM learning.curator_run WHERE job = :j AND store = :s AND tenant = 'default' ORDER BY tick, id"
        )
        return rows(self.db, query, j=job, s=store)

    def change(self, statement: str, **values: Any) -> None:
        """Change rows, as the superuser."""
        with self.db.engine.begin() as connection:
            connection.execute(text(statement), values)

    def command(self, *arguments: str, status: int = 0) -> Any:
        """Run a command; what it printed as JSON."""
        ended = run(*arguments, cwd=self.place.directory, env={**self.place.env, **self.env, "COLUMNS": "200"})
        assert ended.returncode == status, ended.stderr + ended.stdout
        assert "Traceback" not in ended.stderr
        return ended

    def json(self, *arguments: str) -> Any:
        """The same as JSON."""
        return json.loads(self.command(*arguments, "--json").stdout)

    def memories(self, days: int, *users: str) -> None:
        """One memory of each user, learned so many days ago."""
        for user in users:
            self.past.hear(says(f"Likes tea {days}"), user_id=user, spec=SPEC)
        self.change(
            "UPDATE learning.learning SET live_from = now() - :d * interval '1 day' WHERE content = :c",
            d=days,
            c=f"Likes tea {days}",
        )
        self.change("UPDATE learning.evidence v SET added_at = l.live_from FROM learning.learning l WHERE l.id = v.learning_id "
                    "AND l.content = :c", c=f"Likes tea {days}")  # fmt: skip

    def older_events(self, days: int) -> int:
        """Let every event be so many days older, by its id too; how many."""
        found = rows(self.db, "SELECT id FROM learning.conversation_event")
        for row in found:
            moved = {"old": row["id"], "new": UUID(int=row["id"].int - (days * 86_400_000 << 80))}
            for table in ("delivery", "evidence", "session_message"):
                self.change(f"UPDATE learning.{table} SET event_id = :new WHERE event_id = :old", **moved)
            self.change("UPDATE learning.conversation_event SET id = :new, accepted_at = accepted_at - interval '40 days' "
                        "WHERE id = :old", **moved)  # fmt: skip
        return len(found)

    @contextmanager
    def held(self, user: str) -> Iterator[None]:
        """Nobody gets past this user while the block runs."""
        with self.db.engine.connect() as connection:
            connection.execute(
                text("SELECT 1 FROM learning.subject WHERE subject = :s FOR UPDATE"), {"s": f"user/{user}"}
            )
            yield
            connection.rollback()

    def waiting_for_a_lock(self) -> bool:
        """Whether somebody waits for what `held` holds."""
        return bool(
            rows(
                self.db, "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
        )


@pytest.fixture
def upkeep(
    place: Place, app_db: Database, dispatcher_db: Database, everything_db: Database, processes: Processes
) -> Iterator[Upkeep]:
    yield Upkeep(place, Past(app_db, dispatcher_db, everything_db), everything_db, processes)
    processes.kill_all()


def kill(process: ManagedProcess) -> None:
    """End it, and its beat, without a word."""
    assert process.pid is not None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def test_given_two_curators_with_a_beat_each_when_minutes_pass_then_every_tick_is_worked_on_once_and_undo_restores(
    upkeep: Upkeep,
) -> None:
    upkeep.memories(40, "ann", "ben")
    upkeep.memories(3, "ann", "cleo")
    before = upkeep.past.live()
    dry = upkeep.json("curate", "prune", "--tenant", "default", "--store", "user_profile", "--dry-run")
    assert [(each["changed"], each["dry_run"], each["state"]) for each in dry] == [(2, True, "done")]
    assert upkeep.past.live() == before

    minutely = {"LEARNING_CURATOR_PRUNE": "* * * * *"}
    for name in ("first", "second"):
        upkeep.curator(name, **minutely)
    scheduled = lambda: [each for each in upkeep.runs("prune", "user_profile") if each["tick"] is not None]  # noqa: E731 - asked often
    done = lambda: [each for each in scheduled() if each["state"] == "done"]  # noqa: E731 - the same
    eventually(lambda: done(), "the tick that was missed is worked on at once")
    (first,) = [each for each in done() if each["changed"]]
    assert (first["changed"], first["report"]) == (2, {"pruned: age": 2})
    assert upkeep.past.live() == ["Likes tea 3", "Likes tea 3"]
    check(upkeep.db)
    eventually(lambda: len(done()) >= 2, "the beats' next minute is worked on", timeout=75, every=0.5)
    ticks = [each["tick"] for each in scheduled()]
    assert len(ticks) == len(set(ticks))
    assert sum(each["changed"] for each in scheduled()) == 2

    listed = {each["job"]: each for each in upkeep.json("curate", "--list")}
    assert listed["prune"]["schedule"] == "off"  # as this command is told
    assert listed["prune"]["last"]["state"] == "done"
    assert "pruned: age 2" in upkeep.command("curate", "show", str(first["id"])).stdout
    shown = upkeep.json("undo", "--run", str(first["id"]), "--yes")
    assert (shown["undone"], shown["restored"]) == (2, 2)
    assert upkeep.past.live() == before
    check(upkeep.db)


def test_given_a_curator_that_is_killed_while_it_prunes_when_another_comes_then_nothing_is_lost_or_doubled(
    upkeep: Upkeep,
) -> None:
    users = [f"u{number:02}" for number in range(12)]
    upkeep.memories(40, *users)
    nightly = {"LEARNING_CURATOR_PRUNE": "0 0 * * *"}
    with upkeep.held(users[7]):
        first = upkeep.curator("first", **nightly)
        eventually(
            lambda: [each["changed"] for each in upkeep.runs("prune", "user_profile")] == [7], "seven users done"
        )
        eventually(upkeep.waiting_for_a_lock, "it waits in the middle of the eighth")
        kill(first)
    (row,) = upkeep.runs("prune", "user_profile")
    assert (row["state"], row["changed"]) == ("running", 7)
    upkeep.change("UPDATE learning.curator_run SET lease_until = now() - interval '1 s' WHERE state = 'running'")

    upkeep.curator("second", **nightly)
    eventually(lambda: upkeep.runs("prune", "user_profile")[0]["state"] == "done", "the other goes on")
    (row,) = upkeep.runs("prune", "user_profile")
    assert (row["looked_at"], row["changed"], row["report"], row["cursor"]) == (12, 12, {"pruned: age": 12}, None)
    assert upkeep.past.live() == []
    changes = rows(upkeep.db, "SELECT scope, by_whom FROM learning.change WHERE action = 'prune'")
    assert sorted(each["scope"] for each in changes) == [f"user/{user}" for user in users]
    assert {each["by_whom"] for each in changes} == {str(row["id"])}
    upkeep.json("undo", "--run", str(row["id"]), "--yes")
    assert len(upkeep.past.live()) == 12
    check(upkeep.db)


def test_given_a_curator_that_is_killed_while_it_removes_old_events_when_another_comes_then_the_ledger_adds_up(
    upkeep: Upkeep,
) -> None:
    users = [f"u{number:02}" for number in range(6)]
    upkeep.memories(3, *users)
    assert upkeep.older_events(40) == 6
    nightly = {"LEARNING_CURATOR_RETAIN": "0 0 * * *"}
    with upkeep.held(users[3]):
        first = upkeep.curator("first", **nightly)
        eventually(upkeep.waiting_for_a_lock, "it waits in the middle")
        kill(first)
    assert len(rows(upkeep.db, "SELECT FROM learning.conversation_event")) == 6
    upkeep.change("UPDATE learning.curator_run SET lease_until = now() - interval '1 s' WHERE state = 'running'")

    upkeep.curator("second", **nightly)
    eventually(lambda: upkeep.runs("retain")[0]["state"] == "done", "the other goes on")
    (row,) = upkeep.runs("retain")
    assert row["report"]["events"] == 6
    reach = datetime.fromisoformat(row["report"]["replay_reaches"])
    assert (datetime.now(UTC) - reach).days == 30
    assert rows(upkeep.db, "SELECT FROM learning.conversation_event") == []
    with upkeep.past.dispatcher_db.snapshot() as session:
        found = ledger(session)
    assert found.adds_up, found.findings
    assert (found.events.accepted, found.events.removed) == (6, {"retention": 6})
    assert len(upkeep.past.live()) == 6


def test_given_wrong_arguments_when_curate_is_called_then_it_says_what_there_is(upkeep: Upkeep) -> None:
    assert "there is no job" in upkeep.command("curate", "dream", status=2).stderr
    assert (
        "does not run for one store" in upkeep.command("curate", "retain", "--store", "user_profile", status=2).stderr
    )
    assert "whole deployment" in upkeep.command("curate", "trim", "--tenant", "default", status=2).stderr
    assert "is not installed" in upkeep.command("curate", "prune", "--store", "diary", status=2).stderr
    assert "give a job" in upkeep.command("curate", status=2).stderr
    assert "there is no run" in upkeep.command("curate", "show", str(uuid7()), status=1).stderr
    assert "has no run" in upkeep.command("undo", "--run", str(uuid7()), "--yes", status=1).stderr
