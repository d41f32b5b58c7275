"""The job `consolidate`: where much is remembered of one user, session or namespace, related statements become one.

A judge is shown clusters of neighbours and answers with one statement for each, or with none. One that loses or adds a
particular is refused by rule. What stands is a new learning, written as any other, with all their evidence; the old ones are
retired in its favour. Nothing that a person stated or approved is touched, nothing with a value of its own (fields, properties,
dated events, ties), and nothing that two users' words support: what is told of one is forgotten with them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.patch import PatchModel
from learning_schemas.redaction import redact
from learning_stores.applying import apply
from learning_stores.curator.clusters import Cluster, Source, alone, clustered
from learning_stores.curator.deduplicate import normal
from learning_stores.curator.job import Cursor, JobContext
from learning_stores.curator.judged import JudgedJob
from learning_stores.curator.judging import NO_MODEL, Inquiry
from learning_stores.curator.merging import copy_to
from learning_stores.curator.neighbours import Where, neighbours
from learning_stores.curator.particulars import has_capitals, keeps_particulars
from learning_stores.curator.remembered import judged_before, remember
from learning_stores.curator.retiring import CONSOLIDATED, lock_live, retire
from learning_stores.curator.scopes import Page, Rewritten, Unit, scopes_after, start
from learning_stores.grounding import content_key, storable
from learning_stores.json_line import block
from learning_stores.merged_entities import hold_entities_of
from learning_stores.operations import SAID_BY_USER, Citation, EntityName, Provenance, Put
from learning_stores.prompts import load_prompt

TEXT_SCORE = 0.25
"""Cosine from which statements are related by their words: less than for those that say the same."""
MAX_STATEMENT = 600
"""Characters of what says all of a cluster."""
CLUSTERS_A_UNIT = 5
CLUSTERS_A_PAGE = 200

_MANY = text("""
    SELECT count(*) FROM (
        SELECT FROM learning.learning l
        WHERE l.tenant = :tenant AND l.store = :store AND l.scope = :scope AND l.status = 'active' AND l.kind <> 'alias'
          AND NOT l.kind = ANY (:kept) LIMIT :most) AS live
""")


class Consolidation(PatchModel):
    """One statement that says all that a cluster says, or none."""

    cluster: str = Field(description="The id of the cluster, such as c3")
    statement: str | None = Field(description="One statement that says all of it, or null")


class Consolidations(PatchModel):
    """An answer for every cluster."""

    clusters: list[Consolidation]


class Consolidate(JudgedJob):
    """Looks at scopes in which more is live than the settings say."""

    name = "consolidate"
    cases_a_call: ClassVar[int] = 15

    def page(self, context: JobContext, cursor: Cursor | None) -> Page:
        """The clusters of the next scopes of which no verdict stands."""
        if context.judge is None and not context.dry_run:
            return Page(units=(), looked_at=0, cursor=None, report={"skipped": NO_MODEL})
        store = context.stores.get(context.run.store)
        if store is None or not store.accumulates:
            return Page(units=(), looked_at=0, cursor=None)
        begun, part = start(cursor)
        scopes = context.read("app", scopes_after, context.tenant, context.run.store, begun)
        units: list[Unit] = []
        looked_at = found = 0
        for scope in ([begun] if part is not None else []) + scopes:
            tenant, name = context.tenant, context.run.store
            where = Where(tenant=tenant, store=name, scope=scope, kept=store.kept_kinds, text_score=TEXT_SCORE)
            most = context.settings.curator_consolidate_above
            if context.read("app", _many, where, most + 1) <= most:
                continue
            behind = UUID(part) if part is not None and scope == begun else None
            clusters, read = self._clusters(context, where)
            looked_at += read if behind is None else 0
            clusters = [each for each in clusters if behind is None or each.ids[0] > behind][:CLUSTERS_A_PAGE]
            if clusters:
                units += _units(scope, clusters, looked_at)
                looked_at = 0
                found += len(clusters)
                if found >= CLUSTERS_A_PAGE:
                    return Page(units=units, looked_at=0, cursor=units[-1].after)
        return Page(units=units, looked_at=looked_at, cursor={"scope": scopes[-1]} if scopes else None)

    def characters(self, unit: Unit) -> int:
        """What a unit's statements have."""
        return sum(len(source.content) + 20 for cluster in unit.cases for source in cluster.sources)

    def inquiry(self, context: JobContext, units: Sequence[Unit]) -> Inquiry:
        """All clusters of these units, numbered in order."""
        clusters: list[Cluster] = [cluster for unit in units for cluster in unit.cases]
        subjects = {source.subject for cluster in clusters for source in cluster.sources}
        subject = next(iter(subjects)) if len(subjects) == 1 else ""
        return Inquiry(
            tenant=context.tenant,
            store=context.run.store,
            run_id=context.run.id,
            job=self.name,
            prompt=load_prompt("curator_consolidate"),
            name="curator_consolidations",
            answer=Consolidations,
            data=block("clusters", (_line(f"c{number}", each) for number, each in enumerate(clusters, 1))),
            cases=len(clusters),
            subject=subject,
            user_id=subject.removeprefix("user/") if subject.startswith("user/") else None,
            check=lambda answer: _wrong(answer, len(clusters)),
        )

    def verdicts(self, answer: BaseModel, units: Sequence[Unit]) -> list[list[str | None]]:
        """The statements, of each unit's clusters in order."""
        assert isinstance(answer, Consolidations)
        given = {each.cluster: each.statement for each in answer.clusters}
        labels = (f"c{number}" for number in range(1, len(given) + 1))
        return [[given[label] for _, label in zip(unit.cases, labels, strict=False)] for unit in units]

    def rewrite(self, session: Session, context: JobContext, source: Provenance, unit: Unit) -> Rewritten:
        """State what stands, and retire what it says, cluster by cluster."""
        hold_entities_of(session, context.tenant, unit.ids)
        live = lock_live(session, source, unit.ids)
        now = {each.id: each for each in alone(session, context.tenant, live)}
        report: Counter[str] = Counter()
        changed = 0
        for cluster, statement in zip(unit.cases, unit.verdict, strict=True):
            found = [now[each] for each in cluster.ids if each in now]
            if len(found) < len(cluster.ids) or len({each.group for each in found}) > 1:
                report["gone"] += 1
                continue
            told = " ".join(str(storable(statement or "")).split())
            made = None
            if told and _may_stand(told, found):
                attempt = session.begin_nested()
                made = _state(session, source, told, found)
                attempt.commit() if made is not None else attempt.rollback()
            if made is None:
                report["refused" if told else "none"] += 1
                pairs = dict.fromkeys(combinations(cluster.ids, 2), "refused" if told else "none")
                remember(session, context.tenant, self.name, pairs)
                continue
            report["evidence_copied"] += copy_to(
                session, context.tenant, source.made_by, dict.fromkeys(cluster.ids, made)
            )
            retire(session, source, dict.fromkeys(cluster.ids, (CONSOLIDATED, made)))
            report["consolidated"] += 1
            changed += len(cluster.ids)
        return Rewritten(changed=changed, report=report)

    def _clusters(self, context: JobContext, where: Where) -> tuple[list[Cluster], int]:
        near, read = neighbours(lambda work, where: context.read("app", work, where), where)
        before = context.read("app", judged_before, where.tenant, self.name, [(each.a, each.b) for each in near])
        near = [each for each in near if (each.a, each.b) not in before]
        ids = {each for pair in near for each in (pair.a, pair.b)}
        sources = {each.id: each for each in context.read("app", alone, where.tenant, ids)}
        return clustered(near, sources), read


def _many(session: Session, where: Where, most: int) -> int:
    return int(session.scalar(_MANY, {**where.values, "most": most}) or 0)


def _may_stand(statement: str, sources: Sequence[Source]) -> bool:
    """Whether it keeps what they say, is none of them, and is no longer than all of them together."""
    contents = [each.content for each in sources]
    return (
        len(statement) <= min(MAX_STATEMENT, sum(map(len, contents)) + 20 * len(contents))
        and normal(statement) not in map(normal, contents)
        and redact(statement)[1] is None
        and has_capitals(statement)
        and keeps_particulars(statement, contents)
    )


def _state(session: Session, source: Provenance, statement: str, of: Sequence[Source]) -> UUID | None:
    """Write the statement as any other: its row; None where it is known already, or is history."""
    first = of[0]
    sure = all(each.confidence >= SAID_BY_USER for each in of)
    said = Citation(occurred_at=max(each.valid_from for each in of), user_id=first.user_id if sure else None)
    about = None if first.entity is None else EntityName(first.entity, first.entity_type or "")
    put = Put(
        kind=first.kind,
        content=statement,
        content_key=content_key(statement),
        citations=(said,),
        about=about,
        equal_by_key=first.kind == "fact",
    )
    place = replace(source.place, language=first.language)
    applied = apply(session, replace(source, place=place), [put])
    (made,) = applied.learning_ids
    if applied.changes != {"added": 1} or made is None:
        return None
    return made if session.scalar(_ABOUT, {"tenant": place.tenant, "id": made}) == first.about else None


_ABOUT = text("SELECT about FROM learning.learning WHERE tenant = :tenant AND id = :id")


def _units(scope: str, clusters: Sequence[Cluster], looked_at: int) -> list[Unit]:
    units: list[Unit] = []
    for first in range(0, len(clusters), CLUSTERS_A_UNIT):
        chosen = clusters[first : first + CLUSTERS_A_UNIT]
        units.append(
            Unit(
                scope=scope,
                ids=tuple(sorted(each for cluster in chosen for each in cluster.ids)),
                after={"scope": scope, "part": str(chosen[-1].ids[0])},
                looked_at=looked_at if not units else 0,
                cases=tuple(chosen),
            )
        )
    return units


def _line(label: str, cluster: Cluster) -> dict[str, Any]:
    first = cluster.sources[0]
    line: dict[str, Any] = {"id": label, "kind": first.kind}
    if first.entity is not None:
        line |= {"entity": first.entity, "type": first.entity_type}
    return line | {"statements": [each.content for each in cluster.sources]}


def _wrong(answer: BaseModel, cases: int) -> str | None:
    """What is wrong with the clusters that were answered for, by our own labels alone."""
    assert isinstance(answer, Consolidations)
    given = {each.cluster for each in answer.clusters}
    missing = [label for number in range(1, cases + 1) if (label := f"c{number}") not in given]
    if missing:
        return f"no answer for {missing[0]}"
    return "more answers than clusters" if len(answer.clusters) > cases else None
