"""Which deliveries a replay takes: those chosen, and all that was read together with them, by mailbox.

Extractions are repeated whole, because what they gave is withdrawn whole. Of a store whose extractions build on each other
everything is repeated from the first chosen event on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.replay_mailbox import Box


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What an operator names: events by whom and when (of their acceptance) they were, or by what extracted them."""

    user_id: str | None = None
    session_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    store: str | None = None
    prompt_version: str | None = None
    model: str | None = None
    extraction_id: UUID | None = None
    event_id: UUID | None = None
    dead: bool = False
    reason: str | None = None  # of dead ones

    @property
    def named(self) -> bool:
        """Whether it names anything at all; without that it means every event of the tenant."""
        return any(value for name, value in self.__dict__.items() if name != "reason")


# An answer names its model with a date behind it. A prompt's version is a number with a hash behind it.
_CHOSEN = """
    d.tenant = :tenant
    AND (cast(:store AS text) IS NULL OR d.store = :store)
    AND (cast(:event_id AS uuid) IS NULL OR d.event_id = :event_id)
    AND (cast(:since AS timestamptz) IS NULL OR d.accepted_at >= :since)
    AND (cast(:until AS timestamptz) IS NULL OR d.accepted_at < :until)
    AND (NOT :dead OR d.state = 'dead')
    AND (cast(:reason AS text) IS NULL OR d.reason = :reason)
    AND ((cast(:user_id AS text) IS NULL AND cast(:session_id AS text) IS NULL) OR EXISTS (
        SELECT FROM learning.conversation_event e
        WHERE e.tenant = d.tenant AND e.id = d.event_id AND (cast(:user_id AS text) IS NULL OR e.user_id = :user_id)
          AND (cast(:session_id AS text) IS NULL OR e.session_id = :session_id)))
    AND (coalesce(cast(:prompt_version AS text), :model, cast(cast(:extraction_id AS uuid) AS text)) IS NULL OR EXISTS (
        SELECT FROM learning.extraction x
        WHERE x.tenant = d.tenant AND x.store = d.store
          AND (x.id = d.extraction_id OR x.id IN (
              SELECT v.extraction_id FROM learning.evidence v
              WHERE v.tenant = d.tenant AND v.event_id = d.event_id AND v.withdrawn_at IS NULL AND v.origin = 'extraction'))
          AND (cast(:extraction_id AS uuid) IS NULL OR x.id = :extraction_id)
          AND (cast(:prompt_version AS text) IS NULL OR x.prompt_version = :prompt_version
               OR (:prompt_version ~ '^[0-9]+$' AND starts_with(x.prompt_version, :prompt_version || '-')))
          AND (cast(:model AS text) IS NULL OR x.model = :model OR starts_with(x.model, cast(:model AS text) || '-20'))))"""

# One that waits already has nothing to be repeated, unless a part of it was read. One that was history, or lacks the id that its
# store needs, never has; what an operator gave up is taken only where its event is named.
_REPEATABLE = """(
    d.state IN ('extracted', 'nothing_found', 'dead') OR (d.state = 'pending' AND d.next_message > 0)
    OR (d.state = 'skipped' AND (d.reason = 'undone' OR (d.event_id = cast(:event_id AS uuid) AND (
        d.reason LIKE 'skipped by operator%' OR d.reason LIKE 'discarded by operator%')))))"""

_BOXES = text(f"""
    SELECT DISTINCT d.subject, d.store, d.scope, s.user_id, CASE WHEN d.scope LIKE 'session/%' THEN e.session_id END AS session_id
    FROM learning.delivery d
    JOIN learning.subject s ON s.tenant = d.tenant AND s.subject = d.subject
    LEFT JOIN learning.conversation_event e ON e.tenant = d.tenant AND e.id = d.event_id
    WHERE {_CHOSEN} AND {_REPEATABLE}
    ORDER BY 1, 2, 3
""")  # noqa: S608 - both parts are constants

_IN_BOX = text(f"""
    SELECT d.event_id FROM learning.delivery d
    WHERE d.store = :box_store AND d.scope = :box_scope AND {_CHOSEN} AND {_REPEATABLE}
""")  # noqa: S608 - both parts are constants

_WAITING = text(f"""
    SELECT count(*) FROM learning.delivery d WHERE d.state = 'pending' AND d.next_message = 0 AND {_CHOSEN}
""")  # noqa: S608 - the part is a constant

_EXTRACTIONS = text("""
    SELECT d.extraction_id FROM learning.delivery d
    WHERE d.tenant = :tenant AND d.store = :store AND d.event_id = ANY (:events) AND d.extraction_id IS NOT NULL
    UNION
    SELECT v.extraction_id FROM learning.evidence v
    JOIN learning.learning l ON l.tenant = v.tenant AND l.id = v.learning_id AND l.store = :store
    WHERE v.tenant = :tenant AND v.event_id = ANY (:events) AND v.origin = 'extraction' AND v.withdrawn_at IS NULL
      AND v.extraction_id IS NOT NULL
""")

_READ_TOGETHER = text("""
    SELECT d.event_id FROM learning.delivery d
    WHERE d.tenant = :tenant AND d.extraction_id = ANY (:extractions) AND d.store = :store
    UNION
    SELECT v.event_id FROM learning.evidence v
    WHERE v.tenant = :tenant AND v.extraction_id = ANY (:extractions) AND v.origin = 'extraction' AND v.withdrawn_at IS NULL
      AND v.event_id IS NOT NULL
""")

_FROM_THE_FIRST = text("""
    SELECT d.event_id FROM learning.delivery d
    WHERE d.tenant = :tenant AND d.store = :store AND d.scope = :scope AND d.accepted_no >= (
        SELECT min(f.accepted_no) FROM learning.delivery f
        WHERE f.tenant = :tenant AND f.store = :store AND f.event_id = ANY (:events))
""")

_DELIVERIES = text(f"""
    SELECT d.event_id, d.accepted_no, d.state, d.spec_hash, e.id IS NOT NULL AND e.forgotten_at IS NULL AS readable
    FROM learning.delivery d
    LEFT JOIN learning.conversation_event e ON e.tenant = d.tenant AND e.id = d.event_id
    WHERE d.tenant = :tenant AND d.store = :store AND d.scope = :scope AND d.event_id = ANY (:events)
      AND ({_REPEATABLE} OR (:waiting AND d.state = 'pending'))
    ORDER BY d.accepted_no
""")  # noqa: S608 - the part is a constant


@dataclass(frozen=True, kw_only=True)
class Selected:
    """What a replay takes of one mailbox, in order of acceptance."""

    box: Box
    events: tuple[UUID, ...]
    chosen: int  # of them; the others were read together with these, or build on them
    extractions: tuple[UUID, ...]
    left: int  # events whose messages are no longer in the log
    upto: int  # the last one's acceptance number


def boxes(session: Session, tenant: str, choice: Choice) -> list[Box]:
    """The mailboxes whose deliveries are chosen, in the order in which they are locked."""
    found: dict[tuple[str, str], Box] = {}
    for row in session.execute(_BOXES, {"tenant": tenant, **choice.__dict__}):
        key = (row.store, row.scope)
        if key not in found or found[key].session_id is None:
            found[key] = Box(tenant=tenant, **row._mapping)
    return list(found.values())


def waiting(session: Session, tenant: str, choice: Choice) -> int:
    """How many of the chosen deliveries wait to be extracted anyway."""
    return int(session.scalar(_WAITING, {"tenant": tenant, **choice.__dict__}) or 0)


def select(session: Session, box: Box, choice: Choice, *, accumulates: bool) -> Selected:
    """What a replay takes of a mailbox. Nothing where somebody else took it first."""
    where = {"tenant": box.tenant, "store": box.store, "scope": box.scope}
    values = {"tenant": box.tenant, **choice.__dict__, "box_store": box.store, "box_scope": box.scope}
    chosen = set(session.scalars(_IN_BOX, values))
    events = widened(session, where, chosen, accumulates=accumulates)
    found: Sequence[Any] = ()
    if events:
        given = {**where, "events": list(events), "event_id": choice.event_id, "waiting": not accumulates}
        found = session.execute(_DELIVERIES, given).all()
    taken = [row for row in found if row.readable]
    ids = [row.event_id for row in taken]
    return Selected(
        box=box,
        events=tuple(ids),
        chosen=len(chosen.intersection(ids)),
        extractions=tuple(session.scalars(_EXTRACTIONS, {**where, "events": ids})) if ids else (),
        left=len(found) - len(taken),
        upto=max((row.accepted_no for row in taken), default=0),
    )


def widened(session: Session, where: dict[str, Any], chosen: Collection[UUID], *, accumulates: bool) -> set[UUID]:
    """These events with all that were read together with one of them, and with what builds on them."""
    events, known = set(chosen), set[UUID]()
    while events != known:
        known = set(events)
        extractions = list(session.scalars(_EXTRACTIONS, {**where, "events": list(events)}))
        events |= set(session.scalars(_READ_TOGETHER, {**where, "extractions": extractions}))
        if not accumulates:
            events |= set(session.scalars(_FROM_THE_FIRST, {**where, "events": list(events)}))
    return events
