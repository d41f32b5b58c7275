"""The curator's worker: makes due runs of the schedule, nudges them, and drives a run's steps under its lease.

A task works on a run for a bounded time and then hands it back; the next nudge goes on. What fails is tried again later, and
failed for good after so many times in a row; the report says why, without anybody's words.
"""

import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from learning_stores.curator import runs
from learning_stores.curator.consolidate import Consolidate
from learning_stores.curator.contradictions import Contradictions
from learning_stores.curator.deduplicate import Deduplicate
from learning_stores.curator.job import Job, JobContext, Role, RunLost, Step
from learning_stores.curator.judging import Judge, JudgeWaits
from learning_stores.curator.prune import Prune
from learning_stores.curator.reconciling import Reconcile
from learning_stores.curator.reembed import Reembed
from learning_stores.curator.resolve_entities import ResolveEntities
from learning_stores.curator.retain import Retain
from learning_stores.curator.runs import Run
from learning_stores.curator.schedule import Schedule
from learning_stores.curator.statistics import Statistics
from learning_stores.curator.tenants import every_tenant
from learning_stores.database import Database
from learning_stores.settings import ServiceSettings
from learning_stores.store import LearningStore
from learning_stores.tally import Tally
from learning_workers.backoff import backoff
from learning_workers.heartbeat import Heartbeat
from learning_workers.judge import Bench
from learning_workers.metrics import CURATOR_CHANGES, CURATOR_RUNS, job_label
from learning_workers.trim import Trim

logger = structlog.get_logger("learning.curator")

# Each has a schedule in learning_stores.curator.settings.
JOBS: Mapping[str, Job] = {
    job.name: job
    for job in (
        Reconcile(),
        Trim(),
        Prune(),
        Deduplicate(),
        ResolveEntities(),
        Consolidate(),
        Contradictions(),
        Statistics(),
        Reembed(),
        Retain(),
    )
}
"""Every job, by name."""

BACKOFF_SECONDS = 30.0
NUDGED_AT_ONCE = 8
"""Runs that are nudged and not claimed, at most: each that ends has the next one nudged."""

TENANTS_AT_ONCE = 1_000
"""Whose runs of a tick one transaction makes."""

Tell = Callable[[Run, Step], None]


class Curator:
    """One process's curator. Safe in threads."""

    def __init__(
        self,
        settings: ServiceSettings,
        stores: Mapping[str, LearningStore],
        owner: str,
        jobs: Mapping[str, Job] = JOBS,
        judge: Judge | None = None,
        on_commit: Callable[[Tally | None], None] | None = None,
    ) -> None:
        """`judge` answers in place of the model that the settings name."""
        self.owner = owner
        self.jobs = jobs
        self._settings = settings
        self._stores = stores
        self._on_commit = on_commit
        self._databases: dict[Role, Database] = {}
        self._heartbeat: Heartbeat | None = None
        self._judge = judge
        self._bench: Bench | None = None
        # What is made on first use is made once, however many threads of a worker come first.
        self._making = threading.RLock()
        # Of each job the tick and the tenants whose runs were made: what is known to be there is not asked for every minute.
        self._made: dict[str, tuple[datetime, frozenset[str]]] = {}

    def close(self) -> None:
        """End the heartbeat, and give back the connections."""
        if self._heartbeat is not None:
            self._heartbeat.close()
        if self._bench is not None:
            self._bench.close()
        for database in self._databases.values():
            database.close()

    def database(self, role: Role) -> Database:
        """The database as one of the two roles. Raises `ConfigurationError` where its address is missing."""
        with self._making:
            if role not in self._databases:
                self._databases[role] = self._connected(role)
            return self._databases[role]

    def _connected(self, role: Role) -> Database:
        if role == "app":
            return Database(self._settings.database(), pool_size=4, on_commit=self._on_commit)
        url = self._settings.dispatcher_database()
        return Database(url, pool_size=4, field="dispatcher_database_url", on_commit=self._on_commit)

    def heartbeat(self, role: Role) -> Heartbeat:
        """What extends the leases of this process's runs."""
        with self._making:
            if self._heartbeat is None:
                self._heartbeat = Heartbeat(self.database(role))
            return self._heartbeat

    def schedule(self) -> dict[str, Schedule | None]:
        """Every job's schedule; None where it is off."""
        return {name: self._settings.schedule(name) for name in self.jobs}

    def insert_due(self, now: datetime | None = None) -> int:
        """Make the runs of the newest tick of each job, by the database's clock, as far as nobody has; how many."""
        now = now or self.database("dispatcher").run(None, runs.now)
        ticks = {name: tick for name, each in self.schedule().items() if each and (tick := each.newest(now))}
        if not ticks:
            return 0
        tenants = self.database("dispatcher").run(None, every_tenant)
        return sum(self._insert(self.jobs[name], tick, tenants) for name, tick in ticks.items())

    def _insert(self, job: Job, tick: datetime, tenants: Sequence[str]) -> int:
        whose = tenants_of(job, tenants)
        made_tick, made = self._made.get(job.name, (None, frozenset()))
        lack = whose if made_tick != tick else [each for each in whose if each not in made]
        if not lack:
            return 0
        schedule = self._settings.schedule(job.name)
        following = schedule.next(tick) if schedule is not None else None
        # The last of a tick's runs begins before the next tick.
        room = (following - tick).total_seconds() if following is not None else self._settings.curator_spread
        spread = int(min(self._settings.curator_spread, room)) if job.per_tenant else 0
        stores = self.stores_of(job)
        number = 0
        for first in range(0, len(lack), TENANTS_AT_ONCE):
            some = lack[first : first + TENANTS_AT_ONCE]
            number += self.database("dispatcher").run(None, runs.insert_due, job.name, tick, some, stores, spread)
        self._made[job.name] = tick, frozenset(whose)
        return number

    def take_due(self, room: int = NUDGED_AT_ONCE) -> list[tuple[str, UUID]]:
        """Due runs to nudge: tenant and id, the deployment's ('') first."""
        return self.database("dispatcher").run(None, runs.take_due, room)

    def stores_of(self, job: Job) -> list[str]:
        """What a job runs for in each tenant: every installed store, or once ('')."""
        return list(self._stores) if job.per_store else [""]

    def ask(self, job: str, tenant: str, store: str, *, by: str, dry_run: bool) -> Run:
        """Make a run that somebody asked for, which this process then drives."""
        asked: Run = self._in(tenant, runs.ask, tenant, job, store, by=by, owner=self.owner, dry_run=dry_run)
        return asked

    def work(self, tenant: str, run_id: UUID, stopping: Callable[[], bool] = lambda: False) -> Run | None:
        """Claim a run and work on it for a slice of time; None where there is nothing to do. Raises what a step raises."""
        run: Run | None = self._in(tenant, runs.claim, tenant, run_id, self.owner)
        if run is None:
            return None
        return self.drive(run, stopping, seconds=self._settings.curator_slice)

    def drive(
        self,
        run: Run,
        stopping: Callable[[], bool] = lambda: False,
        *,
        seconds: float | None = None,
        tell: Tell = lambda run, step: None,
    ) -> Run:
        """Take a claimed run's steps until it is done, the time is up, or somebody else has it; how far it is by then."""
        job = self.jobs.get(run.job)
        if job is None:
            self._in(run.tenant, runs.end, run, "failed", "no job of this name is here")
            return run
        if run.tenant not in tenants_of(job, [run.tenant] if run.tenant else []):
            # A tenant can write runs of its own; what is the deployment's it may neither start nor read.
            whom = "one tenant" if run.tenant else "the whole deployment"
            self._in(run.tenant, runs.end, run, "failed", f"{job.name} does not run for {whom}")
            return run
        context = JobContext(run, self.database, self._settings, self._stores)
        began = time.monotonic()
        assert run.token is not None
        with self.heartbeat(_role(run.tenant)).keeping(
            run.token, partial(self._in, run.tenant, runs.extend, run), f"run {run.id}"
        ):
            try:
                if job.asks and not run.dry_run:
                    context.judge = self._judge_of(stopping)
                while context.run.state == "running":
                    if stopping() or (seconds is not None and time.monotonic() - began >= seconds):
                        self._in(run.tenant, runs.give_back, context.run)
                        break
                    step = job.step(context, context.run.cursor)
                    if not context.dry_run:
                        CURATOR_CHANGES.labels(job_label(run.job)).inc(step.changed)
                    if step.warns:
                        logger.warning(f"{job.name} found", tenant=run.tenant, **step.report)
                    tell(context.run, step)
            except RunLost:
                logger.warning("run lost", job=run.job, run_id=str(run.id))
            except JudgeWaits as waits:
                return self._waits(context.run, waits)
            except Exception as error:
                self._failed(context.run, error)
                raise
        if context.run.state == "done":
            CURATOR_RUNS.labels(job_label(run.job), "done").inc()
            logger.info("run done", job=run.job, tenant=run.tenant, store=run.store, changed=context.run.changed)
        return context.run

    def _judge_of(self, stopping: Callable[[], bool]) -> Judge | None:
        """Who answers here; None where no model is configured. Raises `ConfigurationError` where the models file is unusable."""
        if self._judge is not None:
            return self._judge
        with self._making:
            if self._bench is None:
                self._bench = Bench(self._settings, self.database("app"))
        return self._bench.judge(stopping)

    def _waits(self, run: Run, waits: JudgeWaits) -> Run:
        """Hand a run back until somebody answers: no failure, however long it takes."""
        known = run.cost_usd is not None and waits.cost_usd is not None
        run = replace(
            run,
            model_calls=run.model_calls + waits.calls,
            cost_usd=(run.cost_usd or Decimal(0)) + (waits.cost_usd or Decimal(0)) if known else None,
        )
        told = f"waits for {waits.note}"
        logger.info("run waits", job=run.job, run_id=str(run.id), note=waits.note, seconds=round(waits.seconds))
        self._in(run.tenant, runs.give_back, run, error=told, wait=waits.seconds, failed=False)
        return replace(run, state="waiting", error=told)

    def cancel(self, run: Run, why: str) -> None:
        """End a run that is driven here."""
        self._in(run.tenant, runs.end, run, "cancelled", why)

    def _failed(self, run: Run, error: Exception) -> None:
        """Let it be tried again later; after so many failures in a row it has failed."""
        where = traceback.extract_tb(error.__traceback__)[-1]
        cause = type(getattr(error, "orig", None) or error).__name__
        told = f"{cause} at {where.filename.rpartition('/')[2]}:{where.lineno}"
        logger.error("step failed", job=run.job, run_id=str(run.id), cause=told)
        try:
            if run.failures + 1 >= runs.MAX_FAILURES:
                self._in(run.tenant, runs.end, run, "failed", told)
                CURATOR_RUNS.labels(job_label(run.job), "failed").inc()
            else:
                wait = backoff(run.failures + 1, BACKOFF_SECONDS)
                self._in(run.tenant, runs.give_back, run, error=told, wait=wait)
        except (SQLAlchemyError, psycopg.Error):
            logger.warning("the lease runs out by itself", run_id=str(run.id))

    def _in(self, tenant: str, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What `work` makes of the run's row, as the app for a tenant's and as the dispatcher for the deployment's."""
        return self.database(_role(tenant)).run(tenant or None, work, *args, **kwargs)


def tenants_of(job: Job, tenants: Sequence[str]) -> list[str]:
    """Whom a job has runs for, of these tenants: '' is the whole deployment."""
    return [*(tenants if job.per_tenant else ()), *([""] if job.for_deployment or not job.per_tenant else ())]


def _role(tenant: str) -> Role:
    return "app" if tenant else "dispatcher"
