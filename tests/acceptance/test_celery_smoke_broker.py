"""The broker's side of Celery's smoke suite: it restarts, cuts its clients off, and has messages that are not nudges.

The broker is a server of its own here (`LEARNING_BROKER_URL`), so that the streams stay. What becomes of them, and of a Redis
that is away for longer than a nudge lives, is shown by `chaos/test_chaos.py` and `test_dispatcher.py`.
"""

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from crew import QUEUE, TASK, Crew, crew_of, said
from harness import eventually
from learning_ops.embedded.redis import EmbeddedRedis


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A Redis-protocol server for Celery alone."""
    directory = tmp_path_factory.mktemp("broker")
    server = EmbeddedRedis(directory / "data", directory / "broker.log", "broker-in-tests")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def crew(system: Any, broker: EmbeddedRedis) -> Iterator[Crew]:
    """One crew for all tests of the module."""
    system.place.extra_env["LEARNING_BROKER_URL"] = broker.url
    with crew_of(system, broker.url) as crew:
        yield crew


@pytest.fixture(autouse=True)
def answering(crew: Crew) -> Iterator[None]:
    """No answer is held when a test is over."""
    yield
    crew.answered()


@pytest.mark.parametrize("kept", [True, False], ids=["queue kept", "queue lost"])
def test_given_an_idle_worker_when_the_broker_restarts_then_it_consumes_again(
    system: Any, crew: Crew, broker: EmbeddedRedis, kept: bool
) -> None:
    worker = crew.one()
    user = f"idle, {kept}"
    crew.hear(f"before, {user}")
    crew.assert_once(f"before, {user}", "tea")
    lost = worker.log_path.read_text().count("Connection to broker lost")

    restart(broker, kept)

    eventually(lambda: said(worker, "Connection to broker lost", times=lost + 1), "the worker notices")
    crew.hear(user)
    crew.assert_once(user, "tea")
    assert worker.alive


@pytest.mark.parametrize("kept", [True, False], ids=["queue kept", "queue lost"])
def test_given_a_busy_worker_when_the_broker_restarts_then_the_window_in_hand_is_kept_and_the_backlog_is_worked_off(
    system: Any, crew: Crew, broker: EmbeddedRedis, kept: bool
) -> None:
    worker = crew.one()
    in_hand, waiting = f"busy, {kept}", [f"waiting {number}, {kept}" for number in range(5)]
    crew.busy_with(in_hand)
    crew.hear(*waiting)
    with redis.Redis.from_url(broker.url) as client:
        eventually(lambda: client.llen(QUEUE) == len(waiting) - 1, "one nudge is reserved, the others wait")

    restart(broker, kept)

    crew.answered()
    crew.assert_once(in_hand, "tea")
    if not kept:
        crew.nudges_run_out()
    for user in waiting:
        crew.assert_once(user, "tea")
    assert worker.alive


def restart(broker: EmbeddedRedis, kept: bool) -> None:
    """Stop the broker and start it, with what was in its queues or without."""
    broker.stop()
    if not kept:
        shutil.rmtree(broker.directory / "appendonlydir")
    broker.start()


def test_given_a_worker_when_its_connections_are_killed_twice_then_it_consumes_after_each(
    system: Any, crew: Crew, broker: EmbeddedRedis
) -> None:
    worker = crew.one()
    for number in range(2):
        crew.busy_with(f"cut off {number}")
        lost = worker.log_path.read_text().count("Connection to broker lost")
        with redis.Redis.from_url(broker.url) as client:
            killed = client.execute_command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES")
            killed += client.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB", "SKIPME", "YES")
        assert killed >= 2
        eventually(lambda lost=lost: said(worker, "Connection to broker lost", times=lost + 1), "the worker notices")

        crew.answered()
        crew.assert_once(f"cut off {number}", "tea")
        crew.hear(f"after {number}")
        crew.assert_once(f"after {number}", "tea")
        eventually(lambda: crew.ask(worker, "ping") == {"ok": "pong"}, "it hears operators again")
    assert worker.alive


MISFITS = {
    "unknown task": ("learning.nonsense", (1, "default"), {}, "unregistered task of type 'learning.nonsense'"),
    "no arguments": (TASK, (), {}, "TypeError"),
    "too many arguments": (TASK, (1, "default", "more"), {}, "TypeError"),
    "unknown keyword": (TASK, (1, "default"), {"force": True}, "TypeError"),
    "no such mailbox": (TASK, (2**62, "default"), {}, "'gone'"),
    "number out of range": (TASK, (2**70, "default"), {}, "'gone'"),
    "mailbox of no number": (TASK, ("first", "default"), {}, "StorageFailed('InvalidTextRepresentation')"),
    "tenant of no text": (TASK, (1, {"name": "default"}), {}, "StorageFailed('ProgrammingError')"),
    "another store's task": ("learning.session_context.extract", (2**62, "default"), {}, "'gone'"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_given_a_message_that_is_no_nudge_when_a_worker_takes_it_then_it_says_so_and_works_on(
    system: Any, crew: Crew, misfit: str
) -> None:
    task, args, kwargs, told = MISFITS[misfit]
    worker = crew.one()
    before = worker.log_path.read_text().count(told)

    crew.operator.send_task(task, args=args, kwargs=kwargs, queue=QUEUE)

    eventually(lambda: said(worker, told, times=before + 1), told)
    crew.hear(f"after {misfit}")
    crew.assert_once(f"after {misfit}", "tea")
    assert worker.alive


UNREADABLE = {
    "body of no JSON": ({"body": "bm8ganNvbg=="}, "JSONDecodeError"),
    "pickled": ({"content-type": "application/x-python-serialize"}, "Refusing to deserialize untrusted content"),
    "without headers": ({"headers": {}, "body": "bm8ganNvbg=="}, "Can't decode message body"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_given_a_message_that_cannot_be_read_when_a_worker_takes_it_then_it_says_so_and_works_on(
    system: Any, crew: Crew, broker: EmbeddedRedis, case: str
) -> None:
    changed, told = UNREADABLE[case]
    worker = crew.one()
    with redis.Redis.from_url(broker.url) as client:
        crew.operator.send_task(TASK, args=(1, "default"), queue="set aside")
        message = json.loads(client.lpop("set aside"))
        client.lpush(QUEUE, json.dumps({**message, **changed}))

    eventually(lambda: said(worker, told), told)
    crew.hear(f"after {case}")
    crew.assert_once(f"after {case}", "tea")
    assert worker.alive


def test_given_bytes_that_are_no_message_when_a_worker_takes_them_then_it_ends_in_order_and_the_next_start_works_on(
    system: Any, crew: Crew, broker: EmbeddedRedis
) -> None:
    worker = crew.one()
    crew.busy_with("in hand")
    with redis.Redis.from_url(broker.url) as client:
        client.lpush(QUEUE, "no message")
    eventually(lambda: said(worker, "Unrecoverable error: JSONDecodeError"), "the worker ends")
    crew.answered()

    assert worker.wait(20) == 1
    assert [row["state"] for row in system.deliveries("in hand")] == ["extracted"]
    crew.hear("after bytes")
    crew.one()
    crew.assert_once("after bytes", "tea")
