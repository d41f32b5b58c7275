"""Nudges for embedding: one for each tenant with work, again when it was lost, none while a worker is at it, few in all."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from harness import Place
from integration.stores.test_embeddings import learn
from learning_stores.database import Database
from learning_stores.embeddings import begin, record, settle, take
from learning_workers import embedding_pump
from learning_workers.embedding_pump import EmbeddingPump
from learning_workers.queues import EMBED, QUEUES


@pytest.fixture
def pump(place: Place, dispatcher_db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingPump]:
    """A pump that looks at every tick."""
    monkeypatch.setattr(embedding_pump, "LOOK_SECONDS", 0.0)
    celery = Celery("tests", broker=place.redis_url, set_as_current=False)
    celery.conf.update(task_queues=QUEUES, task_ignore_result=True)
    yield EmbeddingPump(celery, dispatcher_db)
    celery.close()


@pytest.fixture
def client(place: Place) -> Iterator[Any]:
    with redis.Redis.from_url(place.redis_url) as client:
        yield client


def nudged(client: Any) -> list[str]:
    """The tenants that the queue's messages name, oldest first."""
    return [json.loads(raw)["headers"]["argsrepr"].strip("(',)") for raw in reversed(client.lrange(EMBED, 0, -1))]


def test_given_tenants_with_work_when_the_pump_looks_then_each_is_nudged_once(
    pump: EmbeddingPump, app_db: Database, client: Any
) -> None:
    for tenant in ("acme", "globex"):
        learn(app_db, tenant=tenant)

    assert [pump.tick() for _ in range(3)] == [2, 0, 0]
    assert nudged(client) == ["acme", "globex"]


def test_given_a_nudge_that_was_lost_when_its_time_is_over_then_it_is_sent_again(
    pump: EmbeddingPump, app_db: Database, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_pump, "LOST_SECONDS", -1.0)
    learn(app_db, tenant="acme")

    assert [pump.tick() for _ in range(2)] == [1, 1]


def test_given_a_worker_at_work_when_more_is_learned_then_the_next_nudge_comes_when_it_has_ended(
    pump: EmbeddingPump, app_db: Database, client: Any
) -> None:
    learning = learn(app_db, tenant="acme")
    app_db.run("acme", begin, "acme", "m", None)
    assert pump.tick() == 1
    ids, _ = app_db.run("acme", take, "acme", 10, 60)
    learn(app_db, "Likes tea", tenant="acme")
    assert pump.tick() == 0

    app_db.run("acme", record, "acme", "m", {learning: [1.0]})
    app_db.run("acme", settle, "acme", ids, 0)
    assert pump.tick() == 1


def test_given_a_tenant_that_was_served_between_two_looks_when_more_is_learned_then_it_is_nudged_at_once(
    pump: EmbeddingPump, app_db: Database, client: Any
) -> None:
    learning = learn(app_db, tenant="acme")
    app_db.run("acme", begin, "acme", "m", None)
    assert pump.tick() == 1
    app_db.run("acme", record, "acme", "m", {learning: [1.0]})
    app_db.run("acme", settle, "acme", [learning], 0)
    assert pump.tick() == 0

    learn(app_db, "Likes tea", tenant="acme")
    assert pump.tick() == 1


def test_given_no_worker_when_nudges_pile_up_then_they_are_bounded(
    pump: EmbeddingPump, app_db: Database, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_pump, "OUTSTANDING", 2)
    for number in range(5):
        learn(app_db, tenant=f"tenant{number}")

    assert [pump.tick() for _ in range(3)] == [2, 0, 0]
    assert client.llen(EMBED) == 2


def test_given_more_tenants_than_one_walk_meets_when_the_pump_goes_on_then_it_meets_them_all(
    pump: EmbeddingPump, app_db: Database, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_pump, "TENANTS_A_WALK", 2)
    for number in range(5):
        learn(app_db, tenant=f"tenant{number}")

    assert [pump.tick() for _ in range(5)] == [2, 2, 1, 0, 0]
    assert nudged(client) == [f"tenant{number}" for number in range(5)]
