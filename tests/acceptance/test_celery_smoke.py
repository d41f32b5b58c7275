"""The scenarios of Celery's own smoke suite that apply to workers here: how they end, fail over, restart and are operated.

Where the others are: a worker that is killed or stopped during a model call, `test_kills.py`; nudges that are repeated, lost
or flushed, `test_workers.py`; the broker, and what is wrong in its queues, `test_celery_smoke_broker.py`; Redis away for
longer than a nudge lives, and all of it at random under load, `chaos/test_chaos.py`; what Flower sees, `test_flower.py`.
Not ours: canvas, stamping, results, ETA, quorum queues and failover to a second broker, since nothing here uses them;
late acknowledgement with its visibility time-out, since messages are hints; time limits, `max-tasks-per-child`, children that
die and `REMAP_SIGTERM`, since a worker's pool is threads that wait for a model.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crew import QUEUE, TASK, Crew, crew_of, said, send
from harness import eventually
from learning_ops.process import ManagedProcess


@pytest.fixture(scope="module")
def crew(system: Any) -> Iterator[Crew]:
    """One crew for all tests of the module."""
    with crew_of(system, system.place.redis_url) as crew:
        yield crew


@pytest.fixture(autouse=True)
def answering(crew: Crew) -> Iterator[None]:
    """No answer is held when a test is over."""
    yield
    crew.answered()


def by(*numbers: signal.Signals) -> Callable[[Crew, ManagedProcess], None]:
    """An end by signals, one after the other."""

    def end(crew: Crew, worker: ManagedProcess) -> None:
        for number in numbers:
            send(worker, number)

    return end


def by_broadcast(crew: Crew, worker: ManagedProcess) -> None:
    """The end that `celery control shutdown` and Flower's button bring."""
    crew.operator.control.shutdown(destination=crew.address(worker))


def test_given_a_soft_shutdown_time_when_a_worker_is_told_to_end_cold_then_what_it_has_ends_in_that_time_and_the_rest_is_left(
    system: Any, crew: Crew
) -> None:
    crew.end()
    worker = crew.another("worker.soft_shutdown_timeout=3")
    crew.busy_with("soft")
    send(worker, signal.SIGQUIT)
    eventually(lambda: said(worker, "Initiating Soft Shutdown"), "the worker waits")
    crew.hear("after soft")
    crew.answered()

    assert worker.wait(20) == 0

    assert not said(worker, "Unrecoverable error")
    assert [row["state"] for row in system.deliveries("soft")] == ["extracted"]
    assert system.mailbox("after soft")["claims"] == 0
    crew.one()
    crew.assert_once("soft", "tea")
    crew.assert_once("after soft", "tea")


@pytest.mark.parametrize(
    ("end", "codes"),
    [
        pytest.param(by(*[signal.SIGTERM] * 3), {0}, id="warm"),
        pytest.param(by_broadcast, {0}, id="broadcast"),
        # Cancelling what runs raises on the threads pool, within the signal's handler: Celery ends with 1 where its loop sees
        # that, and with 0 where something below the loop caught it.
        pytest.param(by(signal.SIGQUIT), {0, 1}, id="cold"),
    ],
)
def test_given_a_window_in_hand_when_the_worker_is_told_to_end_then_it_commits_that_alone_and_the_next_worker_does_the_rest(
    system: Any, crew: Crew, end: Callable[[Crew, ManagedProcess], None], codes: set[int], request: Any
) -> None:
    name = request.node.callspec.id
    in_hand, waiting = f"in hand, {name}", f"reserved, {name}"
    worker = crew.one()
    crew.busy_with(in_hand)
    crew.hear(in_hand, thing="rain")
    crew.reserved(worker, waiting)

    end(crew, worker)

    eventually(lambda: said(worker, "worker ends"), "the worker knows")
    crew.answered()
    assert worker.wait(20) in codes
    assert [row["state"] for row in system.deliveries(in_hand)] == ["extracted", "pending"]
    mailboxes = [system.mailbox(user) for user in (in_hand, waiting)]
    assert [(each["owner"], each["lease_until"], each["claims"]) for each in mailboxes] == [(None, None, 0)] * 2
    crew.nudges_run_out()
    crew.one()
    crew.assert_once(in_hand, "tea", "rain")
    crew.assert_once(waiting, "tea")


def test_given_a_backlog_when_a_worker_restarts_itself_then_the_window_in_hand_is_kept_and_the_backlog_is_worked_off(
    system: Any, crew: Crew
) -> None:
    worker = crew.one()
    pid = crew.busy_with("restarted")
    crew.hear("restarted", thing="rain")
    crew.reserved(worker, "backlog 0")
    crew.hear(*(f"backlog {number}" for number in range(1, 6)))

    os.kill(pid, signal.SIGHUP)

    eventually(lambda: not system.redis.pubsub_channels("*pidbox"), "the worker closes")
    crew.answered()
    eventually(lambda: said(worker, "ready.", times=2), "it takes work again")
    assert worker.pid == pid
    assert [row["state"] for row in system.deliveries("restarted")][:1] == ["extracted"]
    crew.nudges_run_out()
    crew.assert_once("restarted", "tea", "rain")
    for number in range(6):
        crew.assert_once(f"backlog {number}", "tea")


@pytest.mark.parametrize("survivors", [1, 0])
def test_given_two_workers_with_work_reserved_when_they_are_killed_then_one_that_is_left_or_started_again_does_all_of_it(
    system: Any, crew: Crew, survivors: int
) -> None:
    pair = [crew.one(), crew.another()]
    in_hand = [f"killed 0, {survivors}", f"killed 1, {survivors}"]
    holders = {user: crew.busy_with(user) for user in in_hand}
    assert len(set(holders.values())) == 2
    reserved = [f"reserved {number}, {survivors}" for number in range(4)]
    crew.hear(*reserved)
    eventually(lambda: all(crew.ask(worker, "reserved") for worker in pair), "both have reserved work")
    doomed = pair[survivors:]
    pids = [worker.pid for worker in doomed]

    for worker in doomed:
        send(worker, signal.SIGKILL)
        worker.wait(10)
    held = [user for user in in_hand if holders[user] in pids]
    assert all(system.mailbox(user)["owner"] for user in held)
    crew.answered()
    for user in held:  # the lease's fifteen seconds have passed
        system.change("UPDATE learning.mailbox SET lease_until = now() WHERE user_id = :u", u=user)
    crew.nudges_run_out()

    if not survivors:
        doomed[0].start()
    for user in [*in_hand, *reserved]:
        crew.assert_once(user, "tea")
    assert [row["count"] for row in system.rows("SELECT count(*) FROM learning.mailbox")] == [0]


def test_given_a_busy_worker_when_an_operator_looks_then_it_answers_and_shows_ids_alone(
    system: Any, crew: Crew
) -> None:
    worker = crew.one()
    crew.busy_with("looked at")

    assert crew.ask(worker, "ping") == {"ok": "pong"}
    [active] = crew.ask(worker, "active")
    assert active["name"] == TASK
    assert active["args"] == [system.mailbox("looked at")["id"], "default"]
    assert active["kwargs"] == {}
    assert [queue["name"] for queue in crew.ask(worker, "active_queues")] == [QUEUE]
    crew.answered()
    crew.assert_once("looked at", "tea")


def test_given_tasks_that_are_revoked_when_active_reserved_and_queued_then_the_queued_one_waits_and_none_is_lost_or_doubled(
    system: Any, crew: Crew
) -> None:
    worker = crew.one()
    crew.busy_with("active")
    [active] = crew.ask(worker, "active")
    reserved = crew.reserved(worker, "reserved")
    crew.hear("queued")
    message = eventually(lambda: system.redis.lindex(QUEUE, 0), "a nudge waits in the queue")
    queued = json.loads(message)["headers"]["id"]

    refused = crew.ask(worker, "revoke", task_id=active["id"], terminate=True)
    crew.ask(worker, "revoke", task_id=[reserved, queued])

    assert "does not implement kill_job" in refused["error"]  # a thread cannot be ended
    crew.answered()
    eventually(lambda: said(worker, f"Discarding revoked task: {TASK}[{queued}]"), "the queued task is discarded")
    crew.assert_once("active", "tea")
    crew.assert_once("reserved", "tea")  # the pool had it already
    assert [row["state"] for row in system.deliveries("queued")] == ["pending"]
    assert system.mailbox("queued")["claims"] == 0
    crew.nudges_run_out()
    crew.assert_once("queued", "tea")  # by a nudge of another id


def test_given_a_worker_when_its_pool_is_told_to_restart_or_grow_then_it_refuses_and_works_on(
    system: Any, crew: Crew
) -> None:
    worker = crew.one()
    crew.busy_with("refusing")

    assert "Pool restarts not enabled" in crew.ask(worker, "pool_restart")["error"]
    assert "error" in crew.ask(worker, "pool_grow", n=1)
    assert "error" in crew.ask(worker, "autoscale", max=8, min=2)

    assert crew.ask(worker, "ping") == {"ok": "pong"}
    crew.answered()
    crew.assert_once("refusing", "tea")


def test_given_a_worker_that_was_told_to_leave_its_queue_when_it_is_told_to_take_it_again_then_it_does_what_came_meanwhile(
    system: Any, crew: Crew
) -> None:
    worker = crew.one()
    crew.ask(worker, "cancel_consumer", queue=QUEUE)
    eventually(lambda: crew.ask(worker, "active_queues") == [], "it has no queue")
    crew.hear("meanwhile")
    eventually(lambda: system.redis.llen(QUEUE), "the nudge waits in the queue")
    assert system.mailbox("meanwhile")["claims"] == 0

    crew.ask(worker, "add_consumer", queue=QUEUE)

    crew.assert_once("meanwhile", "tea")
