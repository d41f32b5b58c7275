"""What is about to be extracted again, while it is: what its prompt shows, and what became of what it had stated before.

A prompt of a replay shows what would be known without the extractions that it repeats: not what they alone support, but what
they had replaced or taken back.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.grounding import fold
from learning_stores.operations import Citation, LiveLearning

ENDED = ("superseded", "corrected", "retracted", "retracted by a person", "contradicted")
"""Reasons for which something said or decided ended a learning that was live."""

# Whether the end of `l` counts still: whatever took its place, however many steps on, or the words that took it back.
END_STANDS = """CASE
    WHEN l.replaced_by IS NULL THEN EXISTS (
        SELECT FROM learning.evidence w
        WHERE w.tenant = l.tenant AND w.learning_id = l.id AND w.extraction_id = l.retired_by AND w.withdrawn_at IS NULL)
    ELSE EXISTS (
        WITH RECURSIVE chain (id) AS (
            SELECT l.replaced_by
            UNION
            SELECT n.replaced_by FROM chain JOIN learning.learning n ON n.tenant = l.tenant AND n.id = chain.id
            WHERE n.replaced_by IS NOT NULL)
        SELECT FROM chain JOIN learning.evidence w ON w.tenant = l.tenant AND w.learning_id = chain.id
        WHERE w.withdrawn_at IS NULL) END"""

# What was said in these events and was live, until something ended it that still stands.
_PASSED = text(f"""
    SELECT v.event_id, v.message, v.quote, l.kind, l.valid_to, l.replaced_by
    FROM learning.learning l
    JOIN learning.evidence v ON v.tenant = l.tenant AND v.learning_id = l.id AND v.event_id = ANY (:events)
     AND v.extraction_id IS DISTINCT FROM l.retired_by
    WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.status = 'retired' AND l.retired_reason = ANY (:ended)
      AND l.valid_to IS NOT NULL AND {END_STANDS}
""")  # noqa: S608 - both parts are constants


class Passed(NamedTuple):
    """A statement of an event that is extracted again, which ended since: its like is history, beneath what replaced it."""

    event_id: UUID
    message: int | None
    quote: str
    kind: str
    valid_to: datetime
    replaced_by: UUID | None

    def was(self, kind: str, citations: Sequence[Citation]) -> bool:
        """Whether a statement of this kind on these words is the same one, said anew."""
        own = fold(self.quote)
        return kind == self.kind and any(
            (each.event_id, each.message) == (self.event_id, self.message)
            and (fold(each.quote or "") in own or own in fold(each.quote or ""))
            for each in citations
        )


def passed(session: Session, tenant: str, events: Collection[UUID], touched: Collection[UUID]) -> list[Passed]:
    """What these events had stated that is history by now, of the learnings that they gave evidence to."""
    values = {"tenant": tenant, "events": list(events), "ids": list(touched), "ended": list(ENDED)}
    rows = session.execute(_PASSED, values)
    return [Passed(**{**row._mapping, "quote": row.quote or ""}) for row in rows]


# Whether evidence `v` is of a delivery of one mailbox that is to be extracted again.
_AGAIN = """v.origin = 'extraction' AND EXISTS (
            SELECT FROM learning.delivery d
            WHERE d.tenant = v.tenant AND d.event_id = v.event_id AND d.store = :store AND d.scope = :mailbox
              AND d.state = 'pending' AND d.replayed_at > v.added_at)"""

# Of these, the learnings that stand on nothing but what deliveries of one mailbox said that are to be extracted again.
_ALONE = text(f"""
    SELECT l.id FROM unnest(cast(:ids AS uuid[])) AS l (id)
    WHERE EXISTS (
        SELECT FROM learning.evidence v WHERE v.tenant = :tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL)
      AND NOT EXISTS (
        SELECT FROM learning.evidence v
        WHERE v.tenant = :tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL AND NOT ({_AGAIN}))
""")  # noqa: S608 - both parts are constants

# What those deliveries had replaced by something that stands on them alone, or had taken back; and what that stands on besides.
_ENDED_BY_THEM = text(f"""
    WITH again AS (
        SELECT DISTINCT v.learning_id AS id, v.extraction_id
        FROM learning.delivery d
        JOIN learning.evidence v ON v.tenant = d.tenant AND v.event_id = d.event_id AND v.withdrawn_at IS NULL
         AND v.added_at < d.replayed_at AND v.origin = 'extraction'
        WHERE d.tenant = :tenant AND d.store = :store AND d.scope = :mailbox AND d.state = 'pending' AND d.replayed_at IS NOT NULL
    )
    SELECT l.id, l.kind, l.content, l.content_key, l.data, l.valid_from, l.origin, l.about, l.target, e.name AS entity,
           e.type AS entity_type, t.name AS target_name, t.type AS target_type, since.ids AS since
    FROM (SELECT l.id FROM again JOIN learning.learning l ON l.tenant = :tenant AND l.replaced_by = again.id
          WHERE l.retired_reason IN ('superseded', 'corrected')
          UNION
          SELECT l.id FROM again JOIN learning.learning l ON l.tenant = :tenant AND l.id = again.id
          WHERE l.replaced_by IS NULL AND l.retired_by = again.extraction_id AND l.retired_reason = 'retracted') AS ended
    JOIN learning.learning l ON l.tenant = :tenant AND l.id = ended.id
    CROSS JOIN LATERAL (
        WITH RECURSIVE chain (id) AS (
            SELECT l.replaced_by WHERE l.replaced_by IS NOT NULL
            UNION
            SELECT n.replaced_by FROM chain JOIN learning.learning n ON n.tenant = :tenant AND n.id = chain.id
            WHERE n.replaced_by IS NOT NULL)
        SELECT coalesce(array_agg(id), '{{}}') AS ids FROM chain) AS since
    LEFT JOIN learning.entity e ON e.tenant = :tenant AND e.id = l.about
    LEFT JOIN learning.entity t ON t.tenant = :tenant AND t.id = l.target
    WHERE l.store = :store AND l.scope = :scope AND l.status = 'retired' AND l.live_from < l.retired_at
      AND EXISTS (SELECT FROM learning.evidence v
                  WHERE v.tenant = :tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL AND NOT ({_AGAIN}))
    ORDER BY l.live_from DESC, l.id DESC
""")  # noqa: S608 - both parts are constants


def without_replayed(
    session: Session, tenant: str, store: str, mailbox: str, scope: str, known: Sequence[LiveLearning]
) -> list[LiveLearning]:
    """What would be known without what a mailbox's deliveries gave that are to be extracted again. `scope` is written to."""
    where = {"tenant": tenant, "store": store, "mailbox": mailbox}
    ended = session.execute(_ENDED_BY_THEM, {**where, "scope": scope}).all()
    asked = {each.id for each in known}.union(*(row.since for row in ended))
    alone = set(session.scalars(_ALONE, {**where, "ids": list(asked)})) if asked else set()
    back = [_as_known(row) for row in ended if alone.issuperset(row.since)]
    return [each for each in known if each.id not in alone] + back


def _as_known(row: object) -> LiveLearning:
    values = dict(row._mapping)  # type: ignore[attr-defined]  # a row of the statement above
    target = {"target": values.pop("target_name"), "target_type": values.pop("target_type")}
    values.pop("since")
    if values["kind"] == "relationship" and values["target"] is not None:
        values["data"] = {**values["data"], **target}
    return LiveLearning(**values)
