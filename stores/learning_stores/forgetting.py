"""Forgetting a user, a session or an event: everything that was said and everything that was learned from it.

Why nothing survives. Every writer for a subject holds its row FOR SHARE; the first transaction (`forgetting_begin`) holds it FOR
UPDATE, raises its generation, ends what is under way, and commits before anything is deleted. So a writer has committed before
it, and the deletion sees what it wrote; or it comes later, and its token, its delivery or its event's date no longer holds.

Whoever copies evidence, for another user or a person, need not hold that subject; but they hold the learning that they copy from.
Each batch locks the learnings that it deletes from, and looks at their evidence in a later statement. A copier that came first has
committed by then, and its copy, which keeps subject, event and moment of the original, is found by the next scan; one that comes
later finds nothing to copy. So scans are repeated until one finds nothing, and the last of them begins after the last deletion.

Deletion runs in short transactions, each of which leaves things whole. After a kill, asking again goes on from what is left.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import UUID

import psycopg
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from learning_schemas.errors import NotForgotten
from learning_stores.database import Database
from learning_stores.forgetting_begin import begin, target_of
from learning_stores.forgetting_entities import forget_own_entities
from learning_stores.forgetting_learnings import Samples, forget_learnings
from learning_stores.forgetting_log import forget_events, forget_rejected, forget_sources, forget_strays
from learning_stores.forgetting_receipt import BEYOND_REACH, ForgetReceipt
from learning_stores.forgetting_search import look_for, look_for_words
from learning_stores.forgetting_target import Scope, Target
from learning_stores.subjects import TOLERANCE

T = TypeVar("T")

ROUNDS = 50
_TRIES = 20
_PAUSE_SECONDS = 0.05
_CLASHES = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.UniqueViolation,
    psycopg.errors.ForeignKeyViolation,  # somebody referred to what was being deleted
    psycopg.errors.LockNotAvailable,
)

Progress = Callable[[Counter[str]], None]


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What was removed beyond the database, by place, and what could not be reached."""

    counts: Counter[str]
    unreached: tuple[str, ...] = ()


_COUNTS = text("SELECT counts FROM learning.forgetting WHERE tenant = :tenant AND id = :id FOR UPDATE")
_ADD_COUNTS = text("UPDATE learning.forgetting SET counts = cast(:counts AS jsonb) WHERE tenant = :tenant AND id = :id")
_FINISH = text("""
    UPDATE learning.forgetting SET finished_at = clock_timestamp() WHERE tenant = :tenant AND id = :id
    RETURNING began_at, finished_at, counts, closed
""")
_RECEIPT = text("UPDATE learning.forgetting SET receipt = cast(:receipt AS jsonb) WHERE tenant = :tenant AND id = :id")


def forget(
    database: Database,
    target: Target,
    *,
    close: bool = False,
    by: str | None = None,
    outside: Callable[[Scope], Outside] | None = None,
    progress: Progress | None = None,
) -> ForgetReceipt:
    """Forget it, and say what was done. `outside` removes what has not reached the database yet; called after the beginning.

    Raises `NotForgotten` where writers that do not keep to the locks bring things back all the time.
    """
    job = _Job(database, target.tenant, progress)
    scope = job.run(lambda session: begin(session, target, close=close, by=by))
    beyond = outside(scope) if outside is not None else Outside(counts=Counter())
    job.count(scope, beyond.counts)
    samples: Samples = []
    for _ in range(ROUNDS):
        found = job.settle(scope, samples)
        if found:
            continue  # the last scan is one that began after the last deletion
        job.drain(scope, forget_sources)
        job.count(scope, Counter(rejected_event=job.run(lambda session: forget_rejected(session, scope))))
        if not any((left := job.run(lambda session: look_for(session, scope))).values()):
            words = job.words(scope, samples)
            return job.finish(scope, left, words, beyond)
    raise NotForgotten(ROUNDS)


def planned(session: Session, target: Target) -> Counter[str]:
    """What a forgetting would find now, by table; nothing is changed."""
    at = session.scalar(text("SELECT clock_timestamp()"))
    assert at is not None
    from learning_stores.registry import installed

    building = tuple(name for name, store in installed().items() if not store.accumulates)
    return look_for(session, Scope(target=target, forgetting_id=UUID(int=0), at=at, building=building))


class _Job:
    """The transactions of one forgetting."""

    def __init__(self, database: Database, tenant: str, progress: Progress | None) -> None:
        self._database = database
        self._tenant = tenant
        self._progress = progress

    def run(self, work: Callable[[Session], T]) -> T:
        """What the work returns, in a transaction of its own; run again where somebody else came between."""
        for left in range(_TRIES - 1, -1, -1):
            try:
                return self._database.run(self._tenant, work)
            except DBAPIError as error:
                if not left or not isinstance(error.orig, _CLASHES):
                    raise
                time.sleep(_PAUSE_SECONDS)
        raise AssertionError("unreachable")

    def count(self, scope: Scope, counts: Counter[str]) -> None:
        """Add to the counts of the forgetting."""
        if +counts:
            self.run(lambda session: _count(session, scope, counts))
            self._tell(counts)

    def drain(self, scope: Scope, step: Callable[[Session, Scope], Counter[str]]) -> int:
        """Take batch after batch until there is no more; how much there was."""
        total = 0
        while counts := self.run(lambda session: _counted(session, scope, step(session, scope))):
            total += sum(counts.values())
            self._tell(counts)
        return total

    def settle(self, scope: Scope, samples: Samples) -> int:
        """One round over learnings and events; how much it found."""
        found = 0
        taken: Samples = []

        def learnings(session: Session, of: Scope) -> Counter[str]:
            taken.clear()  # a transaction that is run again begins anew
            return forget_learnings(session, of, taken)

        while batch := self.run(lambda session: _counted(session, scope, learnings(session, scope))):
            samples += taken[: max(0, 200 - len(samples))]
            found += sum(batch.values())
            self._tell(batch)
        found += self.drain(scope, forget_events)
        for counts in self._strays(scope):
            found += sum(counts.values())
        entities = self.run(
            lambda session: _counted(session, scope, Counter(entity=forget_own_entities(session, scope)))
        )
        return found + sum(entities.values())

    def _strays(self, scope: Scope) -> Iterator[Counter[str]]:
        counts, cursor = self.run(lambda session: forget_strays(session, scope))
        while cursor is not None:
            self.count(scope, counts)
            yield counts
            at = cursor
            counts, cursor = self.run(lambda session, at=at: forget_strays(session, scope, at))  # type: ignore[misc]  # bound on purpose

    def words(self, scope: Scope, samples: Samples) -> int | None:
        """Learnings in words that were deleted, with nobody's evidence; None where looking took too long."""
        try:
            return self.run(lambda session: look_for_words(session, scope, samples))
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.errors.QueryCanceled):
                return None
            raise

    def finish(self, scope: Scope, left: Counter[str], words: int | None, beyond: Outside) -> ForgetReceipt:
        """Close the books."""
        return self.run(lambda session: _finish(session, scope, left, words, beyond))

    def _tell(self, counts: Counter[str]) -> None:
        if self._progress is not None:
            self._progress(counts)


def _counted(session: Session, scope: Scope, counts: Counter[str]) -> Counter[str]:
    """The counts, after they were added to the forgetting's in the transaction that did the work."""
    counts = +counts
    if counts:
        _count(session, scope, counts)
    return counts


def _count(session: Session, scope: Scope, counts: Counter[str]) -> None:
    key = {"tenant": scope.target.tenant, "id": scope.forgetting_id}
    before = Counter(session.scalar(_COUNTS, key) or {})
    before.update(counts)
    session.execute(_ADD_COUNTS, {**key, "counts": to_json(dict(before)).decode()})


def _finish(session: Session, scope: Scope, left: Counter[str], words: int | None, beyond: Outside) -> ForgetReceipt:
    key = {"tenant": scope.target.tenant, "id": scope.forgetting_id}
    row = session.execute(_FINISH, key).one()
    target = scope.target
    receipt = ForgetReceipt(
        id=scope.forgetting_id,
        tenant=target.tenant,
        user_id=target.user_id,
        session_id=target.session_id,
        event_id=target.event_id,
        closed=row.closed,
        began_at=row.began_at,
        finished_at=row.finished_at,
        counts=dict(sorted(row.counts.items())),
        found={**left, "learnings in the same words, said by nobody": words},
        beyond_reach=(*beyond.unreached, *BEYOND_REACH),
        refused_before=None if target.kind == "event" else scope.at + TOLERANCE,
    )
    # Kept without names: the row says which subject it was.
    kept = replace(receipt, user_id=None, session_id=None)
    session.execute(_RECEIPT, {**key, "receipt": to_json(kept).decode()})
    return receipt


__all__ = ["ForgetReceipt", "Outside", "forget", "planned", "target_of"]
