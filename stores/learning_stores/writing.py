"""Writes that come from no mailbox: a tool's call, a person's correction, an import. They commit in milliseconds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.errors import SubjectClosed
from learning_schemas.ids import uuid7
from learning_stores.admission import Admission
from learning_stores.applying import apply
from learning_stores.attempts import attempted
from learning_stores.operations import Operation, Origin, Provenance
from learning_stores.place import Place
from learning_stores.subjects import hold_subjects

_CHANGE = text("""
    INSERT INTO learning.change (tenant, id, origin, action, by_whom, store, scope, subject, user_id, session_id, agent_id)
    VALUES (:tenant, :id, :origin, :action, :by_whom, :store, :scope, :subject, :user_id, :session_id, :agent_id)
""")


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a write did: the change's id, how many rows changed how, and the row that holds each operation's statement.

    `changes` counts `added`, `updated`, `confirmed`, `retired`, `proposed`, `history` (older than what is known, or than a
    person's correction), `already gone`, `late`, `held back` (a retraction that a person has to make).
    `learning_ids[i]` is the row of operation i; None where it has none.
    """

    change_id: UUID
    changes: Counter[str]
    learning_ids: tuple[UUID | None, ...]


def write(
    session: Session,
    place: Place,
    operations: Sequence[Operation],
    admission: Admission,
    *,
    origin: Origin,
    action: str,
    by: str | None = None,
) -> Written:
    """Apply operations in the caller's transaction, after locking the subject; run again where a concurrent write came first.

    `action` (`save_learning`, `corrected`) and `by` (a person) are kept in `learning.change`, whose id `made_by`, `retired_by`
    and the evidence carry.
    """
    lock_subject(session, place)
    source = record_change(session, place, origin=origin, action=action, by=by)
    applied = attempted(session, lambda: apply(session, source, operations, admission))
    return Written(change_id=source.made_by, changes=applied.changes, learning_ids=applied.learning_ids)


def record_change(session: Session, place: Place, *, origin: Origin, action: str, by: str | None = None) -> Provenance:
    """Keep that something is changed in a place, by whom; what is written under its id is undone with it."""
    source = Provenance(place=place, made_by=uuid7(), origin=origin)
    session.execute(
        _CHANGE,
        {
            "tenant": place.tenant,
            "id": source.made_by,
            "origin": origin,
            "action": action,
            "by_whom": by,
            "store": place.store,
            "scope": place.scope,
            "subject": place.subject,
            "user_id": place.user_id,
            "session_id": place.session_id,
            "agent_id": place.agent_id,
        },
    )
    return source


def lock_subject(session: Session, place: Place) -> None:
    """Hold the subject against a forgetting that runs beside this; the first write about somebody makes it.

    Raises `SubjectClosed`.
    """
    if place.subject is None:
        return
    key = place.tenant, place.subject
    if hold_subjects(session, {key: (place.user_id, None if place.user_id else place.session_id)})[key].closed:
        raise SubjectClosed(place.user_id, place.session_id)
