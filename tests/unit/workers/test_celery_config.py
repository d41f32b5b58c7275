"""Celery's settings: messages are hints, carried as JSON, with nothing kept of their results."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from learning_stores.registry import installed
from warm_python import warm_run

SHOW = """
import json
from learning_workers.app import app
conf = app.conf
print(json.dumps({
    "result_backend": conf.result_backend,
    "ignore_result": conf.task_ignore_result,
    "accept": list(conf.accept_content),
    "serializer": conf.task_serializer,
    "queues": [queue.name for queue in conf.task_queues],
    "missing": conf.task_create_missing_queues,
    "late": conf.task_acks_late,
    "lost": conf.task_reject_on_worker_lost,
    "prefetch": conf.worker_prefetch_multiplier,
    "events": conf.worker_send_task_events,
    "tasks": sorted(name for name in app.tasks if name.startswith("learning.")),
    "beat": {name: [each["task"], each["options"]["queue"]] for name, each in conf.beat_schedule.items()},
}))
"""


def run(code: str, **env: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LEARNING_")}
    return warm_run(["-c", code], env={**inherited, **env}, cwd=Path.cwd(), timeout=60)


def test_given_the_app_when_its_settings_are_read_then_nudges_are_json_without_results_and_each_store_has_a_queue() -> (
    None
):
    shown = run(SHOW, LEARNING_REDIS_URL="redis://127.0.0.1:1/0")

    assert shown.returncode == 0, shown.stderr
    conf = json.loads(shown.stdout)
    assert conf["result_backend"] is None
    assert conf["ignore_result"] is True
    assert conf["accept"] == ["json"]
    assert conf["serializer"] == "json"
    assert conf["queues"] == [*(f"learning.{store}" for store in installed()), "learning.embed", "learning.curator"]
    assert conf["missing"] is False
    assert not conf["late"]
    assert not conf["lost"]
    assert conf["prefetch"] == 1
    assert conf["events"] is True
    assert conf["tasks"] == sorted(
        [
            *(f"learning.{store}.extract" for store in installed()),
            "learning.embed",
            "learning.curator.run",
            "learning.curator.tick",
        ]
    )
    assert all(task in conf["tasks"] and queue in conf["queues"] for task, queue in conf["beat"].values())


def test_given_a_store_of_ones_own_when_the_app_is_imported_then_it_has_a_queue_and_a_task() -> None:
    cookbook = Path(__file__).parents[3] / "cookbook" / "08_advanced"
    shown = run(
        SHOW,
        LEARNING_REDIS_URL="redis://127.0.0.1:1/0",
        LEARNING_STORES="decision_log:DecisionLogStore",
        PYTHONPATH=os.fspath(cookbook),
    )

    assert shown.returncode == 0, shown.stderr
    conf = json.loads(shown.stdout)
    assert conf["queues"] == [
        *(f"learning.{store}" for store in installed()),
        "learning.decision_log",
        "learning.embed",
        "learning.curator",
    ]
    assert "learning.decision_log.extract" in conf["tasks"]


def test_given_no_address_when_the_app_is_imported_then_it_can_be_and_only_its_use_says_what_is_missing() -> None:
    assert run("import learning_workers.app").returncode == 0
    used = run("from learning_workers.app import app; app.conf.broker_url")
    assert used.returncode != 0
    assert "LEARNING_REDIS_URL" in used.stderr


@pytest.mark.parametrize("variable", ["LEARNING_BROKER_URL", "LEARNING_REDIS_URL"])
def test_given_a_broker_of_its_own_when_configured_then_it_is_used_before_the_streams_redis(variable: str) -> None:
    shown = run(
        "from learning_workers.app import app; print(app.conf.broker_url)",
        **{"LEARNING_REDIS_URL": "redis://127.0.0.1:1/0", variable: "redis://127.0.0.1:2/0"},
    )

    assert shown.stdout.strip() == "redis://127.0.0.1:2/0"
