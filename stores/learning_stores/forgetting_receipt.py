"""The receipt of a forgetting."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

BEYOND_REACH = (
    "spool directories of other hosts: what is in them is refused when it is drained",
    "the append-only file of Redis, until it is rewritten (BGREWRITEAOF)",
    "backups and write-ahead logs of Postgres, until they expire",
    "logs, traces, and what agents keep themselves",
)


STAYS = {
    "subject.subject": "that somebody was forgotten, and when, so that what comes late is refused",
    "subject.user_id": "the same",
    "subject.session_id": "the same, of a session without a user",
    "forgetting.subject": "this job and its receipt",
    "forgetting.session_id": "the same, of one session",
    "forgetting.event_id": "the same, of one event",
    "forgetting.receipt": "the same, of one event",
    "forgotten_session.scope": "that a session was forgotten, and when",
    "session_message.scope": "under which session the hashes are",
    "session_message.event_id": "ids of events, with keyed hashes of messages, so that a history sent again is known as such",
    "rejected_event.event_id": "ids of events that were refused, without their bodies",
}
"""Columns that name the forgotten subject, its sessions or its events afterwards, and why. None has anything that was said."""


@dataclass(frozen=True, kw_only=True)
class ForgetReceipt:
    """What was forgotten, and what a search for it found afterwards."""

    id: UUID
    tenant: str
    user_id: str | None
    session_id: str | None
    event_id: UUID | None
    closed: bool
    """Kept out until `reopen`."""
    began_at: datetime
    finished_at: datetime
    counts: Mapping[str, int]
    """Rows deleted or emptied, by table; `stream` entries and `spool` records; `restored`, `reworded`, `renamed` of others'."""
    found: Mapping[str, int | None]
    """What a search found in the end, by table: nothing. None where it would have taken too long."""
    beyond_reach: tuple[str, ...]
    """Where copies may be that this cannot reach."""
    refused_before: datetime | None
    """Events that were made before this moment are refused whenever they arrive; None of a single event, whose id stays known."""
