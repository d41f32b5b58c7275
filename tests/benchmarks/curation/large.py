"""Prune and deduplicate on many learnings: how many rows a second, and how far the curator's memory grows (Linux)."""

import gc
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.curation.upkeep import ErringJudge, upkeep_of
from benchmarks.retrieval.dataset import Conversation
from benchmarks.scale import memory
from benchmarks.scale.memory import A_USER, LARGE, SMALL, TENANT, Layout
from harness import Place
from learning_schemas.spec import MachineSpec, Prune, StoreSpec
from learning_stores.specs import SpecCache
from learning_workers.log import configure_logging

LAYOUTS = {"small": SMALL, "large": LARGE}
GROWTH = 200.0
"""MB that the curator may grow by, at most: a scope's digests and one page of what is to be rewritten."""

# One in ten says what another in its scope says, in other writing: in the namespace the one before it, of the same entity; of users
# the one that the same user said before.
_DOUBLE = """
    UPDATE learning.learning l SET content = upper(o.content) || '!'
    FROM learning.learning o
    WHERE l.tenant = %(tenant)s AND o.tenant = %(tenant)s AND o.scope = l.scope AND o.about IS NOT DISTINCT FROM l.about
      AND substr(l.content_key, 2)::bigint / %(step)s %% 10 = 9
      AND o.content_key = 'n' || substr(l.content_key, 2)::bigint - %(step)s
"""
_OWNED = """
    INSERT INTO learning.subject (tenant, subject, user_id)
    SELECT DISTINCT tenant, scope, user_id FROM learning.learning WHERE user_id IS NOT NULL ON CONFLICT DO NOTHING
"""


def run(
    console: Console,
    place: Place,
    connection: psycopg.Connection,
    layout: Layout,
    conversations: Sequence[Conversation],
    rows: int,
) -> bool:
    """Print it; whether memory is bounded. `connection` is a superuser's that commits by itself."""
    memory.begin(connection, conversations)
    memory.add(connection, layout, 0, rows)
    step = 1 if layout.shared else max(1, rows // A_USER)
    doubled = connection.execute(_DOUBLE, {"tenant": TENANT, "step": step}).rowcount
    connection.execute("SET session_replication_role = origin")
    connection.execute(_OWNED)
    connection.execute("VACUUM ANALYZE learning.learning")
    in_scope = rows if layout.shared else A_USER
    table = Table(title=f"{rows:,} learnings, {layout.name}", title_justify="left")
    for name in (
        "job",
        "looked at",
        "changed",
        "seconds",
        "looked at a second",
        "changed a second",
        "memory grew by, MB",
    ):
        table.add_column(name, justify="left" if name == "job" else "right")
    jobs = (
        ("deduplicate, by rules", "deduplicate", False),
        ("deduplicate, nothing to do", "deduplicate", False),
        ("deduplicate, neighbours, a judge that merges none", "deduplicate", True),
        ("prune, to a count", "prune", False),
        ("prune, nothing to do", "prune", False),
    )
    _let_prune(place, layout, in_scope * 9 // 10 - in_scope * doubled // rows)
    done = [_row(table, name, _in_a_process_of_its_own(place, layout, job, judged)) for name, job, judged in jobs]
    console.print(table)
    return max(each.grew for each in done) <= GROWTH


class _Apart(dict[str, str]):
    """No two texts state one fact."""

    def __missing__(self, text: str) -> str:
        return text


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run: what it looked at and changed, seconds, MB that its process grew by at most, pairs that were asked about."""

    looked_at: int
    changed: int
    seconds: float
    grew: float
    asked: int


def _in_a_process_of_its_own(place: Place, layout: Layout, job: str, judged: bool) -> Measured:
    """Where no memory that something else has left behind is used again."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (place, layout.store, job, judged))


def _measured(place: Place, store: str, job: str, judged: bool) -> Measured:
    configure_logging("ERROR")
    judge = ErringJudge(_Apart(), {}, 0.0) if judged else None
    with upkeep_of(place, store) as upkeep:
        upkeep.run("statistics", "nobody")  # imports, and connections
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        before, began = _status("VmRSS"), time.perf_counter()
        done = upkeep.run(job, TENANT, judge)
        seconds, grew = time.perf_counter() - began, _status("VmHWM") - before
    return Measured(
        looked_at=done.looked_at,
        changed=done.changed,
        seconds=seconds,
        grew=grew,
        asked=judge.asked if judge is not None else 0,
    )


def _row(table: Table, name: str, done: Measured) -> Measured:
    asked = f" ({done.asked:,} pairs)" if done.asked else ""
    table.add_row(
        name + asked, f"{done.looked_at:,}", f"{done.changed:,}", f"{done.seconds:.1f}",
        f"{done.looked_at / done.seconds:,.0f}", f"{done.changed / done.seconds:,.0f}", f"{done.grew:.0f}",
    )  # fmt: skip  # a cell each
    return done


def _status(field: str) -> float:
    """Of this process, in MB."""
    (line,) = [each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith(f"{field}:")]
    return int(line.split()[1]) / 1024


def _let_prune(place: Place, layout: Layout, most: int) -> None:
    """Say in a spec that a scope holds so many."""
    scope = "session" if layout.shared else "user"
    spec = MachineSpec(stores={layout.store: StoreSpec(scope=scope, prune=Prune(max_count=most))})
    key = (TENANT, spec.spec_hash())
    with upkeep_of(place, layout.store) as upkeep:
        upkeep.app.run(TENANT, SpecCache().register, {key: spec})
