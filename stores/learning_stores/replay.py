"""Replaying: deliveries that are settled or dead become pending again, under the next generation, and are extracted anew.

What they gave stays until their new extraction commits, and is then withdrawn; only of a store whose extractions build on each
other it is withdrawn at once. A worker that reads the mailbox meanwhile is refused: it has read what is to be replaced.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.attempts import attempted
from learning_stores.registry import installed
from learning_stores.replay_mailbox import Box, give_back, record_change, take_over
from learning_stores.replay_selection import Choice, Selected, select
from learning_stores.subjects import hold_subject
from learning_stores.withdrawal import Withdrawn, settle_withdrawn, withdraw_events

# The moment is later than all that these deliveries have given: whoever commits for them holds the mailbox that we hold.
_AGAIN = text("""
    UPDATE learning.delivery SET
        state = 'pending', reason = NULL, note = NULL, error = NULL, generation = generation + 1, attempts = 0, next_message = 0,
        replayed_at = clock_timestamp(), settled_at = NULL, extraction_id = NULL,
        earlier_extractions = CASE WHEN extraction_id IS NULL THEN earlier_extractions
                                   ELSE array_append(earlier_extractions, extraction_id) END
    WHERE tenant = :tenant AND store = :store AND event_id = ANY (:events)
      AND (:waiting OR state <> 'pending' OR next_message > 0)
    RETURNING event_id, replayed_at
""")

# Of what these events gave: what it stands on besides, and whether it is live.
_GIVEN = text("""
    SELECT l.id, l.kind, l.content, l.status, l.replaced_by, l.retired_reason,
           EXISTS (SELECT FROM learning.evidence o
                   WHERE o.tenant = l.tenant AND o.learning_id = l.id AND o.withdrawn_at IS NULL
                     AND NOT (o.origin = 'extraction' AND o.event_id IS NOT NULL AND o.event_id = ANY (:events))) AS supported
    FROM learning.learning l
    WHERE l.tenant = :tenant AND l.store = :store AND l.id IN (
        SELECT v.learning_id FROM learning.evidence v
        WHERE v.tenant = :tenant AND v.event_id = ANY (:events) AND v.origin = 'extraction' AND v.withdrawn_at IS NULL)
    ORDER BY l.live_from, l.id
""")

Fate = Literal["alone", "supported", "overtaken", "taken back"]
"""Of a learning that the chosen events gave evidence to: it stands on them alone, also on others, has been replaced since, or was
taken back (by these events or later)."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """A learning that the chosen events gave evidence to."""

    id: UUID
    kind: str
    content: str
    fate: Fate


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What became of one mailbox."""

    selected: Selected
    deliveries: int
    withdrawn: Withdrawn | None  # what went at once, of a store whose extractions build on each other


def accumulates(store: str) -> bool:
    """Whether a store adds to what it knows; one that is not installed here is taken for such a one."""
    found = installed().get(store)
    return found is None or found.accumulates


def given(session: Session, selected: Selected) -> Sequence[Given]:
    """What the selected events gave, by what a new extraction can change in it."""
    values = {"tenant": selected.box.tenant, "store": selected.box.store, "events": list(selected.events)}
    return [
        Given(id=row.id, kind=row.kind, content=row.content, fate=_fate(row))
        for row in (session.execute(_GIVEN, values) if selected.events else ())
    ]


def _fate(row: Any) -> Fate:
    if row.status != "retired":
        return "supported" if row.supported else "alone"
    return "taken back" if row.replaced_by is None and row.retired_reason != "late" else "overtaken"


def replay_box(session: Session, box: Box, choice: Choice, *, by: str) -> Replayed:
    """Set the chosen deliveries of one mailbox back to pending, with all that was read together with them. As the app."""

    def work() -> Replayed:
        hold_subject(session, box.tenant, box.subject)
        mailbox_id = take_over(session, box)
        adds = accumulates(box.store)
        selected = select(session, box, choice, accumulates=adds)
        values = {"tenant": box.tenant, "store": box.store, "events": list(selected.events), "waiting": not adds}
        again = session.execute(_AGAIN, values).all() if selected.events else []
        withdrawn = None
        if again and not adds:
            change = record_change(session, box, "replayed", by)
            events = [(row.event_id, row.replayed_at) for row in again]
            touched = withdraw_events(session, box.tenant, box.store, events)
            withdrawn = settle_withdrawn(session, box.tenant, touched, by=change, reason="replayed")
        give_back(session, box, mailbox_id, upto=selected.upto)
        return Replayed(selected=selected, deliveries=len(again), withdrawn=withdrawn)

    return attempted(session, work)
