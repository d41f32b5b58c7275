"""The job `contradictions`: of an older and a newer statement that cannot both be true, the older ends when the newer began.

What a person stated or approved is never ended by it: such a contradiction is only counted.
"""

from collections import Counter
from typing import ClassVar
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy.orm import Session

from learning_stores.curator.deduplicate import digest
from learning_stores.curator.job import JobContext
from learning_stores.curator.neighbours import Pair, Statement
from learning_stores.curator.pairs import ContradictionVerdicts, PairJob
from learning_stores.curator.retiring import CONTRADICTED, lock_live, retire
from learning_stores.curator.scopes import Rewritten, Unit
from learning_stores.operations import Provenance


class Contradictions(PairJob):
    """Asks about neighbours of which one was said after the other."""

    name = "contradictions"
    prompt = "curator_contradictions"
    form = "curator_contradiction_verdicts"
    answer: ClassVar[type[BaseModel]] = ContradictionVerdicts
    names = ("older", "newer")
    same_target = False
    text_score = 0.3  # another value of the same thing leaves fewer words in common

    def is_case(self, pair: Pair) -> bool:
        """Whether the two say different things at different times."""
        return pair.older.valid_from < pair.newer.valid_from and digest(pair.older) != digest(pair.newer)

    def rewrite(self, session: Session, context: JobContext, source: Provenance, unit: Unit) -> Rewritten:
        """End the older one of each pair that is contradicted, if no person stands behind it; the newest of several counts."""
        found, counts = self.standing(session, context, unit, lock_live(session, source, unit.ids))
        report = Counter({verdict: number for verdict, number in counts.items() if verdict != "contradicts"})
        ended: dict[UUID, Statement] = {}
        for pair, verdict in found:
            if verdict != "contradicts":
                continue
            if pair.older.by_person:
                report["against a person's"] += 1
                continue
            newer = ended.get(pair.older.id)
            if newer is None or pair.newer.valid_from > newer.valid_from:
                ended[pair.older.id] = pair.newer
        retire(
            session,
            source,
            {learning: (CONTRADICTED, newer.id) for learning, newer in ended.items()},
            {learning: newer.valid_from for learning, newer in ended.items()},
        )
        report["contradicted"] = len(ended)
        return Rewritten(changed=len(ended), report=+report)
