"""The curator's schedule with many tenants: making the runs of a tick, a minute in which nothing is new, and what is due."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from sqlalchemy import text

from benchmarks.figures import Figure
from benchmarks.place import bench_place
from harness import rows
from learning_stores.database import Database
from learning_stores.registry import installed
from learning_stores.settings import ServiceSettings
from learning_workers.curator import Curator

TENANTS = 10_000
NIGHT = datetime(2026, 6, 2, 1, tzinfo=UTC)  # a Tuesday, before the first job of the night
GOAL_SECONDS = 1.0

T = TypeVar("T")

_TENANTS = text("""
    INSERT INTO learning.subject (tenant, subject) SELECT 'tenant-' || n, 'user/a' FROM generate_series(1, :tenants) AS n
""")


def run() -> list[Figure]:
    """Seconds of each, of a curator that is new and of one that has made the runs before."""
    with bench_place("everysec") as place, Database(place.superuser_url) as db:
        with db.engine.begin() as connection:
            connection.execute(_TENANTS, {"tenants": TENANTS})
        settings = ServiceSettings.load(database_url=place.app_url, dispatcher_database_url=place.dispatcher_url)
        first, other = (Curator(settings, installed(), name) for name in ("first", "other"))
        minutes = (timedelta(minutes=number) for number in range(1, 10))
        try:
            figures = [
                _timed(
                    "the first tick of all jobs, which happens once", lambda: first.insert_due(NIGHT), limited=False
                ),
                _timed("a minute in which only `reconcile` is due", lambda: first.insert_due(NIGHT + next(minutes))),
                _timed(
                    "the same, of a curator that has just started",
                    lambda: other.insert_due(NIGHT + next(minutes)),
                    limited=False,
                ),
                _timed("the same, of that one a minute later", lambda: other.insert_due(NIGHT + next(minutes))),
            ]
            with db.engine.begin() as connection:
                connection.exec_driver_sql("UPDATE learning.curator_run SET state = 'done', finished_at = now()")
            night = NIGHT + timedelta(hours=1, minutes=10)
            figures += [
                _timed("the tick of `prune`, four stores a tenant", lambda: first.insert_due(night)),
                _timed("the same by a curator that comes second", lambda: other.insert_due(night)),
                _timed("what is due, of all that wait", lambda: len(first.take_due())),
            ]
        finally:
            first.close()
            other.close()
        (made,) = rows(db, "SELECT count(*) AS n FROM learning.curator_run")
    return [*figures, Figure(what=f"runs of {TENANTS:,} tenants by then", value=f"{made['n']:,}")]


def _timed(what: str, work: Callable[[], int], *, limited: bool = True) -> Figure:
    began = time.perf_counter()
    number = work()
    seconds = time.perf_counter() - began
    told = f"{seconds:.2f} s, {number:,} runs"
    if not limited:
        return Figure(what=what, value=told)
    return Figure(what=what, value=told, goal=f"{GOAL_SECONDS:g} s", reached=seconds <= GOAL_SECONDS)
