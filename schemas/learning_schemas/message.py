"""A message of a conversation, taken as agent loops have it."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from learning_schemas.limits import Id, Text, check_json

Role = Literal["user", "assistant", "system", "developer", "tool"]

_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


def flatten_content(content: object) -> object:
    """One string for a list of content parts: the text is kept, any other part is noted by its type, as `[image_url]`."""
    if content is None:
        return ""
    if not isinstance(content, (list, tuple)):
        return content
    kept: list[str] = []
    for part in content:
        if isinstance(part, str):
            kept.append(part)
        elif isinstance(part, Mapping) and isinstance(part.get("type"), str):
            text = part.get("text") if part["type"] in _TEXT_PARTS else part.get("refusal")
            kept.append(text if isinstance(text, str) else f"[{part['type'][:40]}]")
        else:
            raise ValueError("a content part must be a string or an object with a 'type'")
    return "\n".join(kept)


Content = Annotated[
    Text,
    BeforeValidator(flatten_content, json_schema_input_type=str | list[str | dict[str, Any]] | None),
]
Json = Annotated[Any, AfterValidator(check_json)]


class Message(BaseModel):
    """One message: who said it (`role`), what (`content`), and what the agent's loop knows of it besides.

    `content` is a string or a list of OpenAI-style parts; parts that are not text are noted by their type. `id`, where
    given, decides whether a message was shown before. `tool_calls` and `metadata` are kept and never extracted from.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    role: Role
    content: Content = ""
    name: Id | None = None
    id: Id | None = None
    tool_calls: Json = None
    tool_call_id: Id | None = None
    metadata: Annotated[dict[str, Any] | None, AfterValidator(check_json)] = Field(default=None)

    @model_validator(mode="before")
    @classmethod
    def _as_agent_loops_have_it(cls, value: Any) -> Any:
        """Also take the function role, and the items of the Responses API."""
        if not isinstance(value, Mapping) or ("role" in value and value["role"] != "function"):
            return value
        item = dict(value)
        kind = item.get("type")
        if item.get("role") == "function":
            item["role"] = "tool"
        elif kind in ("function_call", "custom_tool_call"):
            return {"role": "assistant", "tool_calls": [_without_none(item)], "id": item.get("id")}
        elif kind in ("function_call_output", "custom_tool_call_output"):
            output = item.get("output")
            content = output if isinstance(output, (str, list)) else json.dumps(output, ensure_ascii=False)
            return {"role": "tool", "content": content, "tool_call_id": item.get("call_id")}
        return item


def _without_none(item: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in item.items() if value is not None}


def as_message_input(message: object) -> object:
    """What pydantic can validate: a Message or mapping as it is, an SDK's message object as its dictionary."""
    if isinstance(message, (Message, Mapping)):
        return message
    dump = getattr(message, "model_dump", None)
    return cast("object", dump(mode="json", exclude_none=True)) if callable(dump) else message
