"""From emit to recallable as a learning, without backlog, debounce 0, less the time of the model call itself."""

from functools import partial

from benchmarks.figures import Figure, percentile
from benchmarks.place import bench_place, whole_system
from harness import eventually, rows, turn
from learning_machine import LearningMachine, UserProfileConfig
from learning_stores.database import Database

TIMES = 100
MODEL_SECONDS = 0.2


def run() -> list[Figure]:
    """p50 and p95, as the database's clock has it: event accepted by emit (its id's time) to commit."""
    with (
        bench_place() as place,
        whole_system(place, "user_profile", latency=MODEL_SECONDS),
        place.machine(user_profile=UserProfileConfig(debounce=0)) as machine,
        Database(place.superuser_url) as database,
    ):
        machine.settle(machine.emit(turn("I like tea."), user_id="warm", session_id="s"), timeout=60)
        for number in range(TIMES):
            user = f"user-{number}"
            machine.emit(turn(f"I like dish number {number}."), user_id=user, session_id="s1")
            eventually(partial(_memories, machine, user), "recallable", timeout=30, every=0.1)
        seconds = _over(database)
    return [
        Figure(
            what=f"emit to recallable, less the model's time, {name}",
            value=f"{percentile(seconds, share) * 1000:,.0f} ms",
            goal=f"≤ {goal} ms",
            reached=percentile(seconds, share) * 1000 <= goal,
        )
        for name, share, goal in (("p50", 0.5, 50), ("p95", 0.95, 150))
    ]


def _memories(machine: LearningMachine, user: str) -> tuple[str, ...]:
    return machine.recall(user_id=user).memories


def _over(database: Database) -> list[float]:
    """Seconds from the event's id (made by emit) to the commit of its learning, less what its model call took."""
    found = rows(
        database,
        """
        SELECT extract(epoch FROM x.committed_at) - (('x' || translate(left(d.event_id::text, 13), '-', ''))::bit(48)::bigint
               / 1000.0) - c.seconds AS seconds
        FROM learning.delivery d
        JOIN learning.extraction x ON x.tenant = d.tenant AND x.id = d.extraction_id
        JOIN learning.model_call c ON c.tenant = x.tenant AND c.extraction_id = x.id
        WHERE x.user_id LIKE 'user-%'
        """,
    )
    return [float(row["seconds"]) for row in found]
