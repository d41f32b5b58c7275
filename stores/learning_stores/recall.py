"""Recall: what an agent's turn needs from memory, in one round trip and within its deadline."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import namedtuple_row
from psycopg_pool import PoolTimeout
from pydantic_core import from_json
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from learning_schemas.results import MatchedBy, Recall, RecalledLearning, UnprocessedMessage
from learning_schemas.scope import session_scope, subject_of, user_scope
from learning_stores.database import BoundedAsyncConnection, BoundedConnection, Database
from learning_stores.deliveries import FLUSH, STATES, DeliveryStates, states_of
from learning_stores.ranking import DEFAULT_LANGUAGE, real_array, weights_for, weights_json
from learning_stores.recall_pool import NotConnected, RecallPool
from learning_stores.rendering import CHARACTERS_A_TOKEN, Headings, render

RECALL = (
    "SELECT learning.recall(%s, %s, %s, %s, %s::text[], %s::text[], %s::text[], %s, %s::uuid[], %s, %s, %s::real[], %s, "
    "%s::timestamptz, %s::jsonb)::text AS answer, false AS by_vector"
)
"""One round trip; takes `RecallRequest.parameters()`. The answer, and whether the vector counted."""

# A model that still lacks vectors of this tenant would put what it has before what it has not: until it is complete the words
# decide alone. The tenant is set first, because its row of the model is seen by no other.
RECALL_BY_VECTOR = """
    WITH asked AS MATERIALIZED (
        SELECT a.*, set_config('learning.tenant', a.tenant, true) FROM (VALUES
            (%s::text, %s::text, %s::text, %s::text, %s::text[], %s::text[], %s::text[], %s::integer, %s::uuid[], %s::text,
             %s::text, %s::real[], %s::text, %s::timestamptz, %s::jsonb)) AS a (
             tenant, user_scope, session_scope, subject, stores, places_stores, places_scopes, characters, own, query,
             language, vector, model, as_of, weights)
    ), compared AS MATERIALIZED (
        SELECT a.*, EXISTS (
            SELECT FROM learning.embedding_model m
            WHERE m.tenant = a.tenant AND m.model = a.model AND m.state = 'reading' AND m.dimensions = cardinality(a.vector)
        ) AS by_vector
        FROM asked a
    )
    SELECT learning.recall(
        a.tenant, a.user_scope, a.session_scope, a.subject, a.stores, a.places_stores, a.places_scopes, a.characters, a.own,
        a.query, a.language,
        CASE WHEN a.by_vector THEN a.vector END, a.model, a.as_of, a.weights)::text AS answer, a.by_vector
    FROM compared a
"""
"""The same where there is a vector, which counts only where the tenant can be read with its model: by as many dimensions."""


@dataclass(frozen=True, kw_only=True)
class RecallRequest:
    """Whose memory, of which stores, how much of it (`max_tokens`), and by when (`deadline`, seconds).

    `places` are the pairs of store and scope that are read, `headings` what is shown above each kind. With a `query` what
    matters most to it comes first: its words in `language`, and `vector`, its embedding by `model`, where there is one. With
    `as_of` the answer is what was live then. Without `overlay` nothing is shown that is not extracted yet.
    """

    tenant: str
    user_id: str | None
    session_id: str | None
    stores: tuple[str, ...]
    places: tuple[tuple[str, str], ...]
    max_tokens: int
    deadline: float
    headings: Headings = field(default_factory=dict)
    query: str | None = None
    language: str = DEFAULT_LANGUAGE
    vector: Sequence[float] | None = None
    model: str | None = None
    as_of: datetime | None = None
    overlay: bool = True
    own: tuple[UnprocessedMessage, ...] = ()  # emitted by this machine lately, newest first

    def statement(self) -> str:
        """What is executed, with `parameters()`."""
        return RECALL if self.vector is None else RECALL_BY_VECTOR

    def parameters(self) -> tuple[Any, ...]:
        """The SQL function's arguments."""
        return (
            self.tenant,
            user_scope(self.user_id) if self.user_id else None,
            session_scope(self.user_id, self.session_id) if self.session_id else None,
            subject_of(self.user_id, self.session_id),
            list(self.stores),
            [store for store, _ in self.places],
            [scope for _, scope in self.places],
            self.max_tokens * CHARACTERS_A_TOKEN,
            list({message.event_id for message in self.own}),
            None if self.query is None else self.query.replace("\0", " "),  # Postgres knows no such character
            self.language,
            None if self.vector is None else real_array(self.vector),
            self.model,
            self.as_of,
            weights_json(weights_for(self.model)),
        )


class Recaller:
    """Asks for one recall after another, each within its deadline. Safe in threads, after a fork, and in many event loops."""

    def __init__(self, database: Database, *, max_connections: int = 8) -> None:
        self._pool = RecallPool(database, max_connections)

    def recall(self, request: RecallRequest) -> Recall:
        """Ask, within the deadline. Never raises for what the server does: what went wrong is in `degraded`."""
        statement, parameters = request.statement(), request.parameters()
        try:
            row = self._pool.run(
                time.monotonic() + request.deadline, lambda asked: asked.execute(statement, parameters).fetchone()
            )
        except (psycopg.Error, OSError) as error:
            return degraded(request, error)
        assert row is not None
        return _result(request, *row)

    async def arecall(self, request: RecallRequest) -> Recall:
        """The same from asyncio."""

        async def ask(asked: BoundedAsyncConnection) -> Any:
            # Only now: a vector is half a millisecond of writing, and those who wait for a connection may be many.
            return await (await asked.execute(request.statement(), request.parameters())).fetchone()

        try:
            row = await self._pool.arun(time.monotonic() + request.deadline, ask)
        except (psycopg.Error, OSError) as error:
            return degraded(request, error)
        assert row is not None
        if len(row[0]) > _AT_ONCE:
            return await asyncio.to_thread(_result, request, *row)
        return _result(request, *row)

    def states(self, tenant: str, event_id: UUID, wait_until: float) -> DeliveryStates:
        """`delivery_states` with `flush`, by `wait_until` (monotonic) or not at all. Raises psycopg.Error, OSError."""
        given = {"tenant": tenant, "event_id": event_id}

        def look(asked: BoundedConnection) -> DeliveryStates:
            with asked.transaction():
                asked.execute(_AS_TENANT, given)
                asked.execute(_FLUSH, given)
                return states_of(asked.cursor(row_factory=namedtuple_row).execute(_STATES, given).fetchall())

        return self._pool.run(wait_until, look)

    async def astates(self, tenant: str, event_id: UUID, wait_until: float) -> DeliveryStates:
        """The same from asyncio."""
        given = {"tenant": tenant, "event_id": event_id}

        async def look(asked: BoundedAsyncConnection) -> DeliveryStates:
            async with asked.transaction():
                await asked.execute(_AS_TENANT, given)
                await asked.execute(_FLUSH, given)
                rows = await asked.cursor(row_factory=namedtuple_row).execute(_STATES, given)
                return states_of(await rows.fetchall())

        return await self._pool.arun(wait_until, look)

    def close(self) -> None:
        """Give back this process's connections."""
        self._pool.close()

    async def aclose(self) -> None:
        """Give back the running event loop's connections."""
        await self._pool.aclose()


_AT_ONCE = 50_000  # characters of an answer, a millisecond of work; what is longer does not hold up the event loop
_AS_TENANT = "SELECT set_config('learning.tenant', %(tenant)s, true)"
_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]  # SQLAlchemy gives its constructor no types
_FLUSH, _STATES = (str(each.compile(dialect=_DIALECT)) for each in (FLUSH, STATES))


def degraded(request: RecallRequest, error: BaseException) -> Recall:
    """What can be said without the database: what this machine itself was told lately."""
    if isinstance(error, NotConnected):
        cause = f"no connection within {request.deadline:.2g} s: {error}"
    else:
        cause = (
            f"no free connection within {request.deadline:.2g} s" if isinstance(error, PoolTimeout) else _cause(error)
        )
    context, _, unprocessed = render(
        (), request.own if request.overlay else (), 0, request.max_tokens, request.headings
    )
    return Recall(
        context=context, unprocessed=unprocessed, degraded=cause, pending=len({m.event_id for m in request.own})
    )


def _cause(error: BaseException) -> str:
    told = str(error).splitlines()
    return f"{type(error).__name__}: {told[0] if told else 'no detail'}"[:300]


def _matched_by(request: RecallRequest, by_vector: bool) -> MatchedBy | None:
    if request.query is None or not request.query.strip():
        return None
    # A vector without direction is near to nothing.
    return "text+vector" if by_vector and any(request.vector or ()) else "text"


def _result(request: RecallRequest, answer: str, by_vector: bool) -> Recall:
    found = from_json(answer)
    learnings = tuple(
        RecalledLearning(
            id=UUID(row["id"]),
            store=row["store"],
            kind=row["kind"],
            content=row["content"],
            data=row["data"],
            valid_from=datetime.fromisoformat(row["valid_from"]),
            namespace=row["namespace"],
            about=row["about"],
            about_type=row["about_type"],
        )
        for row in _once(found["learnings"])
    )
    known = {UUID(event_id) for event_id in found["known"]}
    own = [message for message in request.own if message.event_id not in known]
    said = [
        UnprocessedMessage(
            event_id=UUID(row["id"]),
            session_id=row["session_id"],
            content=row["said"],
            occurred_at=datetime.fromisoformat(row["occurred_at"]),
        )
        for row in found["waiting"]
    ]
    fresh = [*own, *said] if request.overlay else []
    context, shown, unprocessed = render(learnings, fresh, found["omitted"], request.max_tokens, request.headings)
    return Recall(
        context=context,
        learnings=learnings[:shown],
        unprocessed=unprocessed,
        omitted=found["omitted"] + len(learnings) - shown,
        processed_through=datetime.fromisoformat(found["processed_through"]),
        pending=found["pending"] + len({message.event_id for message in own}),
        matched_by=_matched_by(request, by_vector),
        models=tuple(found["models"]),
        known=frozenset(known),
    )


def _once(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each statement once: what was promoted lies in the narrower namespace and in the wider one."""
    kept = {(row["store"], row["kind"], row["about"], row["content"]): row for row in reversed(rows)}
    return [row for row in rows if kept[row["store"], row["kind"], row["about"], row["content"]] is row]
