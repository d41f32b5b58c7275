"""The job `reembed`: every live learning gets its vector of the model that serves, and vectors of models that served before go.

The model that serves is the one that LEARNING_EMBEDDING_MODEL names for the curator. What lacks its vector is put on the work list
of the workers that embed, which is also where budgets and the provider's limits hold. Once nothing lacks it, the tenant can be
read with it. A model that came before it is dropped when it has been read with for `KEPT_DAYS`: until then agents that name the
one before still find by it. One that came after it stays: somebody moves to that one.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.curator.job import Cursor, Job, JobContext, Step
from learning_stores.embedding_coverage import drop_model
from learning_stores.embeddings import LACKS, begin, switch

LEARNINGS_AT_ONCE = 5_000
VECTORS_AT_ONCE = 10_000
KEPT_DAYS = 7.0

_FIRST = UUID(int=0)
_LIVE = "l.tenant = :tenant AND l.status = 'active' AND l.kind <> 'alias'"
_MODEL = "(SELECT cast(:model AS text) AS model) AS m"

_ANY = text(f"SELECT EXISTS (SELECT FROM learning.learning l WHERE {_LIVE})")  # noqa: S608 - a constant
_KNOWN = text("SELECT EXISTS (SELECT FROM learning.embedding_model WHERE tenant = :tenant AND model = :model)")

_PUT = text(f"""
    WITH page AS MATERIALIZED (
        SELECT l.tenant, l.id FROM learning.learning l WHERE {_LIVE} AND l.id > :after ORDER BY l.id LIMIT :limit
    ),
    put AS (
        INSERT INTO learning.embedding_due (tenant, learning_id)
        SELECT l.tenant, l.id FROM page l CROSS JOIN {_MODEL} WHERE {LACKS} ORDER BY l.id
        ON CONFLICT DO NOTHING RETURNING true
    )
    SELECT (SELECT count(*) FROM page) AS looked_at, (SELECT count(*) FROM put) AS put,
           (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last
""")  # noqa: S608 - made of constants

# What may be dropped: nothing where the model that serves is not complete, or is not read with for long enough.
_OVER = text(f"""
    SELECT o.model FROM learning.embedding_model o
    JOIN learning.embedding_model s ON s.tenant = o.tenant AND s.model = :model
    WHERE o.tenant = :tenant AND o.model <> s.model AND o.since < s.since AND s.state = 'reading'
      AND s.since < now() - cast(:kept AS interval)
      AND NOT EXISTS (SELECT FROM learning.learning l CROSS JOIN {_MODEL} WHERE {_LIVE} AND {LACKS})
    ORDER BY o.model
""")  # noqa: S608 - made of constants

# Those of these models, and those that an earlier run or command was ended at.
_REMOVE = text("""
    WITH page AS MATERIALIZED (
        SELECT v.learning_id, v.model FROM learning.learning_embedding v
        WHERE v.tenant = :tenant AND (v.learning_id, v.model) > (cast(:after_id AS uuid), :after_model)
        ORDER BY v.learning_id, v.model LIMIT :limit
    ),
    gone AS (
        DELETE FROM learning.learning_embedding v USING page p
        WHERE v.tenant = :tenant AND v.learning_id = p.learning_id AND v.model = p.model
          AND (v.model = ANY (:over) OR NOT EXISTS (
              SELECT FROM learning.embedding_model m WHERE m.tenant = v.tenant AND m.model = v.model))
        RETURNING true
    )
    SELECT (SELECT count(*) FROM page) AS looked_at, (SELECT count(*) FROM gone) AS removed, last.learning_id, last.model
    FROM (SELECT learning_id, model FROM page ORDER BY learning_id DESC, model DESC LIMIT 1) AS last
""")


class Reembed(Job):
    """Parts, each in bounded steps: `put` what lacks a vector on the work list, `turn` to the model, remove `vectors`."""

    name = "reembed"

    def step(self, context: JobContext, cursor: Cursor | None) -> Step:
        """The next batch."""
        serving = context.settings.embedding_endpoint()
        if serving is None:
            return context.commit("app", lambda _: Step(cursor=None, report={"skipped": "no embedding model"}))
        model, dimensions = serving.name, serving.dimensions
        part, after = ("put", None) if cursor is None else (str(cursor["part"]), cursor["after"])

        def work(session: Session) -> Step:
            if part == "put":
                if cursor is None and not _begun(session, context.tenant, model, dimensions):
                    return Step(cursor=_vectors([], None))
                return _put(session, context.tenant, model, after)
            if part == "turn":
                return _turn(session, context.tenant, model)
            return _remove(session, context.tenant, list((cursor or {})["over"]), after)

        return context.commit("app", work)


def _begun(session: Session, tenant: str, model: str, dimensions: int | None) -> bool:
    """Whether the tenant is embedded with the model; one that remembers something is from now on."""
    key = {"tenant": tenant, "model": model}
    if session.scalar(_KNOWN, key):
        return True
    if session.scalar(_ANY, key):
        begin(session, tenant, model, dimensions)
        return True
    return False


def _put(session: Session, tenant: str, model: str, after: str | None) -> Step:
    values = {"tenant": tenant, "model": model, "after": after or _FIRST, "limit": LEARNINGS_AT_ONCE}
    row = session.execute(_PUT, values).one()
    more = row.looked_at == LEARNINGS_AT_ONCE
    return Step(
        cursor={"part": "put", "after": str(row.last)} if more else {"part": "turn", "after": None},
        looked_at=row.looked_at,
        changed=row.put,
        report={"put_on_the_list": row.put} if row.put else {},
    )


def _turn(session: Session, tenant: str, model: str) -> Step:
    """Read with the model where nothing lacks it, and drop those that it has taken the place of."""
    report: dict[str, int | str] = {}
    if switch(session, tenant, model):
        report["reading"] = model
    kept = timedelta(days=KEPT_DAYS)
    over = list(session.scalars(_OVER, {"tenant": tenant, "model": model, "kept": kept}))
    for each in over:
        drop_model(session, tenant, each)
    if over:
        report["dropped"] = ", ".join(over)
    return Step(cursor=_vectors(over, None), changed=len(over) + len(report.keys() & {"reading"}), report=report)


def _remove(session: Session, tenant: str, over: list[str], after: Any) -> Step:
    learning, model = after or (str(_FIRST), "")
    values = {"tenant": tenant, "over": over, "after_id": learning, "after_model": model, "limit": VECTORS_AT_ONCE}
    row = session.execute(_REMOVE, values).one_or_none()
    if row is None:
        return Step(cursor=None)
    last = [str(row.learning_id), row.model] if row.looked_at == VECTORS_AT_ONCE else None
    return Step(
        cursor=None if last is None else _vectors(over, last),
        looked_at=row.looked_at,
        changed=row.removed,
        report={"vectors_removed": row.removed} if row.removed else {},
    )


def _vectors(over: list[str], after: list[str] | None) -> Cursor:
    # By name, because a dry run drops no model and is to count its vectors.
    return {"part": "vectors", "over": over, "after": after}
