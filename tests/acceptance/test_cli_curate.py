"""`learning-machine curate`: which runs `--list` names, and what cannot be meant. The jobs have tests of their own."""

import json
from typing import Any

import pytest

from harness import Place, rows
from learning_stores.database import Database
from running_stack import run

_RUNS = """
    INSERT INTO learning.curator_run (tenant, id, job, store, dry_run, due_at, state, changed, finished_at)
    SELECT t, i::uuid, 'prune', s, dry, clock_timestamp(), 'done', n, clock_timestamp() - ago * interval '1 hour'
    FROM (VALUES ('acme',   '00000000-0000-4000-8000-000000000001', 'user_profile',    false, 7, 3),
                 ('globex', '00000000-0000-4000-8000-000000000002', 'session_context', false, 0, 2),
                 ('globex', '00000000-0000-4000-8000-000000000003', 'user_profile',    true,  9, 1))
        AS v (t, i, s, dry, n, ago)
"""


@pytest.fixture
def curated(place: Place, everything_db: Database) -> Place:
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql(_RUNS)
    return place


def _run(place: Place, *arguments: str) -> Any:
    return run(*arguments, cwd=place.directory, env={**place.env, "COLUMNS": "160"})


def test_given_runs_of_several_tenants_when_listed_then_those_that_changed_something_are_named_and_dry_ones_are_not(
    curated: Place,
) -> None:
    shown = _run(curated, "curate", "--list").stdout
    assert "changed: prune acme user_profile" in shown
    assert "7 (curate show 00000000-0000-4000-8000-000000000001)" in shown
    assert shown.count("changed: ") == 1
    assert "changed: " not in _run(curated, "curate", "--list", "--tenant", "globex").stdout

    listed = {each["job"]: each for each in json.loads(_run(curated, "curate", "--list", "--json").stdout)}
    assert listed["prune"]["last"]["id"] == "00000000-0000-4000-8000-000000000002"


def test_given_a_run_of_another_tenant_when_it_is_to_be_undone_then_what_is_told_leads_to_the_tenant(
    curated: Place,
) -> None:
    run_id = "00000000-0000-4000-8000-000000000001"
    told = _run(curated, "undo", "--run", run_id, "--dry-run")
    assert (told.returncode, "--tenant" in told.stderr, f"curate show {run_id}" in told.stderr) == (1, True, True)

    assert f"learning-machine undo --run {run_id} --tenant acme" in _run(curated, "curate", "show", run_id).stdout


def test_given_a_tenant_that_is_empty_when_a_job_is_asked_for_then_nothing_runs(
    place: Place, everything_db: Database
) -> None:
    told = _run(place, "curate", "prune", "--tenant", "")
    assert (told.returncode, "--tenant is empty" in told.stderr) == (2, True)
    assert rows(everything_db, "SELECT FROM learning.curator_run") == []
