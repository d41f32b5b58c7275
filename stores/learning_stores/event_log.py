"""Accepting events: the event log, the deliveries and the mailboxes, written together.

`accept` takes a batch of one reader's shards in stream order and writes, in the caller's transaction: events, what their
sessions have shown, one delivery for each ALWAYS store of the event's spec, and the mailboxes. An event whose spec is not
known yet, or that came by the fallback, is in the log without a number; `prepare` makes its deliveries later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import id_time
from learning_schemas.results import Via
from learning_schemas.scope import session_scope, shard_of, subject_of
from learning_schemas.spec import MachineSpec
from learning_stores.deliveries import NewDelivery, add_deliveries
from learning_stores.history import Histories, SessionKey, compared
from learning_stores.producers import count_received
from learning_stores.rejected import count_refused
from learning_stores.specs import DEFAULT_HASH, SpecCache
from learning_stores.subjects import TOLERANCE, Subject, SubjectKey, hold_subjects

EventKey = tuple[str, UUID]
"""(tenant, event id)."""

PREPARED_AT_ONCE = 50

Verdict = Literal["accepted", "duplicate", "id_reused", "closed", "forgotten"]


REFUSALS = {
    "id_reused": "id: was used before for another event. Mint a new UUIDv7 for each event",
    "closed": "user_id: this user was forgotten and is closed. `learning-machine forget --reopen` lets them in again",
    "forgotten": "user_id: was forgotten after this event was made, or within ten minutes before it",
}
"""Verdicts on events that are not accepted, as they are told: the field, and why."""


class Interference(Exception):
    """Somebody else wrote one of these events in the meantime: roll back and take the batch again."""


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """An event as it arrived."""

    event: ConversationCompleted
    via: Via
    body_bytes: int
    # Looked up many times for each event of a batch.
    body_hash: bytes = field(init=False)
    key: EventKey = field(init=False)
    spec_key: tuple[str, str] = field(init=False)
    subject: str = field(init=False)

    def __post_init__(self) -> None:
        event = self.event
        object.__setattr__(self, "body_hash", event.body_hash())
        object.__setattr__(self, "key", (event.tenant, event.id))
        object.__setattr__(self, "spec_key", (event.tenant, event.spec or DEFAULT_HASH))
        object.__setattr__(self, "subject", subject_of(event.user_id, event.session_id))


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An event's number, and how many of its leading messages are history; None for one that waits for its spec."""

    accepted_no: int | None
    shown_before: int


_KNOWN = text("""
    SELECT e.tenant, e.id, e.body_hash
    FROM learning.conversation_event e
    JOIN unnest(cast(:tenants AS text[]), cast(:ids AS uuid[])) AS wanted (tenant, id)
      ON e.tenant = wanted.tenant AND e.id = wanted.id
""")

# One that is closed besides is forgotten for ever.
_FORGOTTEN = text("""
    SELECT f.tenant, f.scope, CASE WHEN f.closed_at IS NULL THEN f.forgotten_at ELSE timestamptz '9999-01-01 UTC' END
    FROM learning.forgotten_session f
    JOIN unnest(cast(:tenants AS text[]), cast(:scopes AS text[])) AS wanted (tenant, scope)
      ON f.tenant = wanted.tenant AND f.scope = wanted.scope
""")

_NUMBERS = text("SELECT nextval('learning.acceptance_number') FROM generate_series(1, :count)")

# Batches go in as one JSON document each: twice as fast to write and to read as an array for each column.
_INSERT = text("""
    INSERT INTO learning.conversation_event (tenant, id, subject, shard, user_id, session_id, agent_id, team_id, occurred_at,
        via, spec_hash, messages, history, end_of_session, body_hash, body_bytes, producer, seq, traceparent, metadata,
        accepted_no, shown_before)
    SELECT tenant, id, subject, shard, user_id, session_id, agent_id, team_id, occurred_at,
        via, spec_hash, messages, history, end_of_session, decode(body_hash, 'hex'), body_bytes, producer, seq, traceparent,
        metadata, accepted_no, shown_before
    FROM json_to_recordset(cast(:rows AS json)) AS e (
        tenant text, id uuid, subject text, shard int, user_id text, session_id text, agent_id text, team_id text,
        occurred_at timestamptz, via text, spec_hash text, messages jsonb, history text, end_of_session bool, body_hash text,
        body_bytes int, producer uuid, seq bigint, traceparent text, metadata jsonb, accepted_no bigint, shown_before int)
    ON CONFLICT (tenant, id) DO NOTHING
""")

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


def accept(
    session: Session,
    batch: Sequence[Incoming],
    carried: Mapping[tuple[str, str], MachineSpec],
    specs: SpecCache,
    shards: int,
) -> dict[EventKey, Verdict]:
    """Write a batch in its order, as the dispatcher. `carried` are the specs that came with it.

    Returns what became of each event; `id_reused`, `closed` and `forgotten` ones were not written. Raises `Interference`.
    """
    specs.register(session, carried)
    subjects = _lock_subjects(session, batch)
    verdicts, new = _sift(session, batch, subjects)
    if new:
        known = specs.load(session, {incoming.spec_key for incoming in new})
        ready = [incoming for incoming in new if incoming.spec_key in known]
        prepared = _make_deliveries(session, ready, known, subjects)
        _insert(session, new, prepared, shards, _forgetful(session, new, subjects))
        _count_producers(session, new)
    return verdicts


def accept_directly(session: Session, incoming: Incoming, spec: MachineSpec, specs: SpecCache, shards: int) -> Verdict:
    """The fallback of emit, as the app: the event alone. The dispatcher makes its deliveries when it is back."""
    specs.register(session, {incoming.spec_key: spec})
    subjects = _lock_subjects(session, [incoming])
    verdicts, new = _sift(session, [incoming], subjects)
    if new:
        _insert(session, new, {}, shards, frozenset())
    verdict = verdicts[incoming.key]
    if (told := REFUSALS.get(verdict)) is not None:
        event = incoming.event
        count_refused(session, event.id, told.partition(":")[0], told, event.producer, event.seq)
    return verdict


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that is in the log without deliveries, and whose it is."""

    id: UUID
    whose: tuple[str, str]  # tenant, subject


def waiting(session: Session, shards: Sequence[int], limit: int) -> dict[int, list[Waiting]]:
    """The first events of each of these shards that `prepare` would take up, by shard, in order."""
    found: dict[int, list[Waiting]] = {}
    for row in session.execute(_WAITING_IN_SHARDS, {"shards": list(shards), "default": DEFAULT_HASH, "limit": limit}):
        found.setdefault(row.shard, []).append(Waiting(row.id, (row.tenant, row.subject)))
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
        subjects = _lock_subjects(session, waiting)
        forgetful = _forgetful(session, waiting, subjects)
        waiting = _still_waiting(session, waiting, subjects)
        prepared = _make_deliveries(session, waiting, known, subjects)
        prepared_rows = [
            {
                "tenant": incoming.event.tenant,
                "id": incoming.event.id,
                "accepted_no": prepared[incoming.key].accepted_no,
                "shown_before": prepared[incoming.key].shown_before,
                "messages": _messages(incoming.event, prepared[incoming.key].shown_before)
                if incoming.key in forgetful
                else None,
            }
            for incoming in waiting
        ]
        session.execute(_PREPARED, {"rows": to_json(prepared_rows).decode()})
        _count_producers(session, [incoming for incoming in waiting if incoming.via != "stream"])
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


def _lock_subjects(session: Session, batch: Sequence[Incoming]) -> dict[SubjectKey, Subject]:
    owners = {
        (incoming.event.tenant, incoming.subject): (
            incoming.event.user_id,
            None if incoming.event.user_id else incoming.event.session_id,
        )
        for incoming in batch
    }
    return hold_subjects(session, owners)


def _sift(
    session: Session, batch: Sequence[Incoming], subjects: Mapping[SubjectKey, Subject]
) -> tuple[dict[EventKey, Verdict], list[Incoming]]:
    """What is new, and the verdict on everything; of two entries with one key the first counts."""
    known: dict[EventKey, bytes] = {}
    keys = [incoming.key for incoming in batch]
    for tenant, event_id, body_hash in session.execute(
        _KNOWN, {"tenants": [tenant for tenant, _ in keys], "ids": [event_id for _, event_id in keys]}
    ):
        known[tenant, event_id] = bytes(body_hash)
    forgotten = _forgotten_sessions(session, batch)
    verdicts: dict[EventKey, Verdict] = {}
    new: list[Incoming] = []
    for incoming in batch:
        subject, said_at = subjects[incoming.event.tenant, incoming.subject], id_time(incoming.event.id)
        until = forgotten.get(_session_key(incoming.event)) if incoming.event.session_id else None
        if incoming.key in known:
            if known[incoming.key] != incoming.body_hash:
                verdicts[incoming.key] = "id_reused"
            else:
                verdicts.setdefault(incoming.key, "duplicate")
        elif subject.closed:
            verdicts[incoming.key] = "closed"
        elif subject.forgot(said_at) or (until is not None and said_at < until + TOLERANCE):
            verdicts[incoming.key] = "forgotten"
        else:
            known[incoming.key] = incoming.body_hash
            verdicts[incoming.key] = "accepted"
            new.append(incoming)
    return verdicts, new


def _forgotten_sessions(session: Session, batch: Sequence[Incoming]) -> dict[SessionKey, datetime]:
    """Which of the batch's sessions were forgotten by themselves, and when; their subjects are held."""
    keys = sorted({_session_key(incoming.event) for incoming in batch if incoming.event.session_id})
    if not keys:
        return {}
    arrays = {"tenants": [tenant for tenant, _ in keys], "scopes": [scope for _, scope in keys]}
    return {(tenant, scope): until for tenant, scope, until in session.execute(_FORGOTTEN, arrays)}


def _make_deliveries(
    session: Session,
    ready: Sequence[Incoming],
    specs: Mapping[tuple[str, str], MachineSpec],
    subjects: Mapping[SubjectKey, Subject],
) -> dict[EventKey, _Prepared]:
    if not ready:
        return {}
    numbers = list(session.scalars(_NUMBERS, {"count": len(ready)}))
    shown = {
        incoming.key: compared(incoming.event, subjects[incoming.event.tenant, incoming.subject].salt)
        for incoming in ready
        if incoming.event.session_id
    }
    histories = Histories()
    wanted: dict[SessionKey, tuple[int, bool]] = {}
    for incoming in ready:
        if incoming.key in shown:
            key = _session_key(incoming.event)
            longest, whole = wanted.get(key, (0, False))
            wanted[key] = max(longest, len(shown[incoming.key])), whole or incoming.event.history == "full"
    if wanted:
        histories.load(session, wanted)
    prepared: dict[EventKey, _Prepared] = {}
    deliveries: list[NewDelivery] = []
    for number, incoming in zip(numbers, ready, strict=True):
        event = incoming.event
        messages = shown.get(incoming.key)
        known = histories.take(_session_key(event), event.history, messages) if messages else 0
        before = 0
        if messages and known:
            before = len(event.messages) if known == len(messages) else messages[known - 1].index + 1
        prepared[incoming.key] = _Prepared(number, before)
        deliveries += [
            NewDelivery.of(
                event,
                incoming.subject,
                number,
                store,
                store_spec,
                incoming.spec_key[1],
                nothing_new=before == len(event.messages),
            )
            for store, store_spec in specs[incoming.spec_key].always().items()
        ]
    histories.write(session)
    add_deliveries(session, deliveries)
    return prepared


def _session_key(event: ConversationCompleted) -> SessionKey:
    assert event.session_id is not None
    return event.tenant, session_scope(event.user_id, event.session_id)


def _still_waiting(
    session: Session, batch: Sequence[Incoming], subjects: Mapping[SubjectKey, Subject]
) -> list[Incoming]:
    """Those of these events without a number that are there still, and not to be forgotten."""
    arrays = {"tenants": [each.event.tenant for each in batch], "ids": [each.event.id for each in batch]}
    accepted = {(tenant, event_id): at for tenant, event_id, at in session.execute(_WAITING, arrays)}
    sessions = _forgotten_sessions(session, batch)

    def stays(incoming: Incoming) -> bool:
        at = accepted.get(incoming.key)
        if at is None:
            return False
        whole = subjects[incoming.event.tenant, incoming.subject].forgotten_at
        part = sessions.get(_session_key(incoming.event)) if incoming.event.session_id else None
        return (whole is None or at > whole) and (part is None or at > part)

    return [incoming for incoming in batch if stays(incoming)]


def _forgetful(
    session: Session, batch: Sequence[Incoming], subjects: Mapping[SubjectKey, Subject]
) -> frozenset[EventKey]:
    """Events of somebody, or of a session, once forgotten: what they repeat as history may be the forgotten words."""
    sessions = _forgotten_sessions(session, batch)
    return frozenset(
        incoming.key
        for incoming in batch
        if subjects[incoming.event.tenant, incoming.subject].forgotten_at is not None
        or (incoming.event.session_id and _session_key(incoming.event) in sessions)
    )


def _messages(event: ConversationCompleted, silent: int) -> list[dict[str, Any]]:
    """The messages as they are stored; of the first so many only who spoke, so that the others keep their places."""
    told = [message.model_dump(mode="json", exclude_none=True) for message in event.messages]
    return [{"role": each["role"], "content": ""} for each in told[:silent]] + told[silent:]


def _insert(
    session: Session,
    new: Sequence[Incoming],
    prepared: Mapping[EventKey, _Prepared],
    shards: int,
    forgetful: frozenset[EventKey],
) -> None:
    unprepared = _Prepared(None, 0)
    written_rows: list[dict[str, Any]] = []
    for incoming in new:
        event, place = incoming.event, prepared.get(incoming.key, unprepared)
        row = {
            "tenant": event.tenant,
            "id": event.id,
            "subject": incoming.subject,
            "shard": shard_of(event.tenant, incoming.subject, shards),
            "user_id": event.user_id,
            "session_id": event.session_id,
            "agent_id": event.agent_id,
            "team_id": event.team_id,
            "occurred_at": event.occurred_at,
            "via": incoming.via,
            "spec_hash": incoming.spec_key[1],
            "messages": _messages(event, place.shown_before if incoming.key in forgetful else 0),
            "history": event.history,
            "end_of_session": event.end_of_session,
            "body_hash": incoming.body_hash.hex(),
            "body_bytes": incoming.body_bytes,
            "producer": event.producer,
            "seq": event.seq,
            "traceparent": event.traceparent,
            "metadata": event.metadata,
            "accepted_no": place.accepted_no,
            "shown_before": place.shown_before,
        }
        written_rows.append(row)
    written = session.execute(_INSERT, {"rows": to_json(written_rows).decode()})
    if written.rowcount != len(new):  # type: ignore[attr-defined]  # an INSERT's result is a CursorResult
        raise Interference(f"{len(new)} events to write, {written.rowcount} written")  # type: ignore[attr-defined]  # as above


def _count_producers(session: Session, new: Sequence[Incoming]) -> None:
    numbers = [
        (each.event.producer, each.event.seq)
        for each in new
        if each.event.producer is not None and each.event.seq is not None
    ]
    count_received(session, numbers)
