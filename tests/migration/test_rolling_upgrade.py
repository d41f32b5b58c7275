"""Upgrades without a stop: programs of the previous landing on the new schema, beside new ones, and one after the other."""

import json
from pathlib import Path

import pytest

from harness import Place, Processes, eventually, rows, turn
from learning_machine import UserProfileConfig
from learning_ops.migration import head_revision
from learning_ops.offline.server import OfflineModel
from learning_stores.database import Database
from migration.previous_landing import Previous, previous_landing

AGENT = """
import json, os
user = os.environ["AGENTS_USER"]
from learning_machine import LearningMachine, UserProfileConfig
machine = LearningMachine(
    user_profile=UserProfileConfig(debounce=0, enable_agent_tools=True), entity_memory=True, learned_knowledge=True,
    recall_deadline=10.0,
)
with machine:
    receipt = machine.emit(
        [{"role": "user", "content": "I work at Initech."}], user_id=user, session_id="s1"
    )
    states = machine.settle(receipt, timeout=90)
    recalled = machine.recall(user_id=user, session_id="s1")
    tools = {tool.name: tool for tool in machine.tools(user_id=user, session_id="s1")}
    saved = tools["save_memory"](content="Prefers tables")
    insight = {"title": f"Retries of {user}", "learning": f"Of {user}: retry idempotent calls alone.", "context": "APIs"}
    learned = tools["save_learning"](**insight, tags=[])
    asked = machine.recall(user_id=user, session_id="s1", query="tables")
    found = tools["search_learnings"](query="retry of calls")
    machine.emit([{"role": "user", "content": "I love tea."}], user_id="otto", session_id="s1")
    machine.forget(user_id="otto")
print(json.dumps({
    "states": states, "memories": list(recalled.memories), "degraded": [recalled.degraded, asked.degraded],
    "saved": [saved, learned], "asked": list(asked.memories), "found": found,
}))
"""


THINGS = [f"tea{first}{second}" for first in "bcdfg" for second in "aeiou"]


@pytest.fixture
def previous(tmp_path: Path) -> Previous:
    """The programs of the previous landing."""
    return previous_landing(tmp_path / "previous")


def _works(previous: Previous, place: Place, user: str) -> None:
    """An agent of the previous landing emits, settles, recalls, writes, searches and forgets, as this user."""
    told = previous.run(AGENT, {**place.env, "AGENTS_USER": user}, place.directory)
    found = json.loads(told.splitlines()[-1])
    assert found["states"]["user_profile"] == "extracted"
    assert found["degraded"] == [None, None]
    assert "Works at Initech" in found["memories"]
    assert found["saved"] == ["Saved.", "Saved."]
    assert "Prefers tables" in found["asked"]
    assert f"Retries of {user}" in found["found"]


@pytest.mark.timeout(600)
def test_given_programs_of_the_previous_landing_when_they_run_on_the_new_schema_then_each_serves_the_others(
    place: Place, previous: Previous, model: OfflineModel, everything_db: Database
) -> None:
    assert previous.revision != head_revision()
    [at] = rows(everything_db, "SELECT version_num FROM learning.alembic_version")
    assert at["version_num"] == head_revision()
    processes = Processes(place)
    stores = ("user_profile", "session_context", "entity_memory", "learned_knowledge")
    try:
        old = [processes.dispatcher(previous.env), processes.worker(*stores, env=previous.env)]
        # An agent that was upgraded first, on a dispatcher and workers that were not.
        with place.machine(user_profile=UserProfileConfig(debounce=0), recall_deadline=10.0) as machine:
            receipt = machine.emit(turn("I'm Nina, I work at Netflix."), user_id="nina", session_id="s1")
            assert machine.settle(receipt, timeout=90) == {"user_profile": "extracted"}
            assert "Works at Netflix" in machine.recall(user_id="nina").memories
        _works(previous, place, "olga")
        for process in old:
            process.stop()
            assert process.returncode == 0

        # And one that was not, on those that were.
        processes.dispatcher()
        processes.worker(*stores)
        _works(previous, place, "oskar")
        held = "SELECT content FROM learning.learning WHERE user_id = :u AND kind = 'memory' AND status = 'active' ORDER BY 1"
        for user in ("olga", "oskar"):
            found = [row["content"] for row in rows(everything_db, held, u=user)]
            assert found == ["Prefers tables", "Works at Initech"]
    finally:
        processes.stop_all()
    wrong = "SELECT state, reason, error FROM learning.delivery WHERE state NOT IN ('extracted', 'nothing_found')"
    assert rows(everything_db, wrong) == []


@pytest.mark.timeout(600)
def test_given_events_under_way_when_workers_and_dispatchers_are_exchanged_one_by_one_then_each_is_extracted_once(
    place: Place, previous: Previous, model: OfflineModel, everything_db: Database
) -> None:
    processes = Processes(place)
    try:
        old = [processes.dispatcher(previous.env), processes.worker("user_profile", env=previous.env)]
        with place.machine(user_profile=UserProfileConfig(debounce=0)) as machine:

            def say(*numbers: int) -> None:
                for number in numbers:
                    said = turn(f"I love {THINGS[number]}.")
                    machine.emit(said, user_id=f"user{number % 4}", session_id="s1", history="delta")

            def settled() -> int:
                [row] = rows(everything_db, "SELECT count(*) AS n FROM learning.delivery WHERE state <> 'pending'")
                return int(row["n"])

            say(*range(10))
            eventually(lambda: settled() >= 3, "the old workers extract", timeout=120)
            new = processes.worker("user_profile")
            eventually(lambda: "ready." in new.log_path.read_text(), "a new worker takes work", timeout=120)
            say(*range(10, 15))
            old[1].stop()
            say(*range(15, 20))
            newer = processes.dispatcher()
            old[0].stop()
            say(*range(20, 25))
            eventually(lambda: "shards taken" in newer.log_path.read_text(), "the new dispatcher reads", timeout=120)
            eventually(lambda: settled() == 25, "everything is extracted", timeout=180)
        assert [process.returncode for process in old] == [0, 0]
    finally:
        processes.stop_all()
    deliveries = rows(
        everything_db,
        "SELECT e.id, e.user_id, d.state, d.attempts FROM learning.delivery d JOIN learning.conversation_event e "
        "ON e.tenant = d.tenant AND e.id = d.event_id ORDER BY d.accepted_no",
    )
    assert {(row["state"], row["attempts"]) for row in deliveries} == {("extracted", 1)}
    for user in {row["user_id"] for row in deliveries}:
        ids = [row["id"] for row in deliveries if row["user_id"] == user]
        assert ids == sorted(ids)  # accepted in the order in which they were emitted
    held = "SELECT user_id, content FROM learning.learning WHERE status = 'active' AND kind = 'memory'"
    found = sorted((row["user_id"], row["content"]) for row in rows(everything_db, held))
    assert found == sorted((f"user{number % 4}", f"Likes {thing}") for number, thing in enumerate(THINGS))
    assert rows(everything_db, "SELECT count(*) AS n FROM learning.evidence") == [{"n": len(THINGS)}]
