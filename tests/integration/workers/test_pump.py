"""The pump: which nudges it sends, how many together, and when it would look again at once."""

import ast
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from harness import Place, event, rows
from integration.stores.steps import PROFILE_ONLY, take_in
from learning_stores.database import Database
from learning_stores.mailbox import EACH_TENANT
from learning_workers.pump import Pump
from learning_workers.queues import QUEUES, queue_name


@pytest.fixture
def pump_of(place: Place, dispatcher_db: Database) -> Iterator[Callable[[int], Pump]]:
    """A pump with so many nudges outstanding at most."""
    celery = Celery("tests", broker=place.redis_url, set_as_current=False)
    celery.conf.update(task_queues=QUEUES, task_ignore_result=True)
    yield lambda outstanding: Pump(celery, dispatcher_db, {"user_profile"}, outstanding)
    celery.close()


@pytest.fixture
def client(place: Place) -> Iterator[Any]:
    with redis.Redis.from_url(place.redis_url) as client:
        yield client


def due(dispatcher_db: Database, tenant: str, users: int) -> None:
    """So many mailboxes of a tenant that are due at once."""
    take_in(
        dispatcher_db, *(event(tenant=tenant, user_id=f"user{number}") for number in range(users)), spec=PROFILE_ONLY
    )


def nudged(client: Any) -> Counter[str]:
    """The tenants that the queue's messages name, and how often."""
    arguments = [json.loads(raw)["headers"]["argsrepr"] for raw in client.lrange(queue_name("user_profile"), 0, -1)]
    return Counter(ast.literal_eval(each)[1] for each in arguments)


def test_given_tenants_with_mail_when_the_pump_looks_then_some_of_each_are_nudged_and_marked(
    pump_of: Callable[[int], Pump], dispatcher_db: Database, everything_db: Database, client: Any
) -> None:
    due(dispatcher_db, "flood", 3 * EACH_TENANT)
    due(dispatcher_db, "small", 1)

    pump_of(256).tick()

    assert nudged(client) == {"flood": EACH_TENANT, "small": 1}
    marked = rows(everything_db, "SELECT tenant FROM learning.mailbox WHERE nudged_until > now()")
    assert Counter(row["tenant"] for row in marked) == nudged(client)


def test_given_more_mail_than_a_tick_takes_when_few_are_outstanding_then_it_looks_again_at_once_until_workers_have_enough(
    pump_of: Callable[[int], Pump], dispatcher_db: Database, client: Any
) -> None:
    due(dispatcher_db, "flood", 10 * EACH_TENANT)
    pump = pump_of(8 * EACH_TENANT)

    at_once = [pump.tick() for _ in range(4)]

    assert at_once == [True, False, False, False]  # a quarter of what may be outstanding is enough
    assert nudged(client) == {"flood": 4 * EACH_TENANT}


def test_given_little_mail_when_it_is_nudged_then_the_pump_waits_as_it_does_where_there_is_none(
    pump_of: Callable[[int], Pump], dispatcher_db: Database, client: Any
) -> None:
    due(dispatcher_db, "acme", 1)
    pump = pump_of(256)

    assert [pump.tick(), pump.tick()] == [False, False]
    assert nudged(client) == {"acme": 1}


def test_given_messages_that_nobody_takes_when_their_mailboxes_fall_due_again_then_no_more_are_sent_than_may_be_outstanding(
    pump_of: Callable[[int], Pump], dispatcher_db: Database, everything_db: Database, client: Any
) -> None:
    due(dispatcher_db, "acme", 5)
    pump = pump_of(3)
    pump.tick()
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE learning.mailbox SET nudged_until = now()")

    pump.tick()

    assert nudged(client) == {"acme": 3}
