"""Reading memory in an agent's turn: recall for the next prompt, and search with scores and reasons."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from learning_machine.arguments import checked_choice, checked_deadline, checked_id, checked_tokens
from learning_machine.asking import Asking, checked_limit
from learning_machine.query_embedding import QueryEmbedder
from learning_machine.recall_counts import RecallCounts
from learning_machine.recent import RecentEvents
from learning_machine.settling import FAILURES, Waiting
from learning_schemas.errors import InvalidArgument, RecallFailed
from learning_schemas.results import Found, Recall, Receipt
from learning_schemas.scope import namespace_scope
from learning_stores.place import namespaces_read
from learning_stores.ranking import DEFAULT_LANGUAGE, RankRequest
from learning_stores.recall import Recaller, RecallRequest
from learning_stores.rendering import Headings
from learning_stores.search import search
from learning_stores.user_values import lost_fields

Freshness = Literal["overlay", "extracted"]

MAX_QUERY = 8_000
"""Characters of a query that are read; more tells nothing that the beginning does not."""
MAX_RESULTS = 200
_RESERVED = 0.1  # seconds of recall's deadline that what comes before the question leaves to it; half of a shorter one
_RESERVED_SHARE = 0.2  # of a longer one
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # nothing was learned before
_AHEAD = timedelta(days=1)  # so far may clocks differ


class Recalling(Asking):
    """The part of a machine that answers in an agent's turn."""

    _recaller: Recaller
    _recent: RecentEvents
    _embedder: QueryEmbedder | None
    _counts: RecallCounts
    _headings: Headings
    _recall_deadline: float
    _recall_tokens: int

    def recall(
        self,
        query: str | None = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        max_tokens: int | None = None,
        deadline: float | None = None,
        as_of: datetime | None = None,
        freshness: Freshness = "overlay",
        wait_for: Receipt | None = None,
        on_error: Literal["degrade", "raise"] = "degrade",
    ) -> Recall:
        """What is remembered of this user and session, for the next prompt: `.context`, and the same typed.

        With a `query` (what the user asks) what matters most to it comes first; without one the order is stable. One round
        trip, within `deadline` seconds (default 0.5) and `max_tokens` (default 1,000). What the user said and is not extracted
        yet is in it, marked, unless `freshness="extracted"`. `wait_for` a receipt waits, within the deadline, until that event
        is extracted. `as_of` (with a time zone) answers with what was live then. A failure gives an empty result with `.degraded`
        naming the cause, or raises `RecallFailed` with `on_error="raise"`. Raises `InvalidArgument` for bad input.
        """
        request = self._request(query, user_id, session_id, max_tokens, deadline, as_of, freshness, wait_for, on_error)
        until = time.monotonic() + request.deadline
        if self._embedder is not None:
            self._embedder.warm()
            if request.query is not None:
                vector = self._embedder.embed(request.query, _share(until))
                request = replace(request, vector=vector, model=self._embedder.model)
        if wait_for is not None:
            waiting, look_until = self._waiting(wait_for, until)
            for pause in waiting.looks():
                try:
                    found = self._recaller.states(*waiting.event, look_until)
                except FAILURES:
                    break  # recall says so itself
                if waiting.is_over(found):
                    break
                time.sleep(pause)
        return self._recalled(self._recaller.recall(replace(request, deadline=_left(until))), request, on_error)

    async def arecall(
        self,
        query: str | None = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        max_tokens: int | None = None,
        deadline: float | None = None,
        as_of: datetime | None = None,
        freshness: Freshness = "overlay",
        wait_for: Receipt | None = None,
        on_error: Literal["degrade", "raise"] = "degrade",
    ) -> Recall:
        """`recall` for asyncio."""
        request = self._request(query, user_id, session_id, max_tokens, deadline, as_of, freshness, wait_for, on_error)
        until = time.monotonic() + request.deadline
        await self._loops.enter()
        if self._embedder is not None:
            self._embedder.warm()
            if request.query is not None:
                vector = await self._embedder.aembed(request.query, _share(until))
                request = replace(request, vector=vector, model=self._embedder.model)
        if wait_for is not None:
            waiting, look_until = self._waiting(wait_for, until)
            for pause in waiting.looks():
                try:
                    found = await self._recaller.astates(*waiting.event, look_until)
                except FAILURES:
                    break
                if waiting.is_over(found):
                    break
                await asyncio.sleep(pause)
        recalled = await self._recaller.arecall(replace(request, deadline=_left(until)))
        return self._recalled(recalled, request, on_error)

    def search(
        self,
        query: str,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        store: str | None = None,
        namespace: str | None = None,
        limit: int = 10,
        as_of: datetime | None = None,
    ) -> tuple[Found, ...]:
        """What matters most to a query, best first, each with its score and why it was found.

        Scores compare within one answer only. Live learnings of what this machine reads for the user and session; of one
        `store` or `namespace` where that is given, which must be among those that it reads. The query's embedding counts where
        some result's `why` has `vector`. Raises `InvalidArgument`, `MemoryUnavailable`.
        """
        request = self._rank_request(query, user_id, session_id, store, namespace, limit, as_of)
        if self._embedder is not None:
            request = replace(request, vector=self._embedder.embed(request.query), model=self._embedder.model)
        return self._ask(lambda session: search(session, self.tenant, request))

    async def asearch(
        self,
        query: str,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        store: str | None = None,
        namespace: str | None = None,
        limit: int = 10,
        as_of: datetime | None = None,
    ) -> tuple[Found, ...]:
        """`search` for asyncio."""
        request = self._rank_request(query, user_id, session_id, store, namespace, limit, as_of)
        if self._embedder is not None:
            await self._loops.enter()
            request = replace(request, vector=await self._embedder.aembed(request.query), model=self._embedder.model)
        return await self._aask(lambda session: search(session, self.tenant, request))

    def _request(
        self,
        query: str | None,
        user_id: str | None,
        session_id: str | None,
        max_tokens: int | None,
        deadline: float | None,
        as_of: datetime | None,
        freshness: str,
        wait_for: Receipt | None,
        on_error: str,
    ) -> RecallRequest:
        checked_choice("on_error", on_error, "degrade", "raise")
        checked_choice("freshness", freshness, "overlay", "extracted")
        if wait_for is not None and not isinstance(wait_for, Receipt):
            raise InvalidArgument("wait_for", f"is {type(wait_for).__name__}", "Give the Receipt that emit returned")
        if wait_for is not None and wait_for.tenant != self.tenant:
            raise InvalidArgument(
                "wait_for", "is of an event of another tenant", "Recall by machine.for_tenant(receipt.tenant)"
            )
        user_id, session_id = self._whose(user_id, session_id)
        past = _checked_moment(as_of)
        overlay = freshness == "overlay" and past is None
        return RecallRequest(
            tenant=self.tenant,
            user_id=user_id,
            session_id=session_id,
            stores=tuple(self.spec.stores),
            places=tuple(self._reads(self.spec.stores, user_id, session_id)),
            headings=self._headings,
            max_tokens=self._recall_tokens if max_tokens is None else checked_tokens("max_tokens", max_tokens),
            deadline=self._recall_deadline if deadline is None else checked_deadline("deadline", deadline),
            own=self._recent.of(self.tenant, user_id, session_id) if past is None else (),
            query=self._checked_query(query) if query is not None else None,
            language=self.spec.language or DEFAULT_LANGUAGE,
            as_of=past,
            overlay=overlay,
        )

    def _rank_request(
        self,
        query: str,
        user_id: str | None,
        session_id: str | None,
        store: str | None,
        namespace: str | None,
        limit: int,
        as_of: datetime | None,
    ) -> RankRequest:
        user_id = None if user_id is None else checked_id("user_id", user_id)
        session_id = None if session_id is None else checked_id("session_id", session_id)
        stores: Sequence[str] = tuple(self.spec.stores)
        if store is not None:
            if not isinstance(store, str):
                raise InvalidArgument("store", f"is {type(store).__name__}, not text", f"It has {', '.join(stores)}")
            self._store(store)
            stores = (store,)
        places = self._reads(stores, user_id, session_id)
        if namespace is not None:
            wanted = namespace_scope(self._checked_namespace(namespace, stores), user_id)
            places = [(name, scope) for name, scope in places if scope == wanted]
        return RankRequest(
            places=tuple(places),
            query=self._checked_query(query),
            language=self.spec.language or DEFAULT_LANGUAGE,
            limit=checked_limit(limit, MAX_RESULTS),
            as_of=_checked_moment(as_of),
        )

    def _checked_namespace(self, namespace: object, stores: Sequence[str]) -> str:
        """One that some of these stores read: of any other nothing could ever be found."""
        wanted = checked_id("namespace", namespace)
        having = [name for name in stores if self._store(name).namespaced]
        read = list(dict.fromkeys(each for name in having for each in namespaces_read(self.spec.stores[name])))
        if not read:
            raise InvalidArgument("namespace", f"means nothing to {' and '.join(stores)}", "Leave it out")
        if wanted not in read:
            raise InvalidArgument(
                "namespace", f"is none that {' and '.join(having)} read here", f"Give one of {', '.join(read)}"
            )
        return wanted

    def _whose(self, user_id: str | None, session_id: str | None) -> tuple[str | None, str | None]:
        user_id = None if user_id is None else checked_id("user_id", user_id)
        session_id = None if session_id is None else checked_id("session_id", session_id)
        if user_id is None and session_id is None:
            raise InvalidArgument("user_id", "neither it nor session_id is given", "Say whose memory is meant")
        return user_id, session_id

    def _checked_query(self, query: object) -> str:
        """The query without secrets: it may be sent to whoever embeds it."""
        if not isinstance(query, str):
            raise InvalidArgument("query", f"is {type(query).__name__}, not text", "Give what the user asks")
        # A half of a character that some client cut is no reason for a turn to fail.
        kept, _ = self._redact(query[:MAX_QUERY].encode("utf-8", "replace").decode())
        return kept

    def _waiting(self, receipt: Receipt, until: float) -> tuple[Waiting, float]:
        """The wait for a receipt, and until when a look may last: longer, since the last one is made when the wait is over."""
        left, seconds = _left(until), _share(until)
        return Waiting(receipt, seconds, self.spec, self.tenant), until - (left - seconds) / 2

    def _recalled(self, result: Recall, request: RecallRequest, on_error: Literal["degrade", "raise"]) -> Recall:
        if result.degraded is not None and on_error == "raise":
            raise RecallFailed(result.degraded)
        self._recent.forget(result.known)
        if request.as_of is None:  # looking back is no use in a turn
            self._counts.note(self.tenant, (learning.id for learning in result.learnings))
        lost = [
            f"{store}.{name}"
            for store, spec in self.spec.stores.items()
            for name in lost_fields((each for each in result.learnings if each.store == store), spec)
        ]
        return replace(result, lost_fields=tuple(lost)) if lost else result


def _left(until: float) -> float:
    return max(0.001, until - time.monotonic())


def _share(until: float) -> float:
    """Seconds that may be spent before the database is asked."""
    left = _left(until)
    return left - max(min(_RESERVED, left / 2), left * _RESERVED_SHARE)


def _checked_moment(as_of: object) -> datetime | None:
    if as_of is None:
        return None
    if not isinstance(as_of, datetime):
        raise InvalidArgument("as_of", f"is {type(as_of).__name__}, not a datetime", "Give a moment, with a time zone")
    if as_of.tzinfo is None:
        raise InvalidArgument("as_of", "has no time zone", "Give one: datetime.now(UTC)")
    if as_of > datetime.now(UTC) + _AHEAD:
        raise InvalidArgument("as_of", "is in the future", "Leave it out for what is known now")
    return max(as_of, _EPOCH)
