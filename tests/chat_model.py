"""The offline model's chat endpoint for clients that stream: the same answers, also as server-sent events, after a latency.

The offline model itself does not stream. What was asked is kept, with the input tokens that the answer says it had.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from learning_ops.offline.chat import completion, read_prompt
from learning_ops.offline.usage import PromptCache


class ChatModel:
    """A running chat endpoint. `asked` keeps every request's body, `input_tokens` counts what they held."""

    def __init__(self, latency: float = 0.0) -> None:
        self.latency = latency
        self.asked: list[dict[str, Any]] = []
        self.input_tokens = 0
        self._cache = PromptCache()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """The completion of a request."""
        time.sleep(self.latency)  # what a model takes, not a wait for a condition
        prompt = read_prompt({name: value for name, value in body.items() if name not in ("stream", "stream_options")})
        with self._lock:
            told = completion(body, prompt, self._cache, None)
            self.asked.append(body)
            self.input_tokens += told["usage"]["prompt_tokens"]
        return told

    @property
    def system(self) -> str:
        """The system message of the last request."""
        return "\n".join(
            str(message["content"])
            for message in self.asked[-1]["messages"]
            if message["role"] in ("system", "developer")
        )

    @property
    def tools(self) -> list[str]:
        """The names of the tools that the last request offers."""
        return [tool["function"]["name"] for tool in self.asked[-1].get("tools", ())]

    @contextmanager
    def running(self) -> Iterator["ChatModel"]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="chat-model", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, model: ChatModel, *args: Any) -> None:
        self._model = model
        super().__init__(*args)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Keep quiet."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told = self._model.answer(body)
        sent = _events(told) if body.get("stream") else json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if body.get("stream") else "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)


def _events(told: dict[str, Any]) -> bytes:
    """The completion in chunks: a role, words, calls of tools, an end, the usage."""
    (choice,) = told["choices"]
    message = choice["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in (message["content"] or "").split(" ") for word in (word + " ",)]
    if message["content"]:
        deltas[-1]["content"] = deltas[-1]["content"][:-1]
    else:
        deltas = deltas[:1]
    deltas += [{"tool_calls": [{"index": place, **call}]} for place, call in enumerate(message.get("tool_calls") or ())]
    head = {name: told[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    chunks.append({**head, "choices": [], "usage": told["usage"]})
    return b"".join(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks) + b"data: [DONE]\n\n"
