"""Two worker processes and a dispatcher: what they guarantee however the work comes."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from harness import event, eventually, turn
from learning_machine import SettleTimeout, UserProfileConfig
from learning_ops.offline.server import Faults
from learning_ops.process import ManagedProcess

# fmt: off
THINGS = [
    "apples", "bananas", "cherries", "dates", "elderberries", "figs", "grapes", "honeydew", "kiwis", "lemons", "mangoes",
    "nectarines", "oranges", "papayas", "quinces", "raspberries", "strawberries", "tangerines", "walnuts", "almonds", "bread",
    "butter", "cheese", "chocolate", "cinnamon", "coffee", "cookies", "dumplings", "garlic", "ginger", "honey", "ketchup",
    "lasagna", "mustard", "noodles", "olives", "pancakes", "peanuts", "pickles", "pizza",
]
# fmt: on

NOW: dict[str, Any] = {"user_profile": UserProfileConfig(debounce=0), "session_context": False}


@pytest.fixture(scope="module")
def workers(system: Any) -> list[ManagedProcess]:
    """Two of them."""
    system.processes.dispatcher()
    return [system.processes.worker("user_profile", name=name) for name in ("first", "second")]


@pytest.fixture(autouse=True)
def well_behaved(system: Any) -> Iterator[None]:
    """Every test begins with a model without faults."""
    system.model.faults = Faults()
    yield
    system.model.faults = Faults()


def results(workers: list[ManagedProcess]) -> dict[str, str]:
    """The results that the workers' tasks had, by task id, as their logs say."""
    told = "".join(worker.log_path.read_text() for worker in workers)
    return dict(re.findall(r"Task learning\.user_profile\.extract\[([^]]+)] succeeded in [^:]+: ({.*?})\"", told))


def test_given_a_burst_of_one_user_and_two_workers_when_worked_on_then_nothing_is_lost_doubled_or_out_of_order(
    system: Any, workers: list[ManagedProcess]
) -> None:
    system.model.faults = Faults(latency=0.05)
    with system.place.machine(**NOW) as machine:
        receipts = [
            machine.emit(turn(f"I love {thing}."), user_id="burst", session_id="s1", history="delta")
            for thing in THINGS
        ]
        # Nudges in plenty, so that both workers reach for the same mailbox.
        mailbox = eventually(lambda: system.mailbox("burst"), "the mailbox")
        system.nudge(mailbox["id"], times=40)

        deliveries = system.settled("burst", len(THINGS))

    assert [row["event_id"] for row in deliveries] == [receipt.event_id for receipt in receipts]
    assert {(row["state"], row["attempts"], row["generation"]) for row in deliveries} == {("extracted", 1, 1)}
    assert system.memories("burst") == sorted(f"Likes {thing}" for thing in THINGS)
    extractions = system.extractions("burst")
    assert sum(row["events"] for row in extractions) == len(THINGS)
    for before, after in pairwise(extractions):
        assert before["committed_at"] <= after["started_at"]
        assert before["last"] < after["first"]
        assert before["token"] <= after["token"]
    evidence = system.rows(
        "SELECT e.event_id, count(*) FROM learning.evidence e JOIN learning.learning l "
        "ON l.tenant = e.tenant AND l.id = e.learning_id WHERE l.user_id = 'burst' GROUP BY 1"
    )
    assert sorted(row["count"] for row in evidence) == [1] * len(THINGS)


def test_given_one_mailbox_when_it_is_nudged_twenty_times_then_it_is_worked_on_once_and_the_rest_find_no_work(
    system: Any, workers: list[ManagedProcess]
) -> None:
    system.model.faults = Faults(latency=0.7)
    with system.place.machine(**NOW) as machine:
        machine.emit(turn("I love tea."), user_id="nudged", session_id="s1")
        system.holder("nudged")
        sent = system.nudge(system.mailbox("nudged")["id"], times=20)
        system.settled("nudged", 1)

    eventually(lambda: set(sent) <= set(results(workers)), "every nudge has its result")
    assert all("'no_work'" in results(workers)[task] for task in sent)
    assert len(system.extractions("nudged")) == 1
    assert system.memories("nudged") == ["Likes tea"]
    assert system.rows("SELECT count(*) FROM learning.model_call WHERE user_id = 'nudged'") == [{"count": 1}]


EMIT_FROM_FORKS = """
import os, sys
from learning_machine import LearningMachine, UserProfileConfig
# Twenty new processes at once have not much of a processor each.
machine = LearningMachine(user_profile=UserProfileConfig(debounce=0), emit_deadline=10)
children = []
for thing in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        machine.emit([{"role": "user", "content": f"I love {thing}."}], user_id="crowd", session_id=f"about {thing}")
        os._exit(0)
    children.append(child)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


def test_given_twenty_processes_when_each_emits_a_fact_about_one_user_then_twenty_facts_are_live(
    system: Any, workers: list[ManagedProcess]
) -> None:
    emitters = system.processes.start("emitters", ["-c", EMIT_FROM_FORKS, *THINGS[:20]])

    assert emitters.wait(30) == 0
    system.settled("crowd", 20)

    assert system.memories("crowd") == sorted(f"Likes {thing}" for thing in THINGS[:20])
    assert len({row["event_id"] for row in system.deliveries("crowd")}) == 20
    producers = system.rows("SELECT count(DISTINCT producer) FROM learning.conversation_event WHERE user_id = 'crowd'")
    assert producers == [{"count": 20}]


def test_given_two_tenants_when_both_use_one_event_id_and_one_user_id_then_they_are_two_events_and_two_memories(
    system: Any, workers: list[ManagedProcess]
) -> None:
    with system.place.machine(**NOW) as machine:
        acme, umbrella = machine.for_tenant("acme"), machine.for_tenant("umbrella")
        first = event(tenant="acme", user_id="both", messages=turn("I love roses."), spec=machine.spec.spec_hash())
        lilies = event(messages=turn("I love lilies.")).messages
        second = first.model_copy(update={"tenant": "umbrella", "messages": lilies})
        receipts = acme.emit_event(first), umbrella.emit_event(second)

        states = acme.settle(receipts[0]), umbrella.settle(receipts[1])

        assert receipts[0].event_id == receipts[1].event_id
        assert states == ({"user_profile": "extracted"},) * 2
        assert acme.recall(user_id="both").memories == ("Likes roses",)
        assert umbrella.recall(user_id="both").memories == ("Likes lilies",)
        assert machine.recall(user_id="both").memories == ()
    assert system.rows("SELECT count(*) FROM learning.rejected_event") == [{"count": 0}]


def test_given_a_slow_model_when_it_is_asked_then_no_session_of_the_worker_is_busy_or_in_a_transaction(
    system: Any, workers: list[ManagedProcess]
) -> None:
    system.model.faults = Faults(latency=1.5)
    asked = system.model.requests
    busy = (
        "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database() AND usename = 'learning_app' "
        "AND state <> 'idle'"
    )
    with system.place.machine(**NOW) as machine:
        machine.emit(turn("I love jazz."), user_id="slow", session_id="s1")
        eventually(lambda: system.model.requests > asked, "the model is asked")

        looks = [system.rows(busy)]
        while not any(row["state"] != "pending" for row in system.deliveries("slow")) and len(looks) < 40:
            looks.append(system.rows(busy))

    # A heartbeat or an idle worker's glance takes a moment; held through the call, a session would be in every look.
    assert len(looks) == 40
    assert sum(bool(look) for look in looks) < len(looks) / 4
    system.settled("slow", 1)


def test_given_ten_quick_turns_when_debounced_then_one_or_two_model_calls_are_made(
    system: Any, workers: list[ManagedProcess]
) -> None:
    with system.place.machine(user_profile=UserProfileConfig(debounce=1.0), session_context=False) as machine:
        for thing in THINGS[:10]:
            machine.emit(turn(f"I love {thing}."), user_id="quick", session_id="s1", history="delta")
        deliveries = system.settled("quick", 10)

    assert {row["state"] for row in deliveries} == {"extracted"}
    [calls] = system.rows("SELECT count(*), sum(events) AS events FROM learning.model_call WHERE user_id = 'quick'")
    [pauses] = system.rows(  # that the machine made between two of them, if it did
        "SELECT count(*) FROM (SELECT d.accepted_at - lag(d.accepted_at) OVER (ORDER BY d.accepted_at) AS gap "
        "FROM learning.extraction x, learning.delivery d WHERE x.user_id = 'quick' AND d.extraction_id = x.id) AS gaps "
        "WHERE gap > interval '0.8 s'"
    )
    assert calls["count"] <= 2 + pauses["count"]
    assert calls["events"] == 10
    [waited] = system.rows(
        "SELECT min(x.started_at) - max(d.accepted_at) AS seconds FROM learning.extraction x, learning.delivery d "
        "WHERE x.user_id = 'quick' AND d.extraction_id = x.id"
    )
    assert waited["seconds"].total_seconds() >= 0.9


def test_given_steady_turns_when_max_wait_is_over_then_they_are_extracted_though_more_keep_coming(
    system: Any, workers: list[ManagedProcess]
) -> None:
    with system.place.machine(
        user_profile=UserProfileConfig(debounce=1.0, max_wait=1.5), session_context=False
    ) as machine:

        def one_more() -> bool:
            machine.emit(turn("I love rain."), user_id="steady", session_id="s1", history="delta")
            return any(row["state"] != "pending" for row in system.deliveries("steady"))

        eventually(one_more, "something is extracted though it never was quiet for a second", every=0.3)
        eventually(lambda: not system.mailbox("steady"), "the rest is extracted")


def test_given_trigger_session_end_when_the_end_arrives_then_everything_before_it_is_extracted_in_one_call(
    system: Any, workers: list[ManagedProcess]
) -> None:
    with system.place.machine(user_profile=UserProfileConfig(trigger="session_end"), session_context=False) as machine:
        for thing in THINGS[:3]:
            machine.emit(turn(f"I love {thing}."), user_id="ending", session_id="s1", history="delta")
        eventually(lambda: len(system.deliveries("ending")) == 3, "three deliveries")
        [due] = system.rows("SELECT due_at - now() AS wait FROM learning.mailbox WHERE user_id = 'ending'")
        assert 600 < due["wait"].total_seconds() <= 900
        assert {row["state"] for row in system.deliveries("ending")} == {"pending"}

        machine.emit(turn("I love endings."), user_id="ending", session_id="s1", history="delta", end_of_session=True)
        system.settled("ending", 4)

    assert system.rows("SELECT events FROM learning.model_call WHERE user_id = 'ending'") == [{"events": 4}]


def test_given_an_hours_debounce_when_settle_is_called_then_it_is_overridden(
    system: Any, workers: list[ManagedProcess]
) -> None:
    with system.place.machine(
        user_profile=UserProfileConfig(debounce=3600, max_wait=7200), session_context=False
    ) as machine:
        receipt = machine.emit(turn("I love naps."), user_id="patient", session_id="s1")
        assert machine.settle(receipt, timeout=60) == {"user_profile": "extracted"}


def test_given_a_provider_that_asks_for_a_pause_when_settle_is_called_then_the_pause_stays_and_the_states_are_told(
    system: Any, workers: list[ManagedProcess]
) -> None:
    system.model.faults = Faults(rate_429=1.0, retry_after=600.0)
    with system.place.machine(**NOW) as machine:
        receipt = machine.emit(turn("I love storms."), user_id="paused", session_id="s1")
        eventually(
            lambda: (mailbox := system.mailbox("paused")) and mailbox["wait_reason"] == "provider", "the mailbox waits"
        )
        system.model.faults = Faults()
        calls = "SELECT id FROM learning.model_call WHERE user_id = 'paused'"
        asked = system.rows(calls)
        assert asked

        with pytest.raises(SettleTimeout) as refused:
            machine.settle(receipt, timeout=1)

        assert refused.value.states == {"user_profile": "pending"}
        assert refused.value.waits == {"user_profile": "provider"}
        assert system.rows(calls) == asked  # of this user: others' may still be going on
        system.pauses_over()
        system.change("UPDATE learning.mailbox SET not_before = now() WHERE user_id = 'paused'")
        assert machine.settle(receipt, timeout=60) == {"user_profile": "extracted"}
    [delivery] = system.deliveries("paused")
    assert delivery["attempts"] == 1


def test_given_redis_is_emptied_after_intake_when_its_nudge_is_lost_then_the_work_is_nudged_again_and_emit_goes_on(
    system: Any, workers: list[ManagedProcess]
) -> None:
    with system.place.machine(
        user_profile=UserProfileConfig(debounce=3600, max_wait=7200), session_context=False
    ) as machine:
        receipt = machine.emit(turn("I love maps."), user_id="flushed", session_id="s1")
        eventually(lambda: system.mailbox("flushed"), "intake")

        system.redis.flushall()

        assert machine.settle(receipt, timeout=60) == {"user_profile": "extracted"}
        # The groups went with the streams: what comes now is taken in all the same.
        after = [
            machine.emit(turn(f"I love {thing}."), user_id=f"after-{thing}", session_id="s1") for thing in THINGS[:8]
        ]
        assert [machine.settle(each, timeout=60) for each in after] == [{"user_profile": "extracted"}] * 8
        assert {each.via for each in after} == {"stream"}


def test_given_a_lost_nudge_when_it_has_run_out_then_the_mailbox_is_nudged_again(
    system: Any, workers: list[ManagedProcess]
) -> None:
    for worker in workers:
        worker.stop()
    with system.place.machine(**NOW) as machine:
        machine.emit(turn("I love lost letters."), user_id="lost", session_id="s1")
        eventually(lambda: (mailbox := system.mailbox("lost")) and mailbox["nudged_until"], "the nudge is noted")
        eventually(lambda: system.redis.llen("learning.user_profile"), "the nudge is sent")

        system.redis.delete("learning.user_profile")
        [lost] = system.rows("SELECT nudged_until - now() AS wait FROM learning.mailbox WHERE user_id = 'lost'")
        assert 0 < lost["wait"].total_seconds() <= 30
        for worker in workers:
            worker.start()
        system.change("UPDATE learning.mailbox SET nudged_until = now() WHERE user_id = 'lost'")  # the 30 s are over

        system.settled("lost", 1)
    assert system.memories("lost") == ["Likes lost letters"]


def test_given_a_models_file_that_cannot_be_read_when_a_worker_starts_then_it_ends_and_says_so(system: Any) -> None:
    missing = str(system.place.directory / "missing.toml")
    worker = system.processes.worker("user_profile", name="unset", env={"LEARNING_MODELS_FILE": missing})
    worker.wait(90)
    assert worker.returncode == 1
    told = worker.log_path.read_text()
    assert f"LEARNING_MODELS_FILE: {missing} cannot be read" in told
    assert "Traceback" not in told
