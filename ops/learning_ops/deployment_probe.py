"""Whether the dispatchers, or a store's workers, move: judged from outside, by what Postgres, Redis and the broker show."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Session

from learning_ops.cli.failure import reaching_postgres, reaching_redis
from learning_ops.probing import Answer, Question
from learning_stores.backlog import at_work, dispatchers, shards_read
from learning_stores.database import Database
from learning_stores.settings import ServiceSettings
from learning_workers.pulse import FRESH_SECONDS, STILL_SECONDS
from learning_workers.streams import Head, brief_client, heads

LOOK_AGAIN_SECONDS = 2.0
"""Between two looks at the streams: intake that moves has taken more in by then."""


def asking(question: Question, settings: ServiceSettings, store: str | None) -> Callable[[], Answer]:
    """What asks the servers; loading all that it needs."""
    if store is None:
        ask = _dispatchers_live if question == "live" else _dispatchers_ready
        return lambda: ask(settings)
    if question == "live":
        return lambda: _store_live(settings, store)
    from celery import Celery

    from learning_workers.broker_tls import tls_of

    app = Celery("probe", broker=settings.broker(), set_as_current=False)
    app.conf.broker_use_ssl = tls_of(settings.broker())
    app.conf.broker_transport_options = {"socket_timeout": 2, "socket_connect_timeout": 2}
    return lambda: _store_ready(app, settings, store)


@contextmanager
def _postgres(settings: ServiceSettings) -> Iterator[Session]:
    url = settings.dispatcher_database()
    with (
        reaching_postgres(url, "LEARNING_DISPATCHER_DATABASE_URL"),
        Database(url, pool_size=1, field="dispatcher_database_url", connect_seconds=2) as database,
        database.transaction() as session,
    ):
        yield session


def _dispatchers_live(settings: ServiceSettings) -> Answer:
    with _postgres(settings) as session:
        alive = dispatchers(session, FRESH_SECONDS)
    if not alive:
        return Answer(ok=False, told=f"no dispatcher has turned both its loops within {FRESH_SECONDS} s")
    with reaching_redis(settings.redis()), brief_client(settings.redis()) as client:

        def old() -> dict[int, Head]:
            found = heads(client, range(settings.shards))
            return {shard: head for shard, head in found.items() if head.seconds > STILL_SECONDS}

        if before := old():
            time.sleep(LOOK_AGAIN_SECONDS)
            after = old()
            still = [shard for shard, head in before.items() if shard in after and after[shard].first == head.first]
            if still:
                seconds = max(after[shard].seconds for shard in still)
                told = f"stream {still[0]} has an entry for {seconds:.0f} s, and it is not taken in"
                return Answer(ok=False, told=told)
    return Answer(ok=True, told=f"dispatchers alive: {alive}")


def _dispatchers_ready(settings: ServiceSettings) -> Answer:
    with _postgres(settings) as session:
        read = shards_read(session)
    with reaching_redis(settings.redis()), brief_client(settings.redis()) as client:
        client.ping()
    return Answer(ok=read >= settings.shards, told=f"{read} of {settings.shards} shards are read")


def _store_live(settings: ServiceSettings, store: str) -> Answer:
    with _postgres(settings) as session:
        found = at_work(session, store)
    if found.waiting is None:
        return Answer(ok=True, told=f"nothing of {store} waits for a worker")
    if found.working or found.waiting <= STILL_SECONDS:
        doing = "a worker is at it" if found.working else "not long enough to tell"
        return Answer(ok=True, told=f"{store} waits since {found.waiting:.0f} s, and {doing}")
    return Answer(ok=False, told=f"{store} waits since {found.waiting:.0f} s, and no worker is at anything of it")


def _store_ready(app: Any, settings: ServiceSettings, store: str) -> Answer:
    queue = f"learning.{store}"
    with reaching_redis(settings.broker(), "LEARNING_BROKER_URL" if settings.broker_url else "LEARNING_REDIS_URL"):
        found = app.control.inspect(timeout=1.5).active_queues() or {}
    serving = [name for name, queues in found.items() if queue in {each["name"] for each in queues}]
    if not serving:
        return Answer(ok=False, told=f"no worker takes from {queue}")
    return Answer(ok=True, told=f"workers that take from {queue}: {len(serving)}")
