"""Asking a model: the openai SDK, one attempt, a hard deadline, and a typed outcome for everything that can happen.

The calls of all threads run in one event loop in the background, because only there can a call be cut off at its deadline
(a server that sends a byte now and then would outlive any socket time-out). Retries are not made here: when to ask again is
the mailbox's business.
"""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from learning_stores.retry_after import retry_after
from learning_workers.answer_form import schema_of
from learning_workers.models import Model
from learning_workers.outcomes import (
    CutOff,
    InvalidOutput,
    Misconfigured,
    ModelFailure,
    RateLimited,
    Refused,
    SchemaRefused,
    ServerFailed,
    TimedOut,
    Unreachable,
)

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

T = TypeVar("T")

_CODE = re.compile(r"[\w.:-]{1,64}")
_SPLIT_CODES = frozenset({"context_length_exceeded", "string_above_max_length"})
_SCHEMA_CODES = frozenset({"invalid_json_schema"})
_CONTENT_CODES = frozenset({"invalid_prompt", "content_policy_violation", "content_filter"})


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens of one call; None where the server did not say."""

    input: int | None = None
    cached: int | None = None
    output: int | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the model is asked: static instructions first, then the data, and the form of the answer under its name.

    `tier` is the provider's service tier where it is not the usual one.
    """

    model: Model
    instructions: str
    data: str
    name: str
    patch_model: type[BaseModel]
    tier: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What became of one call: a patch or a failure, who answered at which tier, what it used, how long it took (seconds)."""

    patch: BaseModel | None
    failure: ModelFailure | None
    asked: str
    model: str | None
    usage: Usage
    seconds: float
    tier: str | None = None


@dataclass(kw_only=True)
class _Bill:
    """What is known of a call as soon as a response is there, whatever its answer turns out to be."""

    model: str | None = None
    usage: Usage = Usage()
    tier: str | None = None

    def note(self, model: object, tier: object, usage: Usage) -> None:
        """Take it from a response. What is of another type than the API says is left out."""
        self.model = model if isinstance(model, str) else None
        self.tier = tier if isinstance(tier, str) else None
        counts = (usage.input, usage.cached, usage.output)
        whole = [count if isinstance(count, int) and count >= 0 else None for count in counts]
        self.usage = Usage(input=whole[0], cached=whole[1], output=whole[2])


@dataclass(frozen=True, kw_only=True)
class _Answer:
    text: str
    failure: ModelFailure | None = None


class ModelClient:
    """One process's way to the models. Safe in threads; the loop and the connections are made on first use."""

    def __init__(self, key_of: Callable[[Model], str | None], deadline: float) -> None:
        self._key_of = key_of
        self._deadline = deadline
        self._clients: dict[tuple[str, str], AsyncOpenAI] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def ask(self, question: Question) -> Reply:
        """Ask once. Never raises for what the provider does; takes the deadline at most."""
        return self._run(self._ask(question))

    def close(self) -> None:
        """Close the connections and end the loop. The client can be used again; it then begins anew."""
        with self._lock:
            loop, thread, clients = self._loop, self._thread, list(self._clients.values())
            self._loop, self._thread, self._clients = None, None, {}
        if loop is None or thread is None:
            return

        async def close_all() -> None:
            for client in clients:
                await client.close()

        asyncio.run_coroutine_threadsafe(close_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    async def _ask(self, question: Question) -> Reply:
        import openai  # not with the module: it takes half a second to load, and few who load this ask

        began = time.monotonic()
        bill = _Bill()
        failure: ModelFailure | None = None
        patch: BaseModel | None = None
        try:
            async with asyncio.timeout(self._deadline):
                answer = await self._send(question, bill)
            failure = answer.failure
            if failure is None:
                patch = question.patch_model.model_validate_json(answer.text)
        except TimeoutError:
            failure = TimedOut(f"no answer within {self._deadline:g} s")
        except openai.APITimeoutError:
            failure = TimedOut("the connection timed out")
        except openai.APIConnectionError as error:
            failure = Unreachable(f"{type(error.__cause__ or error).__name__} at {question.model.base_url}")
        except openai.APIStatusError as error:
            failure = _of_status(error)
        except openai.OpenAIError as error:
            failure = ServerFailed(type(error).__name__)
        except ValidationError as error:
            failure = InvalidOutput(_where(error))
        except ModelFailure as error:
            failure = error
        except (AttributeError, TypeError, LookupError, ValueError):
            # A 200 that is no response object, such as a proxy's page: nothing that an event could be blamed for.
            failure = ServerFailed("an answer of another form")
        return Reply(
            patch=patch,
            failure=failure,
            asked=question.model.name,
            model=bill.model,
            usage=bill.usage,
            seconds=time.monotonic() - began,
            tier=bill.tier,
        )

    async def _send(self, question: Question, bill: _Bill) -> _Answer:
        client = self._client(question.model)
        return await (_responses if question.model.api == "responses" else _chat)(client, question, bill)

    def _client(self, model: Model) -> "AsyncOpenAI":
        from openai import AsyncOpenAI

        key = self._key_of(model)
        if key is None:
            raise Misconfigured(f"{model.key_variable} is not set, and {model.name} needs it")
        if (model.base_url, key) not in self._clients:
            self._clients[model.base_url, key] = AsyncOpenAI(
                base_url=model.base_url, api_key=key, max_retries=0, timeout=self._deadline
            )
        return self._clients[model.base_url, key]

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="model-calls", daemon=True)
                self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _schema(question: Question) -> dict[str, Any]:
    return {
        "name": question.name,
        "strict": True,
        "schema": schema_of(question.patch_model),
    }


async def _responses(client: "AsyncOpenAI", question: Question, bill: _Bill) -> _Answer:
    asked: dict[str, Any] = {
        "model": question.model.name,
        "instructions": question.instructions,
        "input": question.data,
        "max_output_tokens": question.model.max_output_tokens,
        "store": False,
        "text": {"format": {"type": "json_schema", **_schema(question)}},
    }
    if question.model.reasoning_effort is not None:
        asked["reasoning"] = {"effort": question.model.reasoning_effort}
    if question.tier is not None:
        asked["service_tier"] = question.tier
    # As JSON: making the SDK's types of question and answer, of which little is read, took a third of a call's processor time.
    response: Any = await client.post("/responses", cast_to=object, body=asked)
    # Servers other than OpenAI's leave things out.
    used = response.get("usage") or {}
    usage = Usage(
        input=used.get("input_tokens"),
        cached=(used.get("input_tokens_details") or {}).get("cached_tokens"),
        output=used.get("output_tokens"),
    )
    bill.note(response.get("model"), response.get("service_tier"), usage)
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    status = response.get("status")
    failure: ModelFailure | None = None
    if status == "incomplete":
        reason = (response.get("incomplete_details") or {}).get("reason")
        failure = Refused("content filter") if reason == "content_filter" else CutOff(str(reason or "incomplete"))
    elif status == "failed":
        code = str((response.get("error") or {}).get("code") or "failed")
        failure = RateLimited(code) if code == "rate_limit_exceeded" else ServerFailed(code)
    elif any(part["type"] == "refusal" for part in parts):
        failure = Refused("the model declined")
    return _Answer(text="".join(part["text"] for part in parts if part["type"] == "output_text"), failure=failure)


async def _chat(client: "AsyncOpenAI", question: Question, bill: _Bill) -> _Answer:
    asked: dict[str, Any] = {
        "model": question.model.name,
        "messages": [
            {"role": "system", "content": question.instructions},
            {"role": "user", "content": question.data},
        ],
        "max_completion_tokens": question.model.max_output_tokens,
        "response_format": {"type": "json_schema", "json_schema": _schema(question)},
    }
    if question.model.reasoning_effort is not None:
        asked["reasoning_effort"] = question.model.reasoning_effort
    if question.tier is not None:
        asked["service_tier"] = question.tier
    completion: Any = await client.post("/chat/completions", cast_to=object, body=asked)
    used = completion.get("usage") or {}
    usage = Usage(
        input=used.get("prompt_tokens"),
        cached=(used.get("prompt_tokens_details") or {}).get("cached_tokens"),
        output=used.get("completion_tokens"),
    )
    bill.note(completion.get("model"), completion.get("service_tier"), usage)
    if not completion["choices"]:
        return _Answer(text="", failure=InvalidOutput("no choice"))
    choice = completion["choices"][0]
    reason, message = choice.get("finish_reason"), choice["message"]
    failure: ModelFailure | None = None
    if reason == "length":
        failure = CutOff("max_output_tokens")
    elif reason == "content_filter":
        failure = Refused("content filter")
    elif message.get("refusal"):
        failure = Refused("the model declined")
    return _Answer(text=message.get("content") or "", failure=failure)


def _of_status(error: "APIStatusError") -> ModelFailure:
    """A failure for an HTTP status. The body's message is left out: servers repeat the question in it."""
    code = str(error.code or error.type or "")
    if not _CODE.fullmatch(code):
        code = ""  # a code is one word; what is longer could be text
    told = f"HTTP {error.status_code}{f' {code}' if code else ''}"
    if error.status_code == 429 or error.status_code >= 500:
        kind = RateLimited if error.status_code == 429 else ServerFailed
        return kind(told, retry_after(error.response.headers))
    if error.status_code == 408:
        return TimedOut(told)
    if code in _SPLIT_CODES or error.status_code == 413:
        return CutOff(told)
    if code in _CONTENT_CODES:
        return Refused(told)
    if code in _SCHEMA_CODES:
        return SchemaRefused(told)
    return Misconfigured(told)


def _where(error: ValidationError) -> str:
    """What is wrong with an answer, by place and type: never its text."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = (
        first["loc"][:-1] if first["type"] == "extra_forbidden" else first["loc"]
    )  # that key is the model's own word
    return f"{'.'.join(str(part) for part in where) or 'answer'}: {first['type']}"[:200]
