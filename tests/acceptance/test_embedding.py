"""Embedding in real processes: dispatcher and worker, killed and replaced; and `reembed`, interrupted and run again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from embedding_doubles import vectors
from harness import Place, Processes, eventually, rows
from integration.stores.test_embeddings import learn, on_list, vectors_of
from learning_machine import UserProfileConfig
from learning_ops.offline.server import OfflineModel
from learning_stores.database import Database
from running_stack import run
from scripted_model import Answer, Asked, ScriptedModel

OFFLINE = "offline-rules-1"


@pytest.fixture
def scripted(place: Place) -> Iterator[ScriptedModel]:
    """A scripted model that the place's processes embed with."""
    with ScriptedModel().running() as model:
        model.answer = vectors
        place.extra_env |= {"LEARNING_EMBEDDING_MODEL": "m", "LEARNING_EMBEDDING_BASE_URL": model.url}
        yield model


def with_offline(place: Place, model: OfflineModel) -> None:
    place.extra_env |= {
        "LEARNING_EMBEDDING_MODEL": OFFLINE,
        "LEARNING_EMBEDDING_BASE_URL": model.url,
        "LEARNING_EMBEDDING_API_KEY": "not-a-key",
    }


def states(everything_db: Database) -> dict[tuple[str, str], str]:
    found = rows(everything_db, "SELECT tenant, model, state FROM learning.embedding_model")
    return {(row["tenant"], row["model"]): row["state"] for row in found}


def reembed(place: Place, *arguments: str) -> Any:
    return run("reembed", *arguments, cwd=place.directory, env={**place.env, "COLUMNS": "160"})


def test_given_dispatcher_and_worker_when_a_tool_saves_a_memory_then_it_has_its_vector_within_seconds(
    place: Place, everything_db: Database, model: OfflineModel, processes: Processes
) -> None:
    with_offline(place, model)
    processes.dispatcher()
    worker = processes.worker("embed")
    with place.machine(user_profile=UserProfileConfig(mode="AGENTIC")) as machine:
        (save,) = [tool for tool in machine.tools(user_id="alice") if tool.name == "save_memory"]
        save(content="Keeps bees")
        eventually(lambda: vectors_of(everything_db), "the first vector")
        save(content="Plays the violin")
        eventually(lambda: len(vectors_of(everything_db)) == 2, "the second vector")
    eventually(lambda: states(everything_db) == {("default", OFFLINE): "reading"}, "a model to read with")
    assert "violin" not in worker.log_path.read_text()


def test_given_a_worker_that_is_killed_in_a_call_when_another_starts_then_nothing_is_lost_or_there_twice(
    place: Place, app_db: Database, everything_db: Database, scripted: ScriptedModel, processes: Processes
) -> None:
    made = {learn(app_db, f"Fact {number}") for number in range(20)}
    place.extra_env["LEARNING_MODEL_DEADLINE"] = "2"
    scripted.answer = lambda _: Answer(trickle=True, raw=b"{}")
    processes.dispatcher()
    first = processes.worker("embed")
    eventually(lambda: scripted.asked, "a call under way")
    os.kill(first.pid, signal.SIGKILL)
    assert vectors_of(everything_db) == set()
    assert on_list(everything_db) == made

    scripted.answer = vectors
    processes.worker("embed")
    eventually(lambda: not on_list(everything_db), "everything embedded")

    assert vectors_of(everything_db) == {("default", "m", each) for each in made}


def test_given_learnings_of_two_tenants_when_one_is_moved_then_it_can_be_read_with_both_and_the_other_is_untouched(
    place: Place, app_db: Database, everything_db: Database, model: OfflineModel
) -> None:
    with_offline(place, model)
    made = {tenant: {learn(app_db, f"Fact {n}", tenant=tenant) for n in range(5)} for tenant in ("acme", "globex")}

    planned = reembed(place, OFFLINE, "--tenant", "acme", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "acme" in planned.stdout
    assert "0.0000" in planned.stdout
    assert vectors_of(everything_db) == set()

    assert reembed(place, OFFLINE, "--tenant", "acme").returncode == 0
    moved = reembed(place, OFFLINE, "--dimensions", "64", "--tenant", "acme", "--json")
    assert moved.returncode == 0, moved.stderr
    [found] = json.loads(moved.stdout)
    assert (found["model"], found["state"], found["embedded"], found["switched"]) == (
        f"{OFFLINE}@64",
        "reading",
        5,
        True,
    )
    assert states(everything_db) == {("acme", OFFLINE): "reading", ("acme", f"{OFFLINE}@64"): "reading"}
    assert vectors_of(everything_db) == {
        ("acme", name, each) for name in (OFFLINE, f"{OFFLINE}@64") for each in made["acme"]
    }

    dropped = reembed(place, OFFLINE, "--dimensions", "64", "--drop-others")
    assert dropped.returncode == 0, dropped.stderr
    assert {name for _, name in states(everything_db)} == {f"{OFFLINE}@64"}
    assert vectors_of(everything_db) == {
        (tenant, f"{OFFLINE}@64", each) for tenant, all_of_it in made.items() for each in all_of_it
    }

    shown = json.loads(reembed(place, "--status", "--json").stdout)
    assert [(row["tenant"], [m["embedded"] for m in row["models"]]) for row in shown] == [
        ("acme", [5]),
        ("globex", [5]),
    ]
    table = reembed(place, "--status")
    assert "reading" in table.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_given_a_move_that_is_interrupted_when_it_is_run_again_then_it_goes_on_where_it_was(
    place: Place, app_db: Database, everything_db: Database, scripted: ScriptedModel, number: signal.Signals
) -> None:
    made = {learn(app_db, f"Fact {n}") for n in range(300)}

    def answer(asked: Asked) -> Answer:
        return vectors(asked) if asked.number == 1 else Answer(trickle=True, raw=b"{}")

    scripted.answer = answer
    argv = [sys.executable, "-m", "learning_ops.main", "reembed", "m"]
    moving = subprocess.Popen(argv, env=place.env, cwd=place.directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        eventually(lambda: len(scripted.asked) == 2, "the second call")
        moving.send_signal(number)
        _, told = moving.communicate(timeout=20)
    finally:
        moving.kill()
        moving.communicate()
    assert moving.returncode != 0
    assert (b"run this again to go on" in told) is (number == signal.SIGINT)
    assert states(everything_db) == {("default", "m"): "building"}
    kept = len(vectors_of(everything_db))
    assert kept == 256

    scripted.answer = vectors
    again = reembed(place, "m")

    assert again.returncode == 0, again.stderr
    assert "44 learnings to embed" in again.stderr
    assert vectors_of(everything_db) == {("default", "m", each) for each in made}
    assert states(everything_db) == {("default", "m"): "reading"}
    assert sum(len(asked.body["input"]) for asked in scripted.asked[2:]) == 44


def test_given_a_provider_that_asks_to_wait_when_moving_then_it_waits_and_goes_on(
    place: Place, app_db: Database, everything_db: Database, scripted: ScriptedModel
) -> None:
    learn(app_db)

    def answer(asked: Asked) -> Answer:
        return vectors(asked) if asked.number > 1 else Answer(status=429, headers={"Retry-After": "0.3"})

    scripted.answer = answer
    moved = reembed(place, "m", "--tenant", "default")

    assert moved.returncode == 0, moved.stderr
    assert "trying again" in moved.stderr
    assert len(vectors_of(everything_db)) == 1


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(401, "the key (LEARNING_EMBEDDING_API_KEY)"), (404, "the model's name and the address")],
)
def test_given_a_provider_that_refuses_when_moving_then_it_fails_at_once_with_the_answer_and_the_remedy(
    place: Place, app_db: Database, everything_db: Database, scripted: ScriptedModel, status: int, remedy: str
) -> None:
    learn(app_db)
    scripted.answer = lambda _: Answer(
        status=status, raw=b'{"error": {"message": "Is vegetarian", "code": "not_yours"}}'
    )

    moved = reembed(place, "m", "--tenant", "default")

    assert moved.returncode == 1
    told = " ".join(moved.stderr.split())
    assert f"m at {scripted.url} does not embed: HTTP {status} not_yours. Check {remedy}" in told
    assert "trying again" not in told
    assert "vegetarian" not in told
    assert len(scripted.asked) == 1

    scripted.answer = vectors
    assert reembed(place, "m", "--tenant", "default").returncode == 0
    assert states(everything_db) == {("default", "m"): "reading"}


def test_given_a_move_that_is_given_up_when_the_others_are_dropped_then_nothing_waits_for_it_any_more(
    place: Place, app_db: Database, everything_db: Database, scripted: ScriptedModel, processes: Processes
) -> None:
    learn(app_db)
    assert reembed(place, "m").returncode == 0
    scripted.answer = lambda asked: vectors(asked) if "dimensions" not in asked.body else Answer(status=401)
    assert reembed(place, "m", "--dimensions", "8").returncode == 1
    learn(app_db, "Likes tea")
    assert states(everything_db) == {("default", "m"): "reading", ("default", "m@8"): "building"}

    assert reembed(place, "m", "--drop-others").returncode == 0

    assert states(everything_db) == {("default", "m"): "reading"}
    processes.dispatcher()
    processes.worker("embed")
    eventually(lambda: not on_list(everything_db), "an empty work list")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "either a model"),
        (("m", "--status"), "either a model"),
        (("unknown", "--tenant", "default"), "no address of unknown is known"),
    ],
)
def test_given_wrong_usage_when_moving_then_it_says_what_is_missing(
    place: Place, arguments: tuple[str, ...], told: str
) -> None:
    ended = reembed(place, *arguments)

    assert ended.returncode == 2
    assert told in ended.stderr
