"""Search: what matters most to a query, with its score and why it was found."""

from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.results import Found, RecalledLearning
from learning_stores.embeddings import is_read_with
from learning_stores.ranking import Ranked, RankRequest, rank

_ROWS = text("""
    SELECT l.id, l.store, l.kind, l.content, l.data, l.valid_from, l.namespace, e.name AS about, e.type AS about_type
    FROM learning.learning l LEFT JOIN learning.entity e ON e.tenant = l.tenant AND e.id = l.about
    WHERE l.tenant = :tenant AND l.id = ANY (:ids)
""")


def search(session: Session, tenant: str, request: RankRequest) -> tuple[Found, ...]:
    """The learnings of these places that matter to the query, best first; those that share nothing with it are left out.

    The vector counts only where the tenant can be read with its model.
    """
    if request.vector is not None and not is_read_with(session, tenant, request.model):
        request = replace(request, vector=None)
    found = [each for each in rank(session, request) if _why(each)]
    rows = session.execute(_ROWS, {"tenant": tenant, "ids": [each.id for each in found]})
    learnings = {row.id: RecalledLearning(**row._mapping) for row in rows}
    return tuple(
        Found(learning=learnings[each.id], score=each.score, why=_why(each)) for each in found if each.id in learnings
    )


def _why(ranked: Ranked) -> dict[str, float]:
    """What the score is made of, of what says that the learning has to do with the query."""
    parts = {
        "text": ranked.text_score,
        "vector": max(ranked.vector_score or 0.0, 0.0),
        "neighbours": ranked.neighbour_score,
    }
    return {name: part for name, part in parts.items() if part > 0}
