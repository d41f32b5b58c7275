"""Intake, four deliveries an event, against what one Celery worker consumes as no-op tasks: one task an event."""

import sys
import time
from collections.abc import Iterable

import redis
from celery import Celery

from benchmarks.figures import Figure
from benchmarks.place import bench_place
from harness import Place, eventually, rows
from learning_ops.process import ManagedProcess
from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import uuid7
from learning_schemas.scope import shard_of, stream_name, subject_of
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.database import Database

EVENTS = 20_000
TASKS = 10_000

# Two more stores of the same kind: what intake does for a delivery does not depend on which store it is for. Nothing falls due
# meanwhile, since it is intake that is measured and not what comes after it.
_LATER = {"debounce": 600.0, "max_wait": 600.0}
FOUR_STORES = MachineSpec(
    name="bench",
    stores={
        "user_profile": StoreSpec(scope="user", **_LATER),
        "session_context": StoreSpec(scope="session", **_LATER),
        "bench_third": StoreSpec(scope="session", **_LATER),
        "bench_fourth": StoreSpec(scope="session", **_LATER),
    },
)

NOOP = """
import celery
app = celery.Celery(broker={url!r})
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=64, worker_hijack_root_logger=False)
@app.task(name="noop")
def noop(text):
    return None
"""


def run() -> list[Figure]:
    """Events a second of each, on the same servers, one after the other."""
    with bench_place() as place:
        intake, batch = _intake(place)
        tasks = {pool: _celery(place, pool, options) for pool, options in _POOLS.items()}
    best = max(tasks.values())
    return [
        Figure(
            what="intake (4 deliveries an event) / one Celery worker's no-op tasks, its best pool",
            value=f"{intake / best:.1f} × ({intake:,.0f} / {best:,.0f} a second)",
            goal="≥ 5 ×",
            reached=intake / best >= 5,
        ),
        *(Figure(what=f"no-op tasks a second, pool {pool}", value=f"{rate:,.0f}") for pool, rate in tasks.items()),
        Figure(what="deliveries a second that intake writes", value=f"{batch:,.0f}"),
    ]


_POOLS = {
    "threads -c 1": ("-P", "threads", "-c", "1"),
    "prefork -c 2": ("-P", "prefork", "-c", "2"),
    "solo": ("-P", "solo"),
}


def _entries() -> Iterable[tuple[str, dict[str, bytes]]]:
    from datetime import UTC, datetime

    spec, known = FOUR_STORES.spec_hash(), FOUR_STORES.to_json()
    for number in range(EVENTS):
        user = f"user-{number % 500}"
        event = ConversationCompleted.make(
            {
                "id": uuid7(),
                "user_id": user,
                "session_id": f"session-{number % 2000}",
                "occurred_at": datetime.now(UTC),
                "spec": spec,
                "messages": [
                    {"role": "user", "content": f"Question {number}: what is the state of order {number * 7}?"},
                    {"role": "assistant", "content": f"Order {number * 7} left the warehouse this morning."},
                ],
            }
        )
        fields = {"event": event.to_json(), **({"spec": known} if number == 0 else {})}
        yield stream_name(shard_of("default", subject_of(user, None))), fields


def _intake(place: Place) -> tuple[float, float]:
    client = redis.Redis.from_url(place.redis_url)
    pipeline = client.pipeline(transaction=False)
    for number, (stream, fields) in enumerate(_entries(), 1):
        pipeline.xadd(stream, fields)
        if number % 1000 == 0:
            pipeline.execute()
    pipeline.execute()
    argv = [sys.executable, "-c", "from learning_workers.dispatcher import main; main()"]
    dispatcher = ManagedProcess("dispatcher", argv, env=place.env, log_path=place.directory / "dispatcher.log")
    count = "SELECT count(*) AS n, extract(epoch FROM max(accepted_at) - min(accepted_at)) AS s FROM learning.conversation_event"
    with Database(place.superuser_url) as database:
        dispatcher.start()
        try:
            eventually(lambda: rows(database, count)[0]["n"] == EVENTS, "all events taken in", timeout=300, every=0.25)
            found = rows(database, count)[0]
            deliveries = rows(database, "SELECT count(*) AS n FROM learning.delivery")[0]["n"]
        finally:
            dispatcher.stop()
    client.close()
    return EVENTS / float(found["s"]), deliveries / float(found["s"])


def _celery(place: Place, pool: str, options: tuple[str, ...]) -> float:
    client = redis.Redis.from_url(place.redis_url)
    (place.directory / "bench_noop.py").write_text(NOOP.format(url=place.redis_url))
    app = Celery(broker=place.redis_url)
    app.conf.task_ignore_result = True
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(TASKS):
            app.send_task("noop", args=(f"event {number}",), queue="celery", producer=producer)
    argv = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "bench_noop",
        "worker",
        *options,
        "--without-gossip",
        "--without-mingle",
    ]
    worker = ManagedProcess(
        pool, [*argv, "--without-heartbeat"], env=place.env, cwd=place.directory, log_path=place.directory / "noop.log"
    )
    worker.start()
    try:
        # The clock starts when the first tenth is gone: start-up is not consumption.
        eventually(lambda: client.llen("celery") < TASKS * 0.9, "the worker consumes", timeout=60, every=0.005)
        began, left = time.perf_counter(), client.llen("celery")
        eventually(lambda: client.llen("celery") == 0, "all tasks consumed", timeout=120, every=0.005)
        return float(left) / (time.perf_counter() - began)
    finally:
        worker.stop()
        client.close()
