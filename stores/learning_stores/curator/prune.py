"""The job `prune`: ends what a store's policy says is too old, too many, too unsure, never recalled, or no longer true.

The policy is the one of the spec that was registered last of those that name the store. What a person stated or approved, and
what an undo brought back after the curator had ended it, ends only by its `valid_to`; so do the kinds that a store says are no
matter of age and number, such as the fields of a profile.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.spec import Prune as Policy
from learning_stores.curator.job import Cursor, JobContext
from learning_stores.curator.retiring import BROUGHT_BACK, EXPIRED, PRUNED, lock_live, retire
from learning_stores.curator.scopes import Page, Rewritten, ScopeJob, Unit, scopes_after, start
from learning_stores.latest_terms import latest_terms
from learning_stores.operations import Provenance

AT_ONCE = 1_000
"""Learnings that one transaction ends."""
FOUND_AT_ONCE = 20_000
"""Learnings of one scope that are found by one look at all of it."""

_TOO_MANY = f"{PRUNED}: count"

# `used` is when a learning was last learned or recalled. Of those that stay, the ones used last are within the count, and what
# may not be pruned is before them. What was said again since counts as young.
_JUDGED = f"""
    WITH held AS (
        SELECT l.scope, l.id, l.live_from, l.valid_to, l.confidence, c.last_recalled_at, l.kind = ANY (:kept) AS kept,
               l.kind = ANY (:kept) OR l.origin = 'human' OR l.decided_by IS NOT NULL OR {BROUGHT_BACK} AS stays
        FROM learning.learning l
        LEFT JOIN learning.recall_count c ON c.tenant = l.tenant AND c.learning_id = l.id
        WHERE l.tenant = :tenant AND {{which}}
    ),
    judged AS (
        SELECT h.*, greatest(h.live_from, h.last_recalled_at) AS used, CASE
            WHEN h.valid_to < now() THEN '{EXPIRED}'
            WHEN h.stays THEN NULL
            WHEN h.confidence < cast(:min_confidence AS real) THEN '{PRUNED}: confidence'
            WHEN h.live_from < now() - cast(:max_age AS interval) AND NOT EXISTS (
                SELECT FROM learning.evidence v
                WHERE v.tenant = :tenant AND v.learning_id = h.id AND v.withdrawn_at IS NULL
                  AND v.added_at >= now() - cast(:max_age AS interval)) THEN '{PRUNED}: age'
            WHEN h.live_from < now() - cast(:unused AS interval)
                 AND coalesce(h.last_recalled_at < now() - cast(:unused AS interval), true) THEN '{PRUNED}: never recalled'
            END AS reason
        FROM held h
    ),
    numbered AS (
        SELECT j.*, row_number() OVER (PARTITION BY j.scope, j.kept, j.reason IS NULL
                                       ORDER BY j.stays DESC, j.used DESC, j.id DESC) AS place
        FROM judged j
    ),
    ended AS (
        SELECT n.scope, n.id, coalesce(n.reason, CASE
            WHEN NOT n.stays AND n.place > cast(:max_count AS bigint) THEN '{_TOO_MANY}' END) AS reason
        FROM numbered n
    )
"""  # noqa: S608 - made of constants

_ALL = _JUDGED.format(which="l.store = :store AND l.status = 'active' AND l.scope = ANY (:scopes)")
_LOCKED = _JUDGED.format(which="l.id = ANY (:ids)")

_FIND = text(f"""{_ALL}
    SELECT e.scope, count(*) AS looked_at,
           (array_agg(e.id ORDER BY e.id) FILTER (WHERE e.reason IS NOT NULL AND e.id > b.part))[1:{FOUND_AT_ONCE}] AS ids,
           (array_agg(e.reason ORDER BY e.id) FILTER (WHERE e.reason IS NOT NULL AND e.id > b.part))[1:{FOUND_AT_ONCE}] AS reasons
    FROM ended e
    CROSS JOIN LATERAL (SELECT CASE WHEN e.scope = :begun THEN cast(:part AS uuid) ELSE '{UUID(int=0)}' END AS part) AS b
    GROUP BY e.scope ORDER BY e.scope
""")  # noqa: S608 - made of constants

# Of the learnings that are locked alone: all but the count of their scope, which `_COUNT` tells.
_AGAIN = text(f"""{_LOCKED}
    SELECT n.id, n.reason, n.stays, coalesce(n.last_recalled_at > :since, false) AS recalled FROM numbered n ORDER BY n.id
""")  # noqa: S608 - made of constants

_COUNT = text("""
    SELECT count(*) FROM learning.learning l
    WHERE l.tenant = :tenant AND l.store = :store AND l.scope = :scope AND l.status = 'active' AND NOT l.kind = ANY (:kept)
""")

_FIRST = str(UUID(int=0))


class Prune(ScopeJob):
    """One transaction ends at most `AT_ONCE` learnings of one scope."""

    name = "prune"

    def look(self, session: Session, context: JobContext, cursor: Cursor | None) -> Page:
        """The next scopes, and in each of them the first learnings to end."""
        begun, part = start(cursor)
        scopes = scopes_after(session, context.tenant, context.run.store, begun)
        asked = ([begun] if part is not None else []) + scopes
        if not asked:
            return Page(units=(), looked_at=0, cursor=None)
        values = {**self._values(session, context, asked), "begun": begun, "part": part or _FIRST}
        units, looked_at = [], 0
        for row in session.execute(_FIND, values):
            looked_at += 0 if part is not None and row.scope == begun else row.looked_at
            found = list(zip(row.ids or (), row.reasons or (), strict=True))
            more = len(found) == FOUND_AT_ONCE
            for first in range(0, len(found), AT_ONCE):
                chosen = found[first : first + AT_ONCE]
                last = not more and first + AT_ONCE >= len(found)
                after = {"scope": row.scope} if last else {"scope": row.scope, "part": str(chosen[-1][0])}
                units.append(
                    Unit(
                        scope=row.scope,
                        ids=tuple(learning for learning, _ in chosen),
                        reasons=tuple(reason for _, reason in chosen),
                        after=after,
                        looked_at=looked_at,
                    )
                )
                looked_at = 0
            if more:  # the rest of this scope first
                return Page(units=units, looked_at=0, cursor=units[-1].after)
        return Page(units=units, looked_at=looked_at, cursor={"scope": scopes[-1]} if scopes else None)

    def rewrite(self, session: Session, context: JobContext, source: Provenance, unit: Unit) -> Rewritten:
        """End those of the unit that the policy ends still."""
        live = lock_live(session, source, unit.ids)
        if not live:
            return Rewritten(changed=0, report={})
        values = {**self._values(session, context, [unit.scope]), "ids": live, "scope": unit.scope}
        found = dict(zip(unit.ids, unit.reasons, strict=True))
        reasons, surplus = {}, []
        for row in session.execute(_AGAIN, {**values, "since": context.run.began_at}):
            if row.reason is not None:
                reasons[row.id] = row.reason
            elif found[row.id] == _TOO_MANY and not row.stays and not row.recalled:
                surplus.append(row.id)
        if surplus:
            # What ended meanwhile, or ends here, has made room for some of them.
            room = int(session.scalar(_COUNT, values) or 0) - len(reasons) - values["max_count"]
            reasons |= dict.fromkeys(surplus[: max(0, room)], _TOO_MANY)
        retire(session, source, {learning: (reason, None) for learning, reason in reasons.items()})
        return Rewritten(changed=len(reasons), report=Counter(reasons.values()))

    def _values(self, session: Session, context: JobContext, scopes: Sequence[str]) -> dict[str, Any]:
        store = context.run.store
        policy, kept = _policy(session, context)
        return {
            "tenant": context.tenant,
            "store": store,
            "scopes": list(scopes),
            "kept": kept,
            "min_confidence": policy.min_confidence,
            "max_age": _days(policy.max_age_days),
            "unused": _days(policy.never_recalled_days),
            "max_count": policy.max_count,
        }


def _policy(session: Session, context: JobContext) -> tuple[Policy, list[str]]:
    """The store's policy, read once a run, and the kinds that it does not touch."""
    if "policy" not in context.memo:
        store = context.stores.get(context.run.store)
        terms = None if store is None else latest_terms(session, context.tenant, store)
        policy = (terms.spec.prune if terms is not None else None) or Policy()
        context.memo["policy"] = policy, sorted(store.kept_kinds) if store is not None else []
    found: tuple[Policy, list[str]] = context.memo["policy"]
    return found


def _days(number: float | None) -> timedelta | None:
    return None if number is None else timedelta(days=number)
