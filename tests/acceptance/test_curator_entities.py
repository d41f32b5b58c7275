"""The jobs `resolve-entities` and `consolidate` as they run: a worker with a beat, killed before it commits, and undone."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from acceptance.test_curator import Upkeep, kill
from harness import Place, Processes, eventually, rows
from integration.stores.past import Past, at, check, says
from learning_stores import entity_statements as say
from learning_stores.admission import AT_ONCE
from learning_stores.database import Database
from learning_stores.operations import Citation, EntityName
from learning_stores.place import Place as Where
from learning_stores.writing import write

USERS = [f"u{number}" for number in range(4)]
LIVE = """
    SELECT kind, about, target, content, content_key, scope, valid_from FROM learning.learning WHERE status = 'active'
    ORDER BY scope, kind, content, about
"""
EVIDENCE = """
    SELECT l.scope, l.content, l.about, v.event_id, v.extraction_id, v.message, v.quote, v.added_at FROM learning.learning l
    JOIN learning.evidence v ON v.learning_id = l.id AND v.withdrawn_at IS NULL WHERE l.status = 'active' ORDER BY 1, 2, 3, 8
"""


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


def held(upkeep: Upkeep) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """What is live, on what, and which entities stand for themselves."""
    entities = "SELECT id, name FROM learning.entity WHERE merged_into IS NULL ORDER BY id"
    return rows(upkeep.db, LIVE), rows(upkeep.db, EVIDENCE), rows(upkeep.db, entities)


def companies(upkeep: Upkeep) -> None:
    """In each user's own namespace one company under two names that differ in how their legal form is written, and a tie to it."""
    for user in USERS:
        place = Where(
            tenant="default", store="entity_memory", scope=f"namespace/user/{user}", namespace="user", user_id=user
        )
        cited = (Citation(occurred_at=datetime.now(UTC)),)
        corp, inc = EntityName("Acme Corp", "company"), EntityName("Acme Corporation", "company")
        bob = EntityName("Bob", "person")
        said = [
            *(say.alias_of(each, each.name, cited) for each in (corp, inc, bob)),
            say.fact_of(corp, "Sells anvils", cited),
            say.fact_of(corp, "Owns a quarry", cited),
            say.fact_of(inc, "Ships by rail", cited),
            say.relationship_of(bob, "works for", inc, cited),
        ]
        upkeep.past.app_db.run("default", write, place, said, AT_ONCE, origin="tool", action="add_fact")


def likes(upkeep: Upkeep) -> None:
    """Of each user more memories than there should be, which make one list."""
    for user in USERS:
        for minute, thing in enumerate(("green tea", "black tea", "iced tea")):
            upkeep.past.hear(says(f"Likes {thing}"), user_id=user, occurred_at=at(minute))


CASES = {
    "resolve-entities": ("entity_memory", companies, 1, "merged"),
    "consolidate": ("user_profile", likes, 3, "consolidated"),
}


@pytest.mark.parametrize("job", CASES)
def test_given_a_curator_that_is_killed_between_an_answer_and_its_commit_when_another_comes_then_each_is_done_once_and_undone(
    upkeep: Upkeep, job: str
) -> None:
    store, told, each_changes, counted = CASES[job]
    told(upkeep)
    upkeep.env["LEARNING_CURATOR_CONSOLIDATE_ABOVE"] = "2"
    before = held(upkeep)
    (dry,) = upkeep.json("curate", job, "--tenant", "default", "--store", store, "--dry-run")
    assert (dry["state"], dry["changed"], dry["report"]) == ("done", 0, {"candidates": len(USERS)})
    assert held(upkeep) == before
    assert rows(upkeep.db, "SELECT FROM learning.model_call") == []

    nightly = {f"LEARNING_CURATOR_{job.upper().replace('-', '_')}": "0 0 * * *"}
    scheduled = lambda: [each for each in upkeep.runs(job, store) if each["tick"] is not None]  # noqa: E731 - asked often
    with upkeep.held(USERS[2]):
        first = upkeep.curator("first", **nightly)
        eventually(
            lambda: [each["changed"] for each in scheduled()] == [2 * each_changes], "two users done", timeout=60
        )
        eventually(upkeep.waiting_for_a_lock, "it waits in the middle of the third")
        kill(first)
    upkeep.change("UPDATE learning.curator_run SET lease_until = now() - interval '1 s' WHERE state = 'running'")

    upkeep.curator("second", **nightly)
    eventually(lambda: scheduled()[0]["state"] == "done", "the other goes on")
    (row,) = scheduled()
    assert (row["changed"], row["report"][counted]) == (len(USERS) * each_changes, len(USERS))
    check(upkeep.db)
    calls = rows(upkeep.db, "SELECT purpose FROM learning.model_call")
    assert {call["purpose"] for call in calls} == {job}
    assert rows(upkeep.db, "SELECT FROM learning.mailbox") == []
    if job == "consolidate":
        assert upkeep.past.live() == ["Likes green tea, black tea and iced tea"] * len(USERS)
    else:
        assert [entity["name"] for entity in held(upkeep)[2]] == ["Acme Corp", "Bob"] * len(USERS)

    undone = upkeep.json("undo", "--run", str(row["id"]), "--yes")
    assert undone["undone"] == len(USERS)
    assert held(upkeep) == before
    check(upkeep.db)
