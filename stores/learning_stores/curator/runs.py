"""Runs of the curator's jobs: made by the schedule or asked for, claimed with a lease and a token, moved on step by step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.ids import uuid7
from learning_stores.tally import count

if TYPE_CHECKING:
    from learning_stores.curator.job import Step

LEASE_SECONDS = 30
NUDGE_SECONDS = 120
"""How long a nudge is waited for before it counts as lost."""
MAX_FAILURES = 5
"""Steps in a row that failed, or claims in a row that were never heard of again; then the run is failed."""

_COLUMNS = """
    tenant, id, job, store, tick, asked_by, dry_run, due_at, state, owner, token, lease_until, failures, cursor, looked_at, changed,
    model_calls, cost_usd, report, error, began_at, finished_at
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as its row says. `cost_usd` None: the price of a call is not known."""

    tenant: str
    id: UUID
    job: str
    store: str
    tick: datetime | None
    asked_by: str | None
    dry_run: bool
    due_at: datetime
    state: str
    owner: str | None
    token: int | None
    lease_until: datetime | None
    failures: int
    cursor: Mapping[str, Any] | None
    looked_at: int
    changed: int
    model_calls: int
    cost_usd: Decimal | None
    report: Mapping[str, int | str] = field(default_factory=dict)
    error: str | None
    began_at: datetime | None
    finished_at: datetime | None

    def after(self, step: "Step") -> "Run":
        """The run as it is once this step is written."""
        report = dict(self.report)
        for name, value in step.report.items():
            before = report.get(name)
            report[name] = before + value if isinstance(before, int) and isinstance(value, int) else value
        known = self.cost_usd is not None and step.cost_usd is not None
        return replace(
            self,
            cursor=step.cursor,
            state="running" if step.cursor is not None else "done",
            looked_at=self.looked_at + step.looked_at,
            changed=self.changed + step.changed,
            model_calls=self.model_calls + step.model_calls,
            cost_usd=(self.cost_usd or Decimal(0)) + (step.cost_usd or Decimal(0)) if known else None,
            report=report,
            failures=0,
        )


_INSERT_DUE = text("""
    INSERT INTO learning.curator_run (tenant, job, store, tick, due_at)
    SELECT t.tenant, :job, s.store, :tick, cast(:tick AS timestamptz) + interval '1 s' * CASE WHEN :spread > 0
        THEN abs(hashtextextended(t.tenant || '/' || :job, 0) % cast(:spread AS bigint)) ELSE 0 END
    FROM unnest(cast(:tenants AS text[])) AS t (tenant), unnest(cast(:stores AS text[])) AS s (store)
    ORDER BY 1, 3
    ON CONFLICT (job, tenant, store, tick) DO NOTHING
""")

# A tick that was never begun, or waits for a provider or a budget, is overtaken by the next one: what is missed runs once. From
# what waits to the new run by its key, which OFFSET says: a join of the two would read all that wait for each, without statistics.
_OVERTAKE = text("""
    UPDATE learning.curator_run r SET state = 'cancelled', error = 'overtaken by the next tick', cursor = NULL,
        finished_at = clock_timestamp()
    WHERE r.job = :job AND r.tenant = ANY (:tenants) AND r.tick < :tick AND r.state = 'waiting'
      AND (r.began_at IS NULL OR (r.failures = 0 AND r.error IS NOT NULL))
      AND EXISTS (
          SELECT FROM learning.curator_run n
          WHERE n.job = r.job AND n.tenant = r.tenant AND n.store = r.store AND n.tick = :tick OFFSET 0)
""")


def insert_due(
    session: Session, job: str, tick: datetime, tenants: Sequence[str], stores: Sequence[str], spread: int
) -> int:
    """Make the runs of one tick, for each tenant and store, as far as nobody has; how many. As the dispatcher.

    A tenant's runs are due up to `spread` seconds after the tick, always as much later.
    """
    values = {"job": job, "tick": tick, "tenants": list(tenants), "stores": list(stores), "spread": spread}
    made: Any = session.execute(_INSERT_DUE, values)
    if made.rowcount:
        session.execute(_OVERTAKE, values)
    return int(made.rowcount)


_NOW = text("SELECT clock_timestamp()")


def now(session: Session) -> datetime:
    """By the clock that decides what is due."""
    found = session.scalar(_NOW)
    assert isinstance(found, datetime)
    return found


# The deployment's own first: no number of tenants holds up what all of them stand on.
_DUE = text("""
    WITH due AS (
        SELECT tenant, id FROM learning.curator_run
        WHERE state IN ('waiting', 'running') AND due_at <= now() AND (state = 'waiting' OR lease_until <= now())
          AND coalesce(nudged_until <= now(), true)
        ORDER BY tenant <> '', due_at
        LIMIT greatest(0, :room - (
            SELECT count(*) FROM learning.curator_run WHERE nudged_until > now() AND state IN ('waiting', 'running')))
        FOR UPDATE SKIP LOCKED
    )
    UPDATE learning.curator_run r SET nudged_until = now() + :seconds * interval '1 s'
    FROM due WHERE r.tenant = due.tenant AND r.id = due.id
    RETURNING r.tenant, r.id
""")


def take_due(session: Session, room: int) -> list[tuple[str, UUID]]:
    """Mark due runs as nudged and return (tenant, id), with those whose worker was not heard of again.

    So many that, with those nudged before that nobody has claimed, there are `room` at most. What is nudged and not claimed is in
    Celery's queue, where nothing is put in order; what is not nudged waits in its order here.
    """
    rows = session.execute(_DUE, {"room": room, "seconds": NUDGE_SECONDS})
    return [(row.tenant, row.id) for row in rows]


_CLAIM = text(f"""
    UPDATE learning.curator_run SET
        state = 'running', owner = :owner, token = nextval('learning.lease_token'), claims = claims + 1, nudged_until = NULL,
        lease_until = clock_timestamp() + :seconds * interval '1 s', began_at = coalesce(began_at, clock_timestamp())
    WHERE tenant = :tenant AND id = :id
      AND ((state = 'waiting' AND due_at <= clock_timestamp()) OR (state = 'running' AND lease_until <= clock_timestamp()))
    RETURNING {_COLUMNS}, claims
""")  # noqa: S608 - a constant


def claim(session: Session, tenant: str, run_id: UUID, owner: str) -> Run | None:
    """Take a due run's lease; None where it is over, not due or somebody else's.

    One that ended so many workers in a row without a step is failed.
    """
    values = {"tenant": tenant, "id": run_id, "owner": owner, "seconds": LEASE_SECONDS}
    row = session.execute(_CLAIM, values).one_or_none()
    if row is None:
        return None
    found = dict(row._mapping)
    claims = found.pop("claims")
    run = Run(**found)
    if claims > 1:
        count(session, "run taken over", run.job)
    if claims > MAX_FAILURES:
        count(session, "run failed", run.job)
        end(session, run, "failed", f"its worker was not heard of again, {MAX_FAILURES} times in a row")
        return None
    return run


_ASK = text(f"""
    INSERT INTO learning.curator_run (tenant, id, job, store, asked_by, dry_run, due_at, state, owner, token, lease_until, began_at,
                                      claims)
    VALUES (:tenant, :id, :job, :store, :asked_by, :dry_run, clock_timestamp(), 'running', :owner, nextval('learning.lease_token'),
            clock_timestamp() + :seconds * interval '1 s', clock_timestamp(), 1)
    RETURNING {_COLUMNS}
""")  # noqa: S608 - a constant


def ask(session: Session, tenant: str, job: str, store: str, *, by: str, owner: str, dry_run: bool) -> Run:
    """Make a run that somebody asked for, claimed at once. Where its asker is killed, a worker goes on with it."""
    row = session.execute(
        _ASK,
        {
            "tenant": tenant, "id": uuid7(), "job": job, "store": store, "asked_by": by, "dry_run": dry_run, "owner": owner,
            "seconds": LEASE_SECONDS,
        },
    ).one()  # fmt: skip  # two lines of names
    return Run(**row._mapping)


_EXTEND = text("""
    UPDATE learning.curator_run SET lease_until = clock_timestamp() + :seconds * interval '1 s'
    WHERE tenant = :tenant AND id = :id AND token = :token AND state = 'running'
""")


def extend(session: Session, run: Run) -> bool:
    """A heartbeat. False where the run is no longer ours. A lapsed lease that nobody took still is."""
    return _one(session, _EXTEND, run, {})


# The token fences: whoever claimed the run meanwhile has written another one, and this step rolls back.
_ADVANCE = text("""
    UPDATE learning.curator_run SET
        cursor = cast(:cursor AS jsonb), looked_at = :looked_at, changed = :changed, model_calls = :model_calls,
        cost_usd = :cost_usd, report = cast(:report AS jsonb), claims = 1, failures = 0, error = NULL, state = :state,
        lease_until = CASE WHEN :state = 'running' THEN clock_timestamp() + :seconds * interval '1 s' END,
        owner = CASE WHEN :state = 'running' THEN owner END,
        finished_at = CASE WHEN :state <> 'running' THEN clock_timestamp() END
    WHERE tenant = :tenant AND id = :id AND token = :token AND state = 'running'
""")


def advance(session: Session, run: Run) -> bool:
    """Write how far a run is, in the transaction of its step; it is done where there is no cursor. False: no longer ours."""
    values = {
        "cursor": None if run.cursor is None else to_json(run.cursor).decode(),
        "looked_at": run.looked_at,
        "changed": run.changed,
        "model_calls": run.model_calls,
        "cost_usd": run.cost_usd,
        "report": to_json(run.report).decode(),
        "state": run.state,
    }
    return _one(session, _ADVANCE, run, values)


_GIVE_BACK = text("""
    UPDATE learning.curator_run SET state = 'waiting', owner = NULL, lease_until = NULL, nudged_until = NULL, claims = 0,
        failures = failures + :failed, error = :error, model_calls = :model_calls, cost_usd = :cost_usd,
        report = cast(:report AS jsonb),
        due_at = clock_timestamp() + :wait * interval '1 s'
    WHERE tenant = :tenant AND id = :id AND token = :token AND state = 'running'
""")


def give_back(session: Session, run: Run, *, error: str | None = None, wait: float = 0.0, failed: bool = True) -> bool:
    """Let another task go on, not before `wait` seconds, and behind what is due by then. False where it is no longer ours.

    `error` says why it stopped: a failure, or with `failed` False what it waits for, which does not count as one.
    """
    values = {
        "failed": int(failed and error is not None),
        "error": error,
        "wait": wait,
        "model_calls": run.model_calls,
        "cost_usd": run.cost_usd,
        "report": to_json(run.report).decode(),
    }
    return _one(session, _GIVE_BACK, run, values)


_END = text("""
    UPDATE learning.curator_run SET state = :state, error = :error, cursor = NULL, owner = NULL, lease_until = NULL,
        finished_at = clock_timestamp()
    WHERE tenant = :tenant AND id = :id AND token = :token AND state = 'running'
""")


def end(session: Session, run: Run, state: str, error: str) -> bool:
    """End a run before it is done: `failed` or `cancelled`, and why. False where it is no longer ours."""
    return _one(session, _END, run, {"state": state, "error": error})


def _one(session: Session, statement: Any, run: Run, values: Mapping[str, Any]) -> bool:
    key = {"tenant": run.tenant, "id": run.id, "token": run.token, "seconds": LEASE_SECONDS}
    written: Any = session.execute(statement, {**key, **values})
    return bool(written.rowcount)


_ONE = text(f"""
    SELECT {_COLUMNS} FROM learning.curator_run
    WHERE id = :id AND (cast(:tenant AS text) IS NULL OR tenant = :tenant)
""")  # noqa: S608 - a constant

# Of each job the last run that began, and the next that waits.
_LATEST = text(f"""
    SELECT DISTINCT ON (job, state IN ('waiting', 'running')) {_COLUMNS} FROM learning.curator_run
    WHERE (cast(:tenant AS text) IS NULL OR tenant = :tenant OR tenant = '') AND state <> 'cancelled'
        AND (NOT dry_run OR state IN ('waiting', 'running'))
    ORDER BY job, state IN ('waiting', 'running'),
             CASE WHEN state IN ('waiting', 'running') THEN due_at END, finished_at DESC NULLS LAST
""")  # noqa: S608 - a constant


def run_of(session: Session, run_id: UUID, tenant: str | None = None) -> Run | None:
    """A run by its id; None where there is none, or none of this tenant."""
    row = session.execute(_ONE, {"id": run_id, "tenant": tenant}).one_or_none()
    return None if row is None else Run(**row._mapping)


def latest(session: Session, tenant: str | None = None) -> list[Run]:
    """Of each job the run that ended last, dry ones left out, and the one that is due first."""
    return [Run(**row._mapping) for row in session.execute(_LATEST, {"tenant": tenant})]
