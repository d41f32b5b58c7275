"""The query's embedding: one HTTP call with a deadline of its own, beside recall, and never a reason to fail.

None means that text has to do: nothing is configured, the answer was late, or there was none. That is counted, and logged once a
minute without the query; what is late because the process has just begun is no warning. A call that is late is cut off, so that
a silent server holds neither thread nor event loop.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass

from learning_machine.lock import Lock
from learning_machine.query_batches import QueryBatches, Vector
from learning_stores.embedding_client import EmbeddingClient, EmbeddingFailed, late
from learning_stores.embedding_endpoint import EmbeddingEndpoint

logger = logging.getLogger("learning_machine")

CACHED_QUERIES = 256
MAX_QUERY = 8_000
"""Characters of a query that are embedded: more tells nothing that the beginning does not."""
RESTING_SECONDS = 1.0
FAILURES_BEFORE_REST = 5
"""After so many failures in a row the endpoint is left alone for a second: who is down answers no sooner for being asked."""
START_SECONDS = 5.0
"""Until the first answer, for so long from the first query: being late is the cost of beginning, and no warning."""
_LOG_SECONDS = 60.0
_GRACE = 0.05  # how much longer a thread waits for the background loop to keep the deadline


@dataclass(frozen=True, kw_only=True)
class QueryEmbeddingCounts:
    """Since the machine was made: queries embedded, found in the cache, late, and failed otherwise or not tried."""

    embedded: int = 0
    cached: int = 0
    late: int = 0
    failed: int = 0


class QueryEmbedder:
    """Embeds queries with one model, whose name the vectors of what is remembered bear. Safe in threads, loops and forks."""

    def __init__(self, endpoint: EmbeddingEndpoint, deadline: float) -> None:
        self._client = EmbeddingClient(endpoint)
        self._batches = QueryBatches(self._client)
        self._deadline = deadline
        self._lock = Lock()
        self._cache: OrderedDict[str, Vector] = OrderedDict()
        self._counts = dict.fromkeys(QueryEmbeddingCounts.__dataclass_fields__, 0)
        self._failures = 0
        self._rests_until = 0.0
        self._logged_at = -_LOG_SECONDS
        self._unlogged = 0
        self._asked_at: float | None = None

    @property
    def model(self) -> str:
        """The name under which the vectors are stored that a query's can be compared with."""
        return self._client.endpoint.name

    @property
    def counts(self) -> QueryEmbeddingCounts:
        """What became of the queries."""
        with self._lock.mutex:
            return QueryEmbeddingCounts(**self._counts)

    def warm(self) -> None:
        """Begin to import the SDK in the background; a query before it is there is late. Connects to nothing, returns at once.

        Recall does so whenever it is called, with a query or without. Not when a machine is made: servers fork after that, and
        a child of a process that is in the middle of an import never has that module.
        """
        with suppress(RuntimeError):  # no thread to be had, or the interpreter is ending: a query says so
            self._client.warm()

    def embed(self, query: str, deadline: float | None = None) -> list[float] | None:
        """The query's vector within `deadline` seconds (the configured ones where it is not given), or None. Raises nothing."""
        text, within = _asked(query), self._deadline if deadline is None else min(self._deadline, deadline)
        if (known := self._known(text)) is not None or self._rests(text):
            return known
        begins = self._begins()
        try:
            return self._keep(text, self._wait(self._ask(text, within), within))
        except EmbeddingFailed as failure:
            self._failed(failure, begins=begins)
            return None

    async def aembed(self, query: str, deadline: float | None = None) -> list[float] | None:
        """The same from asyncio. The event loop only waits: the call runs in another one."""
        text, within = _asked(query), self._deadline if deadline is None else min(self._deadline, deadline)
        if (known := self._known(text)) is not None or self._rests(text):
            return known
        begins = self._begins()
        try:
            async with asyncio.timeout(within):
                return self._keep(text, await asyncio.wrap_future(self._ask(text, within)))
        except TimeoutError:
            self._failed(late(within), begins=begins)
            return None
        except EmbeddingFailed as failure:
            self._failed(failure, begins=begins)
            return None

    def close(self) -> None:
        """Close the connections. The embedder can be used again; it then connects anew."""
        self._client.close()

    def _ask(self, text: str, within: float) -> "Future[Vector]":
        try:
            return self._batches.ask(text, within)
        except RuntimeError:
            raise EmbeddingFailed("unreachable", "no thread to be had") from None

    @staticmethod
    def _wait(asked: "Future[Vector]", within: float) -> Vector:
        try:
            return asked.result(timeout=within + _GRACE)
        except (TimeoutError, CancelledError):
            asked.cancel()
            raise late(within) from None

    def _known(self, text: str) -> list[float] | None:
        with self._lock.mutex:
            if (vector := self._cache.get(text)) is None:
                return None
            self._cache.move_to_end(text)
            self._counts["cached"] += 1
        return list(vector)

    def _rests(self, text: str) -> bool:
        """Whether this query is not to be asked for: it is empty, or the endpoint has failed too often just now."""
        if not text:
            return True
        with self._lock.mutex:
            if time.monotonic() >= self._rests_until:
                return False
            self._counts["failed"] += 1
        return True

    def _keep(self, text: str, vector: Vector) -> list[float]:
        with self._lock.mutex:
            self._counts["embedded"] += 1
            self._failures, self._rests_until = 0, 0.0
            self._cache[text] = vector
            while len(self._cache) > CACHED_QUERIES:
                self._cache.popitem(last=False)
        return list(vector)

    def _begins(self) -> bool:
        """Whether what is asked for now may be late by our own start: the SDK is being imported, or the first connection made."""
        now = time.monotonic()
        with self._lock.mutex:
            if self._asked_at is None:
                self._asked_at = now
            first = self._counts["embedded"] == 0 and now - self._asked_at < START_SECONDS
        return first or not self._client.made

    def _failed(self, failure: EmbeddingFailed, *, begins: bool) -> None:
        """Count it and log it; what is late because the process begins as no warning."""
        now = time.monotonic()
        with self._lock.mutex:
            self._counts["late" if failure.outcome == "timeout" else "failed"] += 1
            if failure.outcome != "refused":  # that is this query's fault alone
                self._failures += 1
            if self._failures >= FAILURES_BEFORE_REST:
                self._rests_until = now + max(RESTING_SECONDS, min(failure.retry_after or 0.0, 60.0))
            self._unlogged += 1
            if begins and failure.outcome == "timeout":
                # No sign of trouble; the next line tells how many there were.
                logger.info("a query was not embedded, and recall goes by its words: the process has just begun")
                return
            if now - self._logged_at < _LOG_SECONDS:
                return
            count, self._unlogged, self._logged_at = self._unlogged, 0, now
        logger.warning(
            "queries are not embedded (%d since the last such line), and recall goes by their words: %s",
            count,
            failure.note,
        )


def _asked(query: str) -> str:
    return query.strip()[:MAX_QUERY]
