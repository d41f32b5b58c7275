"""The job `resolve-entities`: entities of one type that are one thing, by different names, become one.

Names that are equal but for their writing are one without a question. Of names that are near a judge is asked, who sees what is
known of both; only `same` merges. The one with more evidence stays, and everything said of the other is said of it; its names
become aliases. Two that are found to be one with a third, and are known for two themselves, are left.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import ClassVar, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from learning_schemas.patch import PatchModel
from learning_stores.curator import entity_merging as merging
from learning_stores.curator.job import Cursor, JobContext
from learning_stores.curator.judged import JudgedJob
from learning_stores.curator.judging import NO_MODEL, Inquiry
from learning_stores.curator.known_entities import (
    Area,
    Known,
    Pair,
    apart,
    described_alike,
    judged,
    names,
    standing,
    told,
)
from learning_stores.curator.name_pairs import Named, NamePair, name_pairs, with_described
from learning_stores.curator.remembered import ordered, remember
from learning_stores.curator.scopes import Page, Rewritten, Unit, scopes_after, start
from learning_stores.json_line import block, json_line
from learning_stores.operations import Provenance
from learning_stores.prompts import load_prompt

PAIRS_A_UNIT = 20
PAIRS_A_PAGE = 400
"""Pairs that are held at once with what is known of them."""
_OWN = "namespace/user/"  # of a scope that is one user's own
_RULE, _ASKED = "rule", "asked"  # the two parts of a scope: what rules merge, then what a judge is asked about


class EntityVerdict(PatchModel):
    """Whether two entities are one thing."""

    pair: str = Field(description="The id of the pair, such as p3")
    verdict: Literal["same", "different", "unsure"]


class EntityVerdicts(PatchModel):
    """A verdict on every pair."""

    verdicts: list[EntityVerdict]


class Case(NamedTuple):
    """Two entities that may be one."""

    a: Known
    b: Known

    @property
    def key(self) -> Pair:
        """As verdicts are remembered."""
        return ordered(self.a.named.id, self.b.named.id)


class ResolveEntities(JudgedJob):
    """Compares the names of each scope's entities. A unit's ids are pairs, one after the other."""

    name = "resolve-entities"
    cases_a_call: ClassVar[int] = 30

    def page(self, context: JobContext, cursor: Cursor | None) -> Page:
        """The pairs of the next scopes: in each those that need no judge, and once these are merged the others."""
        store = context.stores.get(context.run.store)
        if store is None or "alias" not in store.kinds:
            return Page(units=(), looked_at=0, cursor=None)
        begun, part = start(cursor)
        scopes = context.read("app", scopes_after, context.tenant, context.run.store, begun)
        units: list[Unit] = []
        report: dict[str, str] = {}
        looked_at = found = 0
        for scope in ([begun] if part is not None else []) + scopes:
            done, _, last = str(part).partition(":") if part is not None and scope == begun else ("", "", "")
            area = Area(tenant=context.tenant, store=context.run.store, scope=scope, job=self.name)
            open_, number = self._open(context, area, continued=bool(done))
            looked_at += number
            if done != _ASKED:
                if chosen := _behind(open_.equal, last):
                    units += self._by_rule(scope, chosen, looked_at)
                    return Page(units=units, looked_at=0, cursor=_at(scope, _ASKED))
                last = ""
            if open_.near and context.judge is None and not context.dry_run:
                report["skipped"] = NO_MODEL
            elif chosen := _behind(open_.near, last)[:PAIRS_A_PAGE]:
                units += self._asked(context, area, chosen, looked_at)
                looked_at = 0
                found += len(chosen)
                if found >= PAIRS_A_PAGE:
                    return Page(units=units, looked_at=0, cursor=units[-1].after)
        following = {"scope": scopes[-1]} if scopes else None
        return Page(units=units, looked_at=looked_at, cursor=following, report=report)

    def characters(self, unit: Unit) -> int:
        """What is known of the two of each pair."""
        return sum(len(json_line(each.line)) for case in unit.cases for each in (case.a, case.b))

    def inquiry(self, context: JobContext, units: Sequence[Unit]) -> Inquiry:
        """All pairs of these units, numbered in order."""
        cases: list[Case] = [case for unit in units for case in unit.cases]
        scopes = {unit.scope for unit in units}
        owner = (
            next(iter(scopes)).removeprefix(_OWN) if len(scopes) == 1 and next(iter(scopes)).startswith(_OWN) else None
        )
        lines = (
            {"id": f"p{number}", "type": case.a.named.type, "a": case.a.line, "b": case.b.line}
            for number, case in enumerate(cases, 1)
        )
        return Inquiry(
            tenant=context.tenant,
            store=context.run.store,
            run_id=context.run.id,
            job=self.name,
            prompt=load_prompt("curator_entities"),
            name="curator_entity_verdicts",
            answer=EntityVerdicts,
            data=block("pairs", lines),
            cases=len(cases),
            subject="" if owner is None else f"user/{owner}",
            user_id=owner,
            check=lambda answer: _wrong(answer, len(cases)),
        )

    def verdicts(self, answer: BaseModel, units: Sequence[Unit]) -> list[dict[Pair, str]]:
        """By pair, of each unit."""
        assert isinstance(answer, EntityVerdicts)
        given = {each.pair: each.verdict for each in answer.verdicts}
        labels = (f"p{number}" for number in range(1, len(given) + 1))
        return [{case.key: given[label] for case, label in zip(unit.cases, labels, strict=False)} for unit in units]

    def rewrite(self, session: Session, context: JobContext, source: Provenance, unit: Unit) -> Rewritten:
        """Merge the unit's pairs that are the same, as far as both stand for themselves still."""
        pairs = [ordered(a, b) for a, b in zip(unit.ids[::2], unit.ids[1::2], strict=True)]
        verdicts: dict[Pair, str] = unit.verdict if unit.cases else dict.fromkeys(pairs, "same")
        same = {each for pair, verdict in verdicts.items() if verdict == "same" for each in pair}
        held = merging.hold(session, context.tenant, same) if same else {}
        there = standing(session, context.tenant, set(unit.ids))
        found = {pair: verdict for pair, verdict in verdicts.items() if there >= set(pair)}
        report = Counter(verdict for verdict in found.values() if verdict != "same")
        report["gone"] = len(verdicts) - len(found)
        if unit.cases:
            remember(session, context.tenant, self.name, found)
        area = Area(tenant=context.tenant, store=context.run.store, scope=unit.scope, job=self.name)
        groups = _Groups(lambda pairs: apart(session, area, pairs))
        for a, b in (pair for pair, verdict in found.items() if verdict == "same"):
            if held[a].owner != held[b].owner or not groups.join(a, b):
                report["kept apart"] += 1
        stuck = merging.kept_apart(session, source, same) if same else set()
        into: dict[UUID, UUID] = {}
        for group in groups.found():
            # One that cannot become another can be what others become; of several such, none becomes the other.
            stays = max(group, key=lambda each: (each in stuck, held[each].said, -each.int))
            others = [each for each in group if each != stays]
            report["kept apart"] += sum(each in stuck for each in others)
            into |= {each: stays for each in others if each not in stuck}
        if not into:
            return Rewritten(changed=0, report=+report)
        done = merging.merge(session, source, into)
        report |= {
            "merged": len(into),
            "learnings moved": done.moved,
            "learnings merged": done.equal,
            "displaced": done.displaced,
            "evidence_copied": done.evidence_copied,
        }
        return Rewritten(changed=len(into), report=+report)

    def _by_rule(self, scope: str, pairs: Sequence[NamePair], looked_at: int) -> list[Unit]:
        units: list[Unit] = []
        for chosen in _chunks(pairs):
            units.append(
                Unit(
                    scope=scope,
                    ids=tuple(each for pair in chosen for each in (pair.a, pair.b)),
                    after=_at(scope, _RULE, chosen[-1]),
                    looked_at=looked_at if not units else 0,
                )
            )
        return units

    def _asked(self, context: JobContext, area: Area, pairs: Sequence[NamePair], looked_at: int) -> list[Unit]:
        open_: _Open = context.memo["entities"]
        units: list[Unit] = []
        wanted = {each: open_.entities[each] for pair in pairs for each in (pair.a, pair.b)}
        known = context.read("app", told, area, wanted)
        for chosen in _chunks(pairs):
            units.append(
                Unit(
                    scope=area.scope,
                    ids=tuple(each for pair in chosen for each in (pair.a, pair.b)),
                    after=_at(area.scope, _ASKED, chosen[-1]),
                    looked_at=looked_at if not units else 0,
                    cases=tuple(Case(known[pair.a], known[pair.b]) for pair in chosen),
                )
            )
        return units

    def _open(self, context: JobContext, area: Area, *, continued: bool) -> tuple["_Open", int]:
        """The candidates of a scope that nothing is known of yet; found anew once rules have merged some of them."""
        open_: _Open | None = context.memo.get("entities")
        if continued and open_ is not None and open_.scope == area.scope and (open_.late or not open_.equal):
            return open_, 0
        entities = {each.id: each for each in context.read("app", names, area)}
        alike = context.read("app", described_alike, area)
        pairs = with_described(name_pairs(entities.values()), alike, entities)
        keys = [(pair.a, pair.b) for pair in pairs]
        two = context.read("app", apart, area, keys)
        verdicts = context.read("app", judged, area, keys)
        # What was the same, and could not be merged then, is the same still.
        equal = [each for each in pairs if each.why == "equal" or verdicts.get((each.a, each.b)) == "same"]
        equal = [each for each in equal if (each.a, each.b) not in two]
        known = two.union(verdicts)
        met = set() if continued else {each for pair in equal for each in (pair.a, pair.b)}
        near = [each for each in pairs if each.why != "equal" and (each.a, each.b) not in known]
        near = [each for each in near if not met.intersection((each.a, each.b))]
        open_ = _Open(scope=area.scope, entities=entities, equal=equal, near=near, late=continued)
        context.memo["entities"] = open_
        return open_, 0 if continued else len(entities)


class _Open(NamedTuple):
    """A scope that is being looked through."""

    scope: str
    entities: dict[UUID, Named]
    equal: list[NamePair]
    near: list[NamePair]
    late: bool  # found after rules had merged some


class _Groups:
    """Entities that are one, as far as no two of a group are known for two."""

    def __init__(self, apart: Callable[[list[Pair]], Collection[Pair]]) -> None:
        self._apart = apart
        self._group: dict[UUID, set[UUID]] = {}

    def join(self, a: UUID, b: UUID) -> bool:
        """Let two be of one group; False where that would make one of two that are not."""
        one, other = self._group.get(a, {a}), self._group.get(b, {b})
        if one is other:
            return True
        if self._apart([ordered(x, y) for x in one for y in other]):
            return False
        joined = one | other
        self._group |= dict.fromkeys(joined, joined)
        return True

    def found(self) -> list[set[UUID]]:
        """The groups."""
        return list({id(group): group for group in self._group.values()}.values())


def _at(scope: str, part: str, last: NamePair | None = None) -> Cursor:
    return {"scope": scope, "part": f"{part}:" + (f"{last.a}/{last.b}" if last is not None else "")}


def _behind(pairs: Sequence[NamePair], last: str) -> list[NamePair]:
    return [pair for pair in pairs if f"{pair.a}/{pair.b}" > last]


def _chunks(pairs: Iterable[NamePair]) -> list[list[NamePair]]:
    rest = iter(pairs)
    chunks: list[list[NamePair]] = []
    while chunk := list(islice(rest, PAIRS_A_UNIT)):
        chunks.append(chunk)
    return chunks


def _wrong(answer: BaseModel, cases: int) -> str | None:
    """What is wrong with the pairs that were answered about, by our own labels alone."""
    assert isinstance(answer, EntityVerdicts)
    given = Counter(each.pair for each in answer.verdicts)
    missing = [label for number in range(1, cases + 1) if (label := f"p{number}") not in given]
    if missing:
        return f"no verdict on {missing[0]}"
    return "more verdicts than pairs" if len(answer.verdicts) > cases else None
