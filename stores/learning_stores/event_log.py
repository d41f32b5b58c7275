"""Accepting events: the event log, the deliveries and the mailboxes, written together.

`accept` takes a batch of one reader's shards in stream order and writes, in the caller's transaction: events, what their
sessions have shown, one delivery for each ALWAYS store of the event's spec, and the mailboxes. An event whose spec is not
known yet, or that came by the fallback, is in the log without a number; `unprepared` makes its deliveries later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import id_time
from learning_schemas.redaction import redactions_in
from learning_schemas.results import Via
from learning_schemas.scope import session_scope, shard_of, subject_of
from learning_schemas.spec import MachineSpec
from learning_stores.deliveries import NewDelivery, add_deliveries
from learning_stores.history import Histories, SessionKey, compared
from learning_stores.producers import count_received
from learning_stores.rejected import count_refused
from learning_stores.specs import DEFAULT_HASH, SpecCache
from learning_stores.subjects import TOLERANCE, Subject, SubjectKey, hold_subjects
from learning_stores.tally import count

EventKey = tuple[str, UUID]
"""(tenant, event id)."""

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
class Prepared:
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
    subjects = lock_subjects(session, batch)
    verdicts, new = _sift(session, batch, subjects)
    if new:
        known = specs.load(session, {incoming.spec_key for incoming in new})
        ready = [incoming for incoming in new if incoming.spec_key in known]
        prepared = make_deliveries(session, ready, known, subjects)
        _insert(session, new, prepared, shards, forgetful_ones(session, new, subjects))
        count_producers(session, new)
        count(session, "accepted", "stream", number=len(new))
    return verdicts


def accept_directly(session: Session, incoming: Incoming, spec: MachineSpec, specs: SpecCache, shards: int) -> Verdict:
    """The fallback of emit, as the app: the event alone. The dispatcher makes its deliveries when it is back."""
    return accept_all_directly(session, [(incoming, spec)], specs, shards)[incoming.key]


def accept_all_directly(
    session: Session, batch: Sequence[tuple[Incoming, MachineSpec]], specs: SpecCache, shards: int
) -> dict[EventKey, Verdict]:
    """The same for several events of one tenant, of which no two have the same id, with the spec of each."""
    specs.register(session, {incoming.spec_key: spec for incoming, spec in batch})
    arrived = [incoming for incoming, _ in batch]
    subjects = lock_subjects(session, arrived)
    verdicts, new = _sift(session, arrived, subjects)
    if new:
        _insert(session, new, {}, shards, frozenset())
    for event, verdict in ((incoming.event, verdicts[incoming.key]) for incoming in arrived):
        if (told := REFUSALS.get(verdict)) is not None:
            count_refused(session, event.id, told.partition(":")[0], told, event.producer, event.seq)
    return verdicts


def lock_subjects(session: Session, batch: Sequence[Incoming]) -> dict[SubjectKey, Subject]:
    """The batch's subjects, held until the end of the transaction; those that are new are made."""
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
    forgotten = forgotten_sessions(session, batch)
    verdicts: dict[EventKey, Verdict] = {}
    new: list[Incoming] = []
    for incoming in batch:
        subject, said_at = subjects[incoming.event.tenant, incoming.subject], id_time(incoming.event.id)
        until = forgotten.get(session_key(incoming.event)) if incoming.event.session_id else None
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


def forgotten_sessions(session: Session, batch: Sequence[Incoming]) -> dict[SessionKey, datetime]:
    """Which of the batch's sessions were forgotten by themselves, and when; their subjects are held."""
    keys = sorted({session_key(incoming.event) for incoming in batch if incoming.event.session_id})
    if not keys:
        return {}
    arrays = {"tenants": [tenant for tenant, _ in keys], "scopes": [scope for _, scope in keys]}
    return {(tenant, scope): until for tenant, scope, until in session.execute(_FORGOTTEN, arrays)}


def make_deliveries(
    session: Session,
    ready: Sequence[Incoming],
    specs: Mapping[tuple[str, str], MachineSpec],
    subjects: Mapping[SubjectKey, Subject],
) -> dict[EventKey, Prepared]:
    """Number these events in their order and write their deliveries; their specs are known. By event, what to write in the log."""
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
            key = session_key(incoming.event)
            longest, whole = wanted.get(key, (0, False))
            wanted[key] = max(longest, len(shown[incoming.key])), whole or incoming.event.history == "full"
    if wanted:
        histories.load(session, wanted)
    prepared: dict[EventKey, Prepared] = {}
    deliveries: list[NewDelivery] = []
    for number, incoming in zip(numbers, ready, strict=True):
        event = incoming.event
        messages = shown.get(incoming.key)
        known = histories.take(session_key(event), event.history, messages) if messages else 0
        before = 0
        if messages and known:
            before = len(event.messages) if known == len(messages) else messages[known - 1].index + 1
        prepared[incoming.key] = Prepared(number, before)
        for message in event.messages[before:]:
            for kind in redactions_in(message.content):
                count(session, "redacted", kind)
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


def session_key(event: ConversationCompleted) -> SessionKey:
    """Which session's history the event belongs to; it must have a session."""
    assert event.session_id is not None
    return event.tenant, session_scope(event.user_id, event.session_id)


def forgetful_ones(
    session: Session, batch: Sequence[Incoming], subjects: Mapping[SubjectKey, Subject]
) -> frozenset[EventKey]:
    """Events of somebody, or of a session, once forgotten: what they repeat as history may be the forgotten words."""
    sessions = forgotten_sessions(session, batch)
    return frozenset(
        incoming.key
        for incoming in batch
        if subjects[incoming.event.tenant, incoming.subject].forgotten_at is not None
        or (incoming.event.session_id and session_key(incoming.event) in sessions)
    )


def stored_messages(event: ConversationCompleted, silent: int) -> list[dict[str, Any]]:
    """The messages as they are stored; of the first so many only who spoke, so that the others keep their places."""
    told = [message.model_dump(mode="json", exclude_none=True) for message in event.messages]
    return [{"role": each["role"], "content": ""} for each in told[:silent]] + told[silent:]


def _insert(
    session: Session,
    new: Sequence[Incoming],
    prepared: Mapping[EventKey, Prepared],
    shards: int,
    forgetful: frozenset[EventKey],
) -> None:
    unprepared = Prepared(None, 0)
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
            "messages": stored_messages(event, place.shown_before if incoming.key in forgetful else 0),
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


def count_producers(session: Session, new: Sequence[Incoming]) -> None:
    """Count these events as received from their producers."""
    numbers = [
        (each.event.producer, each.event.seq)
        for each in new
        if each.event.producer is not None and each.event.seq is not None
    ]
    count_received(session, numbers)
