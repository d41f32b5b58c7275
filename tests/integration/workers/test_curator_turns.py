"""Whose turn it is: among many tenants' runs, between the curator and the workers of a mailbox, and by whose clock."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from harness import Place, event, rows
from integration.stores.past import Past, at, says
from integration.stores.past import place as alices
from integration.stores.steps import claim, mailbox_id, put
from integration.workers.curating import Curating
from learning_schemas.spec import MachineSpec, Prune, StoreSpec
from learning_stores import mailbox
from learning_stores.admission import AT_ONCE
from learning_stores.curator import retain
from learning_stores.curator.job import Step
from learning_stores.curator.mailbox_claim import claim_for_curator, release_claim
from learning_stores.curator.scopes import box_of
from learning_stores.database import Database
from learning_stores.grounding import content_key
from learning_stores.operations import Citation, Put
from learning_stores.subjects import hold_subject
from learning_stores.writing import write
from learning_workers import curator as module
from learning_workers.curator import JOBS, NUDGED_AT_ONCE

SPEC = MachineSpec(stores={"user_profile": StoreSpec(scope="user", debounce=0, prune=Prune(max_count=3))})


@pytest.fixture
def curating(place: Place, everything_db: Database) -> Iterator[Curating]:
    curating = Curating(place, everything_db, curator_spread=0)
    yield curating
    curating.close()


@pytest.fixture
def past(app_db: Database, dispatcher_db: Database, everything_db: Database) -> Past:
    return Past(app_db, dispatcher_db, everything_db)


def tenants(curating: Curating, number: int) -> None:
    curating.change(
        "INSERT INTO learning.subject (tenant, subject) SELECT 'tenant-' || n, 'user/a' FROM generate_series(1, :n) n",
        n=number,
    )


def all_off() -> dict[str, str]:
    """Settings by which no job has a schedule."""
    return {f"curator_{job.replace('-', '_')}": "off" for job in JOBS}


def test_given_many_tenants_runs_when_nudged_then_some_at_a_time_and_the_deployments_own_are_never_behind_them(
    curating: Curating,
) -> None:
    tenants(curating, 30)
    told = {**all_off(), "curator_reconcile": "* * * * *", "curator_statistics": "0 0 * * *"}
    curator = curating.curator(**told)
    assert curator.insert_due() == 31
    first = curator.take_due()
    assert len(first) == NUDGED_AT_ONCE
    assert sum(not name for name, _ in first) == 1  # reconcile, which was due last
    assert curator.take_due() == []  # so many are on their way

    for name, run_id in first:
        assert curator.work(name, run_id) is not None
    curating.change(
        "INSERT INTO learning.curator_run (tenant, job, tick, due_at) VALUES ('', 'reconcile', now() + interval '1 h', now())"
    )
    assert [name for name, _ in curator.take_due(1)] == [""]
    assert len(curator.take_due()) == NUDGED_AT_ONCE - 1


def test_given_a_run_whose_slice_is_over_when_others_are_due_then_they_have_their_turn_first(
    curating: Curating,
) -> None:
    tenants(curating, 3)
    curator = curating.curator(**{**all_off(), "curator_statistics": "0 0 * * *"}, curator_slice=0.000001)
    assert curator.insert_due() == 3
    seen = []
    for _ in range(6):
        ((name, run_id),) = curator.take_due(1)
        done = curator.work(name, run_id)
        assert done is not None
        assert done.state == "running"  # handed back before its first step
        seen.append(name)
    assert len(set(seen[:3])) == 3
    assert seen[:3] == seen[3:]


def test_given_a_failure_long_after_others_when_steps_between_were_written_then_it_counts_as_the_first(
    curating: Curating,
) -> None:
    curator = curating.curator()
    asked = curator.ask("reembed", "acme", "", by="ops", dry_run=False)
    four_times = replace(asked, failures=4)
    assert four_times.after(Step(cursor={"part": "turn"})).failures == 0


def test_given_a_tenants_run_of_the_deployments_job_when_driven_then_it_is_refused_and_tells_nothing(
    curating: Curating,
) -> None:
    curator = curating.curator()
    for job, tenant in (("reconcile", "acme"), ("trim", "acme"), ("prune", "")):
        done = curator.drive(curator.ask(job, tenant, "", by="mallory", dry_run=False))
        assert done.state == "running"
    found = {(row["job"], row["state"], str(row["report"]), row["error"]) for row in curating.runs()}
    assert found == {
        ("reconcile", "failed", "{}", "reconcile does not run for one tenant"),
        ("trim", "failed", "{}", "trim does not run for one tenant"),
        ("prune", "failed", "{}", "prune does not run for the whole deployment"),
    }


def test_given_a_host_whose_clock_is_wrong_when_it_ticks_then_runs_are_made_by_the_databases(
    curating: Curating, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Ahead":
            return cls.fromtimestamp(datetime.now(UTC).timestamp() + 86_400 * 400, tz)

    monkeypatch.setattr("learning_workers.curator.datetime", Ahead)
    curator = curating.curator()
    curator.insert_due()
    (now,) = rows(curating.db, "SELECT now() AS now")
    assert {row["tick"] <= now["now"] for row in curating.runs()} == {True}


def test_given_a_database_whose_clock_was_ahead_when_retained_then_what_is_old_is_judged_by_the_clock_that_is_behind(
    past: Past, curating: Curating
) -> None:
    past.hear(says("Likes tea"))
    curator = curating.curator()
    asked = curator.ask("retain", "default", "", by="ops", dry_run=False)
    curating.change("UPDATE learning.curator_run SET began_at = now() + interval '10 years'")
    curating.change("UPDATE learning.curator_run SET lease_until = now()")
    done = curator.work("default", asked.id)
    assert done is not None
    assert (done.state, done.changed) == ("done", 0)
    assert len(rows(past.everything_db, "SELECT FROM learning.conversation_event")) == 1


@pytest.mark.parametrize(
    ("told", "days"),
    [
        (
            {"retain_events_days": 5},
            {"retain_events_days": 31, "retain_retired_days": 365, "retain_model_calls_days": 400},
        ),
        (
            {"retain_retired_days": 3, "retain_model_calls_days": 0.1},
            {"retain_retired_days": 90, "retain_model_calls_days": 2},
        ),
    ],
)
def test_given_days_that_would_remove_what_something_else_needs_when_read_then_it_stays_as_long_as_that(
    curating: Curating, told: dict[str, float], days: dict[str, float]
) -> None:
    settings = curating.curator(**told)._settings
    assert {name: retain.retention_days(settings, name) for name in days} == days


def test_given_less_kept_of_what_was_retired_than_of_extractions_when_retained_then_undo_reaches_no_further(
    past: Past, curating: Curating
) -> None:
    past.hear(says("Likes tea"))
    done = curating.run("retain", retain_retired_days=100, retain_extractions_days=300)
    assert done.report["undo_reaches"] == done.report["as_of_reaches"]
    reversed_ = curating.run("retain", retain_retired_days=300, retain_extractions_days=100)
    assert reversed_.began_at is not None
    assert (reversed_.began_at - datetime.fromisoformat(str(reversed_.report["undo_reaches"]))).days == 100


def test_given_a_worker_that_waits_for_a_mailbox_when_the_curator_lets_go_then_it_has_it_at_once(
    past: Past, curating: Curating
) -> None:
    past.accept(event(), spec=SPEC)
    number = mailbox_id(past.everything_db)
    held = threading.Event()
    go_on = threading.Event()

    def curate() -> None:
        with past.app_db.transaction("default") as session:
            hold_subject(session, "default", "user/alice")
            claimed = claim_for_curator(session, box_of(alices()), "curator:x")
            assert claimed is not None
            held.set()
            go_on.wait(10)
            release_claim(session, claimed)

    with ThreadPoolExecutor(2) as pool:
        curator = pool.submit(curate)
        held.wait(10)
        worker = pool.submit(claim, past.app_db, number)
        go_on.set()
        curator.result()
        assert worker.result().mailbox_id == number


def test_given_a_mailbox_that_was_nudged_when_the_curator_had_it_then_the_pump_nudges_it_again_at_once(
    past: Past, curating: Curating
) -> None:
    past.hear(says("Likes tea", "Likes rye", "Likes jazz", "Likes art"), spec=SPEC)
    past.accept(event(), spec=SPEC)
    nudge = lambda: past.dispatcher_db.run(None, mailbox.take_due, "user_profile", 10)  # noqa: E731 - asked three times
    (nudged,) = nudge()
    assert nudge() == []
    assert curating.run("prune", "user_profile").report == {"pruned: count": 1}
    assert nudge() == [nudged]
    assert claim(past.app_db, nudged.mailbox_id).mailbox_id == nudged.mailbox_id


def test_given_a_mailbox_that_waits_for_a_budget_when_the_curator_had_it_then_it_waits_on(
    past: Past, curating: Curating
) -> None:
    past.hear(says("Likes tea", "Likes rye", "Likes jazz", "Likes art"), spec=SPEC)
    past.accept(event(), spec=SPEC)
    held = claim(past.app_db, mailbox_id(past.everything_db))
    past.app_db.run("default", mailbox.wait, held, "budget", "spent", 40_000, 0)
    assert curating.run("prune", "user_profile").changed == 1
    (box,) = rows(
        past.everything_db,
        "SELECT wait_reason, ready_at > now() + interval '1 h' AS waits, lease_until FROM learning.mailbox",
    )
    assert (box["wait_reason"], box["waits"], box["lease_until"]) == ("budget", True, None)


def test_given_tools_extractions_and_the_curator_on_one_user_at_once_then_nothing_is_lost_or_held_twice(
    past: Past, curating: Curating
) -> None:
    past.hear(says("Likes tea"), spec=SPEC)
    spoken = ("Likes tea, a lot", "Likes tea a lot", "Likes rye", "Likes rye!", "likes jazz")

    def tool(number: int) -> None:
        words = spoken[number % len(spoken)]
        said = Put(
            kind="memory",
            content=words,
            content_key=content_key(f"{words} {number}"),
            citations=(Citation(occurred_at=at(number)),),
        )
        past.app_db.run("default", write, alices(), [said], AT_ONCE, origin="tool", action="save_memory")

    def extract(number: int) -> None:
        past.hear(lambda window: [put(window, f"Heard {number}")], spec=SPEC)

    def curate(number: int) -> Any:
        return curating.run(("prune", "deduplicate")[number % 2], "user_profile")

    with ThreadPoolExecutor(5) as pool:
        tools = [pool.submit(tool, number) for number in range(20)]
        curated = [pool.submit(curate, number) for number in range(6)]
        heard = pool.submit(lambda: [extract(number) for number in range(5)])
        for each in tools:
            each.result()
        heard.result()
        runs = [each.result() for each in curated]
    assert all(run.state == "done" for run in runs)
    past.check()
    curating.run("deduplicate", "user_profile")
    curating.run("prune", "user_profile")
    assert len(past.live()) <= 3
    assert rows(past.everything_db, "SELECT FROM learning.mailbox") == []
    past.check()


def test_given_several_threads_that_come_first_at_once_then_each_of_databases_heartbeat_and_bench_is_made_once(
    curating: Curating, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def watch(name: str, kind: Any) -> None:
        both = threading.Barrier(2)

        def making(*args: Any, **options: Any) -> Any:
            made.append(name)
            with suppress(threading.BrokenBarrierError):
                both.wait(0.2)  # for another thread that makes one, too
            return kind(*args, **options)

        monkeypatch.setattr(module, name, making)

    for name in ("Database", "Heartbeat", "Bench"):
        watch(name, getattr(module, name))
    curator = curating.curator()
    with ThreadPoolExecutor(2) as threads:
        for first_use in (
            lambda _: curator.database("app"),
            lambda _: curator.database("dispatcher"),
            lambda _: curator.heartbeat("app"),
            lambda _: curator._judge_of(lambda: False),
        ):
            one, other = threads.map(first_use, range(2))
            assert one is other
    assert sorted(made) == ["Bench", "Database", "Database", "Heartbeat"]
