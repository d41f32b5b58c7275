"""Verdicts that stand: pairs that a job need not ask about again, because neither of the two has changed since.

What is remembered never changes in place: another statement is another row. A verdict goes with either of its rows.
"""

from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

_REMEMBER = text("""
    INSERT INTO learning.verdict (tenant, a, b, job, verdict)
    SELECT :tenant, w.a, w.b, :job, w.verdict
    FROM unnest(cast(:firsts AS uuid[]), cast(:seconds AS uuid[]), cast(:verdicts AS text[])) AS w (a, b, verdict)
    ORDER BY 2, 3
    ON CONFLICT (tenant, job, a, b) DO UPDATE SET verdict = excluded.verdict, judged_at = excluded.judged_at
""")

_KNOWN = text("""
    SELECT v.a, v.b FROM unnest(cast(:firsts AS uuid[]), cast(:seconds AS uuid[])) AS w (a, b)
    JOIN learning.verdict v ON v.tenant = :tenant AND v.job = :job AND v.a = w.a AND v.b = w.b
""")


def remember(session: Session, tenant: str, job: str, verdicts: Mapping[tuple[UUID, UUID], str]) -> None:
    """Keep what was judged of pairs of learnings or entities; in whichever order they are named, they are one pair."""
    if not verdicts:
        return
    pairs = {ordered(*pair): verdict for pair, verdict in verdicts.items()}
    values = {"verdicts": list(pairs.values()), **_columns(pairs)}
    session.execute(_REMEMBER, {"tenant": tenant, "job": job, **values})


def judged_before(
    session: Session, tenant: str, job: str, pairs: Collection[tuple[UUID, UUID]]
) -> set[tuple[UUID, UUID]]:
    """Those of these pairs that a verdict stands on, as they are named here."""
    if not pairs:
        return set()
    named = {ordered(*pair): pair for pair in pairs}
    found = session.execute(_KNOWN, {"tenant": tenant, "job": job, **_columns(named)})
    return {named[row.a, row.b] for row in found}


def ordered(one: UUID, other: UUID) -> tuple[UUID, UUID]:
    """A pair in the order in which it is kept."""
    return (one, other) if one < other else (other, one)


def _columns(pairs: Collection[tuple[UUID, UUID]]) -> dict[str, list[UUID]]:
    return {"firsts": [a for a, _ in pairs], "seconds": [b for _, b in pairs]}
