"""The curator's framework: who makes a run, who works on it, and what a kill, a second beat and a dry run change."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from harness import Place, rows
from integration.workers.curating import Curating, at
from learning_stores.curator import runs
from learning_stores.curator.failed_runs import failed_runs
from learning_stores.curator.job import Cursor, Job, JobContext, RunLost, Step
from learning_stores.database import Database
from learning_workers import curator as worker

NOTE = text("""
    INSERT INTO learning.change (tenant, id, origin, action, by_whom, store, scope)
    VALUES (:tenant, gen_random_uuid(), 'curator', :action, :by, 'user_profile', 'user/a')
""")


class Killed(BaseException):
    """The process is gone: nothing after this runs."""


class Counting(Job):
    """Writes three rows, one a step; before it writes number `dies_at` the process dies, once."""

    name = "prune"  # has a schedule
    dies_at: ClassVar[int | None] = None
    fails: ClassVar[int] = 0
    per_store: ClassVar[bool] = False

    def step(self, context: JobContext, cursor: Cursor | None) -> Step:
        number = 1 if cursor is None else int(cursor["number"]) + 1

        def work(session: Session) -> Step:
            session.execute(NOTE, {"tenant": context.tenant, "action": f"step {number}", "by": str(context.run.id)})
            if type(self).dies_at == number:
                type(self).dies_at = None
                raise Killed
            if type(self).fails:
                type(self).fails -= 1
                raise ValueError("somebody's words")
            following = {"number": number} if number < 3 else None
            return Step(cursor=following, looked_at=2, changed=1, report={"steps": 1, "last": str(number)})

        return context.commit("app", work)


JOBS = {"prune": Counting()}


@pytest.fixture
def curating(place: Place, everything_db: Database) -> Iterator[Curating]:
    curating = Curating(place, everything_db, curator_spread=0)
    Counting.dies_at, Counting.fails = None, 0
    yield curating
    curating.close()


def steps(db: Database) -> list[str]:
    return [row["action"] for row in rows(db, "SELECT action FROM learning.change ORDER BY changed_at")]


def tenant(curating: Curating, *names: str) -> None:
    for name in names:
        curating.change("INSERT INTO learning.subject (tenant, subject) VALUES (:t, 'user/a')", t=name)


def test_given_a_run_when_driven_then_each_step_is_written_once_and_the_report_adds_up(curating: Curating) -> None:
    curator = curating.curator(JOBS)
    asked = curator.ask("prune", "acme", "", by="ops", dry_run=False)
    told: list[int] = []
    done = curator.drive(asked, tell=lambda run, _: told.append(run.changed))

    assert (done.state, done.looked_at, done.changed, done.report) == ("done", 6, 3, {"steps": 3, "last": "3"})
    assert told == [1, 2, 3]
    assert steps(curating.db) == ["step 1", "step 2", "step 3"]
    (row,) = curating.runs()
    assert (row["state"], row["asked_by"], row["tick"], row["cursor"]) == ("done", "ops", None, None)
    assert row["report"] == {"steps": 3, "last": "3"}
    assert row["lease_until"] is None
    assert row["finished_at"] is not None
    assert curator.work("acme", asked.id) is None  # it is over


def test_given_a_process_that_dies_in_a_step_when_its_lease_has_lapsed_then_another_goes_on_and_nothing_is_lost_or_doubled(
    curating: Curating,
) -> None:
    tenant(curating, "acme")
    Counting.dies_at = 2
    first, second = curating.curator(JOBS, owner="first"), curating.curator(JOBS, owner="second")
    assert first.insert_due() == 1
    ((name, run_id),) = first.take_due()
    with pytest.raises(Killed):
        first.work(name, run_id)

    assert steps(curating.db) == ["step 1"]
    assert second.work(name, run_id) is None  # leased
    assert second.take_due() == []
    curating.change("UPDATE learning.curator_run SET lease_until = now() - interval '1 s'")
    assert second.take_due() == [(name, run_id)]
    done = second.work(name, run_id)

    assert done is not None
    assert (done.state, done.changed, done.report) == ("done", 3, {"steps": 3, "last": "3"})
    assert steps(curating.db) == ["step 1", "step 2", "step 3"]


def test_given_a_stalled_worker_when_another_took_its_run_then_its_late_step_is_rolled_back(curating: Curating) -> None:
    curator, other = curating.curator(JOBS), curating.curator(JOBS, owner="other")
    asked = curator.ask("prune", "acme", "", by="ops", dry_run=False)
    curating.change("UPDATE learning.curator_run SET lease_until = now() - interval '1 s'")
    taken = other.database("app").run("acme", runs.claim, "acme", asked.id, "other")
    assert taken is not None

    kept = curator.drive(asked)
    assert (kept.state, kept.changed) == ("running", 0)
    assert steps(curating.db) == []
    context = JobContext(asked, curator.database, curator._settings, {})
    with pytest.raises(RunLost):
        Counting().step(context, None)
    assert other.drive(taken).state == "done"
    assert steps(curating.db) == ["step 1", "step 2", "step 3"]


def test_given_a_run_when_its_slice_is_over_then_it_is_handed_back_and_the_next_task_goes_on(
    curating: Curating,
) -> None:
    curator = curating.curator(JOBS)
    asked = curator.ask("prune", "acme", "", by="ops", dry_run=False)
    assert curator.drive(asked, seconds=0).state == "running"
    (row,) = curating.runs()
    assert (row["state"], row["owner"]) == ("waiting", None)
    ((_, run_id),) = curator.take_due()
    done = curator.work("acme", run_id)
    assert done is not None
    assert done.state == "done"
    assert steps(curating.db) == ["step 1", "step 2", "step 3"]


def test_given_a_dry_run_when_driven_then_it_reports_what_it_would_do_and_nothing_is_written(
    curating: Curating,
) -> None:
    tenant(curating, "acme")
    before = curating.everything()
    curator = curating.curator(JOBS)
    done = curator.drive(curator.ask("prune", "acme", "", by="ops", dry_run=True))

    assert (done.state, done.changed, done.dry_run) == ("done", 3, True)
    assert curating.everything() == before


def test_given_two_beats_at_once_when_they_tick_then_each_tenants_run_is_made_once_and_taken_once(
    curating: Curating,
) -> None:
    tenant(curating, *(f"tenant-{number}" for number in range(20)))
    curators = [curating.curator(JOBS, owner=f"beat-{number}") for number in range(4)]
    now = datetime.now(UTC)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda each: each.insert_due(now), curators))
        taken = [each for found in pool.map(lambda each: each.take_due(20), curators) for each in found]

    assert sum(made) == 20
    assert len(taken) == len(set(taken)) == 20
    with ThreadPoolExecutor(4) as pool:
        done = [each.result() for run in taken for each in [pool.submit(curator.work, *run) for curator in curators]]
    assert sum(each is not None for each in done) == 20
    assert len(steps(curating.db)) == 60


def test_given_ticks_that_were_missed_when_the_beat_is_back_then_only_the_newest_runs_and_once(
    curating: Curating,
) -> None:
    tenant(curating, "acme")
    curator = curating.curator(JOBS, curator_prune="0 2 * * *")
    assert curator.insert_due(at("2026-03-01T12:00")) == 1
    for day in ("05", "05", "06", "06"):  # the second and third of March were missed; and nothing has run since
        curator.insert_due(at(f"2026-03-{day}T02:30"))

    found = {row["tick"].day: row["state"] for row in curating.runs()}
    assert found == {1: "cancelled", 5: "cancelled", 6: "waiting"}
    ((_, run_id),) = curator.take_due()
    assert curator.work("acme", run_id) is not None
    assert len(steps(curating.db)) == 3
    assert curator.insert_due(at("2026-03-06T23:59")) == 0


def test_given_many_tenants_when_a_tick_comes_then_they_are_spread_and_each_keeps_its_place(curating: Curating) -> None:
    tenant(curating, *(f"tenant-{number}" for number in range(50)))
    curator = curating.curator(JOBS, curator_prune="0 2 * * *", curator_spread=1800)
    for day in ("01", "02"):
        curator.insert_due(at(f"2026-03-{day}T02:00"))
    late: dict[str, set[timedelta]] = {}
    for row in curating.runs():
        late.setdefault(row["tenant"], set()).add(row["due_at"] - row["tick"])

    assert all(len(each) == 1 for each in late.values())
    delays = [delay for each in late.values() for delay in each]
    assert len(set(delays)) > 30
    assert timedelta(0) <= min(delays) < max(delays) < timedelta(seconds=1800)


def test_given_a_job_that_is_off_when_a_tick_comes_then_it_has_no_run(curating: Curating) -> None:
    tenant(curating, "acme")
    assert curating.curator(JOBS, curator_prune="off").insert_due() == 0
    assert curating.runs() == []


def test_given_a_step_that_fails_when_it_is_tried_again_then_it_goes_on_and_its_error_has_no_words_of_anybody(
    curating: Curating,
) -> None:
    Counting.fails = 2
    curator = curating.curator(JOBS)
    asked = curator.ask("prune", "acme", "", by="ops", dry_run=False)
    with pytest.raises(ValueError, match="somebody"):
        curator.drive(asked)
    (row,) = curating.runs()
    assert (row["state"], row["failures"]) == ("waiting", 1)
    assert row["error"].startswith("ValueError at test_curator.py:")
    assert row["due_at"] > row["began_at"]

    for failures in (2, 0):
        curating.change("UPDATE learning.curator_run SET due_at = now()")
        if failures:
            with pytest.raises(ValueError, match="somebody"):
                curator.work("acme", asked.id)
        else:
            curator.work("acme", asked.id)
        (row,) = curating.runs()
        assert row["failures"] == failures
    assert (row["state"], row["error"]) == ("done", None)
    assert steps(curating.db) == ["step 1", "step 2", "step 3"]


def test_given_a_step_that_always_fails_when_tried_often_enough_then_its_run_has_failed(curating: Curating) -> None:
    Counting.fails = 100
    curator = curating.curator(JOBS)
    asked = curator.ask("prune", "acme", "", by="ops", dry_run=False)
    with pytest.raises(ValueError, match="somebody"):
        curator.drive(asked)
    for _ in range(runs.MAX_FAILURES - 1):
        curating.change("UPDATE learning.curator_run SET due_at = now()")
        with pytest.raises(ValueError, match="somebody"):
            curator.work("acme", asked.id)
    (row,) = curating.runs()
    assert (row["state"], row["error"].split()[0]) == ("failed", "ValueError")
    assert curator.work("acme", asked.id) is None


def test_given_runs_that_failed_when_listed_then_those_that_nobody_made_good_are_told_whatever_others_did_since(
    curating: Curating, dispatcher_db: Database
) -> None:
    curator = curating.curator(JOBS)
    for name in ("acme", "globex", "initech"):
        asked = curator.ask("prune", name, "", by="ops", dry_run=False)
        assert curator.database("app").run(name, runs.end, asked, "failed", "ValueError at somewhere.py:1")
    curator.drive(curator.ask("prune", "globex", "", by="ops", dry_run=False))
    curator.drive(curator.ask("prune", "initech", "", by="ops", dry_run=True))
    found = dispatcher_db.run(None, failed_runs)
    assert [(each.tenant, each.error) for each in found] == [
        ("initech", "ValueError at somewhere.py:1"),
        ("acme", "ValueError at somewhere.py:1"),
    ]
    assert [each.tenant for each in dispatcher_db.run(None, failed_runs, "acme")] == ["acme"]


def test_given_a_run_that_ends_every_worker_when_claimed_often_enough_then_it_has_failed(curating: Curating) -> None:
    curator = curating.curator(JOBS)
    asked = curator.ask("prune", "acme", "", by="ops", dry_run=False)
    database = curator.database("app")
    for number in range(runs.MAX_FAILURES):
        curating.change("UPDATE learning.curator_run SET lease_until = now() - interval '1 s'")
        claimed = database.run("acme", runs.claim, "acme", asked.id, "doomed")
        assert (claimed is None) is (number == runs.MAX_FAILURES - 1)
    (row,) = curating.runs()
    assert (row["state"], row["cursor"]) == ("failed", None)
    assert "not heard of again" in row["error"]


def test_given_the_app_role_when_it_looks_for_runs_then_it_sees_its_tenants_and_none_of_the_deployment(
    curating: Curating, app_db: Database
) -> None:
    tenant(curating, "acme", "globex")
    curating.curator().insert_due()
    assert {row["tenant"] for row in curating.runs()} == {"", "acme", "globex"}

    def seen(session: Session) -> set[str]:
        return set(session.scalars(text("SELECT tenant FROM learning.curator_run")))

    assert app_db.run("acme", seen) == {"acme"}
    assert app_db.run(None, seen) == set()


def test_given_runs_of_a_tick_that_were_made_when_a_tenant_comes_later_then_only_its_runs_are_asked_for(
    curating: Curating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "TENANTS_AT_ONCE", 2)
    asked: list[list[str]] = []
    insert_due = runs.insert_due

    def watched(session: Session, job: str, tick: datetime, tenants: list[str], stores: list[str], spread: int) -> int:
        asked.append(tenants)
        return insert_due(session, job, tick, tenants, stores, spread)

    monkeypatch.setattr(runs, "insert_due", watched)
    curator, night = curating.curator(JOBS), at("2026-06-02 03:00")
    tenant(curating, "a", "b", "c")
    assert curator.insert_due(night) == 3
    assert curator.insert_due(night + timedelta(minutes=1)) == 0
    assert asked == [["a", "b"], ["c"]]
    tenant(curating, "d")
    assert curator.insert_due(night + timedelta(minutes=2)) == 1
    assert asked[2:] == [["d"]]
    assert curator.insert_due(night + timedelta(days=1)) == 4
    assert curating.curator(JOBS, owner="other").insert_due(night + timedelta(days=1)) == 0
