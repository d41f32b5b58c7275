"""A dispatcher in this process, between a Redis that loses answers and a Postgres that keeps what it has."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from prometheus_client import REGISTRY

from harness import Place, event, eventually, rows, turn
from learning_schemas.event import ConversationCompleted
from learning_schemas.scope import DEFAULT_SHARDS, shard_of, stream_name, subject_of
from learning_schemas.spec import DEFAULT_SPEC
from learning_stores.database import Database
from learning_stores.event_log import Incoming, accept_directly
from learning_stores.settings import ServiceSettings
from learning_stores.specs import SpecCache
from learning_workers.dispatcher import WAITING_AT_ONCE, Dispatcher
from learning_workers.intake import GROUP
from learning_workers.queues import QUEUES


class LosesAnswers:
    """A Redis client that does what it is told, and then loses the answer of some commands."""

    def __init__(self, client: Any, lost: dict[str, int], before: set[str] | None = None) -> None:
        self._client = client
        self.lost = lost
        self._before = before or set()  # these are not even done

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name not in self.lost:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            losing = self.lost[name] > 0
            if losing and name in self._before:
                self.lost[name] -= 1
                raise redis.exceptions.ConnectionError("refused")
            answer = found(*args, **kwargs)
            if losing and answer:
                self.lost[name] -= 1
                raise redis.exceptions.TimeoutError("the answer was lost")
            return answer

        return call


@pytest.fixture
def dispatcher(place: Place) -> Iterator[Callable[..., Dispatcher]]:
    """Starts dispatchers in threads; they are stopped with the test."""
    started: list[tuple[Dispatcher, threading.Thread]] = []
    celery = Celery("tests", broker=place.redis_url, set_as_current=False)
    celery.conf.update(task_queues=QUEUES, task_ignore_result=True)

    def start(*, lost: dict[str, int] | None = None, before: set[str] | None = None) -> Dispatcher:
        settings = ServiceSettings.load(dispatcher_database_url=place.dispatcher_url, redis_url=place.redis_url)
        made = Dispatcher(celery, settings)
        made._intake._redis = LosesAnswers(made._intake._redis, lost or {}, before)
        thread = threading.Thread(target=made.run)
        thread.start()
        started.append((made, thread))
        return made

    yield start
    for made, thread in started:
        made.stop()
        thread.join()
        made._intake._redis.close()
    celery.close()


@pytest.fixture
def client(place: Place) -> Iterator[Any]:
    with redis.Redis.from_url(place.redis_url) as client:
        yield client


def emit(place: Place, *users: str) -> None:
    with place.machine() as machine:
        for user in users:
            machine.emit(turn("I work at Netflix."), user_id=user, session_id="s1")


def all_in(everything_db: Database, client: Any, count: int) -> bool:
    """Whether so many events are in the log, and nothing is left in the streams, read or not."""
    there = [stream for stream in map(stream_name, range(DEFAULT_SHARDS)) if client.exists(stream)]
    pending = sum(group["pending"] for stream in there for group in client.xinfo_groups(stream))
    left = sum(client.xlen(stream) for stream in there)
    [events] = rows(everything_db, "SELECT count(*) FROM learning.conversation_event")
    return (events["count"], pending, left) == (count, 0, 0)


USERS = tuple(f"user-{number}" for number in range(20))


def test_given_an_answer_of_redis_that_was_lost_when_read_on_then_what_it_held_is_taken_in_all_the_same(
    place: Place, dispatcher: Callable[..., Dispatcher], everything_db: Database, client: Any
) -> None:
    dispatcher(lost={"xreadgroup": 3})

    for user in USERS:
        emit(place, user)

    eventually(lambda: all_in(everything_db, client, len(USERS)), "everything is in")


def test_given_redis_fails_while_shards_are_taken_over_when_it_is_back_then_every_pending_entry_is_taken_in(
    place: Place, dispatcher: Callable[..., Dispatcher], everything_db: Database, client: Any
) -> None:
    emit(place, *USERS)
    for shard in range(DEFAULT_SHARDS):
        client.xgroup_create(stream_name(shard), GROUP, id="0", mkstream=True)
        client.xreadgroup(GROUP, "a reader that died", {stream_name(shard): ">"})

    dispatcher(lost={"xautoclaim": 4}, before={"xautoclaim"})

    eventually(lambda: all_in(everything_db, client, len(USERS)), "everything is in")


def test_given_an_acknowledgement_that_was_lost_when_tried_again_then_every_event_is_in_once(
    place: Place, dispatcher: Callable[..., Dispatcher], everything_db: Database, client: Any
) -> None:
    emit(place, *USERS)

    dispatcher(lost={"pipeline": 2}, before={"pipeline"})

    eventually(lambda: all_in(everything_db, client, len(USERS)), "everything is in")
    [counts] = rows(
        everything_db,
        "SELECT count(*) AS deliveries, count(DISTINCT event_id) AS events, "
        "(SELECT sum(received) FROM learning.producer_seq) AS received FROM learning.delivery",
    )
    assert counts == {"deliveries": 2 * len(USERS), "events": len(USERS), "received": len(USERS)}


def test_given_shards_that_were_lost_to_nobody_when_noticed_then_they_are_taken_again_without_waiting_for_the_lease(
    place: Place, dispatcher: Callable[..., Dispatcher], everything_db: Database, client: Any
) -> None:
    from sqlalchemy import text

    held = "SELECT count(*) FROM learning.shard_lease WHERE owner IS NOT NULL AND token > :token"
    dispatcher()
    eventually(lambda: rows(everything_db, held, token=0)[0]["count"] == DEFAULT_SHARDS, "all shards")
    [last] = rows(everything_db, "SELECT max(token) AS token FROM learning.shard_lease")
    lapsed = REGISTRY.get_sample_value("learning_shards_taken_over_total")
    with everything_db.engine.begin() as connection:
        connection.execute(text("UPDATE learning.shard_lease SET owner = NULL, token = 0 WHERE shard = 0"))

    # One is gone, seven are still ours: when leases are extended next, all are given up, and held under new tokens.
    eventually(lambda: rows(everything_db, held, token=last["token"])[0]["count"] == DEFAULT_SHARDS, "all again")
    assert REGISTRY.get_sample_value("learning_shards_taken_over_total") == lapsed
    emit(place, *USERS)
    eventually(lambda: all_in(everything_db, client, len(USERS)), "everything is in")


def test_given_one_id_with_two_bodies_in_one_batch_when_taken_in_then_the_first_is_in_and_only_the_second_rejected(
    dispatcher: Callable[..., Dispatcher], everything_db: Database, client: Any
) -> None:
    first = event(messages=turn("I work at Netflix."))
    second = first.model_copy(update={"messages": event(messages=turn("I work at Spotify.")).messages})
    stream = stream_name(shard_of("default", subject_of("alice", "s1")))
    entries = [client.xadd(stream, {"event": each.to_json()}) for each in (first, first, second, first)]

    dispatcher()
    eventually(lambda: all_in(everything_db, client, 1), "everything is in")

    [taken] = rows(everything_db, "SELECT messages::text FROM learning.conversation_event")
    assert "Netflix" in taken["messages"]
    rejected = rows(everything_db, "SELECT entry_id, field FROM learning.rejected_event")
    assert rejected == [{"entry_id": entries[2].decode(), "field": "id"}]


def by_stream(client: Any, said: ConversationCompleted) -> None:
    """As emit sends it."""
    shard = shard_of(said.tenant, subject_of(said.user_id, said.session_id))
    client.xadd(stream_name(shard), {"event": said.to_json()})


def by_postgres(app_db: Database, said: ConversationCompleted) -> None:
    """As emit falls back."""
    incoming = Incoming(event=said, via="postgres", body_bytes=1)
    assert app_db.run(said.tenant, accept_directly, incoming, DEFAULT_SPEC, SpecCache(), DEFAULT_SHARDS) == "accepted"


def numbered(everything_db: Database) -> list[Any]:
    """The ids of the events that have a number, in its order."""
    found = rows(
        everything_db,
        "SELECT id FROM learning.conversation_event WHERE accepted_no IS NOT NULL ORDER BY accepted_no",
    )
    return [row["id"] for row in found]


def test_given_turns_of_a_session_by_stream_and_by_postgres_in_turn_when_taken_in_then_they_are_numbered_as_emitted(
    dispatcher: Callable[..., Dispatcher], app_db: Database, everything_db: Database, client: Any
) -> None:
    said = [event() for _ in range(6)]
    for place, each in enumerate(said):
        by_postgres(app_db, each) if place % 2 else by_stream(client, each)

    dispatcher()

    eventually(lambda: len(numbered(everything_db)) == len(said), "everything is numbered")
    assert numbered(everything_db) == [each.id for each in said]


def test_given_more_that_wait_than_are_looked_at_at_once_when_the_stream_has_younger_ones_then_all_come_in_order(
    dispatcher: Callable[..., Dispatcher], app_db: Database, everything_db: Database, client: Any
) -> None:
    shard = shard_of("default", subject_of("alice", "s1"))
    other = next(user for user in USERS if shard_of("default", subject_of(user, None)) == shard)
    theirs = [event() for _ in range(WAITING_AT_ONCE + 5)]
    for each in theirs:
        by_postgres(app_db, each)
    somebody, last = event(user_id=other), event()
    by_stream(client, somebody)
    by_stream(client, last)

    dispatcher()

    eventually(lambda: len(numbered(everything_db)) == len(theirs) + 2, "everything is numbered")
    assert [each for each in numbered(everything_db) if each != somebody.id] == [*(each.id for each in theirs), last.id]


def test_given_more_that_wait_than_are_looked_at_at_once_when_the_stream_has_only_others_then_all_come_in_order(
    dispatcher: Callable[..., Dispatcher], app_db: Database, everything_db: Database, client: Any
) -> None:
    shard = shard_of("default", subject_of("alice", "s1"))
    other = next(user for user in USERS if shard_of("default", subject_of(user, None)) == shard)
    theirs = [event() for _ in range(WAITING_AT_ONCE + 5)]
    for each in theirs:
        by_postgres(app_db, each)
    somebody = event(user_id=other)
    by_stream(client, somebody)

    dispatcher()

    eventually(lambda: len(numbered(everything_db)) == len(theirs) + 1, "everything is numbered")
    assert [each for each in numbered(everything_db) if each != somebody.id] == [each.id for each in theirs]
