"""The naive design measured: its tasks are all queued, then its workers are started.

The clock runs from the first row that is written to the last: neither the start of the workers nor the queueing counts.
"""

from collections.abc import Iterable
from functools import partial

import psycopg
from celery import Celery

from benchmarks.end_to_end.conversation import Turn
from benchmarks.end_to_end.drained import STORES, Drained, watched
from benchmarks.end_to_end.naive_tasks import STORES as NAMES
from benchmarks.end_to_end.naive_tasks import TABLES
from benchmarks.end_to_end.servers import START_SECONDS, THREADS, Bench
from learning_ops.process import wait_until
from learning_ops.readiness import says_ready
from learning_schemas.ids import uuid7

_COUNT = "SELECT count(*), extract(epoch FROM max(written_at) - min(written_at)) FROM naive.learning"


def drain(bench: Bench, turns: Iterable[Turn], workers: int, seconds: float) -> Drained:
    """Queue, start so many workers, and count what is written within `seconds`."""
    with psycopg.connect(bench.place.superuser_url, autocommit=True) as connection:
        connection.execute(TABLES)
        events = _fill(bench, connection, turns)
        for number in range(workers):
            _start(bench, number)
        for worker in [process for name, process in bench.running.items() if name.startswith("worker")]:
            wait_until(partial(says_ready, worker), START_SECONDS, f"{worker.name} taking work", alive=[worker])
        cpu = watched(bench, lambda: _written(connection)[0] == events * STORES, seconds)
        written, took = _written(connection)
    return Drained(events=events, settled=written / STORES, seconds=took, model_calls=written, cpu=cpu)


def _fill(bench: Bench, connection: psycopg.Connection, turns: Iterable[Turn]) -> int:
    """The events' rows, and four tasks each in the queue."""
    ids = []
    insert = "COPY naive.event (id, user_id, session_id, said) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(insert) as copy:
        for turn in turns:
            ids.append(uuid7())
            said = "\n".join(f"{message['role']}: {message['content']}" for message in turn.messages)
            copy.write_row((ids[-1], turn.user, turn.session, said))
    connection.execute("ANALYZE naive.event")
    app = Celery("naive-producer", broker=bench.place.redis_url, set_as_current=False)
    app.conf.task_ignore_result = True
    with app, app.producer_pool.acquire(block=True) as producer:
        for each in ids:
            for store in NAMES:
                app.send_task(f"naive.{store}", args=(str(each),), producer=producer)
    return len(ids)


def _start(bench: Bench, number: int) -> None:
    argv = ["-m", "celery", "-A", "benchmarks.end_to_end.naive_tasks", "worker", "-P", "threads", "-c", str(THREADS)]
    quiet = ["--without-mingle", "--without-gossip", "--loglevel", "INFO", "-n", f"naive{number}@%h"]
    bench.running[f"worker {number + 1}"] = bench.processes.start(f"naive{number}", [*argv, *quiet])


def _written(connection: psycopg.Connection) -> tuple[int, float]:
    row = connection.execute(_COUNT).fetchone()
    assert row is not None
    return row[0], float(row[1] or 0.0)
