"""Jobs that ask a judge about pairs of neighbours: which pairs, in which form, and what of the answers is remembered."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from pydantic_core import to_json
from sqlalchemy.orm import Session

from learning_schemas.patch import PatchModel
from learning_stores.curator.job import Cursor, JobContext
from learning_stores.curator.judged import JudgedJob
from learning_stores.curator.judging import NO_MODEL, Inquiry
from learning_stores.curator.neighbours import TEXT_SCORE, Pair, Statement, Where, neighbours, pairs
from learning_stores.curator.remembered import judged_before, remember
from learning_stores.curator.scopes import Page, Unit, scopes_after, start
from learning_stores.json_line import block
from learning_stores.prompts import load_prompt

PAIRS_A_PAGE = 1_000
"""Pairs that are held in full at once."""

Key = tuple[UUID, UUID]
Ranked = tuple[float, UUID, UUID]
"""A pair in the order in which pairs are asked about: the closest first, by less its score."""


class PairVerdict(PatchModel):
    """What is said of one pair."""

    pair: str = Field(description="The id of the pair, such as p3")


class SameVerdict(PairVerdict):
    """Whether two statements state the same."""

    verdict: Literal["same", "different", "unsure"]


class SameVerdicts(PatchModel):
    """A verdict on every pair."""

    verdicts: list[SameVerdict]


class ContradictionVerdict(PairVerdict):
    """Whether a newer statement contradicts an older one."""

    verdict: Literal["contradicts", "compatible", "unsure"]


class ContradictionVerdicts(PatchModel):
    """A verdict on every pair."""

    verdicts: list[ContradictionVerdict]


class PairJob(JudgedJob):
    """Asks about the neighbours of each scope. A unit's cases are pairs; its verdict says of each what was answered."""

    pairs_a_unit: ClassVar[int] = 20
    prompt: ClassVar[str]
    form: ClassVar[str]
    answer: ClassVar[type[BaseModel]]
    names: ClassVar[tuple[str, str]] = ("a", "b")
    """What the question calls the older statement and the newer."""
    same_target: ClassVar[bool] = True
    """Whether relationships are only compared where their other ends are the same."""
    text_score: ClassVar[float] = TEXT_SCORE
    """How close two statements are at least by their words."""

    def is_case(self, pair: Pair) -> bool:
        """Whether to ask about a pair of neighbours."""
        raise NotImplementedError

    def page(self, context: JobContext, cursor: Cursor | None) -> Page:
        """The pairs of the next scopes that no verdict stands on; transaction by transaction."""
        if context.judge is None and not context.dry_run:
            return Page(units=(), looked_at=0, cursor=None, report={"skipped": NO_MODEL})
        begun, part = start(cursor)
        store = context.stores.get(context.run.store)
        if store is None or not store.accumulates:  # what is replaced at every turn has no neighbours
            return Page(units=(), looked_at=0, cursor=None)
        scopes = context.read("app", scopes_after, context.tenant, context.run.store, begun)
        units: list[Unit] = []
        looked_at = found = 0
        for scope in ([begun] if part is not None else []) + scopes:
            where = self.compared(context, scope)
            keys, read = self.open_pairs(context, where, part if scope == begun else None)
            looked_at += read
            while keys:
                chosen = [keys.popleft() for _ in range(min(len(keys), PAIRS_A_PAGE))]
                wanted = {key[1:]: key for key in chosen}
                held = context.read("app", pairs, where, list(wanted))
                cases = [each for each in held if self.is_case(each)]
                found += len(cases)
                for first in range(0, len(cases), self.pairs_a_unit):
                    together = cases[first : first + self.pairs_a_unit]
                    units.append(self._unit(scope, together, _part(wanted[together[-1].key]), looked_at))
                    looked_at = 0
                if found >= PAIRS_A_PAGE:
                    context.memo["open"] = scope, keys
                    return Page(units=units, looked_at=looked_at, cursor=self.cursor(scope, _part(chosen[-1])))
        return Page(units=units, looked_at=looked_at, cursor=self.cursor(scopes[-1]) if scopes else None)

    def cursor(self, scope: str, part: str | None = None) -> Cursor:
        """Where to go on: behind a scope, or in it behind a pair."""
        return {"scope": scope} if part is None else {"scope": scope, "part": part}

    def characters(self, unit: Unit) -> int:
        """What a unit's statements have, and what belongs to each."""
        return sum(_characters(each) for pair in unit.cases for each in pair)

    def inquiry(self, context: JobContext, units: Sequence[Unit]) -> Inquiry:
        """All pairs of these units, numbered in order."""
        cases = [pair for unit in units for pair in unit.cases]
        scopes = {unit.scope for unit in units}
        (only,) = scopes if len(scopes) == 1 else (None,)
        user_id = only.removeprefix("user/") if only is not None and only.startswith("user/") else None
        return Inquiry(
            tenant=context.tenant,
            store=context.run.store,
            run_id=context.run.id,
            job=context.run.job,
            prompt=load_prompt(self.prompt),
            name=self.form,
            answer=self.answer,
            data=block("pairs", (self._line(f"p{number}", pair) for number, pair in enumerate(cases, 1))),
            cases=len(cases),
            subject=only if user_id is not None and only is not None else "",
            user_id=user_id,
            check=lambda answer: _wrong(_labels(answer), len(cases)),
        )

    def verdicts(self, answer: BaseModel, units: Sequence[Unit]) -> list[dict[Key, str]]:
        """By pair, of each unit."""
        given = {each.pair: each.verdict for each in answer.verdicts}  # type: ignore[attr-defined]  # one of the forms above
        number = 0
        told: list[dict[Key, str]] = []
        for unit in units:
            told.append({})
            for pair in unit.cases:
                number += 1
                told[-1][pair.key] = given[f"p{number}"]
        return told

    def standing(
        self, session: Session, context: JobContext, unit: Unit, live: Iterable[UUID]
    ) -> tuple[list[tuple[Pair, str]], Counter[str]]:
        """The unit's pairs that are what the judge was shown, each with its verdict, and how often each verdict was given.

        `live` is locked by now. The verdicts are remembered.
        """
        held = set(live)
        told: Mapping[Key, str] = unit.verdict
        wanted = [pair.key for pair in unit.cases if held.issuperset(pair.key)]
        now = {pair.key: pair for pair in pairs(session, self.compared(context, unit.scope), wanted)}
        found = [(pair, told[pair.key]) for pair in unit.cases if now.get(pair.key) == pair]
        remember(session, context.tenant, context.run.job, {pair.key: verdict for pair, verdict in found})
        return found, Counter(verdict for _, verdict in found)

    def open_pairs(self, context: JobContext, where: Where, part: str | None) -> tuple[deque[Ranked], int]:
        """The pairs of a scope that no verdict stands on, the closest first, behind those that this run has done.

        And how many statements the scope has.
        """
        opened = context.memo.pop("open", None)
        if opened is not None and opened[0] == where.scope and part is not None:
            return opened[1], 0
        near, read = neighbours(lambda work, where: context.read("app", work, where), where)
        before = context.read("app", judged_before, where.tenant, context.run.job, [(each.a, each.b) for each in near])
        # Rounded, so that a pair has its place again after a kill, if a little was merged meanwhile.
        ranked = sorted((-round(each.score, 3), each.a, each.b) for each in near if (each.a, each.b) not in before)
        if part is None:
            return deque(ranked), read
        score, a, b = part.split("/")
        done = float(score), UUID(a), UUID(b)
        return deque(each for each in ranked if each > done), 0

    def compared(self, context: JobContext, scope: str) -> Where:
        """Which statements of a scope are compared with each other."""
        store = context.stores[context.run.store]
        return Where(
            tenant=context.tenant,
            store=context.run.store,
            scope=scope,
            kept=store.kept_kinds,
            same_target=self.same_target,
            text_score=self.text_score,
        )

    def _unit(self, scope: str, cases: Sequence[Pair], part: str, looked_at: int) -> Unit:
        return Unit(
            scope=scope,
            ids=tuple(sorted({each.id for pair in cases for each in pair})),
            after=self.cursor(scope, part),
            looked_at=looked_at,
            cases=tuple(cases),
        )

    def _line(self, label: str, pair: Pair) -> dict[str, Any]:
        older, newer = self.names
        line: dict[str, Any] = {"id": label, "kind": pair.newer.kind}
        if pair.newer.entity is not None:
            line |= {"entity": pair.newer.entity, "type": pair.newer.entity_type}
        return line | {older: _shown(pair.older), newer: _shown(pair.newer)}


def _part(pair: Ranked) -> str:
    """A pair's place in a cursor."""
    return "/".join(map(str, pair))


def _shown(statement: Statement) -> dict[str, Any]:
    shown: dict[str, Any] = {"text": statement.content, "since": statement.valid_from.strftime("%Y-%m-%d")}
    data = dict(statement.data)
    if statement.target_name is not None:
        data["target"] = statement.target_name
    return shown | ({"data": data} if data else {})


def _characters(statement: Statement) -> int:
    return len(statement.content) + len(to_json(statement.data)) + 100


def _labels(answer: BaseModel) -> list[str]:
    return [each.pair for each in answer.verdicts]  # type: ignore[attr-defined]  # one of the forms above


def _wrong(labels: Sequence[str], cases: int) -> str | None:
    """What is wrong with the pairs that were answered about, by our own labels alone."""
    wanted = {f"p{number}" for number in range(1, cases + 1)}
    if len(labels) == len(wanted) and set(labels) == wanted:
        return None
    missing = sorted(wanted - set(labels))
    return f"no verdict on {missing[0]}" if missing else "more verdicts than pairs"
