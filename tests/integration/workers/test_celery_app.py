"""What Celery writes to the broker for a nudge: the message, and nothing about who has it in hand."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer, Queue

from harness import Place
from learning_workers import celery_app


@pytest.fixture
def broker(place: Place) -> Iterator[Connection]:
    assert celery_app.app is not None  # loading it chooses the channels of every connection
    with Connection(place.redis_url) as connection:
        yield connection


@pytest.fixture
def client(place: Place) -> Iterator[Any]:
    with redis.Redis.from_url(place.redis_url, decode_responses=True) as client:
        yield client


def test_given_a_message_in_hand_when_its_connection_ends_then_it_is_nowhere_and_nobody_has_it_again(
    broker: Connection, client: Any
) -> None:
    queue, taken = Queue("hints", routing_key="hints"), []
    broker.Producer().publish({"n": 1}, routing_key="hints", declare=[queue])

    with Consumer(broker, [queue], callbacks=[lambda body, message: taken.append((body, message))]):
        broker.drain_events(timeout=10)
        assert not client.exists("unacked", "unacked_index")
    broker.close()

    assert [body for body, _ in taken] == [{"n": 1}]
    assert client.llen("hints") == 0


def test_given_many_messages_when_sent_over_one_channel_then_one_client_sends_them_and_another_one_after_a_reconnect(
    broker: Connection, client: Any
) -> None:
    channel = broker.channel()
    first = channel._create_client()
    assert channel._create_client() is first

    channel._disconnect_pools()

    second = channel._create_client()
    assert second is not first
    assert second.ping()
