"""The curator's jobs that ask a model, as they run: a worker with a beat, killed between an answer and its commit, and undone."""

from collections.abc import Iterator
from typing import Any

import pytest

from acceptance.test_curator import Upkeep, kill
from harness import Place, Processes, eventually, rows
from integration.stores.past import Past, at, check, says
from learning_stores.database import Database

USERS = [f"u{number}" for number in range(5)]
JOBS = {
    "deduplicate": ("Drinks green tea with milk", "Drinks the green tea with some milk", "merged"),
    "contradictions": ("Drinks green tea with milk", "Does not drink green tea with milk", "contradicted"),
}


@pytest.fixture
def upkeep(
    place: Place,
    app_db: Database,
    dispatcher_db: Database,
    everything_db: Database,
    processes: Processes,
    model: Any,
) -> Iterator[Upkeep]:
    yield Upkeep(place, Past(app_db, dispatcher_db, everything_db), everything_db, processes)
    processes.kill_all()


@pytest.mark.parametrize("job", JOBS)
def test_given_a_curator_that_is_killed_between_an_answer_and_its_commit_when_another_comes_then_each_pair_is_settled_once(
    upkeep: Upkeep, job: str
) -> None:
    first, second, reason = JOBS[job]
    for user in USERS:
        upkeep.past.hear(says(first), user_id=user, occurred_at=at(0))
        upkeep.past.hear(says(second), user_id=user, occurred_at=at(1))
    before = upkeep.past.live()
    (dry,) = upkeep.json("curate", job, "--tenant", "default", "--store", "user_profile", "--dry-run")
    assert (dry["state"], dry["changed"], dry["report"]) == ("done", 0, {"candidates": len(USERS)})
    assert upkeep.past.live() == before
    assert rows(upkeep.db, "SELECT FROM learning.model_call") == []

    nightly = {f"LEARNING_CURATOR_{job.upper()}": "0 0 * * *"}
    scheduled = lambda: [each for each in upkeep.runs(job, "user_profile") if each["tick"] is not None]  # noqa: E731 - asked often
    with upkeep.held(USERS[3]):
        curator = upkeep.curator("first", **nightly)
        eventually(lambda: [each["changed"] for each in scheduled()] == [3], "three users done")
        eventually(upkeep.waiting_for_a_lock, "it waits in the middle of the fourth")
        kill(curator)
    (row,) = scheduled()
    assert (row["state"], row["changed"], row["model_calls"]) == ("running", 3, 1)
    upkeep.change("UPDATE learning.curator_run SET lease_until = now() - interval '1 s' WHERE state = 'running'")

    upkeep.curator("second", **nightly)
    eventually(lambda: scheduled()[0]["state"] == "done", "the other goes on")
    (row,) = scheduled()
    assert (row["changed"], row["report"][reason], row["report"]["asked"], row["model_calls"]) == (5, 5, 5, 2)
    assert upkeep.past.live() == [second] * 5
    ended = rows(upkeep.db, "SELECT retired_reason, replaced_by FROM learning.learning WHERE status = 'retired'")
    assert [each["retired_reason"] for each in ended] == [reason] * 5
    assert all(each["replaced_by"] is not None for each in ended)
    calls = rows(upkeep.db, "SELECT purpose, outcome, events FROM learning.model_call ORDER BY called_at")
    assert [(each["purpose"], each["outcome"], each["events"]) for each in calls] == [(job, "ok", 5), (job, "ok", 2)]
    check(upkeep.db)

    shown = upkeep.json("undo", "--run", str(row["id"]), "--yes")
    assert (shown["undone"], shown["restored"]) == (5, 5)
    assert upkeep.past.live() == before
    check(upkeep.db)
