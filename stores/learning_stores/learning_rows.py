"""The rows of learnings and evidence, as applying operations reads and writes them: statements, each with what it is for.

A learning's content and validity are never changed in place. A proposal's `live_from` is provisional: approval sets it to the
moment of approval, and one that ends undecided or rejected was never live (`live_from` = `retired_at`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.ids import uuid7
from learning_stores.operations import Citation, LiveLearning, Provenance, Put
from learning_stores.row_locks import Key


class Raced(Exception):
    """Somebody else added an equal row after the locks were taken: roll back and run the same patch again."""


@dataclass(frozen=True, kw_only=True)
class New:
    """A statement on its way to becoming a row."""

    operation: Put
    key: Key
    target: UUID | None
    confidence: float
    said_at: datetime
    now: datetime

    def as_learning(self, learning_id: UUID, origin: str, status: str) -> LiveLearning:
        """The row, as it is read back."""
        return LiveLearning(
            id=learning_id,
            kind=self.key.kind,
            content=self.operation.content,
            content_key=self.key.content_key,
            data=self.operation.data,
            valid_from=self.said_at,
            origin=origin,
            status=status,
            about=self.key.about,
            target=self.target,
        )


_INSERT = text("""
    INSERT INTO learning.learning (tenant, id, store, kind, scope, user_id, session_id, namespace, agent_id, team_id, about, target,
        content, content_key, data, language, status, confidence, valid_from, valid_to, live_from, retired_at, retired_reason,
        retired_by, replaced_by, replaces, awaits, origin, made_by)
    SELECT :tenant, id, :store, kind, :scope, :user_id, :session_id, :namespace, :agent_id, :team_id, about, target, content,
        content_key, data, cast(coalesce(:language, 'english') AS regconfig), status, confidence, valid_from, valid_to, now,
        retired_at, retired_reason, retired_by, replaced_by, replaces, awaits, :origin, :made_by
    FROM json_to_recordset(cast(:rows AS json)) AS new (
        id uuid, kind text, about uuid, target uuid, content text, content_key text, data jsonb, status text, confidence float8,
        valid_from timestamptz, valid_to timestamptz, now timestamptz, retired_at timestamptz, retired_reason text,
        retired_by uuid, replaced_by uuid, replaces uuid, awaits text)
    ON CONFLICT (tenant, store, kind, scope, about, content_key, status) WHERE status <> 'retired' DO NOTHING
""")


def row_of(
    source: Provenance,
    new: New,
    learning_id: UUID,
    *,
    awaits: str | None = None,
    replaces: UUID | None = None,
    valid_to: datetime | None = None,
    replaced_by: UUID | None = None,
) -> dict[str, Any]:
    """A row to insert: live, proposed (`awaits`), or history (`valid_to`), which is retired as it is made."""
    status = "retired" if valid_to is not None else "proposed" if awaits is not None else "active"
    return {
        "id": learning_id,
        "kind": new.key.kind,
        "about": new.key.about,
        "target": new.target,
        "content": new.operation.content,
        "content_key": new.key.content_key,
        "data": new.operation.data,
        "status": status,
        "confidence": new.confidence,
        "valid_from": new.said_at,
        "valid_to": None if valid_to is None else max(valid_to, new.said_at),
        "now": new.now,
        "retired_at": new.now if status == "retired" else None,
        "retired_reason": "late" if status == "retired" else None,
        "retired_by": source.made_by if status == "retired" else None,
        "replaced_by": replaced_by,
        "replaces": replaces,
        "awaits": awaits,
    }


def insert(session: Session, source: Provenance, rows: Sequence[dict[str, Any]]) -> None:
    """Add rows, as `row_of` makes them, in one statement. Raises `Raced`."""
    place = source.place
    user_id, session_id = place.owner
    written: Any = session.execute(
        _INSERT,
        {
            "tenant": place.tenant,
            "store": place.store,
            "scope": place.scope,
            "user_id": user_id,
            "session_id": session_id,
            "namespace": place.namespace,
            "agent_id": place.agent_id,
            "team_id": place.team_id,
            "language": place.language,
            "origin": source.origin,
            "made_by": source.made_by,
            "rows": to_json(rows).decode(),
        },
    )
    if written.rowcount != len(rows):
        raise Raced(", ".join(sorted({row["kind"] for row in rows})))


_RETIRE = text("""
    UPDATE learning.learning SET status = 'retired', retired_at = greatest(:now, live_from), retired_reason = :reason,
        retired_by = :by, replaced_by = :replaced_by, valid_to = greatest(:valid_to, valid_from), awaits = NULL,
        live_from = CASE WHEN status = 'proposed' THEN greatest(:now, live_from) ELSE live_from END
    WHERE tenant = :tenant AND id = :id AND status <> 'retired'
""")


def retire(
    session: Session,
    source: Provenance,
    learning: LiveLearning,
    reason: str,
    now: datetime,
    said_at: datetime,
    replaced_by: UUID | None,
) -> None:
    """End a live row, or a proposal, which then never was live."""
    session.execute(
        _RETIRE,
        {
            "tenant": source.place.tenant,
            "id": learning.id,
            "now": now,
            "reason": reason,
            "by": source.made_by,
            "replaced_by": replaced_by,
            "valid_to": said_at,
        },
    )


_ACTIVATE = text("""
    UPDATE learning.learning SET status = 'active', awaits = NULL, live_from = greatest(:now, live_from), decided_at = :now
    WHERE tenant = :tenant AND id = :id AND status = 'proposed'
""")


def activate(session: Session, tenant: str, learning_id: UUID, now: datetime) -> None:
    """Make a proposal live that enough users stand behind."""
    session.execute(_ACTIVATE, {"tenant": tenant, "id": learning_id, "now": now})


_CITE = text("""
    INSERT INTO learning.evidence (tenant, id, learning_id, origin, extraction_id, event_id, message, quote, user_id, subject,
                                   occurred_at)
    SELECT :tenant, id, learning_id, :origin, :extraction_id, event_id, message, quote, user_id, :subject, occurred_at
    FROM json_to_recordset(cast(:rows AS json)) AS new (
        id uuid, learning_id uuid, event_id uuid, message int, quote text, user_id text, occurred_at timestamptz)
    ON CONFLICT DO NOTHING
""")


def cite(session: Session, source: Provenance, cited: Sequence[tuple[UUID, Citation]]) -> None:
    """Add evidence, each with the learning that it is for; what is there already stays once."""
    rows = [
        {
            "id": uuid7(),
            "learning_id": learning_id,
            "event_id": citation.event_id,
            "message": citation.message,
            "quote": citation.quote,
            "user_id": citation.user_id,
            "occurred_at": citation.occurred_at,
        }
        for learning_id, citation in cited
    ]
    place = source.place
    common = {
        "tenant": place.tenant, "origin": source.origin, "extraction_id": source.made_by, "subject": place.subject
    }  # fmt: skip  # one line
    session.execute(_CITE, {**common, "rows": to_json(rows).decode()})


_CORROBORATED = text("UPDATE learning.learning SET decided_at = :now WHERE tenant = :tenant AND id = :id")


def mark_corroborated(session: Session, tenant: str, learning_id: UUID, now: datetime) -> None:
    """Note of a row that was just added that it is live because enough users support it, and nobody approved it."""
    session.execute(_CORROBORATED, {"tenant": tenant, "id": learning_id, "now": now})


# What it stands on already stays once: a learning may be promoted again when it has gained evidence. What a merge had copied goes
# from the copy, too, when the merge is undone.
_COPY = text("""
    INSERT INTO learning.evidence (tenant, id, learning_id, origin, extraction_id, event_id, message, quote, user_id, subject,
                                   occurred_at, added_at, copied_by)
    SELECT tenant, gen_random_uuid(), :onto, origin, extraction_id, event_id, message, quote, user_id, subject, occurred_at,
           added_at, copied_by
    FROM learning.evidence v
    WHERE v.tenant = :tenant AND v.learning_id = :of AND v.withdrawn_at IS NULL AND NOT EXISTS (
        SELECT FROM learning.evidence w
        WHERE w.tenant = v.tenant AND w.learning_id = :onto AND w.withdrawn_at IS NULL AND w.origin = v.origin
          AND w.extraction_id IS NOT DISTINCT FROM v.extraction_id AND w.event_id IS NOT DISTINCT FROM v.event_id
          AND w.message IS NOT DISTINCT FROM v.message)
    ON CONFLICT DO NOTHING
""")


def copy_evidence(session: Session, tenant: str, of: UUID, onto: UUID) -> None:
    """Give a row the evidence of another, which keeps its own."""
    session.execute(_COPY, {"tenant": tenant, "of": of, "onto": onto})


_USERS = text("""
    SELECT count(DISTINCT v.subject) FROM learning.evidence v
    JOIN learning.learning l ON l.tenant = v.tenant AND l.id = v.learning_id AND l.awaits IS DISTINCT FROM 'approval'
    WHERE v.tenant = :tenant AND v.learning_id = :id AND v.withdrawn_at IS NULL AND v.subject LIKE 'user/%'
""")


def supporting_users(session: Session, tenant: str, learning_id: UUID) -> int:
    """In how many distinct users' conversations it was said; none where it awaits a person, whom no number of users replaces."""
    return int(session.scalar(_USERS, {"tenant": tenant, "id": learning_id}) or 0)


_OTHERS = text("""
    SELECT EXISTS (
        SELECT FROM learning.evidence
        WHERE tenant = :tenant AND learning_id = :id AND withdrawn_at IS NULL AND subject IS DISTINCT FROM cast(:subject AS text))
""")


def supported_by_others(session: Session, tenant: str, learning_id: UUID, subject: str | None) -> bool:
    """Whether somebody else's conversation, or a person's approval, stands behind it too."""
    return bool(session.scalar(_OTHERS, {"tenant": tenant, "id": learning_id, "subject": subject}))
