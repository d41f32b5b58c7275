"""The HTTP application: keys, faults, the request log, and which endpoint does what."""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from learning_ops.offline import OFFLINE_MODEL_NAME, chat, responses
from learning_ops.offline.embeddings import embedding_list
from learning_ops.offline.faults import Fault, Faults, FaultsRefused
from learning_ops.offline.instance import NoInstance
from learning_ops.offline.problem import Problem
from learning_ops.offline.request_log import RequestLog
from learning_ops.offline.usage import PromptCache

_CLIENT_LEFT = 499


class Settings(BaseModel):
    """How an offline model is started. `api_key` None asks for no key; `port` 0 takes any free one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = 0
    api_key: str | None = None
    faults: Faults = Faults()
    request_log: Path | None = None
    request_log_bodies: bool = False
    control: bool = False  # serve /control, which changes the faults of a running server


class Application:
    """The endpoints and their state: faults, request numbers, instructions seen. Belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.faults = settings.faults
        self.requests = 0
        self.stopping = asyncio.Event()
        self._api_key = settings.api_key
        self._log = (
            RequestLog(settings.request_log, bodies=settings.request_log_bodies) if settings.request_log else None
        )
        self._cache = PromptCache()
        routes = [
            Route("/healthz", self._health),
            Route("/v1/models", self._guarded(self._models)),
            Route("/v1/models/{model:path}", self._guarded(self._model)),
            Route("/v1/responses", self._guarded(self._model_call(self._respond)), methods=["POST"]),
            Route("/v1/chat/completions", self._guarded(self._model_call(self._complete)), methods=["POST"]),
            Route("/v1/embeddings", self._guarded(self._model_call(self._embed)), methods=["POST"]),
        ]
        if settings.control:
            routes.append(Route("/control", self._guarded(self._control), methods=["GET", "POST"]))
        self.asgi = Starlette(
            routes=routes, exception_handlers={Problem: _problem, HTTPException: _http_problem, Exception: _unforeseen}
        )

    def close(self) -> None:
        """Close the request log."""
        if self._log:
            self._log.close()

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "model": OFFLINE_MODEL_NAME})

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [_MODEL]})

    async def _model(self, request: Request) -> Response:
        name = request.path_params["model"]
        if name != OFFLINE_MODEL_NAME:
            raise Problem(404, f"The model '{name}' does not exist", param="model", code="model_not_found")
        return JSONResponse(_MODEL)

    async def _control(self, request: Request) -> Response:
        if request.method == "POST":
            settings = _json_object(await request.body())
            try:
                self.faults = self.faults.changed(settings)
            except FaultsRefused as refused:
                raise Problem(400, str(refused), code="invalid_value") from refused
        return JSONResponse({"faults": vars(self.faults), "requests": self.requests})

    def _guarded(self, endpoint: "Endpoint") -> "Endpoint":
        async def checked(request: Request) -> Response:
            if self._api_key is not None:
                scheme, _, given = request.headers.get("authorization", "").partition(" ")
                if scheme.lower() != "bearer" or not given.strip():
                    raise Problem(
                        401, "You didn't provide an API key in an Authorization header with Bearer auth.", code=None
                    )
                if not hmac.compare_digest(given.strip().encode(), self._api_key.encode()):
                    raise Problem(401, "Incorrect API key provided.", code="invalid_api_key")
            return await endpoint(request)

        return checked

    def _model_call(self, work: "Work") -> "Endpoint":
        async def called(request: Request) -> Response:
            self.requests += 1
            number = self.requests
            fault = self.faults.draw(number)
            raw = await request.body()
            body: dict[str, Any] | None = None
            try:
                body = _json_object(raw)
                await self._wait(self.faults.latency)
                answered = await self._faulty(request, fault) or JSONResponse(work(body, fault))
            except Problem as problem:
                answered = problem.response()
            except NoInstance as none:
                answered = Problem(400, str(none), param="text.format.schema", code="unsupported_value").response()
            answered.headers["x-request-id"] = f"req_{uuid4().hex}"
            if self._log:
                self._log.write(
                    number=number,
                    endpoint=request.url.path,
                    status=answered.status_code,
                    fault=fault,
                    raw=raw,
                    request=body,
                    answered=json.loads(bytes(answered.body) or b"null"),
                )
            return answered

        return called

    async def _faulty(self, request: Request, fault: Fault | None) -> Response | None:
        """The answer that a fault gives in place of the model's, or None."""
        match fault:
            case "429":
                wait = self.faults.retry_after
                headers = {} if wait is None else {"retry-after": f"{wait:g}", "retry-after-ms": f"{wait * 1000:.0f}"}
                raise Problem(
                    429,
                    "Rate limit reached (offline fault).",
                    kind="requests",
                    code="rate_limit_exceeded",
                    headers=headers,
                )
            case "500":
                raise Problem(
                    500, "The server had an error while processing your request (offline fault).", kind="server_error"
                )
            case "timeout":
                left = asyncio.ensure_future(_disconnected(request))
                held = asyncio.ensure_future(self.stopping.wait())
                await asyncio.wait(
                    {left, held}, timeout=self.faults.timeout_seconds, return_when=asyncio.FIRST_COMPLETED
                )
                gone = left.done()
                for waiting in (left, held):
                    waiting.cancel()
                await asyncio.gather(left, held, return_exceptions=True)
                if gone:
                    return Response(status_code=_CLIENT_LEFT)
                raise Problem(504, "The request timed out (offline fault).", kind="server_error")
            case _:
                return None

    async def _wait(self, seconds: float) -> None:
        """Wait, but not past the server's end."""
        if seconds > 0:
            try:
                await asyncio.wait_for(self.stopping.wait(), seconds)
            except TimeoutError:
                return

    def _respond(self, body: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
        return responses.response(body, responses.read_prompt(body), self._cache, fault)

    def _complete(self, body: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
        return chat.completion(body, chat.read_prompt(body), self._cache, fault)

    def _embed(self, body: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
        return embedding_list(body)


Endpoint = Callable[[Request], Awaitable[Response]]
Work = Callable[[dict[str, Any], Fault | None], Mapping[str, Any]]

_MODEL = {"id": OFFLINE_MODEL_NAME, "object": "model", "created": 0, "owned_by": "learning-machine"}


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "We could not parse the JSON body of your request.") from error
    if not isinstance(body, dict):
        raise Problem(400, "The JSON body of your request must be an object.")
    return body


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"Invalid URL ({request.method} {request.url.path})" if error.status_code == 404 else error.detail
    return Problem(error.status_code, message, headers=error.headers).response()


async def _unforeseen(request: Request, error: Exception) -> Response:
    return Problem(500, f"The offline model failed: {type(error).__name__}", kind="server_error").response()
