"""Statements that ended: how one that is not live came to its end, and what an end that no longer counts leaves behind.

An end counts as long as what brought it about does: the row that took its place, or the words that took it back.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.learning_rows import New
from learning_stores.operations import Provenance
from learning_stores.place import Place
from learning_stores.replay_known import END_STANDS, ENDED
from learning_stores.row_locks import Key, arrays


@dataclass(frozen=True, kw_only=True)
class Gone:
    """The last retirement of a statement that is not live: until when it was so, and whether a person ended it."""

    valid_to: datetime
    by_person: bool


# The last one of each key that ended because of what was said or decided and still counts; not one that was undone, pruned or
# forgotten. The newest are looked at first, and no more of them than it takes.
_GONE = text(f"""
    SELECT w.kind, w.about, w.key AS content_key, gone.valid_to, gone.by_person
    FROM unnest(cast(:kinds AS text[]), cast(:keys AS text[]), cast(:abouts AS uuid[])) AS w (kind, key, about)
    CROSS JOIN LATERAL (
        SELECT l.valid_to, EXISTS (SELECT FROM learning.change c
                                   WHERE c.tenant = l.tenant AND c.id = l.retired_by AND c.origin = 'human') AS by_person
        FROM (
            SELECT o.tenant, o.id, o.valid_to, o.retired_by, o.replaced_by FROM learning.learning o
            WHERE o.tenant = :tenant AND o.store = :store AND o.scope = :scope AND o.kind = w.kind AND o.content_key = w.key
              AND (o.about = w.about OR (o.about IS NULL AND w.about IS NULL))
              AND o.status = 'retired' AND o.valid_to IS NOT NULL
              AND (o.live_from < o.retired_at OR o.retired_reason = 'rejected') AND o.retired_reason = ANY (:ended)
            ORDER BY o.valid_to DESC OFFSET 0) AS l
        WHERE {END_STANDS} AND NOT EXISTS (
            SELECT FROM learning.change c WHERE c.tenant = l.tenant AND c.id = l.retired_by AND c.undone_at IS NOT NULL)
        LIMIT 1) AS gone
""")  # noqa: S608 - the part is a constant


def gone(session: Session, place: Place, keys: Collection[Key]) -> dict[Key, Gone]:
    """How these statements ended, of those that once were live or were rejected."""
    if not keys:
        return {}
    where = {"tenant": place.tenant, "store": place.store, "scope": place.scope}
    return {
        Key(row.kind, row.about, row.content_key): Gone(valid_to=row.valid_to, by_person=row.by_person)
        for row in session.execute(_GONE, {**where, **arrays(keys), "ended": [*ENDED, "rejected"]})
    }


# An equal one that was history and lost what it stood on (its events are extracted again). What took it back is no support.
_LAPSED = text("""
    SELECT l.id FROM learning.learning l
    WHERE l.tenant = :tenant AND l.store = :store AND l.scope = :scope AND l.kind = :kind AND l.content_key = :content_key
      AND (l.about = cast(:about AS uuid) OR (l.about IS NULL AND cast(:about AS uuid) IS NULL))
      AND l.status = 'retired' AND l.valid_from = :valid_from AND l.content = :content AND l.data = cast(:data AS jsonb)
      AND (l.retired_reason = 'late' OR l.retired_reason = ANY (:ended))
      AND NOT EXISTS (SELECT FROM learning.evidence v
                      WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL
                        AND NOT (l.replaced_by IS NULL AND l.retired_reason <> 'late' AND v.extraction_id = l.retired_by))
    ORDER BY l.id DESC LIMIT 1 FOR UPDATE OF l
""")


def lapsed(session: Session, place: Place, new: New) -> UUID | None:
    """The row of history that said the same and has no evidence any more; None where there is none."""
    found: UUID | None = session.scalar(
        _LAPSED,
        {
            "tenant": place.tenant,
            "store": place.store,
            "scope": place.scope,
            "kind": new.key.kind,
            "content_key": new.key.content_key,
            "about": new.key.about,
            "valid_from": new.said_at,
            "content": new.operation.content,
            "data": to_json(new.operation.data).decode(),
            "ended": list(ENDED),
        },
    )
    return found


# What was taken back by words that are extracted again, and now say so again.
_TAKE_BACK_AGAIN = text("""
    UPDATE learning.learning l SET retired_by = :by
    WHERE l.tenant = :tenant AND l.store = :store AND l.scope = :scope AND l.id = :id AND l.status = 'retired'
      AND l.replaced_by IS NULL AND l.retired_reason = 'retracted' AND l.valid_from <= :said_at AND NOT EXISTS (
          SELECT FROM learning.evidence v
          WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.extraction_id = l.retired_by AND v.withdrawn_at IS NULL)
    RETURNING l.id
""")


def take_back_again(session: Session, source: Provenance, learning_id: UUID, said_at: datetime) -> bool:
    """Whether it was retracted by what no longer counts: it then is by this."""
    place = source.place
    values = {"tenant": place.tenant, "store": place.store, "scope": place.scope, "id": learning_id}
    return session.scalar(_TAKE_BACK_AGAIN, {**values, "by": source.made_by, "said_at": said_at}) is not None
