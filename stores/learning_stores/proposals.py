"""Deciding proposals: what waits for approval, or for a second user, becomes live or ends by a person's word.

A proposal is decided once: of two who decide at the same time one wins, and the other is told who it was. What is approved is
live from that moment; what is rejected, or replaced by its edited wording, never was.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.results import Learning
from learning_stores import learning_rows as rows
from learning_stores.admission import AT_ONCE
from learning_stores.attempts import attempted
from learning_stores.correction import Held, TermsOf, hold, hold_to_reword, succeed
from learning_stores.grounding import content_key
from learning_stores.insight import KIND as INSIGHT
from learning_stores.library import get, kept
from learning_stores.operations import Confirm, LiveLearning, Provenance, Retire
from learning_stores.row_locks import Key, key_of
from learning_stores.wording import Wording
from learning_stores.writing import write

# The entity's own name waited with what was said of it; without it no look-up would find what was approved.
_NAME = text("""
    SELECT l.id FROM learning.learning l
    JOIN learning.entity e ON e.tenant = l.tenant AND e.id = l.about
    WHERE l.tenant = :tenant AND l.about = ANY (:entities) AND l.kind = 'alias' AND l.status = 'proposed'
      AND lower(l.content) = lower(e.name)
      AND NOT EXISTS (SELECT FROM learning.learning o WHERE o.tenant = l.tenant AND o.store = l.store AND o.scope = l.scope
                      AND o.kind = 'alias' AND o.status = 'active' AND o.about = l.about AND o.content_key = l.content_key)
    ORDER BY l.id FOR UPDATE OF l
""")

_DECIDED = text("""
    UPDATE learning.learning SET decided_by = :by, decided_at = :now WHERE tenant = :tenant AND id = :id
""")


def approve(
    session: Session, tenant: str, learning_id: UUID, *, by: str, stores: Collection[str] | None = None
) -> Learning:
    """Make a proposal live: the learning that holds it, which is another where an equal one is live already.

    What it takes the place of is retired. Raises `UnknownLearning`, `StaleLearning` where it is no longer proposed.
    """

    def work() -> Learning:
        held = _hold(session, tenant, learning_id, stores)
        own = Key(held.row.kind, held.row.about, held.row.content_key)
        equal = next((each for each in _live(held) if key_of(each) == own and _says_the_same(each, held.row)), None)
        holder = held.row if equal is None else equal
        said = Confirm(learning_id=holder.id, citations=(held.citation(),))
        written = write(session, held.place, [said], AT_ONCE, origin="human", action="approved", by=by)
        change = Provenance(place=held.place, made_by=written.change_id, origin="human")
        for rival in _live(held):
            if rival.id != holder.id:
                since = held.learning.valid_from
                rows.retire(session, change, rival, "superseded", held.now, since, holder.id)
        if equal is None:
            rows.activate(session, tenant, learning_id, held.now)
        else:
            rows.copy_evidence(session, tenant, learning_id, equal.id)
            rows.retire(session, change, held.row, "approved", held.now, held.now, equal.id)
        _decided(session, held, by)
        _name_entities(session, held, by)
        return get(session, tenant, holder.id)

    return attempted(session, work)


def edit(
    session: Session,
    tenant: str,
    learning_id: UUID,
    said: Wording,
    terms_of: TermsOf,
    *,
    by: str,
    stores: Collection[str] | None = None,
) -> Learning:
    """Approve a proposal in other words: the new learning. The proposal is kept, retired as "edited"; its evidence is on both.

    Raises `UnknownLearning`, `StaleLearning` where it is no longer proposed, `InvalidArgument`.
    """

    def work() -> Learning:
        held, put = hold_to_reword(session, tenant, learning_id, said, terms_of, stores, status="proposed")
        successor, change = succeed(session, held, put, action="edited", reason="edited", by=by)
        for rival in _live(held):
            if rival.id == held.learning.replaces and rival.id != successor:  # of another key than the edited wording
                rows.retire(session, change, rival, "superseded", held.now, put.citations[0].occurred_at, successor)
        rows.copy_evidence(session, tenant, learning_id, successor)
        _decided(session, held, by)
        _name_entities(session, held, by)
        return get(session, tenant, successor)

    return attempted(session, work)


def reject(
    session: Session,
    tenant: str,
    learning_id: UUID,
    *,
    by: str,
    reason: str | None = None,
    stores: Collection[str] | None = None,
) -> Learning:
    """End a proposal that is not to be: the same, retired. The reason is kept as the quote of its evidence.

    Raises `UnknownLearning`, `StaleLearning` where it is no longer proposed.
    """

    def work() -> Learning:
        held = _hold(session, tenant, learning_id, stores)
        refused = Retire(learning_id=learning_id, citations=(held.citation(reason),), reason="rejected")
        write(session, held.place, [refused], AT_ONCE, origin="human", action="rejected", by=by)
        _decided(session, held, by)
        return get(session, tenant, learning_id)

    return attempted(session, work)


def _hold(session: Session, tenant: str, learning_id: UUID, stores: Collection[str] | None) -> Held:
    found = kept(session, tenant, learning_id, stores)
    meets = Key(found.learning.kind, found.about, found.content_key)
    also = [] if found.learning.replaces is None else [found.learning.replaces]
    return hold(session, tenant, found, status="proposed", meets=meets, also=also)


def _live(held: Held) -> list[LiveLearning]:
    return [rival for rival in held.rivals if rival.status == "active"]


def _says_the_same(live: LiveLearning, proposal: LiveLearning) -> bool:
    """Of one key: insights of one key do, however they are worded."""
    return live.kind == INSIGHT or (
        live.data == proposal.data and content_key(live.content) == content_key(proposal.content)
    )


def _name_entities(session: Session, held: Held, by: str) -> None:
    """Let the entities that a decided proposal is about be found by their own names."""
    entities = [each for each in (held.row.about, held.row.target) if each is not None]
    if not entities:
        return
    tenant = held.place.tenant
    for alias in session.scalars(_NAME, {"tenant": tenant, "entities": entities}).all():
        rows.activate(session, tenant, alias, held.now)
        session.execute(_DECIDED, {"tenant": tenant, "id": alias, "by": by, "now": held.now})


def _decided(session: Session, held: Held, by: str) -> None:
    values = {"tenant": held.place.tenant, "id": held.learning.id, "by": by, "now": held.now}
    session.execute(_DECIDED, values)
