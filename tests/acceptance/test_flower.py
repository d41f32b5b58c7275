"""What operators see: Flower's own API tells the truth about every task, in ids and counts, and nothing of what was said."""

import base64
import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from harness import eventually, turn
from learning_machine import SessionContextConfig, UserProfileConfig
from learning_ops.offline.server import Faults
from learning_ops.process import free_port

NOW: dict[str, Any] = {
    "user_profile": UserProfileConfig(debounce=0),
    "session_context": SessionContextConfig(debounce=0),
}
SAID = ("Zanzibar", "Quetzalcoatl", "Xylophone", "Wuthering", "Noted by the agent")
"""Words that only the conversations have."""


@pytest.fixture(scope="module")
def processes(system: Any) -> list[Any]:
    """A dispatcher and a worker that sends events."""
    return [system.processes.dispatcher(), system.processes.worker()]


@pytest.fixture(scope="module")
def flower(system: Any, processes: list[Any]) -> Callable[..., Any]:
    """Flower's API, by path, once it hears the worker."""
    port = free_port()
    system.processes.start(
        "flower",
        ["-m", "celery", "-A", "learning_workers.app", "flower", "--address=127.0.0.1", f"--port={port}",
         "--basic_auth=operator:in-tests"],
    )  # fmt: skip
    credentials = base64.b64encode(b"operator:in-tests").decode()

    def get(path: str) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/{path}", headers={"Authorization": f"Basic {credentials}"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def hears() -> bool:
        try:
            return any(get("workers?status=true").values())
        except OSError:
            return False

    eventually(hears, "Flower hears the worker", timeout=60)
    return get


def the_task(flower: Callable[..., Any], store: str, mailbox_id: int, state: str) -> dict[str, Any]:
    """Wait until Flower has a task on this mailbox in this state."""

    def look() -> dict[str, Any] | None:
        found = [
            task
            for task in flower("tasks?limit=1000").values()
            if task["name"] == f"learning.{store}.extract"
            and task["args"] == f"[{mailbox_id}, 'default']".replace("[", "(").replace("]", ")")
            and task["state"] == state
        ]
        return found[0] if found else None

    found = eventually(look, f"a {state} task on mailbox {mailbox_id} of {store}")
    assert found is not None
    return found


def emitted(system: Any, user_id: str, sentence: str) -> tuple[int, int, Any]:
    """Emit one turn while the model is slow; its two mailboxes (profile, session) and its event id."""
    with system.place.machine(**NOW) as machine:
        receipt = machine.emit(turn(sentence, "Noted by the agent."), user_id=user_id, session_id="s1")
        eventually(lambda: system.mailbox(user_id), "intake")
        profile, session = system.mailbox(user_id), system.mailbox(user_id, "session_context")
        return profile["id"], session["id"], receipt


def test_given_work_when_flower_is_asked_then_tasks_tell_the_store_and_results_hold_counts_only(
    system: Any, flower: Callable[..., Any]
) -> None:
    system.model.faults = Faults(latency=0.5)
    profile, session, receipt = emitted(system, "alice", "I live in Zanzibar.")
    system.holder("alice")
    [stale] = system.nudge(profile)
    with system.place.machine(**NOW) as machine:
        machine.settle(receipt)

    worked = the_task(flower, "user_profile", profile, "SUCCESS")
    told = {task: flower(f"task/info/{task}") for task in flower("tasks?limit=1000")}
    results = [task["result"] for task in told.values() if task["name"] == "learning.user_profile.extract"]
    assert worked["kwargs"] == "{}"
    [extracted] = [result for result in results if "'extracted'" in result]
    assert "'windows': 1, 'events': 1, 'model_calls': 1, 'changes': {'added': 1}, 'dropped': {}" in extracted
    summary = the_task(flower, "session_context", session, "SUCCESS")
    assert "'extracted'" in summary["result"]
    eventually(lambda: flower(f"task/info/{stale}")["state"] == "SUCCESS", "the stale nudge is done")
    assert flower(f"task/info/{stale}")["result"] == "{'outcome': 'no_work', 'reason': 'leased'}"
    assert system.memories("alice") == ["Lives in Zanzibar"]


def test_given_a_provider_that_refuses_when_flower_is_asked_then_the_task_is_in_retry_and_nothing_is_sent_again(
    system: Any, flower: Callable[..., Any]
) -> None:
    system.model.faults = Faults(rate_429=1.0, retry_after=600.0)
    profile, session, _ = emitted(system, "bob", "I love Quetzalcoatl.")

    waiting = the_task(flower, "user_profile", profile, "RETRY")
    the_task(flower, "session_context", session, "RETRY")

    assert f"MailboxWaits('mailbox {profile} waits: provider (HTTP 429 " in waiting["exception"]
    assert waiting["retries"] in (None, 0)
    for queue in ("learning.user_profile", "learning.session_context", "learning.curator", "celery"):
        assert system.redis.llen(queue) == 0
    assert system.redis.hlen("unacked") == 0
    tasks = [task for task in flower("tasks?limit=1000").values() if task["args"] == waiting["args"]]
    assert len(tasks) == len({"user_profile", "session_context"} & {task["name"].split(".")[1] for task in tasks})


def test_given_a_delivery_that_dies_when_flower_is_asked_then_the_task_failed_with_a_typed_error_of_ids(
    system: Any, flower: Callable[..., Any]
) -> None:
    system.model.faults = Faults(rate_garbage=1.0)
    system.pauses_over()
    profile, session, receipt = emitted(system, "carol", "I love Xylophone and Wuthering Heights.")

    failed = the_task(flower, "user_profile", profile, "FAILURE")
    the_task(flower, "session_context", session, "FAILURE")

    assert failed["exception"] == f"DeliveryDead('{receipt.event_id}: invalid_output')"
    [delivery] = system.deliveries("carol")
    assert (delivery["state"], delivery["reason"]) == ("dead", "invalid_output")


def test_given_all_of_this_when_flower_and_the_logs_are_searched_then_nothing_that_was_said_is_in_them(
    system: Any, flower: Callable[..., Any], processes: list[Any]
) -> None:
    tasks = flower("tasks?limit=1000")
    shown = json.dumps([tasks, [flower(f"task/info/{task}") for task in tasks], flower("workers")])
    logged = "".join(process.log_path.read_text() for process in processes)

    assert len(tasks) >= 7
    assert "Task learning.user_profile.extract" in logged
    assert "delivery dead" in logged
    for word in SAID:
        assert word.lower() not in shown.lower()
        assert word.lower() not in logged.lower()
    event_ids = [
        str(row["event_id"]) for row in system.rows("SELECT event_id FROM learning.delivery WHERE state = 'dead'")
    ]
    assert all(event_id in logged for event_id in event_ids)
