"""The jobs `reembed`, `statistics`, `trim` and `reconcile` as they run: workers with beats, killed in the middle of a step."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from celery import Celery
from sqlalchemy import text

from acceptance.test_curator import Upkeep, kill
from harness import Place, Processes, event, eventually, rows
from integration.stores.past import Past, check, says
from integration.stores.steps import BOTH_AT_ONCE
from integration.stores.test_embeddings import learn, on_list, vectors_of
from integration.workers.curating import Curating
from integration.workers.test_curator_reembed import read_with
from learning_ops.offline.server import OfflineModel
from learning_schemas.scope import stream_name
from learning_stores.database import Database
from learning_workers.intake import GROUP
from learning_workers.queues import EMBED

MINE = ("--tenant", "default")
OLD, NEW = "served-before", "offline-rules-1@64"

# So many live rows make a place large.
_LARGE = """
    INSERT INTO learning.learning (tenant, id, store, kind, scope, content, content_key, status, valid_from, live_from, origin)
    SELECT 'default', gen_random_uuid(), 'learned_knowledge', 'insight', :scope,
           concat_ws(' ', 'sails', CASE WHEN n % 2 = 0 THEN 'harpsichord' END), 'n' || n, 'active', now(), now(), 'import'
    FROM generate_series(1, 20001) AS n
"""
_WAIT = """
    CREATE OR REPLACE FUNCTION learning.wait_here() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END'
"""


@pytest.fixture
def upkeep(
    place: Place, app_db: Database, dispatcher_db: Database, everything_db: Database, processes: Processes
) -> Iterator[Upkeep]:
    yield Upkeep(place, Past(app_db, dispatcher_db, everything_db), everything_db, processes)
    processes.stop_all()


@contextmanager
def stopped(upkeep: Upkeep, before: str) -> Iterator[None]:
    """Who writes a step of which `before` is true waits while the block runs: its work is done, and not committed."""
    upkeep.change(_WAIT)
    upkeep.change(
        "CREATE TRIGGER wait_here BEFORE UPDATE ON learning.curator_run FOR EACH ROW "
        f"WHEN ({before}) EXECUTE FUNCTION learning.wait_here()"
    )
    with upkeep.db.engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(7)"))
        yield
        connection.rollback()
    upkeep.change("DROP TRIGGER wait_here ON learning.curator_run")


def killed(upkeep: Upkeep, job: str, before: str, **started: Any) -> dict[str, Any]:
    """Let a curator with a beat be killed in that step; the run as it is then, whose lease is over."""
    with stopped(upkeep, f"NEW.job = '{job}' AND {before}"):
        curator = upkeep.curator("first", **nightly(job), **started)
        eventually(upkeep.waiting_for_a_lock, "it waits in the middle")
        kill(curator)
    upkeep.change("UPDATE learning.curator_run SET lease_until = now() - interval '1 s' WHERE state = 'running'")
    (row,) = scheduled(upkeep, job)
    assert row["state"] == "running"
    return row


def nightly(job: str) -> dict[str, str]:
    return {f"LEARNING_CURATOR_{job.upper()}": "0 0 * * *"}


def scheduled(upkeep: Upkeep, job: str) -> list[dict[str, Any]]:
    """The job's runs by schedule, that of the first tick first."""
    return rows(
        upkeep.db, "SELECT * FROM learning.curator_run WHERE job = :j AND tick IS NOT NULL ORDER BY tick", j=job
    )


def ended(upkeep: Upkeep, job: str) -> dict[str, Any]:
    """Wait until the job's one run by schedule is done."""
    eventually(lambda: scheduled(upkeep, job)[0]["state"] == "done", f"{job} is done")
    (row,) = scheduled(upkeep, job)
    return row


def embed(upkeep: Upkeep) -> None:
    """Nudge who embeds, as the dispatcher does."""
    with Celery("tests", broker=upkeep.place.redis_url, set_as_current=False) as app:
        app.conf.task_ignore_result = True
        app.send_task(EMBED, args=("default",), queue=EMBED)


def again(upkeep: Upkeep, job: str, *whose: str) -> dict[str, Any]:
    """The run of somebody who does not wait for the night."""
    (done,) = upkeep.json("curate", job, *whose)
    assert done["state"] == "done"
    found: dict[str, Any] = done
    return found


def shown(upkeep: Upkeep, job: str, of: dict[str, Any]) -> None:
    """That `curate show` and `curate --list` tell of this run."""
    (told,) = (each for each in upkeep.json("curate", "--list") if each["job"] == job)
    assert (told["last"]["id"], told["last"]["state"], told["last"]["report"]) == (str(of["id"]), "done", of["report"])
    words = upkeep.command("curate", "show", str(of["id"])).stdout
    for name in (name for name, value in of["report"].items() if value):
        assert name.replace("_", " ") in words


def rehearsed(upkeep: Upkeep, job: str, *whose: str) -> dict[str, Any]:
    """The report of a dry run, which has changed nothing."""
    curating = Curating(upkeep.place, upkeep.db)
    before = curating.everything()
    (dry,) = json.loads(upkeep.command("curate", job, *whose, "--dry-run", "--json").stdout)
    assert (dry["state"], dry["dry_run"]) == ("done", True)
    assert curating.everything() == before
    report: dict[str, Any] = dry["report"]
    return report


def test_given_another_embedding_model_when_the_curator_that_moves_a_tenant_to_it_is_killed_then_another_does_and_recall_finds(
    upkeep: Upkeep, app_db: Database, model: OfflineModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {learn(app_db, f"Keeps {number} bees in the garden") for number in range(5)}
    read_with(app_db, OLD)
    upkeep.change("DELETE FROM learning.embedding_due")
    upkeep.place.extra_env |= {
        "LEARNING_EMBEDDING_MODEL": "offline-rules-1",
        "LEARNING_EMBEDDING_DIMENSIONS": "64",
        "LEARNING_EMBEDDING_BASE_URL": model.url,
        "LEARNING_EMBEDDING_API_KEY": "not-a-key",
    }
    assert rehearsed(upkeep, "reembed", *MINE) == {"put_on_the_list": 5}

    killed(upkeep, "reembed", "NEW.looked_at > 0")
    assert (models(upkeep), on_list(upkeep.db)) == (
        {OLD: "reading"},
        set(),
    )  # the model's beginning goes with the list's

    upkeep.curator("second", **nightly("reembed"))
    upkeep.processes.worker("embed", threads=1)
    first = ended(upkeep, "reembed")
    assert (first["changed"], first["report"]) == (5, {"put_on_the_list": 5})
    assert models(upkeep) == {OLD: "reading", NEW: "building"}
    embed(upkeep)
    eventually(lambda: not on_list(upkeep.db), "all of it is embedded")
    assert vectors_of(upkeep.db) == {("default", name, each) for name in (OLD, NEW) for each in made}
    assert recalled(upkeep, monkeypatch) == ("text", 5)

    assert again(upkeep, "reembed", *MINE)["report"] == {"reading": NEW}
    assert recalled(upkeep, monkeypatch) == ("text+vector", 5)

    upkeep.change("UPDATE learning.embedding_model SET since = since - interval '8 days'")
    upkeep.change("UPDATE learning.embedding_model SET since = since - interval '8 days' WHERE model = :m", m=OLD)
    last = again(upkeep, "reembed", *MINE)
    assert last["report"] == {"dropped": OLD, "vectors_removed": 5}
    assert models(upkeep) == {NEW: "reading"}
    assert vectors_of(upkeep.db) == {("default", NEW, each) for each in made}
    shown(upkeep, "reembed", last)


def models(upkeep: Upkeep) -> dict[str, str]:
    """The tenant's embedding models."""
    return {each["model"]: each["state"] for each in rows(upkeep.db, "SELECT * FROM learning.embedding_model")}


def recalled(upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch) -> tuple[str | None, int]:
    """How an agent that embeds with the model that serves is matched, and with how many memories."""
    for name, value in {**upkeep.place.extra_env, "LEARNING_EMBEDDING_DEADLINE": "3"}.items():
        monkeypatch.setenv(name, value)
    with upkeep.place.machine(user_profile=True, recall_deadline=5.0) as machine:
        found = machine.recall("bees in the garden", user_id="alice", on_error="raise")
    return found.matched_by, len(found.memories)


def test_given_large_places_when_the_curator_that_counts_their_words_is_killed_then_another_counts_the_rest_and_drops_the_small(
    upkeep: Upkeep,
) -> None:
    first, second = scopes = ("namespace/global", "namespace/team")
    for scope in scopes:
        upkeep.change(_LARGE, scope=scope)
    kept = lambda: {each["scope"]: each for each in rows(upkeep.db, "SELECT * FROM learning.scope_statistics")}  # noqa: E731 - asked often
    (dry,) = upkeep.json("curate", "statistics", *MINE, "--dry-run")
    assert (dry["looked_at"], dry["report"], kept()) == (2, {"counted": 2, "dropped": 0}, {})

    half = killed(upkeep, "statistics", "NEW.looked_at = 2")
    assert (half["looked_at"], list(kept())) == (1, [first])
    counted_at = kept()[first]["counted_at"]

    upkeep.curator("second", **nightly("statistics"))
    done = ended(upkeep, "statistics")
    assert (done["looked_at"], done["changed"], done["report"]) == (2, 2, {"counted": 2, "dropped": 0})
    for scope in scopes:
        common = kept()[scope]["common"]
        assert (kept()[scope]["rows"], common["sail"], common["harpsichord"]) == (20_001, 20_001, 10_000)
    assert kept()[first]["counted_at"] == counted_at  # once

    upkeep.change("DELETE FROM learning.learning WHERE scope = :s AND content_key = 'n1'", s=second)
    last = again(upkeep, "statistics", *MINE)
    assert last["report"] == {"counted": 1, "dropped": 1}
    assert list(kept()) == [first]
    shown(upkeep, "statistics", last)


def test_given_streams_when_the_curator_that_trims_them_is_killed_then_another_trims_the_rest_and_what_is_not_taken_in_stays(
    upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep.change(
        "INSERT INTO learning.shard_lease (shard, owner, token, lease_until) VALUES (0, 'reading', 1, now() + interval '1 hour')"
    )
    trimmed = [stream_name(shard) for shard in (0, 1, 5)]
    slow = stream_name(6)  # another group has read nothing of this one
    with redis.Redis.from_url(upkeep.place.redis_url, decode_responses=True) as client:
        ids = {stream: taken_in(client, stream) for stream in (*trimmed, slow)}
        client.xgroup_create(slow, "others", id="0")
        consumers = lambda stream: {each["name"] for each in client.xinfo_consumers(stream, GROUP)}  # noqa: E731 - asked often
        entries = lambda stream: [entry for entry, _ in client.xrange(stream)]  # noqa: E731 - the same
        # For this command a consumer is dead that was idle for an hour.
        assert rehearsed(upkeep, "trim") == {"consumers": 0, "entries": 6}
        assert {stream: entries(stream) for stream in ids} == ids

        started(upkeep, monkeypatch, "from learning_workers import trim; trim.DEAD_MILLISECONDS = 0")
        half = killed(upkeep, "trim", "NEW.looked_at = 2")
        assert (half["looked_at"], half["report"]) == (1, {"consumers": 1, "entries": 2})
        assert [entries(stream) == ids[stream] for stream in trimmed] == [False, False, True]

        upkeep.curator("second", **nightly("trim"))
        done = ended(upkeep, "trim")
        assert (done["looked_at"], done["report"]) == (8, {"consumers": 3, "entries": 4})  # not what nobody wrote down
        for stream in ids:
            stay = {"reading", "holding"} if stream == stream_name(0) else {"holding"}
            assert consumers(stream) == stay
            assert entries(stream) == (ids[stream] if stream == slow else ids[stream][2:])
            assert client.xpending(stream, GROUP)["pending"] == 1
            assert len(client.xreadgroup(GROUP, "holding", {stream: ">"})[0][1]) == 2  # those that nobody had read
    shown(upkeep, "trim", done)


def taken_in(client: Any, stream: str) -> list[str]:
    """A stream of five entries: two acknowledged and not deleted, one pending, two not read; and a consumer that is dead."""
    client.xgroup_create(stream, GROUP, id="0", mkstream=True)
    ids = [client.xadd(stream, {"n": str(number)}) for number in range(5)]
    client.xreadgroup(GROUP, "dead", {stream: ">"}, count=2)
    client.xreadgroup(GROUP, "holding", {stream: ">"}, count=1)
    client.xack(stream, GROUP, *ids[:2])
    if stream == stream_name(0):
        client.xgroup_createconsumer(stream, GROUP, "reading")
    return ids


def started(upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    """Let each curator run a statement before it is one."""
    start = upkeep.processes.start

    def preceded(name: str, argv: list[str], env: Any = None) -> Any:
        assert argv[:2] == ["-m", "celery"]
        return start(name, ["-c", f"{first}; from celery.__main__ import main; main()", *argv[2:]], env)

    monkeypatch.setattr(upkeep.processes, "start", preceded)


def test_given_what_does_not_add_up_when_the_curator_that_reconciles_is_killed_then_another_mends_it_and_tells_the_rest(
    upkeep: Upkeep,
) -> None:
    upkeep.past.accept(event(user_id="ann", session_id="s1"), spec=BOTH_AT_ONCE)
    (lacking,) = upkeep.past.accept(event(user_id="ben", session_id="s2"), spec=BOTH_AT_ONCE)
    boxes = "SELECT store, scope FROM learning.mailbox ORDER BY 1, 2"
    upkeep.change("DELETE FROM learning.delivery WHERE event_id = :e AND store = 'session_context'", e=lacking)
    upkeep.change("DELETE FROM learning.mailbox WHERE scope = 'user/ann' OR scope LIKE 'session/%'")
    assert len(rows(upkeep.db, boxes)) == 1
    found = {"mailboxes_reopened": 2, "events_without_delivery": 1}
    assert rehearsed(upkeep, "reconcile") == found

    killed(upkeep, "reconcile", "NEW.state = 'done'")
    assert len(rows(upkeep.db, boxes)) == 1
    assert rows(upkeep.db, "SELECT FROM learning.ledger_finding") == []

    second = upkeep.curator("second", **nightly("reconcile"))
    done = ended(upkeep, "reconcile")
    assert (done["changed"], done["report"]) == (2, found)
    assert [(each["store"], each["scope"].partition("/")[0]) for each in rows(upkeep.db, boxes)] == [
        ("session_context", "session"), ("user_profile", "user"), ("user_profile", "user"),
    ]  # fmt: skip  # two lines of rows
    (told,) = [json.loads(line) for line in second.log_path.read_text().splitlines() if '"reconcile found"' in line]
    assert (told["level"], told["mailboxes_reopened"], told["events_without_delivery"]) == ("warning", 2, 1)
    shown(upkeep, "reconcile", done)
    ledger = upkeep.command("status", "--ledger", status=1)
    assert "events_without_delivery" in ledger.stderr
    assert f"default/{lacking}" in ledger.stdout

    # What waited for ever is worked on, and nothing is mended twice.
    upkeep.change("DELETE FROM learning.mailbox WHERE scope = 'user/ben' OR scope LIKE 'session/%'")
    upkeep.change("DELETE FROM learning.delivery WHERE event_id = :e OR store = 'session_context'", e=lacking)
    upkeep.past.extract(says("Works at Netflix"))
    check(upkeep.db)
    assert again(upkeep, "reconcile")["changed"] == 0
