"""Asking for embeddings: the openai SDK, one attempt, a hard deadline, and a typed failure for everything that can happen.

The SDK is imported when the first vector is asked for, in a thread: importing it and making a client takes over half a second.
Calls run in one event loop in the background, whoever makes them. In a loop, because only there can a call be cut off at its
deadline; not in the caller's, because a call is milliseconds of computing in the SDK, and sixty at once held that loop for a
tenth of a second. When to ask again is the caller's business.
"""

import asyncio
import base64
import binascii
import math
import os
import re
import sys
import threading
import time
from array import array
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from learning_stores.embedding_endpoint import EmbeddingEndpoint
from learning_stores.retry_after import retry_after

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

T = TypeVar("T")

Outcome = Literal["rate_limited", "server_error", "timeout", "unreachable", "refused_request", "refused"]

_CODE = re.compile(r"[\w.:-]{1,64}")
_FLOAT_BYTES = 4
_ABOUT_THE_TEXT = frozenset({400, 413, 422})
_LONG, _SHORT = 1e4, 1e-4  # lengths of vectors that Postgres computes with as they are, in 32 and in 16 bits
_CLOSE_SECONDS = 2.0  # how long closing waits for what is under way to end
_GRACE = 1.0  # how much longer a thread waits for the loop to keep the deadline


class EmbeddingFailed(Exception):
    """No vectors. `outcome` is what its record says, `note` is for operators: neither repeats a text.

    `refused`: the server does not take what it was sent; of several texts it may be one. All others: nothing is wrong with the
    texts. `retry_after` (seconds) where the server said when to come back; `model` and `tokens` where there was an answer, of
    no use, that told them.
    """

    model: str | None = None
    tokens: int | None = None

    def __init__(self, outcome: Outcome, note: str, retry_after: float | None = None) -> None:
        super().__init__(note)
        self.outcome: Outcome = outcome
        self.note = note
        self.retry_after = retry_after


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """One vector a text, in their order; who answered, tokens (None where the server did not say), and seconds."""

    vectors: Sequence[Sequence[float]]
    model: str | None
    tokens: int | None
    seconds: float


class EmbeddingClient:
    """One process's way to one embedding model. Safe in threads, in event loops, and after a fork."""

    def __init__(self, endpoint: EmbeddingEndpoint) -> None:
        self.endpoint = endpoint
        self._renew()

    def _renew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._making: Future[AsyncOpenAI] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def warm(self) -> None:
        """Begin importing the SDK, so that the first call need not wait for it. Returns at once; connects to nothing."""
        self._forget_parent()
        self._client()

    @property
    def made(self) -> bool:
        """Whether the SDK is there, or could not be had: a call before that waits for it, and is late."""
        making = self._making if self._pid == os.getpid() else None
        return making is not None and making.done()

    def embed(self, texts: Sequence[str], deadline: float) -> Embedded:
        """Embed the texts in one call, within `deadline` seconds. Raises `EmbeddingFailed`."""
        waiting = self.submit(self.ask(texts, deadline))
        try:
            return waiting.result(timeout=deadline + _GRACE)
        except (TimeoutError, CancelledError):
            waiting.cancel()
            raise late(deadline) from None

    async def aembed(self, texts: Sequence[str], deadline: float) -> Embedded:
        """The same from asyncio."""
        try:
            async with asyncio.timeout(deadline):
                return await asyncio.wrap_future(self.submit(self.ask(texts, deadline)))
        except TimeoutError:
            raise late(deadline) from None

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run something in the background loop, which is made for it where there is none. RuntimeError: no thread to be had."""
        self._forget_parent()
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name="embedding-calls", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no thread to be had: the next call tries again
                    loop.close()
                    work.close()
                    raise
                self._loop, self._thread = loop, thread
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def ask(self, texts: Sequence[str], deadline: float) -> Embedded:
        """One call, in the background loop alone. Raises `EmbeddingFailed`."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(deadline):
                making = self._client()
                try:
                    # Shielded: a call that gives up leaves the making to the next one.
                    client = await asyncio.shield(asyncio.wrap_future(making))
                except (ImportError, OSError, ValueError) as error:
                    self._making = None
                    told = f"the client cannot be made: {type(error).__name__}"
                    raise EmbeddingFailed("refused_request", told) from None
                return await _embed(client, self.endpoint, texts, began)
        except TimeoutError:
            raise late(deadline) from None

    def close(self) -> None:
        """Close the connections and end the loop. The client can be used again; it then begins anew."""
        self._forget_parent()
        with self._lock:
            loop, thread, making = self._loop, self._thread, self._making
            self._loop, self._thread, self._making = None, None, None
        if loop is None or thread is None:
            return

        async def end() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            if making is not None and making.done() and making.exception() is None:
                await making.result().close()

        # A server that keeps a connection busy holds up nobody: the thread ends with the process at the latest.
        with suppress(TimeoutError, CancelledError):
            asyncio.run_coroutine_threadsafe(end(), loop).result(timeout=_CLOSE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=_CLOSE_SECONDS)
        if not thread.is_alive():
            loop.close()

    def _client(self) -> "Future[AsyncOpenAI]":
        with self._lock:
            if self._making is None:
                self._making = _in_thread(self._make)
            return self._making

    def _make(self) -> "AsyncOpenAI":
        import openai

        client = openai.AsyncOpenAI(base_url=self.endpoint.base_url, api_key=self.endpoint.sent_key, max_retries=0)
        _ = client.embeddings  # imported on first use, too
        return client

    def _forget_parent(self) -> None:
        """In the child of a fork: leave the parent's connections, loop and locks to the parent."""
        if self._pid != os.getpid():
            self._renew()


def late(deadline: float) -> EmbeddingFailed:
    """What is raised when the deadline has passed."""
    return EmbeddingFailed("timeout", f"no answer within {deadline:g} s")


async def _embed(client: "AsyncOpenAI", endpoint: EmbeddingEndpoint, texts: Sequence[str], began: float) -> Embedded:
    import openai

    if endpoint.is_openai and endpoint.key is None:
        raise EmbeddingFailed("refused_request", "LEARNING_EMBEDDING_API_KEY is not set, nor OPENAI_API_KEY")
    asked: dict[str, Any] = {} if endpoint.dimensions is None else {"dimensions": endpoint.dimensions}
    model, tokens = None, None
    try:
        # Named, because the SDK would decode the answer itself, and import numpy for it where that is installed.
        answer = await client.embeddings.create(
            model=endpoint.model, input=list(texts), encoding_format="base64", **asked
        )
        model, tokens = getattr(answer, "model", None), getattr(getattr(answer, "usage", None), "prompt_tokens", None)
        model, tokens = model if isinstance(model, str) else None, tokens if isinstance(tokens, int) else None
        vectors = _vectors(answer.data, len(texts))
    except openai.APITimeoutError:
        raise EmbeddingFailed("timeout", "the connection timed out") from None
    except openai.APIConnectionError as error:
        told = f"{type(error.__cause__ or error).__name__} at {endpoint.base_url}"
        raise EmbeddingFailed("unreachable", told) from None
    except openai.APIStatusError as error:
        raise _of_status(error) from None
    except openai.OpenAIError as error:
        raise EmbeddingFailed("server_error", type(error).__name__) from None
    except (AttributeError, TypeError, LookupError, ValueError, OverflowError):
        # A 200 that holds no vectors, such as a proxy's page: nothing that a text could be blamed for.
        raise _billed(EmbeddingFailed("server_error", "an answer of another form"), model, tokens) from None
    if not all(map(any, vectors)):
        # No direction, hence no cosine: one of them would make the scores of all that is ranked beside it no numbers.
        raise _billed(EmbeddingFailed("refused", "a vector of zeros"), model, tokens)
    if endpoint.dimensions is not None and len(vectors[0]) != endpoint.dimensions:
        told = f"{endpoint.dimensions} dimensions were asked for, and {len(vectors[0])} came"
        raise _billed(EmbeddingFailed("refused_request", told), model, tokens)
    return Embedded(vectors=vectors, model=model, tokens=tokens, seconds=time.monotonic() - began)


def _billed(failure: EmbeddingFailed, model: str | None, tokens: int | None) -> EmbeddingFailed:
    failure.model, failure.tokens = model, tokens
    return failure


def _vectors(data: Any, count: int) -> list[Sequence[float]]:
    """The vectors in the order of the texts. ValueError for what is no answer to so many texts."""
    by_index = {entry.index: _vector(entry.embedding) for entry in data}
    vectors = [by_index[index] for index in range(count)]
    if len(by_index) != count or len({len(vector) for vector in vectors}) != 1 or not vectors[0]:
        raise ValueError("other vectors than were asked for")
    return vectors


def _vector(given: Any) -> Sequence[float]:
    """From base64, little-endian 32-bit floats; or as a list, from servers that know no other form."""
    if isinstance(given, str):
        try:
            vector = array("f", base64.b64decode(given, validate=True))
        except binascii.Error:
            raise ValueError("no base64") from None
        if vector.itemsize != _FLOAT_BYTES:
            raise ValueError("this machine's floats have another size")
        if sys.byteorder == "big":
            vector.byteswap()
    else:
        vector = array("f", given)
    if not all(map(math.isfinite, vector)):
        raise ValueError("no finite vector")
    length = math.hypot(*vector)
    if 0 < length < _SHORT or length > _LONG:  # only the direction counts
        return array("f", [value / length for value in vector])
    return vector


def _of_status(error: "APIStatusError") -> EmbeddingFailed:
    """A failure for an HTTP status. The body's message is left out: servers repeat the text in it."""
    code = str(error.code or error.type or "")
    told = f"HTTP {error.status_code}{f' {code}' if _CODE.fullmatch(code) else ''}"
    if error.status_code == 429:
        return EmbeddingFailed("rate_limited", told, retry_after(error.response.headers))
    if error.status_code >= 500:
        return EmbeddingFailed("server_error", told, retry_after(error.response.headers))
    if error.status_code == 408:
        return EmbeddingFailed("timeout", told)
    return EmbeddingFailed("refused" if error.status_code in _ABOUT_THE_TEXT else "refused_request", told)


def _in_thread(work: Callable[[], T]) -> "Future[T]":
    """What `work` gives, from a thread of its own that no process waits for at its end."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="embedding-import", daemon=True).start()
    return future
