"""`python -m benchmarks.end_to_end.instant_model PORT`: a model that answers at once, in a process of its own.

It speaks as much of the Responses API over HTTP as the two designs ask for, and looks at little: every new user message gives
one thing to remember, in whatever form is asked for, quoted as a whole. So what is measured is all but the model.
"""

import asyncio
import json
import re
import signal
import sys
from collections.abc import Callable
from typing import Any

_PROJECT = re.compile(r"Project \w+")
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_OPEN, _CLOSE = "<transcript>\n", "\n</transcript>"

Message = dict[str, Any]


def _profile(said: list[Message]) -> dict[str, Any]:
    added = [{**_cite(each), "content": f"Asked: {_first(each)}"} for each in said]
    return {"fields": {"name": None, "preferred_name": None}, "add": added, "update": [], "retract": []}


def _session(said: list[Message]) -> dict[str, Any]:
    if not said:
        return {"summary": None}
    content = f"{len(said)} more things were asked for, last: {_first(said[-1])}"
    return {"summary": {"content": content, "messages": [each["id"] for each in said]}}


def _entities(said: list[Message]) -> dict[str, Any]:
    named: dict[str, dict[str, Any]] = {}
    facts = []
    for each in said:
        if (found := _PROJECT.search(each["text"])) is None:
            continue
        project = {"name": found[0], "type": "project", "aliases": [], "description": None}
        named.setdefault(found[0], {**_cite(each), **project})
        content = _first(each).removeprefix(found[0]).strip()
        facts.append({**_cite(each), "entity": found[0], "type": "project", "content": content, "replaces": None})
    none: dict[str, Any] = {"properties": [], "events": [], "relationships": [], "retract": []}
    return {"entities": list(named.values()), "facts": facts, **none}


def _insights(said: list[Message]) -> dict[str, Any]:
    insights = [
        {
            **_cite(each),
            "title": "Deliveries",
            "learning": f"Look up at once: {_first(each)}",
            "context": None,
            "tags": [],
        }
        for each in said
    ]
    return {"insights": insights, "confirm": [], "retract": []}


_PATCHES: dict[str, Callable[[list[Message]], dict[str, Any]]] = {
    "user_profile_patch": _profile,
    "session_context_patch": _session,
    "entity_memory_patch": _entities,
    "learned_knowledge_patch": _insights,
}


def _cite(message: Message) -> dict[str, str]:
    return {"message": message["id"], "quote": message["text"]}


def _first(message: Message) -> str:
    text: str = message["text"]
    return text.partition(",")[0]


def answer(body: dict[str, Any]) -> str:
    """The text of the answer to a request of either design."""
    asked: str = body["input"]
    patch = _PATCHES.get(body["text"]["format"]["name"])
    if patch is None:
        return json.dumps({"content": asked.partition(",")[0]})
    transcript = asked[asked.index(_OPEN) + len(_OPEN) : asked.index(_CLOSE)]
    lines = [json.loads(line) for line in transcript.split("\n")]
    return json.dumps(patch([line for line in lines if line["role"] == "user" and not line.get("earlier")]))


def response(body: dict[str, Any]) -> bytes:
    """The response object around it."""
    text = answer(body)
    sent, said = len(body["input"]) // 4, len(text) // 4
    found = {
        "id": "resp_0",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": body["model"],
        "output": [
            {
                "id": "msg_0",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": text, "annotations": []}],
            }
        ],
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": sent,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": said,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": sent + said,
        },
    }
    return json.dumps(found).encode()


class _Connection(asyncio.Protocol):
    """One client's connection, kept open: a request at a time, each answered so many seconds after it is whole."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._received, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            body, self._received = self._received[end + 4 : whole], self._received[whole:]
            told = response(json.loads(body)) if body else b'{"status": "ok"}'
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(told)}\r\n\r\n"
            if self._seconds and body:
                asyncio.get_running_loop().call_later(self._seconds, self._transport.write, head.encode() + told)
            else:
                self._transport.write(head.encode() + told)


async def _serve(port: int, seconds: float) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(lambda: _Connection(seconds), "127.0.0.1", port)
    try:
        await stop.wait()
    finally:
        server.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
