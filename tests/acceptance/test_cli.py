"""The commands that look into a running system, and the one that feeds it."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis

from harness import Place, Processes, eventually, rows, turn
from learning_ops.offline.server import OfflineModel
from learning_schemas.ids import uuid7
from learning_schemas.scope import shard_of, stream_name
from learning_stores.database import Database
from running_stack import run


def _line(said: str, **more: Any) -> str:
    return json.dumps({"messages": turn(said), "user_id": "alice", "session_id": "s1", **more}) + "\n"


def _run(place: Place, *arguments: str, stdin: str | None = None, **env: str) -> Any:
    return run(*arguments, cwd=place.directory, env={**place.env, "COLUMNS": "160", **env}, stdin=stdin)


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
        "learning.user_profile",
        "learning.session_context",
        "learning.curator",
    ]
    table = _run(place, "status").stdout
    for word in ("Nothing waits", "Settled", "Streams", "Queues", "offline rules, not a language model"):
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

    assert sum(row["entries"] for row in status["redis"]["streams"]) == 1
    assert sum(row["not_read"] for row in status["redis"]["streams"]) == 1


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
    eventually(lambda: rows(dispatcher_db, "SELECT 1 FROM learning.rejected_event") != [], "the rejection", timeout=60)

    told = _run(place, "trace", event_id)
    shown = json.loads(_run(place, "trace", event_id, "--json").stdout)

    assert told.returncode == 0
    assert "Rejected" in told.stdout
    assert "field id" in told.stdout
    assert shown["event"] is None
    assert shown["rejected"]["field"] == "id"


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
