"""`POST /v1/chat/completions`: the request read, the completion written, in the shapes of the OpenAI Chat Completions API."""

import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from learning_ops.offline import OFFLINE_MODEL_NAME
from learning_ops.offline.answer import GARBAGE, REFUSAL, Prompt, answer
from learning_ops.offline.conversation import Conversation, ToolCall, Turn, offered
from learning_ops.offline.faults import Fault
from learning_ops.offline.problem import missing, unsupported, wrong_type
from learning_ops.offline.request import (
    count_parameter,
    no_streaming,
    object_parameter,
    parts_text,
    schema_format,
    text_parameter,
)
from learning_ops.offline.usage import PromptCache, cut_to, tokens


def read_prompt(body: Mapping[str, Any]) -> Prompt:
    """What the request says; raises Problem."""
    text_parameter(body, "model")
    no_streaming(body)
    messages = body.get("messages")
    if not messages:
        raise missing("messages")
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array", messages)
    if body.get("n") not in {None, 1}:
        raise unsupported("n", "The offline model gives one choice: leave 'n' out.")
    leading, last_user = "", ""
    texts: list[str] = []
    turns: list[Turn] = []
    called: dict[str, str] = {}
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong_type(f"messages[{number}]", "an object", message)
        text = parts_text(message.get("content"), f"messages[{number}].content")
        if message.get("role") in {"system", "developer"} and not texts:
            leading += text
        else:
            texts.append(text)
        last_user = text if message.get("role") == "user" else last_user
        called |= _calls(message)
        turns.append(
            Turn(role=str(message.get("role")), text=text, tool=called.get(str(message.get("tool_call_id")), ""))
        )
    form = object_parameter(body, "response_format") or {"type": "text"}
    kind = form.get("type")
    if kind not in {"text", "json_object", "json_schema"}:
        raise unsupported(
            "response_format.type",
            f"Invalid value: {kind!r}. Supported values are: 'json_object', 'json_schema', and 'text'.",
        )
    count_parameter(body, "max_completion_tokens")
    count_parameter(body, "max_tokens")
    return Prompt(
        instructions=leading,
        text="\n".join(texts),
        last_user=last_user,
        format=schema_format(
            object_parameter(form, "json_schema", within="response_format."), "response_format.json_schema"
        )
        if kind == "json_schema"
        else None,
        json_object=kind == "json_object",
        conversation=Conversation(turns=tuple(turns), tools=offered(body)),
    )


def _calls(message: Mapping[str, Any]) -> dict[str, str]:
    """The names of the functions that a message of the assistant's calls, by the ids of the calls."""
    calls = message.get("tool_calls")
    return {
        str(call.get("id")): str(call["function"].get("name"))
        for call in (calls if isinstance(calls, list) else ())
        if isinstance(call, dict) and isinstance(call.get("function"), dict)
    }


def completion(body: Mapping[str, Any], prompt: Prompt, cache: PromptCache, fault: Fault | None) -> dict[str, Any]:
    """The completion object; a fault makes it garbage, a refusal or cut off."""
    said = REFUSAL if fault == "refusal" else GARBAGE if fault == "garbage" else answer(prompt)
    text = said.text if isinstance(said, ToolCall) else said
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if fault == "truncated":
        limit = max(1, tokens(text) // 2)
    whole, text = text, text if limit is None else cut_to(text, limit)
    incomplete = text != whole
    usage = cache.count(prompt.instructions, prompt.text, text)
    refused = fault == "refusal"
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if refused or isinstance(said, ToolCall) else text,
        "refusal": text if refused else None,
        "annotations": [],
    }
    if isinstance(said, ToolCall):
        function = {"name": said.name, "arguments": text}
        message["tool_calls"] = [{"id": f"call_{uuid4().hex}", "type": "function", "function": function}]
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": OFFLINE_MODEL_NAME,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": "length" if incomplete else "tool_calls" if isinstance(said, ToolCall) else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.prompt + usage.completion,
            "prompt_tokens_details": {
                "cached_tokens": usage.cached,
                "cache_write_tokens": usage.written,
                "audio_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": body.get("service_tier") or "default",
        "system_fingerprint": OFFLINE_MODEL_NAME,
    }
