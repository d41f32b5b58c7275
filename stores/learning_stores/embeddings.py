"""Vectors of what is remembered: the work list, what is written, and which models a tenant can be read with.

A tenant has one row for each of its embedding models. The work list `embedding_due` is kept by triggers: a learning that
becomes live is on it until every model of its tenant has its vector, or has refused its text. Whoever works takes rows for a
while (`take`), asks the model with no transaction open, writes (`record`) and takes them off (`settle`): all of it may be
done twice, and nothing is lost when a worker dies in between. Locks are taken in the order learnings, model, work list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from learning_schemas.results import RecalledLearning
from learning_stores.rendering import told


@dataclass(frozen=True, kw_only=True)
class Due:
    """A live learning and the models whose vector it lacks; `waits` of them are not to be asked yet."""

    learning_id: UUID
    text: str
    missing: tuple[str, ...]
    waits: bool


class DimensionsDiffer(Exception):
    """Vectors of a model have a number of dimensions that its earlier ones do not have."""

    def __init__(self, model: str, known: int, given: int) -> None:
        super().__init__(f"vectors of {model} had {known} dimensions, and now {given}")


# A learning's text is what recall shows of it. Vectors are asked for under the names that the rows of embedding_model have.
SHOWN = """
    l.id, l.store, l.kind, l.content, l.data, l.valid_from, l.namespace, e.name AS about, e.type AS about_type
"""
FROM = """
    FROM learning.learning l LEFT JOIN learning.entity e ON e.tenant = l.tenant AND e.id = l.about
"""
LACKS = """
    NOT EXISTS (
        SELECT FROM learning.learning_embedding v WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.model = m.model)
    AND NOT EXISTS (
        SELECT FROM learning.embedding_refused r WHERE r.tenant = l.tenant AND r.learning_id = l.id AND r.model = m.model)
"""

_BEGIN = text("""
    INSERT INTO learning.embedding_model (tenant, model, dimensions, state) VALUES (:tenant, :model, :dimensions, 'building')
    ON CONFLICT DO NOTHING
""")
_MODELS = text("""
    SELECT model, failures, coalesce(not_before > now(), false) AS waits, wait_note AS note
    FROM learning.embedding_model WHERE tenant = :tenant ORDER BY model
""")


@dataclass(frozen=True, kw_only=True)
class ModelState:
    """A model of a tenant: how many calls in a row brought nothing, and whether it is left alone now, and why."""

    model: str
    failures: int
    waits: bool
    note: str | None


def begin(session: Session, tenant: str, model: str, dimensions: int | None) -> None:
    """Let a tenant's memory be embedded with this model too, from now on. Its dimensions are those of its first vector if None."""
    session.execute(_BEGIN, {"tenant": tenant, "model": model, "dimensions": dimensions})


def models_of(session: Session, tenant: str) -> list[ModelState]:
    """The tenant's models."""
    return [ModelState(**row._mapping) for row in session.execute(_MODELS, {"tenant": tenant})]


# The newest first: what was said a moment ago is what the next question may be about, whatever waits besides.
_TAKE = text("""
    WITH ready AS (
        SELECT d.learning_id FROM learning.embedding_due d
        WHERE d.tenant = :tenant AND d.ready_at <= now() ORDER BY d.ready_at DESC LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE learning.embedding_due d SET taken_until = clock_timestamp() + :seconds * interval '1 s'
    FROM ready WHERE d.tenant = :tenant AND d.learning_id = ready.learning_id
    RETURNING d.learning_id
""")
_TAKEN = text(f"""
    SELECT {SHOWN}, coalesce(m.missing, '{{}}') AS missing, coalesce(m.waits, false) AS waits {FROM}
    CROSS JOIN LATERAL (
        SELECT array_agg(m.model ORDER BY m.model) FILTER (WHERE coalesce(m.not_before <= now(), true)) AS missing,
               bool_or(m.not_before > now()) AS waits
        FROM learning.embedding_model m WHERE m.tenant = l.tenant AND {LACKS}) AS m
    WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.status = 'active'
    ORDER BY l.id
""")  # noqa: S608 - made of constants


def take(session: Session, tenant: str, limit: int, seconds: float) -> tuple[list[UUID], list[Due]]:
    """Take up to `limit` rows of the work list for `seconds`: their ids, and those whose learnings live still."""
    given = {"tenant": tenant, "limit": limit, "seconds": seconds}
    ids = list(session.scalars(_TAKE, given))
    rows = session.execute(_TAKEN, {"tenant": tenant, "ids": ids}).all() if ids else []
    return ids, [
        Due(learning_id=row.id, text=text_of(row), missing=tuple(row.missing), waits=bool(row.waits)) for row in rows
    ]


_SHOWN = ("id", "store", "kind", "content", "data", "valid_from", "namespace", "about", "about_type")


def text_of(row: Row[Any]) -> str:
    """What is embedded for a learning: the line that recall shows of it."""
    return told(RecalledLearning(**{name: row._mapping[name] for name in _SHOWN}))


_HELD = text("""
    SELECT id FROM learning.learning WHERE tenant = :tenant AND id = ANY (:ids) AND status = 'active' ORDER BY id FOR KEY SHARE
""")
_MODEL = text("SELECT dimensions FROM learning.embedding_model WHERE tenant = :tenant AND model = :model FOR SHARE")
_WORKS = text("""
    UPDATE learning.embedding_model
    SET dimensions = coalesce(dimensions, :dimensions), failures = 0, not_before = NULL, wait_note = NULL
    WHERE tenant = :tenant AND model = :model AND (dimensions IS NULL OR failures > 0 OR not_before IS NOT NULL)
""")
_ADD = text("""
    INSERT INTO learning.learning_embedding (tenant, learning_id, model, embedding)
    SELECT :tenant, g.id, :model, g.vector::public.vector
    FROM unnest(CAST(:ids AS uuid[]), CAST(:vectors AS text[])) AS g (id, vector)
    ON CONFLICT DO NOTHING RETURNING learning_id
""")
_REFUSE = text("""
    INSERT INTO learning.embedding_refused (tenant, learning_id, model, reason)
    SELECT :tenant, g.id, :model, g.reason FROM unnest(CAST(:ids AS uuid[]), CAST(:reasons AS text[])) AS g (id, reason)
    ON CONFLICT DO NOTHING
""")


def record(
    session: Session,
    tenant: str,
    model: str,
    vectors: Mapping[UUID, Sequence[float]],
    refused: Mapping[UUID, str] | None = None,
) -> int:
    """Write vectors, and which texts the model refused and why. Returns how many vectors are new.

    What is no longer live is left out, and everything where the model was taken from the tenant meanwhile. Raises
    `DimensionsDiffer`.
    """
    refused = refused or {}
    key = {"tenant": tenant, "model": model}
    live = set(session.scalars(_HELD, {"tenant": tenant, "ids": [*vectors, *refused]}))
    given = len(next(iter(vectors.values()))) if vectors else None
    if given is not None:
        session.execute(
            _WORKS, {**key, "dimensions": given}
        )  # before it is shared: two that share it could not both change it
    known = session.execute(_MODEL, key).one_or_none()
    if known is None:
        return 0
    if given not in (None, known.dimensions):
        raise DimensionsDiffer(model, known.dimensions, given or 0)
    kept = sorted(live & vectors.keys())
    reasons = {each: refused[each] for each in sorted(live & refused.keys())}
    if reasons:
        session.execute(_REFUSE, {**key, "ids": list(reasons), "reasons": list(reasons.values())})
    if not kept:
        return 0
    return len(session.execute(_ADD, {**key, "ids": kept, "vectors": [_literal(vectors[each]) for each in kept]}).all())


def _literal(vector: Sequence[float]) -> str:
    """As pgvector reads it; nine digits tell every 32-bit float from its neighbours."""
    return f"[{','.join(f'{value:.9g}' for value in vector)}]"


_PAUSE = text("""
    UPDATE learning.embedding_model
    SET not_before = clock_timestamp() + :seconds * interval '1 s', failures = failures + 1, wait_note = :note
    WHERE tenant = :tenant AND model = :model
""")


def pause(session: Session, tenant: str, model: str, seconds: float, note: str) -> None:
    """Ask nothing of a model for this tenant for `seconds`; `note` says why, without any text."""
    session.execute(_PAUSE, {"tenant": tenant, "model": model, "seconds": seconds, "note": note})


# A learning that ended took its row along, or does so now. What still lacks something is looked up by its id first: in one
# condition on the list, Postgres read every learning of the tenant for it.
_SETTLE = text(f"""
    WITH open AS MATERIALIZED (
        SELECT l.id FROM learning.learning l CROSS JOIN learning.embedding_model m
        WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.status = 'active' AND m.tenant = :tenant AND {LACKS}
    )
    DELETE FROM learning.embedding_due d
    WHERE d.tenant = :tenant AND d.learning_id = ANY (:ids) AND d.learning_id NOT IN (SELECT id FROM open)
      AND EXISTS (SELECT FROM learning.embedding_model m WHERE m.tenant = :tenant)
""")  # noqa: S608 - made of constants
_GIVE_BACK = text("""
    UPDATE learning.embedding_due SET taken_until = NULL, not_before = greatest(
        clock_timestamp() + :seconds * interval '1 s',
        (SELECT min(m.not_before) FROM learning.embedding_model m WHERE m.tenant = :tenant AND m.not_before > clock_timestamp()))
    WHERE tenant = :tenant AND learning_id = ANY (:ids)
""")


def settle(session: Session, tenant: str, ids: Sequence[UUID], seconds: float) -> None:
    """Take rows off the work list that lack nothing any more; the others are ready again when what they wait for may be asked.

    That is after `seconds` at the earliest.
    """
    given = {"tenant": tenant, "ids": list(ids)}
    session.execute(_SETTLE, given)
    session.execute(_GIVE_BACK, {**given, "seconds": seconds})


# One statement: what it finds complete is complete. A learning that is made meanwhile is on the work list, and the model's row
# is there for whoever takes it.
_SWITCH = text(f"""
    UPDATE learning.embedding_model m SET state = 'reading', since = clock_timestamp()
    WHERE m.tenant = :tenant AND m.model = :model AND m.state = 'building' AND m.dimensions IS NOT NULL
      AND NOT EXISTS (
          SELECT FROM learning.learning l WHERE l.tenant = :tenant AND l.status = 'active' AND l.kind <> 'alias' AND {LACKS})
    RETURNING m.model
""")  # noqa: S608 - made of constants


def switch(session: Session, tenant: str, model: str) -> bool:
    """Let a model be read with, if no live learning of the tenant lacks its vector. True where that is so from now on."""
    return session.scalar(_SWITCH, {"tenant": tenant, "model": model}) is not None


_READING = text("SELECT FROM learning.embedding_model WHERE tenant = :tenant AND model = :model AND state = 'reading'")


def is_read_with(session: Session, tenant: str, model: str | None) -> bool:
    """Whether the tenant can be read with the model: every live learning had its vector when that was decided."""
    return session.execute(_READING, {"tenant": tenant, "model": model}).first() is not None


_TO_MOVE = text("""
    SELECT count(DISTINCT o.tenant) FROM learning.embedding_model o
    WHERE o.model <> :model AND NOT EXISTS (
        SELECT FROM learning.embedding_model m WHERE m.tenant = o.tenant AND m.model = :model AND m.state = 'reading')
""")


def tenants_to_move(session: Session, model: str) -> int:
    """How many tenants have vectors of other models and cannot be read with this one yet. As the dispatcher."""
    return int(session.scalar(_TO_MOVE, {"model": model}) or 0)


# What another model lacks does not hold it up: one that was asked for meanwhile and given up may wait for ever. That one is
# left to whoever asked for it, since what this puts on the list is embedded, and paid for.
_FIRST = text(f"""
    SELECT m.model FROM (
        SELECT model FROM learning.embedding_model WHERE tenant = :tenant ORDER BY since, model LIMIT 1) AS m
    WHERE NOT EXISTS (SELECT FROM learning.embedding_model o WHERE o.tenant = :tenant AND o.state = 'reading')
      AND NOT EXISTS (
          SELECT FROM learning.embedding_due d JOIN learning.learning l ON l.tenant = d.tenant AND l.id = d.learning_id
          WHERE d.tenant = :tenant AND {LACKS})
""")  # noqa: S608 - made of constants


def switch_first(session: Session, tenant: str) -> str | None:
    """The tenant's first model, if it can be read with from now on and with no other; what the work list misses is put on it."""
    model = session.scalar(_FIRST, {"tenant": tenant})
    if model is None:
        return None
    if switch(session, tenant, model):
        return str(model)
    session.execute(_PUT_BACK, {"tenant": tenant, "model": model})
    return None


_PUT_BACK = text(f"""
    INSERT INTO learning.embedding_due (tenant, learning_id)
    SELECT l.tenant, l.id FROM learning.learning l CROSS JOIN (SELECT CAST(:model AS text) AS model) AS m
    WHERE l.tenant = :tenant AND l.status = 'active' AND l.kind <> 'alias' AND {LACKS} LIMIT 1000
    ON CONFLICT DO NOTHING
""")  # noqa: S608 - made of constants
