"""The job `deduplicate`: of live learnings that say the same, one stays and has the evidence of all.

First what differs only in its writing: the same kind, the same entities, and the same words and data once case, forms of
characters, white space, quotation marks and punctuation at the ends of words are folded away. Then neighbours, of which a judge
says whether they state the same. What a store keeps one value of (`kept_kinds`, as the fields of a profile) is left as it is.
"""

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.curator.job import Cursor, JobContext
from learning_stores.curator.merging import merge
from learning_stores.curator.neighbours import Pair, Where
from learning_stores.curator.pairs import PairJob, Ranked, SameVerdicts
from learning_stores.curator.retiring import BROUGHT_BACK, lock_live
from learning_stores.curator.scopes import Page, Rewritten, Unit, scopes_after, start
from learning_stores.grounding import fold
from learning_stores.operations import Provenance

AT_ONCE = 200
"""Learnings that one transaction looks at again and merges."""
ROWS_AT_ONCE = 5_000
ROWS_A_PAGE = 50_000
"""A page ends behind the scope with which it has read so many."""

# Aliases are a matter of their entities; and two fields that differ only in case are two fields, whatever their values.
_ROWS = f"""
    SELECT l.id, l.kind, l.about, l.target, l.content, l.data, l.origin = 'human' OR l.decided_by IS NOT NULL AS by_person,
           l.valid_from
    FROM learning.learning l
    WHERE l.tenant = :tenant AND {{which}} AND l.kind <> 'alias' AND l.kind <> ALL (:kept) AND NOT {BROUGHT_BACK}
    ORDER BY l.id LIMIT :limit
"""  # noqa: S608 - made of constants
_PAGE = text(
    _ROWS.format(which="l.store = :store AND l.scope = :scope AND l.status = 'active' AND l.id > cast(:after AS uuid)")
)
_LOCKED = text(_ROWS.format(which="l.id = ANY (:ids)"))

# A quotation mark behind a number is a measure's. A raised number is no other number's last figure, as folding would have it.
_AT_WORDS_END = re.compile(r"""(?:[.,;:!…)\]}]|(?<!\d)["'])+(?=\s|$)|(?<!\S)[(\[{"']+""")
_RAISED = re.compile("[\u2070-\u2079\u2080-\u2089\u00b9\u00b2\u00b3]+")


def normal(words: str) -> str:
    """Words as they are compared. Equal for equal statements that are only written differently."""
    return " ".join(_AT_WORDS_END.sub("", fold(_RAISED.sub(r"^\g<0> ", words))).split())


def _normal_data(value: Any) -> Any:
    if isinstance(value, str):
        return normal(value)
    if isinstance(value, list):
        return [_normal_data(each) for each in value]
    if isinstance(value, dict):
        return {name: _normal_data(value[name]) for name in sorted(value)}
    return value


def digest(row: Any) -> bytes:
    """What two rows share that say the same."""
    said = [row.kind, str(row.about), str(row.target), normal(row.content), _normal_data(row.data)]
    return blake2b(to_json(said), digest_size=16).digest()


class Deduplicate(PairJob):
    """Reads a scope whole, keeping a digest for each learning, and merges some groups a transaction; then asks about neighbours."""

    name = "deduplicate"
    prompt = "curator_same"
    form = "curator_same_verdicts"
    answer: ClassVar[type[BaseModel]] = SameVerdicts

    def is_case(self, pair: Pair) -> bool:
        """Whether the two differ in more than their writing, and no person stands behind both."""
        return not (pair.older.by_person and pair.newer.by_person) and digest(pair.older) != digest(pair.newer)

    def page(self, context: JobContext, cursor: Cursor | None) -> Page:
        """The groups of equal learnings of the next scopes; behind the last scope, the neighbours, from the first on."""
        if cursor is not None and cursor.get("near"):
            return super().page(context, cursor)
        page = context.read("app", self.look, context, cursor)
        return page if page.cursor is not None else replace(page, cursor=self.cursor(""))

    def open_pairs(self, context: JobContext, where: Where, part: str | None) -> tuple[deque[Ranked], int]:
        """The same; its statements were counted before."""
        return super().open_pairs(context, where, part)[0], 0

    def cursor(self, scope: str, part: str | None = None) -> Cursor:
        """The same, among the neighbours."""
        return {**super().cursor(scope, part), "near": True}

    def look(self, session: Session, context: JobContext, cursor: Cursor | None) -> Page:
        """The groups of equal learnings of the next scopes."""
        begun, part = start(cursor)
        scopes = scopes_after(session, context.tenant, context.run.store, begun)
        asked = ([begun] if part is not None else []) + scopes
        units: list[Unit] = []
        looked_at = 0
        total = 0
        for scope in asked:
            groups, read = self._groups(session, context, scope)
            again = part is not None and scope == begun
            looked_at += 0 if again else read
            total += read
            for chosen in _chunks((key, ids) for key, ids in sorted(groups.items()) if not again or key.hex() > part):
                ids = tuple(each for _, group in chosen for each in group)
                after = {"scope": scope, "part": chosen[-1][0].hex()}
                units.append(Unit(scope=scope, ids=ids, after=after, looked_at=looked_at))
                looked_at = 0
            if total >= ROWS_A_PAGE:
                return Page(units=units, looked_at=looked_at, cursor={"scope": scope})
        return Page(units=units, looked_at=looked_at, cursor={"scope": scopes[-1]} if scopes else None)

    def rewrite(self, session: Session, context: JobContext, source: Provenance, unit: Unit) -> Rewritten:
        """Merge those of the unit that are live, and equal still or judged to be the same."""
        live = lock_live(session, source, unit.ids)
        if unit.cases:
            return self._judged(session, context, source, unit, live)
        values = {**self._where(context, unit.scope), "ids": live, "limit": len(live)}
        groups: dict[bytes, list[Any]] = defaultdict(list)
        for row in session.execute(_LOCKED, values):
            groups[digest(row)].append(row)
        merged: dict[UUID, UUID] = {}
        for rows in groups.values():
            stays, *others = sorted(rows, key=_rank, reverse=True)
            merged |= {other.id: stays.id for other in others}
        return _rewritten(merged, merge(session, source, merged))

    def _judged(
        self, session: Session, context: JobContext, source: Provenance, unit: Unit, live: Sequence[UUID]
    ) -> Rewritten:
        """Only what was judged of two is done to them: one that goes takes no third along, which is for the next run."""
        found, counts = self.standing(session, context, unit, live)
        same = [sorted(pair, key=_rank) for pair, verdict in found if verdict == "same"]
        merged: dict[UUID, UUID] = {}
        for goes, stays in sorted(same, key=lambda each: (_rank(each[1]), _rank(each[0])), reverse=True):
            if goes.id not in merged and stays.id not in merged:
                merged[goes.id] = stays.id
        done = _rewritten(merged, merge(session, source, merged))
        judged = {verdict: number for verdict, number in counts.items() if verdict != "same"}
        return Rewritten(changed=done.changed, report={**done.report, **judged})

    def _groups(self, session: Session, context: JobContext, scope: str) -> tuple[dict[bytes, list[UUID]], int]:
        found: dict[bytes, list[UUID]] = defaultdict(list)
        after, read = UUID(int=0), 0
        while True:
            values = {**self._where(context, scope), "after": after, "limit": ROWS_AT_ONCE}
            rows: Sequence[Any] = session.execute(_PAGE, values).all()
            for row in rows:
                found[digest(row)].append(row.id)
            read += len(rows)
            if len(rows) < ROWS_AT_ONCE:
                return {key: ids for key, ids in found.items() if len(ids) > 1}, read
            after = rows[-1].id

    def _where(self, context: JobContext, scope: str) -> dict[str, Any]:
        kept = sorted(context.stores[context.run.store].kept_kinds)
        return {"tenant": context.tenant, "store": context.run.store, "scope": scope, "kept": kept}


def _rank(row: Any) -> tuple[bool, datetime, UUID]:
    """What a person stated stays before what was extracted; of the rest what was said last, which nothing older outranks."""
    return row.by_person, row.valid_from, row.id


def _rewritten(merged: Mapping[UUID, UUID], copied: int) -> Rewritten:
    return Rewritten(changed=len(merged), report={"merged": len(merged), "evidence_copied": copied} if merged else {})


def _chunks(groups: Iterable[tuple[bytes, list[UUID]]]) -> list[list[tuple[bytes, list[UUID]]]]:
    """Groups together, at most so many learnings at once unless one group alone has more."""
    chunks: list[list[tuple[bytes, list[UUID]]]] = []
    size = AT_ONCE
    for key, ids in groups:
        if size + len(ids) > AT_ONCE:
            chunks.append([])
            size = 0
        chunks[-1].append((key, ids))
        size += len(ids)
    return chunks
