"""`POST /v1/responses`: the request read, the response written, in the shapes of the OpenAI Responses API."""

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
    instructions = body.get("instructions") or ""
    if not isinstance(instructions, str):
        raise wrong_type("instructions", "a string", instructions)
    given = body.get("input")
    if given is None:
        raise missing("input")
    leading, last_user = "", ""
    texts: list[str] = []
    turns = [Turn(role="developer", text=instructions)]
    called: dict[str, str] = {}
    if isinstance(given, str):
        texts.append(given)
        turns.append(Turn(role="user", text=given))
        last_user = given
    elif isinstance(given, list):
        for number, item in enumerate(given):
            if not isinstance(item, dict):
                raise wrong_type(f"input[{number}]", "an object", item)
            text = parts_text(item.get("content", item.get("output")), f"input[{number}].content")
            role = item.get("role")
            if role in {"system", "developer"} and not texts:
                leading += text
            else:
                texts.append(text)
            last_user = text if role == "user" else last_user
            kind = item.get("type")
            if kind == "function_call":
                called[str(item.get("call_id"))] = str(item.get("name"))
            elif kind == "function_call_output":
                turns.append(Turn(role="tool", text=text, tool=called.get(str(item.get("call_id")), "")))
            elif role is not None:
                turns.append(Turn(role=str(role), text=text))
    else:
        raise wrong_type("input", "a string or an array", given)
    form = object_parameter(object_parameter(body, "text"), "format", within="text.") or {"type": "text"}
    kind = form.get("type")
    if kind not in {"text", "json_object", "json_schema"}:
        raise unsupported(
            "text.format.type",
            f"Invalid value: {kind!r}. Supported values are: 'json_object', 'json_schema', and 'text'.",
        )
    count_parameter(body, "max_output_tokens")
    return Prompt(
        instructions=instructions + leading,
        text="\n".join(texts),
        last_user=last_user,
        format=schema_format(form, "text.format") if kind == "json_schema" else None,
        json_object=kind == "json_object",
        conversation=Conversation(turns=tuple(turns), tools=offered(body)),
    )


def response(body: Mapping[str, Any], prompt: Prompt, cache: PromptCache, fault: Fault | None) -> dict[str, Any]:
    """The response object; a fault makes it garbage, a refusal or cut off."""
    said = REFUSAL if fault == "refusal" else GARBAGE if fault == "garbage" else answer(prompt)
    text = said.text if isinstance(said, ToolCall) else said
    limit = body.get("max_output_tokens")
    if fault == "truncated":
        limit = max(1, tokens(text) // 2)
    whole, text = text, text if limit is None else cut_to(text, limit)
    incomplete = text != whole
    usage = cache.count(prompt.instructions, prompt.text, text)
    now = time.time()
    content = (
        {"type": "refusal", "refusal": text}
        if fault == "refusal"
        else {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    )
    status = "incomplete" if incomplete else "completed"
    output: dict[str, Any] = {"id": f"msg_{uuid4().hex}", "type": "message", "status": status, "role": "assistant"}
    if isinstance(said, ToolCall):
        output |= {"id": f"fc_{uuid4().hex}", "type": "function_call", "call_id": f"call_{uuid4().hex}"}
        output |= {"name": said.name, "arguments": text}
        del output["role"]
    else:
        output["content"] = [content]
    return {
        "id": f"resp_{uuid4().hex}",
        "object": "response",
        "created_at": int(now),
        "completed_at": None if incomplete else int(now),
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if incomplete else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": OFFLINE_MODEL_NAME,
        "output": [output],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": body.get("service_tier") or "default",
        "store": False,
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": {
            "input_tokens": usage.prompt,
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.written},
            "output_tokens": usage.completion,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.prompt + usage.completion,
        },
        "metadata": body.get("metadata") or {},
    }
