"""What waits in the event log without deliveries: it came by a fallback, or its spec was not known yet.

`waiting` says what there is, for a dispatcher to place among the entries of the streams; `prepare` makes the deliveries, in
the order of the events' ids. What cannot be prepared is set aside with the reason, and tried again by whoever comes next.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.event import ConversationCompleted
from learning_stores.event_log import (
    EventKey,
    Incoming,
    count_producers,
    forgetful_ones,
    forgotten_sessions,
    lock_subjects,
    make_deliveries,
    session_key,
    stored_messages,
)
from learning_stores.specs import DEFAULT_HASH, SpecCache
from learning_stores.subjects import Subject, SubjectKey
from learning_stores.tally import count

PREPARED_AT_ONCE = 50

_UNPREPARED = text("""
    SELECT e.tenant, e.id, e.user_id, e.session_id, e.occurred_at, e.via, e.spec_hash, e.messages::text, e.history,
           e.end_of_session, e.body_bytes, e.producer, e.seq
    FROM learning.conversation_event e
    JOIN learning.subject s ON s.tenant = e.tenant AND s.subject = e.subject
    WHERE e.accepted_no IS NULL AND e.set_aside IS NULL AND e.shard = ANY (:shards)
      AND e.forgotten_at IS NULL AND (s.forgotten_at IS NULL OR e.accepted_at > s.forgotten_at)
      AND (cast(:ids AS uuid[]) IS NULL OR e.id = ANY (:ids))
      AND (e.spec_hash = :default OR EXISTS (
          SELECT FROM learning.machine_spec m WHERE m.tenant = e.tenant AND m.hash = e.spec_hash))
    ORDER BY e.id
    LIMIT :limit
""")

_WAITING_IN_SHARDS = text("""
    SELECT e.shard, e.id, e.tenant, e.subject
    FROM unnest(cast(:shards AS int[])) AS held (shard)
    CROSS JOIN LATERAL (
        SELECT e.shard, e.id, e.tenant, e.subject FROM learning.conversation_event e
        JOIN learning.subject s ON s.tenant = e.tenant AND s.subject = e.subject
        WHERE e.accepted_no IS NULL AND e.set_aside IS NULL AND e.shard = held.shard
          AND e.forgotten_at IS NULL AND (s.forgotten_at IS NULL OR e.accepted_at > s.forgotten_at)
          AND (e.spec_hash = :default OR EXISTS (
              SELECT FROM learning.machine_spec m WHERE m.tenant = e.tenant AND m.hash = e.spec_hash))
        ORDER BY e.id
        LIMIT :limit) AS e
    ORDER BY e.shard, e.id
""")

_WAITING_OF_SUBJECTS = text("""
    SELECT shard, id, tenant, subject
    FROM (
        SELECT e.shard, e.id, e.tenant, e.subject, row_number() OVER (PARTITION BY e.tenant, e.subject ORDER BY e.id) AS place
        FROM learning.conversation_event e
        JOIN learning.subject s ON s.tenant = e.tenant AND s.subject = e.subject
        JOIN unnest(cast(:tenants AS text[]), cast(:subjects AS text[])) AS wanted (tenant, subject)
          ON wanted.tenant = e.tenant AND wanted.subject = e.subject
        WHERE e.accepted_no IS NULL AND e.set_aside IS NULL AND e.shard = ANY (:shards)
          AND e.forgotten_at IS NULL AND (s.forgotten_at IS NULL OR e.accepted_at > s.forgotten_at)
          AND (e.spec_hash = :default OR EXISTS (
              SELECT FROM learning.machine_spec m WHERE m.tenant = e.tenant AND m.hash = e.spec_hash))) AS e
    WHERE place <= :limit
    ORDER BY shard, id
""")

_SET_ASIDE = text("""
    UPDATE learning.conversation_event e SET set_aside = s.reason
    FROM json_to_recordset(cast(:rows AS json)) AS s (tenant text, id uuid, reason text)
    WHERE e.tenant = s.tenant AND e.id = s.id AND e.accepted_no IS NULL
""")

_TAKE_UP = text("""
    UPDATE learning.conversation_event SET set_aside = NULL
    WHERE accepted_no IS NULL AND set_aside IS NOT NULL AND shard = ANY (:shards)
""")

# Of these, those that wait still: their subjects are held now, and somebody may have been forgotten before.
_WAITING = text("""
    SELECT e.tenant, e.id, e.accepted_at
    FROM learning.conversation_event e
    JOIN unnest(cast(:tenants AS text[]), cast(:ids AS uuid[])) AS wanted (tenant, id)
      ON e.tenant = wanted.tenant AND e.id = wanted.id
    WHERE e.accepted_no IS NULL AND e.forgotten_at IS NULL
""")

_PREPARED = text("""
    UPDATE learning.conversation_event e SET accepted_no = p.accepted_no, shown_before = p.shown_before,
        messages = coalesce(p.messages, e.messages)
    FROM json_to_recordset(cast(:rows AS json)) AS p (tenant text, id uuid, accepted_no bigint, shown_before int, messages jsonb)
    WHERE e.tenant = p.tenant AND e.id = p.id AND e.accepted_no IS NULL
""")


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that is in the log without deliveries, and whose it is."""

    id: UUID
    whose: SubjectKey


def waiting(
    session: Session, shards: Sequence[int], limit: int, whose: Callable[[int], Collection[SubjectKey]]
) -> dict[int, list[Waiting]]:
    """Events that `prepare` would take up, by shard, in order: the first `limit` of each of these shards.

    Where there may be more, also the first `limit` of each subject that `whose` names for the shard.
    """
    found: dict[int, list[Waiting]] = {}
    same = {"default": DEFAULT_HASH, "limit": limit}
    for row in session.execute(_WAITING_IN_SHARDS, {"shards": list(shards), **same}):
        found.setdefault(row.shard, []).append(Waiting(row.id, (row.tenant, row.subject)))
    full = [shard for shard, several in found.items() if len(several) == limit]
    if wanted := sorted({each for shard in full for each in whose(shard)}):
        arrays = {"tenants": [tenant for tenant, _ in wanted], "subjects": [subject for _, subject in wanted]}
        for row in session.execute(_WAITING_OF_SUBJECTS, {"shards": full, **arrays, **same}):
            found[row.shard].append(Waiting(row.id, (row.tenant, row.subject)))
        for shard in full:
            found[shard] = sorted(set(found[shard]), key=lambda each: each.id)
    return found


def prepare(
    session: Session,
    specs: SpecCache,
    shards: Sequence[int],
    limit: int = PREPARED_AT_ONCE,
    only: Sequence[UUID] | None = None,
) -> int:
    """Make the deliveries of events of these shards that had none, of `only` these ids, where their spec is known by now.

    Returns how many events were looked at. One that this version cannot read is set aside, with the reason.
    """
    found = {
        "shards": list(shards),
        "default": DEFAULT_HASH,
        "limit": limit,
        "ids": None if only is None else list(only),
    }
    rows = session.execute(_UNPREPARED, found).all()
    waiting: list[Incoming] = []
    aside: list[tuple[EventKey, str]] = []
    for row in rows:
        try:
            waiting.append(_incoming(row))
        except ValueError:  # pydantic's: its text would hold what was said
            aside.append(((row.tenant, row.id), "the event cannot be read by this version"))
    known = specs.load(session, {incoming.spec_key for incoming in waiting})
    aside += [(each.key, "its spec cannot be read by this version") for each in waiting if each.spec_key not in known]
    waiting = [incoming for incoming in waiting if incoming.spec_key in known]
    if aside:
        reasons = [{"tenant": tenant, "id": event_id, "reason": reason} for (tenant, event_id), reason in aside]
        session.execute(_SET_ASIDE, {"rows": to_json(reasons).decode()})
    if waiting:
        subjects = lock_subjects(session, waiting)
        forgetful = forgetful_ones(session, waiting, subjects)
        waiting = _still_waiting(session, waiting, subjects)
        prepared = make_deliveries(session, waiting, known, subjects)
        prepared_rows = [
            {
                "tenant": incoming.event.tenant,
                "id": incoming.event.id,
                "accepted_no": prepared[incoming.key].accepted_no,
                "shown_before": prepared[incoming.key].shown_before,
                "messages": stored_messages(incoming.event, prepared[incoming.key].shown_before)
                if incoming.key in forgetful
                else None,
            }
            for incoming in waiting
        ]
        session.execute(_PREPARED, {"rows": to_json(prepared_rows).decode()})
        by_fallback = [incoming for incoming in waiting if incoming.via != "stream"]
        count_producers(session, by_fallback)
        for incoming in by_fallback:
            count(session, "accepted", incoming.via)
    return len(rows)


def set_first_aside(session: Session, shards: Sequence[int], reason: str, only: Sequence[UUID] | None = None) -> None:
    """Set aside the event that `prepare` would take first: the database refuses it."""
    found = {"shards": list(shards), "default": DEFAULT_HASH, "limit": 1, "ids": None if only is None else list(only)}
    row = session.execute(_UNPREPARED, found).first()
    if row is not None:
        rows = [{"tenant": row.tenant, "id": row.id, "reason": reason}]
        session.execute(_SET_ASIDE, {"rows": to_json(rows).decode()})


def take_up_again(session: Session, shards: Sequence[int]) -> None:
    """Let events of these shards that were set aside be tried again: this dispatcher may be a newer one."""
    session.execute(_TAKE_UP, {"shards": list(shards)})


def _incoming(row: Any) -> Incoming:
    event = ConversationCompleted(
        id=row.id,
        tenant=row.tenant,
        user_id=row.user_id,
        session_id=row.session_id,
        occurred_at=row.occurred_at,
        messages=from_json(row.messages),
        history=row.history,
        end_of_session=row.end_of_session,
        spec=row.spec_hash,
        producer=row.producer,
        seq=row.seq,
    )
    return Incoming(event=event, via=row.via, body_bytes=row.body_bytes)


def _still_waiting(
    session: Session, batch: Sequence[Incoming], subjects: Mapping[SubjectKey, Subject]
) -> list[Incoming]:
    """Those of these events without a number that are there still, and not to be forgotten."""
    arrays = {"tenants": [each.event.tenant for each in batch], "ids": [each.event.id for each in batch]}
    accepted = {(tenant, event_id): at for tenant, event_id, at in session.execute(_WAITING, arrays)}
    sessions = forgotten_sessions(session, batch)

    def stays(incoming: Incoming) -> bool:
        at = accepted.get(incoming.key)
        if at is None:
            return False
        whole = subjects[incoming.event.tenant, incoming.subject].forgotten_at
        part = sessions.get(session_key(incoming.event)) if incoming.event.session_id else None
        return (whole is None or at > whole) and (part is None or at > part)

    return [incoming for incoming in batch if stays(incoming)]
