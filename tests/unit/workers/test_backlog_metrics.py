"""The gauges of what waits, where servers are away or slow, and where strangers name stores and reasons."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from learning_ops.process import free_port
from learning_stores.backlog import Backlog, Waiting
from learning_stores.settings import ServiceSettings
from learning_workers.backlog_metrics import BacklogCollector


@pytest.fixture
def collector() -> Iterator[BacklogCollector]:
    """One whose servers are not there."""
    nowhere = free_port()
    collector = BacklogCollector(
        ServiceSettings.load(
            dispatcher_database_url=f"postgresql://a@127.0.0.1:{nowhere}/none",
            redis_url=f"redis://127.0.0.1:{nowhere}/0",
        )
    )
    yield collector
    collector.close()


def samples(collector: BacklogCollector) -> dict[tuple[str, ...], float]:
    """Name and label values to value; fails where one is there twice."""
    found = [
        ((sample.name, *sample.labels.values()), sample.value)
        for each in collector.collect()
        for sample in each.samples
    ]
    assert len(found) == len(dict(found))
    return dict(found)


def test_given_servers_that_are_away_when_collected_then_that_is_told_and_nothing_is_made_up(
    collector: BacklogCollector,
) -> None:
    assert samples(collector) == {
        ("learning_postgres_up",): 0,
        ("learning_redis_up",): 0,
        ("learning_backlog_known",): 0,
        ("learning_shards",): 8,
    }


def test_given_a_backlog_that_takes_too_long_to_count_when_collected_then_postgres_is_up_and_the_backlog_not_known(
    collector: BacklogCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_long() -> Backlog:
        raise DBAPIError("", {}, psycopg.errors.QueryCanceled())

    monkeypatch.setattr(collector, "_postgres", too_long)
    found = samples(collector)
    assert (found["learning_postgres_up",], found["learning_backlog_known",]) == (1, 0)
    assert ("learning_dead_deliveries", "user_profile") not in found


def test_given_stores_and_reasons_that_are_not_known_here_when_collected_then_they_are_added_up_as_other(
    collector: BacklogCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waiting(store: str, reason: str, number: int, seconds: float) -> Waiting:
        return Waiting(store=store, reason=reason, number=number, seconds=seconds)

    found = Backlog(
        deliveries=(
            waiting("user_profile", "due", 2, 5.0),
            waiting("one", "waiting for store", 3, 7.0),
            waiting("two", "waiting for store", 4, 6.0),
            waiting("two", "a new reason", 1, 1.0),
        ),
        events=(Waiting(reason="set aside", number=1, seconds=9.0),),
        embeddings=Waiting(reason="embedding", number=5, seconds=2.0),
        dead={"one": 1, "two": 2},
        findings={"numbers_missing": 3},
        shards=7,
        reconciled=None,
    )
    monkeypatch.setattr(collector, "_postgres", lambda: found)
    told = samples(collector)
    backlog, oldest = "learning_backlog_deliveries", "learning_backlog_oldest_seconds"
    assert (told[backlog, "user_profile", "due"], told[oldest, "user_profile", "due"]) == (2, 5)
    assert told[backlog, "session_context", "due"] == 0, "zeros are told, so that a series does not end"
    assert (told[backlog, "other", "waiting for store"], told[oldest, "other", "waiting for store"]) == (7, 7)
    assert told[backlog, "other", "other"] == 1
    assert (told["learning_dead_deliveries", "other"], told["learning_dead_deliveries", "user_profile"]) == (3, 0)
    assert told["learning_unprepared_events", "set aside"] == 1
    assert told["learning_findings", "numbers_missing"] == 3
    assert told["learning_embedding_backlog",] == 5
    assert told["learning_shards_read",] == 7
    assert ("learning_reconciled_age_seconds",) not in told
