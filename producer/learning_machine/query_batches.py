"""Queries that are asked at the same moment are embedded in one call.

A call costs milliseconds of computing, however many texts it has: sixty-four callers of one process would spend a query's whole
deadline on making calls. The first queries go out at once; what comes while several calls are under way goes out with the next.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from learning_stores.embedding_client import EmbeddingClient, EmbeddingFailed, late

CALLS_AT_ONCE = 8
TEXTS_A_CALL = 64

Vector = Sequence[float]


@dataclass
class _Asked:
    text: str
    until: float  # monotonic
    vector: asyncio.Future[Vector]


@dataclass
class _Lane:
    """What waits and what is under way in one event loop: after a fork there is another loop, and nothing is under way."""

    waiting: list[_Asked] = field(default_factory=list)
    calls: set[asyncio.Task[None]] = field(default_factory=set)
    flushing: bool = False


class QueryBatches:
    """Queries on their way to one model."""

    def __init__(self, client: EmbeddingClient) -> None:
        self._client = client
        self._lanes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lane] = WeakKeyDictionary()

    def ask(self, text: str, deadline: float) -> "Future[Vector]":
        """The text's vector, or `EmbeddingFailed`; within `deadline` seconds as far as the background loop is on time."""
        return self._client.submit(self._ask(text, deadline))

    async def _ask(self, text: str, deadline: float) -> Vector:
        loop = asyncio.get_running_loop()
        lane = self._lanes.setdefault(loop, _Lane())
        asked = _Asked(text, time.monotonic() + deadline, loop.create_future())
        lane.waiting.append(asked)
        self._flush_soon(lane)
        try:
            async with asyncio.timeout(deadline):
                return await asked.vector
        except TimeoutError:
            raise late(deadline) from None

    def _flush_soon(self, lane: _Lane) -> None:
        """After what else is ready in this turn of the loop, so that it comes along."""
        if not lane.flushing:
            lane.flushing = True
            asyncio.get_running_loop().call_soon(self._flush, lane)

    def _flush(self, lane: _Lane) -> None:
        lane.flushing = False
        lane.waiting = [asked for asked in lane.waiting if not asked.vector.done()]
        while lane.waiting and len(lane.calls) < CALLS_AT_ONCE:
            batch, lane.waiting = lane.waiting[:TEXTS_A_CALL], lane.waiting[TEXTS_A_CALL:]
            self._start(lane, batch)

    def _start(self, lane: _Lane, batch: list[_Asked]) -> None:
        call = asyncio.get_running_loop().create_task(self._call(lane, batch))
        lane.calls.add(call)

        def over(call: asyncio.Task[None]) -> None:
            lane.calls.discard(call)
            self._flush_soon(lane)

        call.add_done_callback(over)

    async def _call(self, lane: _Lane, batch: list[_Asked]) -> None:
        left = max(asked.until for asked in batch) - time.monotonic()
        try:
            found = await self._client.ask([asked.text for asked in batch], max(left, 0.001))
        except EmbeddingFailed as failure:
            if failure.outcome == "refused" and len(batch) > 1:
                # It may be one of them alone that is refused.
                for asked in batch:
                    self._start(lane, [asked])
                return
            for asked in batch:
                if not asked.vector.done():
                    asked.vector.set_exception(EmbeddingFailed(failure.outcome, failure.note, failure.retry_after))
        else:
            for asked, vector in zip(batch, found.vectors, strict=True):
                if not asked.vector.done():
                    asked.vector.set_result(vector)
