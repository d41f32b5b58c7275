"""The commit of an extraction: one transaction, fenced by the lease's token, that settles everything or nothing.

Locks are taken in the order subject, mailbox, entities by id, keys of statements, learnings by id. A commit whose token is no
longer the mailbox's, or one of whose deliveries was replayed, forgotten or settled meanwhile, writes nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores import mailbox
from learning_stores.admission import AT_ONCE, Admission
from learning_stores.applying import apply
from learning_stores.deliveries import Settlement, advance_delivery, settle_deliveries
from learning_stores.mailbox import Claim
from learning_stores.operations import Operation, Provenance
from learning_stores.place import Place
from learning_stores.replay_known import passed
from learning_stores.subjects import hold_subject
from learning_stores.window import Window
from learning_stores.withdrawal import settle_withdrawn, withdraw_events


class Fenced(Exception):
    """The work is no longer ours: another worker took the mailbox over, or a delivery changed."""


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """One claim's work, ready to be committed."""

    id: UUID
    window: Window
    place: Place
    operations: Sequence[Operation]
    dropped: Counter[str]
    model: str
    prompt_name: str
    prompt_version: str
    started_at: datetime
    note: str | None = None  # goes to the deliveries where nothing was found
    admission: Admission = AT_ONCE


@dataclass(frozen=True, kw_only=True)
class Committed:
    """What a commit did."""

    outcome: str
    changes: Counter[str]
    go_on: bool  # the lease is still ours and more is due


_RECORD = text("""
    INSERT INTO learning.extraction (tenant, id, store, subject, scope, user_id, session_id, token, spec_hash, model, prompt_name,
        prompt_version, events, messages, outcome, changes, dropped, started_at)
    VALUES (:tenant, :id, :store, :subject, :scope, :user_id, :session_id, :token, :spec_hash, :model, :prompt_name,
        :prompt_version, :events, :messages, :outcome, cast(:changes AS jsonb), cast(:dropped AS jsonb), :started_at)
""")


def commit(session: Session, held: Claim, extraction: Extraction, *, keep: bool) -> Committed:
    """Write learnings, evidence, the extraction and the deliveries' states, then release or keep the mailbox.

    Raises `Fenced`; the caller's transaction must then be rolled back.
    """
    _lock(session, held)
    source = Provenance(place=extraction.place, made_by=extraction.id)
    window = extraction.window
    # What the events of a replay gave before counts no longer; what is said again keeps its row.
    touched = withdraw_events(session, held.tenant, held.store, window.replayed)
    changes = Counter[str]()
    if extraction.operations:
        before = passed(session, held.tenant, [event for event, _ in window.replayed], touched) if touched else ()
        changes = apply(session, source, extraction.operations, extraction.admission, before).changes
    if touched:
        withdrawn = settle_withdrawn(session, held.tenant, touched, by=extraction.id, reason="replayed")
        counted = Counter({"withdrawn": len(withdrawn.retired), "restored": len(withdrawn.restored)})
        changes += counted
    outcome = "extracted" if changes else "nothing_found"
    session.execute(
        _RECORD,
        {
            "tenant": held.tenant,
            "id": extraction.id,
            "store": held.store,
            "subject": held.subject,
            "scope": held.scope,
            "user_id": held.user_id,
            "session_id": held.session_id,
            "token": held.token,
            "spec_hash": window.spec_hash,
            "model": extraction.model,
            "prompt_name": extraction.prompt_name,
            "prompt_version": extraction.prompt_version,
            "events": len(window.deliveries),
            "messages": len(window.by_label),
            "outcome": outcome,
            "changes": to_json(changes).decode(),
            "dropped": to_json(extraction.dropped).decode(),
            "started_at": extraction.started_at,
        },
    )
    _settle_window(session, held, extraction, outcome)
    go_on = mailbox.release(session, held, keep=keep, at_once=window.more)
    return Committed(outcome=outcome, changes=changes, go_on=go_on)


def settle_without_extraction(
    session: Session, held: Claim, settlements: Sequence[Settlement], *, keep: bool, at_once: bool
) -> bool:
    """Settle deliveries of which nothing was extracted: the dead, the skipped. Returns whether to go on. Raises `Fenced`."""
    _lock(session, held)
    if not settle_deliveries(session, held.tenant, held.store, None, settlements):
        raise Fenced("a delivery is no longer the one that was claimed")
    return mailbox.release(session, held, keep=keep, at_once=at_once)


def _lock(session: Session, held: Claim) -> None:
    if not mailbox.hold(session, held):
        gone = hold_subject(session, held.tenant, held.subject) is None
        raise Fenced("the subject is gone" if gone else "another worker holds the mailbox")


def _settle_window(session: Session, held: Claim, extraction: Extraction, outcome: str) -> None:
    """Each event has the outcome of what cites it; one that is read in parts is settled with its last part."""
    cited = {citation.event_id for operation in extraction.operations for citation in operation.citations}
    settlements = []
    for delivery in extraction.window.deliveries:
        if delivery.next_message is not None:
            if not advance_delivery(
                session, held.tenant, held.store, delivery.event_id, delivery.generation, delivery.next_message
            ):
                raise Fenced("a delivery is no longer the one that was claimed")
            continue
        found = outcome == "extracted" and delivery.event_id in cited
        settlements.append(
            Settlement(
                event_id=delivery.event_id,
                generation=delivery.generation,
                state="extracted" if found else "nothing_found",
                note=None if found else extraction.note,
            )
        )
    if not settle_deliveries(session, held.tenant, held.store, extraction.id, settlements):
        raise Fenced("a delivery is no longer the one that was claimed")
