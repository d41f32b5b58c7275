"""What stays of a learning that one person worded and another supports: the statement, without what only the first one said.

Of most kinds two learnings are equal where their words are; those stay as they are. An insight is equal by what it states,
however it is worded: of one that the forgotten subject worded the statement stays, without title, context, tags and fields.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from learning_schemas.ids import uuid7
from learning_stores.forgetting_target import Scope
from learning_stores.insight import KIND, insight_put, shortened

_PERSONS = ("added", "corrected", "edited")

_END = text("""
    UPDATE learning.learning SET status = 'retired', awaits = NULL, retired_at = greatest(clock_timestamp(), live_from)
    WHERE tenant = :tenant AND id = :id AND status <> 'retired'
""")
_RESTATE = text("""
    INSERT INTO learning.learning (tenant, id, store, kind, scope, user_id, session_id, namespace, agent_id, team_id, about, target,
        content, content_key, data, language, status, confidence, valid_from, valid_to, live_from, retired_at, retired_reason,
        retired_by, replaced_by, restores, replaces, awaits, decided_by, decided_at, origin, made_by)
    SELECT l.tenant, cast(:new AS uuid), l.store, l.kind, l.scope, l.user_id, l.session_id, l.namespace, l.agent_id, l.team_id,
        l.about, l.target, :content, l.content_key, cast(:data AS jsonb), l.language, cast(:status AS text), l.confidence,
        l.valid_from, l.valid_to, l.live_from, CASE WHEN cast(:status AS text) = 'retired' THEN l.retired_at END,
        l.retired_reason, l.retired_by, l.replaced_by, l.restores, l.replaces, cast(:awaits AS text), l.decided_by, l.decided_at,
        l.origin, :by
    FROM learning.learning l WHERE l.tenant = :tenant AND l.id = :id
""")
_STATUS = text("SELECT status, awaits FROM learning.learning WHERE tenant = :tenant AND id = :id")
_MOVE = text("UPDATE learning.evidence SET learning_id = :new WHERE tenant = :tenant AND learning_id = :id")
_POINT = (
    text("UPDATE learning.learning SET replaced_by = :new WHERE tenant = :tenant AND replaced_by = :id"),
    text("UPDATE learning.learning SET restores = :new WHERE tenant = :tenant AND restores = :id"),
    text("UPDATE learning.learning SET replaces = :new WHERE tenant = :tenant AND replaces = :id"),
)
_DELETE = text("DELETE FROM learning.learning WHERE tenant = :tenant AND id = :id")


def restate(session: Session, scope: Scope, kept: Iterable[Row[Any]]) -> int:
    """Reduce those of these learnings that the forgotten subject worded to what others support. How many."""
    count = 0
    for row in kept:
        others = row.maker is not None and row.maker != scope.target.subject
        if row.kind != KIND or others or (row.maker is None and row.made_as in _PERSONS):
            continue
        data = dict(row.data)
        learning, fields = data.get("learning"), data.get("fields")
        if not isinstance(learning, str):
            continue
        core = insight_put(
            title=shortened(learning),
            learning=learning,
            context=None,
            tags=(),
            fields=None if fields is None else {},
            citations=(),
        )
        if (core.content, core.data) != (row.content, data):
            say_otherwise(session, scope, row.id, core.content, core.data)
            count += 1
    return count


def say_otherwise(session: Session, scope: Scope, learning_id: UUID, content: str, data: Mapping[str, Any]) -> None:
    """Put a row of these words in the place of a learning, with its evidence and all that refers to it; it is held."""
    new = uuid7()
    key = {"tenant": scope.target.tenant, "id": learning_id, "new": new}
    was = session.execute(_STATUS, key).one()
    session.execute(_END, key)  # two live rows of one key there cannot be
    said = {"content": content, "data": to_json(data).decode(), "status": was.status, "awaits": was.awaits}
    session.execute(_RESTATE, {**key, **said, "by": scope.forgetting_id})
    session.execute(_MOVE, key)
    for statement in _POINT:
        session.execute(statement, key)
    session.execute(_DELETE, key)
