"""A model over HTTP that answers as a test says: `/v1/responses` and `/v1/chat/completions`, on loopback."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request, as the model reads it. `number` counts from 1."""

    number: int
    path: str
    body: dict[str, Any]

    @property
    def data(self) -> str:
        """What was sent as the user's message."""
        return str(self.body["input"] if "input" in self.body else self.body["messages"][-1]["content"])

    @property
    def instructions(self) -> str:
        """What was sent as instructions."""
        return str(self.body["instructions"] if "instructions" in self.body else self.body["messages"][0]["content"])

    @property
    def store(self) -> str:
        """The store whose patch is asked for."""
        form = self.body["text"]["format"] if "text" in self.body else self.body["response_format"]["json_schema"]
        return str(form["name"]).removesuffix("_patch")

    @property
    def said(self) -> list[dict[str, Any]]:
        """The lines of the transcript."""
        return self._block("transcript")

    @property
    def known(self) -> list[dict[str, Any]]:
        """The lines of what is known."""
        return self._block("known")

    def _block(self, name: str) -> list[dict[str, Any]]:
        inside = self.data.split(f"<{name}>\n", 1)[1].split(f"</{name}>", 1)[0]
        return [json.loads(line) for line in inside.split("\n") if line]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model sends. `text` is the answer, or an error's code; `trickle` sends spaces until nobody listens."""

    status: int = 200
    text: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None  # instead of a response object
    refusal: bool = False
    cut_off: bool = False
    trickle: bool = False
    without_usage: bool = False


def patch(**values: Any) -> Answer:
    """A patch as the whole answer."""
    return Answer(text=json.dumps(values))


def profile(asked: Asked, memories: Sequence[tuple[str, str]] = (), **fields: tuple[Any, str]) -> Answer:
    """A profile patch: memories as (content, words quoted), fields as name=(value, words quoted); the messages are looked up."""

    def cite(quote: str) -> dict[str, str]:
        label = next(line["id"] for line in asked.said if quote in line["text"] and "earlier" not in line)
        return {"message": label, "quote": quote}

    given = {name: {"value": value, **cite(quote)} for name, (value, quote) in fields.items()}
    return patch(
        fields={"name": None, "preferred_name": None} | given,
        add=[{"content": content, **cite(quote)} for content, quote in memories],
        update=[],
        retract=[],
    )


def repeat(asked: Asked) -> Answer:
    """A profile patch that remembers each of the user's new messages in its own words, or a summary that counts them."""
    new = [line for line in asked.said if line["role"] == "user" and "earlier" not in line]
    if asked.store == "session_context":
        return patch(summary={"content": f"{len(new)} messages", "messages": [line["id"] for line in asked.said]})
    return profile(asked, [(line["text"], line["text"]) for line in new])


class ScriptedModel:
    """A running scripted model. `answer` may be replaced at any time; `asked` keeps every request."""

    def __init__(self) -> None:
        self.answer: Callable[[Asked], Answer] = repeat
        self.asked: list[Asked] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def take(self, path: str, body: dict[str, Any]) -> Asked:
        """Note a request."""
        with self._lock:
            asked = Asked(number=len(self.asked) + 1, path=path, body=body)
            self.asked.append(asked)
        return asked

    @contextmanager
    def running(self) -> Iterator["ScriptedModel"]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="scripted-model", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, model: ScriptedModel, *args: Any) -> None:
        self._model = model
        super().__init__(*args)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Keep quiet."""

    def do_POST(self) -> None:
        asked = self._model.take(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        answer = self._model.answer(asked)
        try:
            self._send(answer, asked)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client gave up

    def _send(self, answer: Answer, asked: Asked) -> None:
        body = answer.raw if answer.raw is not None else json.dumps(_object(answer, asked)).encode()
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + 1_000_000 * answer.trickle))
        self.end_headers()
        while answer.trickle:
            self.wfile.write(b" ")
            self.wfile.flush()
            threading.Event().wait(0.02)  # slow on purpose: that is what is tested
        self.wfile.write(body)


def _object(answer: Answer, asked: Asked) -> dict[str, Any]:
    if answer.status != 200:
        return {"error": {"message": f"about {asked.data}", "type": "invalid_request_error", "code": answer.text}}
    told = _completion(answer) if asked.path.endswith("/chat/completions") else _response(answer)
    return {**told, "service_tier": asked.body.get("service_tier", "default")}


def _response(answer: Answer) -> dict[str, Any]:
    content: dict[str, Any] = {"type": "output_text", "text": answer.text, "annotations": []}
    if answer.refusal:
        content = {"type": "refusal", "refusal": "I cannot help with that."}
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 40},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 110,
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "offline-rules-1",
        "status": "incomplete" if answer.cut_off else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if answer.cut_off else None,
        "output": [
            {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [content]}
        ],
        **({} if answer.without_usage else {"usage": usage}),
    }


def _completion(answer: Answer) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer.text, "refusal": "No." if answer.refusal else None}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return {
        "id": "chatcmpl_1",
        "object": "chat.completion",
        "created": 1,
        "model": "offline-rules-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "length" if answer.cut_off else "stop"}],
        **({} if answer.without_usage else {"usage": usage}),
    }
