"""A store that a deployment lacks: what waits says so, and is worked off when the store is there."""

from pathlib import Path
from typing import Any

import pytest

from decision_log import DecisionLogStore
from harness import eventually, turn
from learning_machine import CustomStoreConfig, SettleTimeout, UserProfileConfig
from running_stack import run

COOKBOOK = Path(__file__).parents[2] / "cookbook" / "08_advanced"
STORES = {"LEARNING_STORES": "decision_log:DecisionLogStore", "PYTHONPATH": str(COOKBOOK)}
DECIDED = "We decided to use Postgres instead of MongoDB because we need transactions."


def test_given_a_deployment_that_lacks_a_store_when_events_come_then_they_wait_visibly_and_are_extracted_once_it_is_there(
    own_system: Any,
) -> None:
    system = own_system
    lacking = [system.processes.dispatcher(), system.processes.worker("user_profile", name="lacking")]
    log = CustomStoreConfig(store=DecisionLogStore, debounce=0)
    with system.place.machine(user_profile=UserProfileConfig(debounce=0), stores=[log]) as machine:
        receipts = [
            machine.emit(turn(DECIDED), user_id="alice", session_id="s1"),
            machine.emit(turn("We agreed to meet on Mondays."), user_id="bob", session_id="s2"),
        ]
        eventually(lambda: waiting(system) == 2, "both mailboxes wait for the store")
        with pytest.raises(SettleTimeout, match=r"decision_log=pending \(waiting for store\)") as over:
            machine.settle(receipts[0], timeout=1)
        assert set(over.value.states) == {"decision_log", "user_profile"}
        assert over.value.states["decision_log"] == "pending"
        assert over.value.waits["decision_log"] == "waiting for store"
        eventually(lambda: not system.mailbox("alice"), "the other store is not held up")

        told = run("status", cwd=system.place.directory, env=system.place.env | {"COLUMNS": "160"})
        assert told.returncode == 0, told.stderr
        assert "waiting for store" in told.stdout
        assert "no store named decision_log is installed here" in told.stdout
        assert "learning.decision_log" in told.stdout

        for process in lacking:
            process.stop()
        system.processes.worker("user_profile", "decision_log", name="having", env=STORES)
        system.processes.dispatcher(STORES)
        for receipt in receipts:
            assert machine.settle(receipt, timeout=60)["decision_log"] == "extracted"

        assert machine.recall(user_id="carol").context.count("\n- ") == 2
    kept = system.rows("SELECT * FROM learning.learning WHERE store = 'decision_log' ORDER BY content")
    assert [row["content"] for row in kept] == [
        "Meet on Mondays",
        "Use Postgres instead of MongoDB, because we need transactions",
    ]
    assert {row["status"] for row in kept} == {"active"}
    assert system.rows("SELECT FROM learning.mailbox") == []


def waiting(system: Any) -> int:
    """Mailboxes that wait for a store."""
    found = system.rows(
        "SELECT count(*) FROM learning.mailbox WHERE wait_reason = 'waiting for store' AND not_before > now()"
    )
    return int(found[0]["count"])


def test_given_a_worker_without_the_store_when_told_to_serve_its_queue_then_it_says_so_and_ends(
    own_system: Any,
) -> None:
    worker = own_system.processes.worker("decision_log", name="mistaken")
    worker.wait(60)
    assert not worker.alive
    assert "learning.decision_log" in Path(worker.log_path).read_text()


@pytest.mark.parametrize("process", ["dispatcher", "worker"])
def test_given_a_store_that_cannot_be_imported_when_a_process_starts_then_it_ends_and_names_the_variable(
    own_system: Any, process: str
) -> None:
    broken = {"LEARNING_STORES": "no_such_module:Store"}
    processes = own_system.processes
    started = processes.dispatcher(broken) if process == "dispatcher" else processes.worker("user_profile", env=broken)
    started.wait(60)
    assert not started.alive
    assert "LEARNING_STORES (no_such_module:Store): cannot be imported" in Path(started.log_path).read_text()
