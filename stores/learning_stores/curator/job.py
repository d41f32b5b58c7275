"""What a job is: a name, whether it runs for each tenant and each store, and a step.

A step is one bounded unit. It may read, and ask a model, with no connection held; then it writes in one short transaction
(`JobContext.commit`), in which the run's cursor is moved on under the run's token.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Concatenate, Literal, ParamSpec, TypeVar

from sqlalchemy.orm import Session

from learning_stores.attempts import attempted
from learning_stores.curator.judging import Judge
from learning_stores.curator.runs import Run, advance
from learning_stores.database import Database
from learning_stores.settings import ServiceSettings
from learning_stores.store import LearningStore

P = ParamSpec("P")
T = TypeVar("T")

Role = Literal["app", "dispatcher"]
Cursor = Mapping[str, Any]
"""Where a run goes on: JSON. It is gone when the run ends, because it may name somebody."""


class RunLost(Exception):
    """Another worker has this run now, or it was cancelled: what this step did was rolled back."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one unit did. `cursor` None: there is no more. Numbers in `report` are added up, words replace each other.

    `cost_usd` None: the price of one of its calls is not known. With `warns` the report goes into the log as a warning.
    """

    cursor: Cursor | None
    looked_at: int = 0
    changed: int = 0
    report: Mapping[str, int | str] = field(default_factory=dict)
    model_calls: int = 0
    cost_usd: Decimal | None = Decimal(0)
    warns: bool = False


class JobContext:
    """What a job's steps have: the run, the databases by role, settings, and `memo`.

    `memo` is kept between the steps of one process and is empty after a kill: what it holds can be found again.
    """

    def __init__(
        self,
        run: Run,
        databases: Callable[[Role], Database],
        settings: ServiceSettings,
        stores: Mapping[str, LearningStore],
        judge: Judge | None = None,
    ) -> None:
        self.run = run
        self.settings = settings
        self.stores = stores
        self.judge = judge
        """Answers what rules cannot decide; None where no model is configured, and for jobs that do not ask."""
        self.memo: dict[str, Any] = {}
        self._databases = databases

    @property
    def tenant(self) -> str:
        """Whose upkeep it is."""
        return self.run.tenant

    @property
    def dry_run(self) -> bool:
        """Whether nothing may change. What `commit` writes is rolled back then; what is not in Postgres is the job's to leave."""
        return self.run.dry_run

    @property
    def calls_left(self) -> int:
        """How many model calls this run may still make."""
        return max(0, self.settings.curator_max_calls - self.run.model_calls)

    def read(
        self,
        role: Role,
        work: Callable[Concatenate[Session, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """What `work(session, …)` reads, in a transaction of its own."""
        return self._databases(role).run(self._tenant(role), work, *args, **kwargs)

    def commit(self, role: Role, work: Callable[[Session], Step]) -> Step:
        """Run `work` in one transaction and move the run on in it; once a step. Raises `RunLost`."""
        with self._databases(role).transaction(self._tenant(role)) as session:
            if self.dry_run:
                rehearsal = session.begin_nested()
                try:
                    step = attempted(session, lambda: work(session))
                finally:
                    rehearsal.rollback()
            else:
                step = attempted(session, lambda: work(session))
            moved = self.run.after(step)
            if not advance(session, moved):
                raise RunLost(str(self.run.id))
        self.run = moved
        return step

    def _tenant(self, role: Role) -> str | None:
        return self.run.tenant if role == "app" else None


class Job:
    """One kind of upkeep. Subclasses keep no state: one instance serves every run."""

    name: ClassVar[str]
    per_tenant: ClassVar[bool] = True
    """False: once for the whole deployment, its tenant being ''."""
    per_store: ClassVar[bool] = False
    for_deployment: ClassVar[bool] = False
    """Of a job for each tenant: whether there is a run for the whole deployment besides."""
    asks: ClassVar[bool] = False
    """Whether it asks a judge. A dry run asks nobody: it tells what it would have asked about."""

    def step(self, context: JobContext, cursor: Cursor | None) -> Step:
        """Do one bounded unit from here on; calls `context.commit` once and returns what that returned."""
        raise NotImplementedError
