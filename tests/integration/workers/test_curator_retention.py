"""Retention: what is over and old goes, what is pending or dead stays, and the ledger still adds up. And streams are trimmed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
import redis

from harness import Place, event, rows
from integration.stores.past import Past, says
from integration.stores.steps import field
from integration.workers.curating import Curating
from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import uuid7
from learning_stores.curator import retain_log
from learning_stores.curator.runs import run_of
from learning_stores.database import Database
from learning_stores.ledger import Ledger, ledger
from learning_workers import trim
from learning_workers.intake import GROUP


@pytest.fixture
def curating(place: Place, everything_db: Database) -> Iterator[Curating]:
    curating = Curating(place, everything_db, retention_days=0.5)
    yield curating
    curating.close()


@pytest.fixture
def past(app_db: Database, dispatcher_db: Database, everything_db: Database) -> Past:
    return Past(app_db, dispatcher_db, everything_db)


def summed(past: Past) -> Ledger:
    with past.dispatcher_db.snapshot() as session:
        found = ledger(session)
    assert found.adds_up, found.findings
    return found


def older(curating: Curating, days: int, *which: UUID) -> None:
    """Let these events, and what became of them, be so many days older, by their ids too."""
    for event_id in which:
        moved = {"old": event_id, "new": UUID(int=event_id.int - (days * 86_400_000 << 80)), "d": days}
        for table in ("delivery", "evidence", "session_message"):
            curating.change(f"UPDATE learning.{table} SET event_id = :new WHERE event_id = :old", **moved)
        curating.change(
            "UPDATE learning.conversation_event SET id = :new, accepted_at = accepted_at - :d * interval '1 day' WHERE id = :old",
            **moved,
        )
        curating.change(
            "UPDATE learning.delivery SET settled_at = settled_at - :d * interval '1 day' WHERE event_id = :new",
            **moved,
        )


def numbered(producer: Any, seq: int, **values: Any) -> ConversationCompleted:
    return event(producer=producer, seq=seq, **values)


def test_given_old_events_when_retained_then_only_the_settled_ones_go_and_the_ledger_adds_up_and_reach_is_said(
    past: Past, curating: Curating
) -> None:
    producer = uuid7()
    names = ["settled", "dead", "pending", "young"]
    events = {name: numbered(producer, seq, user_id=name) for seq, name in enumerate(names, 1)}
    for name in names:
        past.accept(events[name])
        if name != "pending":
            curating.change(
                "UPDATE learning.delivery SET state = :s, settled_at = now() WHERE event_id = :i",
                s="dead" if name == "dead" else "nothing_found",
                i=events[name].id,
            )
            curating.change("DELETE FROM learning.mailbox WHERE user_id = :u", u=name)
    before = summed(past)
    older(curating, 40, *(events[name].id for name in names[:3]))
    told = {"retain_events_days": 30, "retain_deliveries_days": 35}
    whole = curating.everything()
    dry = curating.run("retain", dry_run=True, **told)
    assert dry.report["events"] == 1
    assert curating.everything() == whole

    done = curating.run("retain", **told)
    assert (done.state, done.report["events"], done.report["events_kept"], done.report["deliveries"]) == (
        "done",
        1,
        2,
        1,
    )
    left = rows(past.everything_db, "SELECT user_id FROM learning.conversation_event ORDER BY seq")
    assert [row["user_id"] for row in left] == ["dead", "pending", "young"]
    reach = {
        name: datetime.fromisoformat(str(done.report[name]))
        for name in ("replay_reaches", "undo_reaches", "as_of_reaches")
    }
    assert done.began_at is not None
    assert {name: (done.began_at - moment).days for name, moment in reach.items()} == {
        "replay_reaches": 30, "undo_reaches": 365, "as_of_reaches": 365}  # fmt: skip  # one line
    after = summed(past)
    assert after.events.accepted == before.events.accepted
    assert after.events.removed == {"retention": 1}
    assert after.deliveries.accepted == before.deliveries.accepted
    assert after.deliveries.removed == {"retention": 1}
    assert curating.run("retain", **told).changed == 0


def test_given_more_than_a_batch_when_retained_then_every_step_goes_on_where_the_last_one_ended(
    past: Past, curating: Curating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retain_log, "EVENTS_AT_ONCE", 3)
    monkeypatch.setattr(retain_log, "_EVENTS", retain_log.text(str(retain_log._EVENTS).replace("LIMIT 500", "LIMIT 3")))
    events = [event(user_id=f"u{number}") for number in range(10)]
    past.accept(*events)
    curating.change("UPDATE learning.delivery SET state = 'nothing_found', settled_at = now()")
    older(curating, 40, *(each.id for each in events))
    dry = curating.run("retain", dry_run=True, retain_events_days=30)
    assert dry.report["events"] == 10
    assert curating.run("retain", retain_events_days=30).report["events"] == 10
    assert rows(past.everything_db, "SELECT FROM learning.conversation_event") == []
    summed(past)


def test_given_a_replay_and_retention_at_once_then_no_pending_delivery_is_without_its_event(
    past: Past, curating: Curating
) -> None:
    for number in range(12):
        past.hear(says("I work at Netflix"), user_id=f"u{number}")
    older(curating, 40, *(row["id"] for row in rows(past.everything_db, "SELECT id FROM learning.conversation_event")))
    users = [f"u{number}" for number in range(12)]

    def retain(_: int) -> Any:
        return curating.run("retain", retain_events_days=30)

    with ThreadPoolExecutor(4) as pool:
        retained = [pool.submit(retain, number) for number in range(2)]
        replayed = [pool.submit(past.replay, user_id=user) for user in users]
        done = [each.result() for each in retained]
        again = sum(each.deliveries for found in replayed for each in found.result())
    assert all(run.state == "done" for run in done)
    orphans = rows(
        past.everything_db,
        "SELECT FROM learning.delivery d WHERE d.state = 'pending' AND NOT EXISTS ("
        "SELECT FROM learning.conversation_event e WHERE e.tenant = d.tenant AND e.id = d.event_id)",
    )
    assert orphans == []
    left = rows(past.everything_db, "SELECT FROM learning.conversation_event")
    assert len(left) == again
    summed(past)


def test_given_retired_learnings_when_retained_then_those_that_what_stays_names_stay_and_the_rest_goes_whole(
    past: Past, curating: Curating
) -> None:
    for value in ("Ann", "Bea", "Cora", "Dora"):
        past.hear(lambda window, value=value: [field(window, "name", value)])
    taken_back = past.hear(says("Likes tea"))
    past.undo(taken_back)
    curating.change("UPDATE learning.learning SET live_from = live_from - interval '400 days', "
                    "retired_at = retired_at - interval '400 days'")  # fmt: skip
    past.hear(lambda window: [field(window, "name", "Eva")])  # Dora is retired now, and young
    done = curating.run("retain", retain_retired_days=365)
    kept = rows(past.everything_db, "SELECT content, status FROM learning.learning ORDER BY content")
    assert [(row["content"], row["status"]) for row in kept] == [("name: Dora", "retired"), ("name: Eva", "active")]
    assert done.report["retired_learnings"] == 4
    assert rows(past.everything_db, "SELECT FROM learning.evidence v LEFT JOIN learning.learning l ON l.id = v.learning_id "
                "WHERE l.id IS NULL") == []  # fmt: skip
    past.check()


def test_given_what_an_undo_brought_back_when_retained_then_what_it_restores_stays_with_it(
    past: Past, curating: Curating
) -> None:
    past.hear(lambda window: [field(window, "name", "Ann")])
    second = past.hear(lambda window: [field(window, "name", "Bea")])
    past.undo(second)
    curating.change("UPDATE learning.learning SET live_from = live_from - interval '400 days', "
                    "retired_at = retired_at - interval '400 days'")  # fmt: skip
    done = curating.run("retain", retain_retired_days=365)
    found = rows(
        past.everything_db, "SELECT content, restores IS NOT NULL AS back FROM learning.learning ORDER BY live_from, id"
    )
    assert [row["content"] for row in found if row["back"]] == ["name: Ann"]
    assert done.report.get("retired_learnings_kept", 0) >= 1
    past.check()


def test_given_old_extractions_and_calls_when_retained_then_those_that_a_delivery_names_stay(
    past: Past, curating: Curating
) -> None:
    named, unnamed = past.hear(says("Likes tea")), past.hear(says("Likes rye"))
    curating.change("DELETE FROM learning.delivery WHERE extraction_id = :x", x=unnamed)
    curating.change(
        "DELETE FROM learning.conversation_event e WHERE NOT EXISTS (SELECT FROM learning.delivery d WHERE d.event_id = e.id)"
    )
    curating.change("UPDATE learning.extraction SET committed_at = now() - interval '400 days'")
    curating.change(
        "INSERT INTO learning.model_call (tenant, id, extraction_id, store, purpose, subject, model_asked, prompt_name, "
        "prompt_version, outcome, events, seconds, called_at) "
        "SELECT 'default', gen_random_uuid(), gen_random_uuid(), 's', 'p', '', 'm', 'p', '1', 'ok', 1, 1, "
        "now() - n * interval '100 days' FROM generate_series(0, 5) n"
    )
    done = curating.run("retain", retain_extractions_days=365, retain_model_calls_days=250)
    assert (done.report["extractions"], done.report["extractions_kept"], done.report["model_calls"]) == (1, 1, 3)
    assert [row["id"] for row in rows(past.everything_db, "SELECT id FROM learning.extraction")] == [named]


def test_given_old_runs_when_retained_then_the_newest_tick_of_each_job_stays_so_that_it_does_not_run_again(
    past: Past, curating: Curating
) -> None:
    past.accept(event())
    curating.change(
        "INSERT INTO learning.curator_run (tenant, job, tick, due_at, state, finished_at) SELECT t, 'statistics', "
        "now() - n * interval '100 days', now(), 'done', now() - n * interval '100 days' "
        "FROM generate_series(1, 4) n, unnest(ARRAY['default', '']) t"
    )
    curating.run("retain")
    assert len(curating.runs("statistics")) == 1 + 4
    curating.run("retain", tenant="")
    ticks = curating.runs("statistics")
    assert [row["tenant"] for row in ticks] == ["", "default"]
    assert len({row["tick"] for row in ticks}) == 1


def test_given_rejected_events_when_retained_then_words_go_and_the_numbers_that_count_them_stay(
    past: Past, curating: Curating
) -> None:
    curating.change(
        "INSERT INTO learning.rejected_event (stream, entry_id, field, reason, body, body_bytes, producer, seq, rejected_at) "
        "SELECT 's', n::text, 'f', 'r', 'words', 5, CASE WHEN n % 2 = 0 THEN gen_random_uuid() END, "
        "CASE WHEN n % 2 = 0 THEN 1 END, now() - n * interval '20 days' FROM generate_series(0, 3) n"
    )
    done = curating.run("retain", tenant="", retain_rejected_days=30)
    assert done.report["rejected_events"] == 2
    left = rows(past.everything_db, "SELECT entry_id, body_bytes FROM learning.rejected_event ORDER BY entry_id")
    assert [(row["entry_id"], row["body_bytes"]) for row in left] == [("0", 5), ("1", 5), ("2", 0)]


def test_given_something_that_does_not_add_up_when_the_curator_reconciles_then_it_is_mended_and_reported(
    past: Past, curating: Curating
) -> None:
    past.accept(event())
    curating.change("DELETE FROM learning.mailbox")
    done = curating.run("reconcile", tenant="")
    assert (done.changed, done.report) == (1, {"mailboxes_reopened": 1})
    assert curating.run("reconcile", tenant="").report == {}
    found = past.dispatcher_db.run(None, run_of, done.id)
    assert found is not None
    assert found.report == done.report


def test_given_streams_when_trimmed_then_dead_consumers_and_acknowledged_entries_go_and_what_is_pending_or_unread_stays(
    place: Place, curating: Curating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trim, "DEAD_MILLISECONDS", 0)
    curating.change(
        "INSERT INTO learning.shard_lease (shard, owner, token, lease_until) VALUES (0, 'reading', 1, now() + interval '1 hour')"
    )
    stream = "learning:events:0"
    with redis.Redis.from_url(place.redis_url, decode_responses=True) as client:
        client.xgroup_create(stream, GROUP, id="0", mkstream=True)
        ids = [client.xadd(stream, {"n": str(number)}) for number in range(6)]
        for consumer in ("reading", "dead", "holding"):
            client.xgroup_createconsumer(stream, GROUP, consumer)
        client.xreadgroup(GROUP, "dead", {stream: ">"}, count=3)
        client.xreadgroup(GROUP, "holding", {stream: ">"}, count=1)
        client.xack(stream, GROUP, *ids[:3])  # and not deleted
        names = lambda: {each["name"] for each in client.xinfo_consumers(stream, GROUP)}  # noqa: E731 - a question asked twice

        dry = curating.run("trim", tenant="", dry_run=True)
        assert (dry.report, names()) == ({"consumers": 1, "entries": 3}, {"reading", "dead", "holding"})
        assert client.xlen(stream) == 6
        done = curating.run("trim", tenant="")
        assert (done.report, done.looked_at) == ({"consumers": 1, "entries": 3}, 8)
        assert names() == {"reading", "holding"}
        assert [entry for entry, _ in client.xrange(stream)] == ids[3:]
        assert client.xpending(stream, GROUP)["pending"] == 1
        assert curating.run("trim", tenant="").changed == 0
        client.xgroup_create(stream, "others", id="0")  # has read nothing
        assert [curating.run("trim", tenant="", dry_run=dry).report["entries"] for dry in (True, False)] == [0, 0]
