"""A curator in this process, runs and ticks by name, and what they left: for the tests of the curator."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from harness import Place, rows
from learning_stores.curator.job import Job
from learning_stores.curator.judging import Inquiry, Judge, Verdicts
from learning_stores.curator.runs import Run
from learning_stores.database import Database
from learning_stores.registry import installed
from learning_stores.settings import ServiceSettings
from learning_workers.curator import JOBS, Curator

Says = Callable[[dict[str, Any]], str]
"""What a judge says of a pair, as it was shown."""


class PairJudge:
    """A judge that says of each pair what the test says of it, and keeps what it was asked."""

    def __init__(self, says: Says) -> None:
        self.says = says
        self.inquiries: list[Inquiry] = []
        self.calls = 1
        self.cost_usd: Decimal | None = Decimal("0.001")

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Every pair, in order."""
        return [pair for inquiry in self.inquiries for pair in pairs_in(inquiry.data)]

    def ask(self, inquiry: Inquiry) -> Verdicts:
        """Answer each pair."""
        self.inquiries.append(inquiry)
        told = [{"pair": pair["id"], "verdict": self.says(pair)} for pair in pairs_in(inquiry.data)]
        answer = inquiry.answer.model_validate({"verdicts": told})
        assert inquiry.check(answer) is None
        return Verdicts(answer=answer, calls=self.calls, cost_usd=self.cost_usd)


def pairs_in(data: str) -> list[dict[str, Any]]:
    """The pairs of a question."""
    inside = data.split("<pairs>\n", 1)[1].split("\n</pairs>", 1)[0]
    return [json.loads(line) for line in inside.split("\n")]


class Curating:
    """Curators on one place; `settings` are what a new one is told besides the addresses."""

    def __init__(self, place: Place, db: Database, **settings: Any) -> None:
        self.place, self.db, self.told = place, db, settings
        self._made: list[Curator] = []
        self.judge: Judge | None = None

    def curator(
        self,
        jobs: Mapping[str, Job] = JOBS,
        *,
        owner: str = "here",
        judge: Judge | None = None,
        **settings: Any,
    ) -> Curator:
        """Another curator, as another process would be."""
        told = ServiceSettings.load(
            database_url=self.place.app_url,
            dispatcher_database_url=self.place.dispatcher_url,
            redis_url=self.place.redis_url,
            **{**self.told, **settings},
        )
        made = Curator(told, installed(), owner, jobs, judge or self.judge)
        self._made.append(made)
        return made

    def close(self) -> None:
        """Close every curator."""
        for each in self._made:
            each.close()

    def run(self, job: str, store: str = "", tenant: str = "default", *, dry_run: bool = False, **settings: Any) -> Run:
        """Run one job from beginning to end, as somebody who asks for it."""
        curator = self.curator(**settings)
        return curator.drive(curator.ask(job, tenant, store, by="test", dry_run=dry_run))

    def runs(self, job: str | None = None) -> list[dict[str, Any]]:
        """The rows of runs."""
        query = "SELECT * FROM learning.curator_run WHERE cast(:j AS text) IS NULL OR job = :j ORDER BY tenant, job, store, tick"
        return rows(self.db, query, j=job)

    def change(self, statement: str, **values: Any) -> None:
        """Change rows, as the superuser."""
        from sqlalchemy import text

        with self.db.engine.begin() as connection:
            connection.execute(text(statement), values)

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table but the runs': what a dry run must leave alone."""
        tables = rows(
            self.db,
            "SELECT relname FROM pg_class WHERE relnamespace = 'learning'::regnamespace AND relkind = 'r' "
            "AND relname NOT IN ('curator_run', 'alembic_version') ORDER BY 1",
        )
        return {
            table["relname"]: rows(self.db, f"SELECT to_jsonb(t) AS row FROM learning.{table['relname']} t ORDER BY 1")
            for table in tables
        }


def at(text: str) -> datetime:
    """A moment, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
