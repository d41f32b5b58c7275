"""The commands that look into a running system, and the one that feeds it."""

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis

from harness import Place, Processes, event, eventually, rows, turn
from integration.stores.steps import take_in
from learning_ops.offline.server import OfflineModel
from learning_schemas.ids import uuid7
from learning_schemas.scope import shard_of, stream_name
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.database import Database
from learning_stores.registry import installed
from running_stack import COMMAND, run


def _line(said: str, **more: Any) -> str:
    return json.dumps({"messages": turn(said), "user_id": "alice", "session_id": "s1", **more}) + "\n"


def _run(place: Place, *arguments: str, stdin: str | None = None, **env: str) -> Any:
    return run(*arguments, cwd=place.directory, env={**place.env, "COLUMNS": "160", **env}, stdin=stdin)


def _on_a_terminal(place: Place, typed: str, *arguments: str) -> tuple[str, int]:
    """What a command prints that is answered on a terminal, and its exit status."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed.encode())
        ended = subprocess.run(
            [COMMAND, *arguments],
            cwd=place.directory,
            env=place.env,
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    return ended.stdout, ended.returncode


def test_given_a_pipe_with_bad_lines_when_emitted_then_they_are_named_and_the_others_settle(
    place: Place, model: OfflineModel, processes: Processes, everything_db: Database
) -> None:
    processes.dispatcher()
    processes.worker()
    lines = [
        _line("I'm Alice, I work at Netflix."),
        "nonsense\n",
        "\n",
        _line("I live in Berlin.", user_id=" alice"),
        _line("I like chess.", tenant="acme", occurred_at="2025-05-01T10:00:00+02:00"),
        _line("I like tea.", occurred_at="2025-05-01T10:00:00"),
        _line("My card is 4111 1111 1111 1111."),
    ]

    ended = _run(place, "emit", "-", "--settle", "--json", stdin="".join(lines))

    assert ended.returncode == 1
    told = ended.stderr.splitlines()
    assert [line.split(":")[0] for line in told] == ["line 2", "line 4", "line 6"]
    assert "is not JSON" in told[0]
    assert "user_id: has space around it" in told[1]
    assert "occurred_at" in told[2]
    tally = json.loads(ended.stdout)
    assert tally["accepted"] == 3
    assert tally["via"] == {"stream": 3}
    assert tally["bad"] == 3
    assert tally["redacted"] == {"card number": 1}
    assert tally["states"]["user_profile"] == {"extracted": 2, "nothing_found": 1}
    assert tally["unsettled"] == 0
    known = rows(everything_db, "SELECT tenant, content FROM learning.learning WHERE kind = 'memory' ORDER BY tenant")
    assert known == [
        {"tenant": "acme", "content": "Likes chess"},
        {"tenant": "default", "content": "Works at Netflix"},
    ]


def test_given_an_event_that_was_extracted_when_recalled_and_traced_then_both_say_what_and_by_whom(
    place: Place, model: OfflineModel, processes: Processes
) -> None:
    processes.dispatcher()
    processes.worker()
    events = place.directory / "events.jsonl"
    events.write_text(_line("I'm Alice, I work at Netflix.") + _line("Good morning to all of you."), encoding="utf-8")
    emitted = _run(place, "emit", str(events), "--settle")
    assert emitted.returncode == 0, emitted.stderr
    assert "accepted  2 (2 by stream)" in emitted.stdout
    event_id = emitted.stdout.split("learning-machine trace ")[1].strip()

    recalled = json.loads(_run(place, "recall", "--user", "alice", "--json").stdout)
    assert recalled["fields"] == {"name": "Alice"}
    assert recalled["memories"] == ["Works at Netflix"]
    assert recalled["offline_rules"] is True
    shown = _run(place, "recall", "-u", "alice", "-s", "s1")
    assert "Works at Netflix" in shown.stdout
    assert "offline rules" in shown.stderr

    traced = json.loads(_run(place, "trace", event_id, "--json").stdout)
    assert traced["event"]["id"] == event_id
    stores = {delivery["store"]: delivery for delivery in traced["deliveries"]}
    assert set(stores) == {"user_profile", "session_context"}
    assert stores["session_context"]["state"] == "extracted"
    assert stores["session_context"]["model"] == "offline-rules-1"
    assert UUID(stores["session_context"]["extraction_id"])
    assert stores["session_context"]["prompt_version"]
    told = _run(place, "trace", event_id)
    assert told.returncode == 0
    for word in ("user_profile", "session_context", "offline-rules-1", "Model calls made for it"):
        assert word in told.stdout
    assert "Good morning" not in told.stdout

    status = json.loads(_run(place, "status", "--json").stdout)
    assert status["accepted"] == 2
    assert status["backlog"] == []
    assert {row["store"] for row in status["settled"]} == {"user_profile", "session_context"}
    assert [row["model"] for row in status["models"]] == ["offline-rules-1"]
    assert len(status["redis"]["streams"]) == 8
    assert [row["queue"] for row in status["redis"]["queues"]] == [
        *(f"learning.{store}" for store in installed()),
        "learning.embed",
        "learning.curator",
    ]
    table = _run(place, "status").stdout
    for word in ("Nothing waits", "Deliveries", "Streams", "Queues", "offline rules, not a language model"):
        assert word in table


def test_given_an_event_in_which_nothing_was_found_when_traced_then_the_offline_note_is_shown(
    place: Place, model: OfflineModel, processes: Processes
) -> None:
    processes.dispatcher()
    processes.worker()
    with place.machine(user_profile=True) as machine:
        receipt = machine.emit(turn("The bus was late again today."), user_id="alice", session_id="s1")
        assert machine.settle(receipt, timeout=60) == {"user_profile": "nothing_found"}

    told = _run(place, "trace", str(receipt.event_id))

    assert "offline rules found nothing here; start with --model openai" in told.stdout


def test_given_no_dispatcher_when_events_wait_then_status_counts_them_in_their_streams(place: Place) -> None:
    with place.machine() as machine:
        machine.emit(turn("I like tea."), user_id="alice", session_id="s1")

    status = json.loads(_run(place, "status", "--json").stdout)

    assert sum(row["entries"] for row in status["redis"]["streams"]) == 2  # the event, and the producer's last number
    assert sum(row["not_read"] for row in status["redis"]["streams"]) == 2


def test_given_a_mailbox_without_a_worker_when_status_is_asked_then_its_reason_and_age_are_shown(
    place: Place, processes: Processes, dispatcher_db: Database
) -> None:
    processes.dispatcher()
    with place.machine() as machine:
        machine.emit(turn("I like tea."), user_id="alice", session_id="s1")
    eventually(
        lambda: rows(dispatcher_db, "SELECT 1 FROM learning.delivery") != [], "the event's deliveries", timeout=60
    )

    status = json.loads(_run(place, "status", "--json").stdout)

    assert {row["store"] for row in status["backlog"]} == {"user_profile", "session_context"}
    assert all(row["reason"] in ("debounce", "due") and row["events"] == 1 for row in status["backlog"])
    assert all(row["oldest"] for row in status["backlog"])
    assert "Backlog" in _run(place, "status").stdout


def test_given_a_rejected_event_when_traced_then_its_reason_is_told(
    place: Place, processes: Processes, dispatcher_db: Database
) -> None:
    processes.dispatcher()
    made_in_2020 = 1_577_880_000_000  # milliseconds; long before what retention takes in
    event_id = str(UUID(int=made_in_2020 << 80 | 0x7 << 76 | 0x2 << 62 | 7))
    body = {
        "v": 1,
        "id": event_id,
        "user_id": "alice",
        "occurred_at": "2025-05-01T10:00:00Z",
        "messages": turn("I like tea."),
    }
    with redis.Redis.from_url(place.redis_url) as client:
        client.xadd(stream_name(shard_of("default", "user/alice")), {"event": json.dumps(body)})
    eventually(lambda: rows(dispatcher_db, "SELECT 1 FROM learning.rejected_event") != [], "the rejection")

    told = _run(place, "trace", event_id)
    shown = json.loads(_run(place, "trace", event_id, "--json").stdout)

    assert told.returncode == 0
    assert "Rejected" in told.stdout
    assert "field id" in told.stdout
    assert shown["event"] is None
    assert shown["rejected"]["field"] == "id"


def test_given_a_store_and_a_reason_with_markup_when_looked_at_then_they_are_shown_as_they_are(
    place: Place, dispatcher_db: Database, everything_db: Database
) -> None:
    told = event()
    take_in(dispatcher_db, told)
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE learning.delivery SET store = '[/red]x', state = 'dead', settled_at = now(), reason = '[/odd]', "
            "note = '[/note]' WHERE store = 'user_profile'"
        )

    for command in (("status",), ("trace", str(told.id))):
        ended = _run(place, *command)
        assert ended.returncode == 0, ended.stderr
        assert "[/red]x" in ended.stdout
    assert "[/odd]" in ended.stdout
    assert "[/note]" in ended.stdout


def test_given_an_event_whose_spec_is_unknown_when_looked_at_then_it_is_told_what_to_do_or_that_it_was_set_aside(
    place: Place, dispatcher_db: Database, everything_db: Database
) -> None:
    told = event(spec="c" * 64)
    take_in(dispatcher_db, told)

    for command in (("status",), ("trace", str(told.id))):
        shown = _run(place, *command)
        assert "spec cccccccccccc… is not registered for this tenant" in " ".join(shown.stdout.split()), shown.stderr

    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE learning.conversation_event SET set_aside = 'its [/history] is odd'")
    for command in (("status",), ("trace", str(told.id))):
        assert "set aside: its [/history] is odd" in _run(place, *command).stdout


def test_given_a_pending_delivery_when_skipped_then_what_was_done_is_told_and_traced(
    place: Place, dispatcher_db: Database
) -> None:
    slow = MachineSpec(stores={"user_profile": StoreSpec(scope="user", debounce=600, max_wait=600)})
    stuck, behind = event(), event(session_id="s2")
    take_in(dispatcher_db, stuck, behind, spec=slow)
    skip = ("skip", str(stuck.id), "--store", "user_profile", "--reason", "kills its [/worker]")

    unsure = _run(place, *skip, stdin="y\n")
    assert unsure.returncode == 2
    assert "--yes" in unsure.stderr
    asked, declined = _on_a_terminal(place, "n\n", *skip)
    assert asked.startswith(f"Skip user_profile for event {stuck.id} of tenant default?")
    assert declined == 1
    done = _run(place, *skip, "--yes")
    assert done.returncode == 0, done.stderr
    assert f"skipped the delivery of event {stuck.id}" in done.stdout
    assert "due now, with 1 delivery pending" in done.stdout
    assert "skipped by operator: kills its [/worker]" in " ".join(_run(place, "trace", str(stuck.id)).stdout.split())
    backlog = json.loads(_run(place, "status", "--json").stdout)["backlog"]
    assert [(row["reason"], row["events"]) for row in backlog] == [("due", 1)]

    again = _run(place, *skip, "--yes")
    assert again.returncode == 1
    assert "is not pending but skipped" in again.stderr
    unknown = _run(place, *skip, "--yes", "--tenant", "acme")
    assert unknown.returncode == 1
    assert "there is no delivery" in unknown.stderr
    assert _run(place, "skip", str(behind.id), "--store", "user_profile", "--reason", " ", "--yes").returncode == 2


def test_given_an_unknown_event_when_traced_then_it_fails_and_says_what_to_check(place: Place) -> None:
    ended = _run(place, "trace", str(uuid7()))

    assert ended.returncode == 1
    assert "--tenant" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_given_no_dispatcher_and_then_one_when_checked_then_the_status_follows(
    place: Place, processes: Processes
) -> None:
    without = _run(place, "dispatcher", "--check")
    assert without.returncode == 1
    assert "no dispatcher on" in without.stderr

    processes.start("dispatcher", ["-m", "learning_ops.main", "dispatcher"])

    eventually(lambda: _run(place, "dispatcher", "--check").returncode == 0, "a living dispatcher", every=0.5)


def test_given_a_migrated_database_when_migrated_again_then_it_stays_as_it_is(place: Place) -> None:
    ended = _run(place, "migrate")

    assert ended.returncode == 0, ended.stderr
    assert "(as before)" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "variable"),
    [
        (("recall", "-u", "alice"), "LEARNING_DATABASE_URL"),
        (("status",), "LEARNING_DISPATCHER_DATABASE_URL"),
        (("trace", "0198c0de-1111-7222-8333-444455556666"), "LEARNING_DISPATCHER_DATABASE_URL"),
        (("dispatcher", "--check"), "LEARNING_DISPATCHER_DATABASE_URL"),
        (("migrate",), "LEARNING_OWNER_DATABASE_URL"),
    ],
)
def test_given_a_server_that_is_away_when_a_command_needs_it_then_it_is_named_without_the_password(
    arguments: tuple[str, ...], variable: str, place: Place
) -> None:
    ended = _run(place, *arguments, **{variable: "postgresql://someone:s3cret-word@127.0.0.1:1/learning"})

    assert ended.returncode == 1
    assert "127.0.0.1:1/learning" in ended.stderr
    assert variable in ended.stderr
    assert "s3cret-word" not in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_given_redis_is_away_when_status_is_asked_then_the_rest_is_shown_and_it_fails(place: Place) -> None:
    ended = _run(place, "status", "--json", LEARNING_REDIS_URL="redis://:s3cret-word@127.0.0.1:1/0")

    assert ended.returncode == 1
    assert json.loads(ended.stdout)["accepted"] == 0
    assert "Redis at 127.0.0.1:1" in ended.stderr
    assert "s3cret-word" not in ended.stderr + ended.stdout


def test_given_no_server_at_all_when_emitting_then_the_first_line_that_was_not_accepted_is_named(place: Place) -> None:
    away = {
        "LEARNING_REDIS_URL": "redis://:s3cret-word@127.0.0.1:1/0",
        "LEARNING_DATABASE_URL": "postgresql://a:s3cret-word@127.0.0.1:1/learning",
    }

    ended = _run(place, "emit", "-", "--json", stdin="nonsense\n" + _line("I like tea.") * 3, **away)

    assert ended.returncode == 1
    assert "line 2 was not accepted" in ended.stderr
    assert "line 3" not in ended.stderr
    assert json.loads(ended.stdout)["accepted"] == 0
    assert "s3cret-word" not in ended.stderr + ended.stdout


@pytest.mark.parametrize("command", [("status",), ("recall", "-u", "alice"), ("migrate",), ("emit", "-")])
def test_given_no_configuration_when_a_command_runs_then_it_says_which_variable_is_missing(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    ended = run(*command, cwd=tmp_path, stdin="")

    assert ended.returncode == 1
    assert "LEARNING_" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize(
    "command", [("recall",), ("trace", "not-an-id"), ("emit",), ("up", "--model", "none"), ("no-such-command",)]
)
def test_given_wrong_usage_when_a_command_runs_then_it_exits_2(command: tuple[str, ...], tmp_path: Path) -> None:
    ended = run(*command, cwd=tmp_path)

    assert ended.returncode == 2
    assert ended.stdout == ""
    assert list(tmp_path.iterdir()) == []
