"""Jobs that rewrite the learnings of one scope after another: how they walk, and what they hold while they write.

Looking is done page by page with nothing held. Each unit that is found is rewritten in a transaction of its own, which holds
the subject, then the mailbox (where the learnings are one user's or session's), then the learnings in order of their ids, and
looks again at what it found: it may have changed.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.errors import SubjectClosed
from learning_stores.curator.job import Cursor, Job, JobContext, Step
from learning_stores.curator.mailbox_claim import claim_for_curator, release_claim
from learning_stores.operations import Provenance
from learning_stores.place import Place
from learning_stores.replay_mailbox import Box
from learning_stores.writing import lock_subject, record_change

SCOPES_AT_ONCE = 50

_WALK = text("""
    WITH RECURSIVE walk (scope, number) AS (
        (SELECT l.scope, 1 FROM learning.learning l
         WHERE l.tenant = :tenant AND l.store = :store AND l.status = 'active' AND l.scope > :after ORDER BY l.scope LIMIT 1)
        UNION ALL
        SELECT (SELECT l.scope FROM learning.learning l
                WHERE l.tenant = :tenant AND l.store = :store AND l.status = 'active' AND l.scope > w.scope
                ORDER BY l.scope LIMIT 1), w.number + 1
        FROM walk w WHERE w.scope IS NOT NULL AND w.number < :limit
    )
    SELECT scope FROM walk WHERE scope IS NOT NULL ORDER BY number
""")

_WHERE = text("""
    SELECT user_id, session_id, namespace FROM learning.learning
    WHERE tenant = :tenant AND scope = :scope AND store = :store AND status = 'active' LIMIT 1
""")


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What one transaction is to rewrite: learnings of one scope. `after` is the cursor once it is done.

    With `cases` a judge is asked about them first (`JudgedJob`).
    """

    scope: str
    ids: tuple[UUID, ...]
    after: Cursor
    looked_at: int
    reasons: tuple[str, ...] = ()  # for each id, where the job says why
    cases: tuple[Any, ...] = ()
    verdict: Any = None  # what was answered about the cases


@dataclass(frozen=True, kw_only=True)
class Page:
    """What was found: units in order, how much was looked at behind the last of them, and where to go on (None: the end)."""

    units: Sequence[Unit]
    looked_at: int
    cursor: Cursor | None
    report: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rewritten:
    """How many learnings a unit changed, and how."""

    changed: int
    report: Mapping[str, int]


class ScopeJob(Job):
    """Looks through a store's scopes, and rewrites what it finds there."""

    per_store = True

    def look(self, session: Session, context: JobContext, cursor: Cursor | None) -> Page:
        """What is next to be rewritten, from the cursor on; changes nothing."""
        raise NotImplementedError

    def rewrite(self, session: Session, context: JobContext, source: Provenance, unit: Unit) -> Rewritten:
        """Rewrite a unit, as far as it still is what it was when it was found. The subject and the mailbox are held."""
        raise NotImplementedError

    def page(self, context: JobContext, cursor: Cursor | None) -> Page:
        """What `look` finds, in a transaction of its own."""
        return context.read("app", self.look, context, cursor)

    def step(self, context: JobContext, cursor: Cursor | None) -> Step:
        """Rewrite the next unit; where none is known, look for some."""
        units: deque[Unit] = context.memo.setdefault("units", deque())
        if not units:
            if (rest := context.memo.pop("rest", None)) is None:
                page = self.page(context, cursor)
                units.extend(page.units)
                rest = Step(cursor=page.cursor, looked_at=page.looked_at, report=page.report)
                if units:
                    context.memo["rest"] = rest
            if not units:
                return context.commit("app", lambda _: rest)
        step = self.take(context, units)
        units.popleft()
        return step

    def take(self, context: JobContext, units: Sequence[Unit]) -> Step:
        """Do the first of these units."""
        return context.commit("app", lambda session: self.do(session, context, units[0]))

    def do(self, session: Session, context: JobContext, unit: Unit) -> Step:
        """Rewrite one unit, under what holds its subject and mailbox; nothing where that cannot be had."""
        found = place_of(session, context.tenant, context.run.store, unit.scope)
        if found is None:
            return Step(cursor=unit.after, looked_at=unit.looked_at)
        try:
            lock_subject(session, found)
        except SubjectClosed:
            return Step(cursor=unit.after, looked_at=unit.looked_at)
        claimed = None
        if found.namespace is None and found.subject is not None:
            claimed = claim_for_curator(session, box_of(found), f"curator:{context.run.id}")
            if claimed is None:
                return Step(cursor=unit.after, looked_at=unit.looked_at, report={"busy": 1})
        source = record_change(session, found, origin="curator", action=self.name, by=str(context.run.id))
        done = self.rewrite(session, context, source, unit)
        if not done.changed:
            session.execute(_NO_CHANGE, {"tenant": context.tenant, "id": source.made_by})
        if claimed is not None:
            release_claim(session, claimed)
        return Step(cursor=unit.after, looked_at=unit.looked_at, changed=done.changed, report=done.report)


_NO_CHANGE = text("DELETE FROM learning.change WHERE tenant = :tenant AND id = :id")


def scopes_after(session: Session, tenant: str, store: str, after: str, limit: int = SCOPES_AT_ONCE) -> list[str]:
    """The next scopes in which a store holds anything live."""
    values = {"tenant": tenant, "store": store, "after": after, "limit": limit}
    return list(session.scalars(_WALK, values))


def place_of(session: Session, tenant: str, store: str, scope: str) -> Place | None:
    """Whose scope it is, by any of its learnings; None where nothing is live there."""
    row = session.execute(_WHERE, {"tenant": tenant, "store": store, "scope": scope}).one_or_none()
    return None if row is None else Place(tenant=tenant, store=store, scope=scope, **row._mapping)


def box_of(place: Place) -> Box:
    """The mailbox whose extractions write to a place without namespace."""
    return Box(
        tenant=place.tenant,
        store=place.store,
        scope=place.scope,
        subject=place.subject or "",
        user_id=place.user_id,
        session_id=place.owner[1],
    )


def start(cursor: Cursor | None) -> tuple[str, Any]:
    """The scope and the place in it that a cursor names."""
    return ("", None) if cursor is None else (str(cursor["scope"]), cursor.get("part"))
