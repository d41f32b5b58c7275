"""A Redis of a test's own, that it may stop, stall and fill; and a dispatcher's intake inside the test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from harness import Place
from learning_machine import LearningMachine
from learning_ops.embedded import EmbeddedRedis


@pytest.fixture
def own_redis(place: Place) -> Iterator[EmbeddedRedis]:
    """Not the one that other tests share."""
    with EmbeddedRedis(place.directory / "redis", place.directory / "redis.log", "redis-in-tests") as server:
        yield server


@pytest.fixture
def fragile(place: Place, own_redis: EmbeddedRedis) -> Iterator[Callable[..., LearningMachine]]:
    """Makes a machine on the test's own Redis and the test's own database."""
    made: list[LearningMachine] = []

    def make(**options: Any) -> LearningMachine:
        machine = LearningMachine(**{"database_url": place.app_url, "redis_url": own_redis.url, **options})
        made.append(machine)
        return machine

    yield make
    for machine in made:
        machine.close()


def entries(url: str, field: bytes = b"event") -> list[dict[bytes, bytes]]:
    """Every entry of every shard with that field, in the order of each."""
    with redis.Redis.from_url(url) as client:
        streams = sorted(client.scan_iter("learning:events:*"))
        return [fields for stream in streams for _, fields in client.xrange(stream) if field in fields]


@pytest.fixture
def sent() -> Callable[[str], list[dict[bytes, bytes]]]:
    """What is in the streams of a Redis."""
    return entries
