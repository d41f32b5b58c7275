"""A message of a conversation, taken as agent loops have it."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from learning_schemas.limits import Id, check_json, clean_text, dumped_model

Role = Literal["user", "assistant", "system", "developer", "tool"]

_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


def flatten_content(content: object) -> object:
    """One clean string for a list of content parts: the text is kept, any other part is noted by its type, as `[image_url]`."""
    if isinstance(content, str):
        return clean_text(content)
    if content is None:
        return ""
    if not isinstance(content, (list, tuple)):
        return content
    kept: list[str] = []
    for given in content:
        if isinstance(given, str):
            kept.append(given)
            continue
        part = given if isinstance(given, Mapping) else dumped_model(given)
        if isinstance(part, Mapping) and isinstance(part.get("type"), str):
            text = part.get("text") if part["type"] in _TEXT_PARTS else part.get("refusal")
            kept.append(text if isinstance(text, str) else f"[{part['type'][:40]}]")
        else:
            raise ValueError("a content part must be a string or an object with a 'type'")
    return clean_text("\n".join(kept))


Content = Annotated[
    str,
    Field(strict=True),
    BeforeValidator(flatten_content, json_schema_input_type=str | list[str | dict[str, Any]] | None),
]
Json = Annotated[Any, AfterValidator(check_json)]
JsonObject = Annotated[dict[str, Any], BeforeValidator(check_json, json_schema_input_type=dict[str, Any])]
"""A JSON object of at most 16 levels."""


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
    metadata: JsonObject | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_agent_loops_have_it(cls, value: Any) -> Any:
        """Also take the function role, and the items of the Responses API."""
        if type(value) is dict and value.get("role", "function") != "function":
            return value
        if not isinstance(value, Mapping) or ("role" in value and value["role"] != "function"):
            return value
        if "role" in value:
            return {**value, "role": "tool"}
        kind = value.get("type")
        return value if not isinstance(kind, str) else _as_message(kind, value)


def _as_message(kind: str, item: Mapping[str, Any]) -> Mapping[str, Any]:
    """An item of the Responses API that has no role: what was called, what it answered, what else was noted."""
    if kind.endswith("_call_output"):
        output = item.get("output")
        known = isinstance(output, (str, list))
        content = (
            output if known else f"[{kind}]" if output is None else json.dumps(check_json(output), ensure_ascii=False)
        )
        return {"role": "tool", "content": content, "tool_call_id": item.get("call_id")}
    if kind.endswith("_call"):
        call = {name: inner for name, inner in item.items() if inner is not None}
        return {"role": "assistant", "tool_calls": [call], "id": item.get("id")}
    return {"role": "tool", "content": f"[{kind}]"} if kind in _NOTED else item


# Not what anybody said, and so no message that is extracted from.
_NOTED = frozenset({
    "reasoning", "item_reference", "compaction", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response",
})  # fmt: skip


def as_message_input(message: object) -> object:
    """What pydantic can validate: a Message or mapping as it is, an SDK's message object as its dictionary."""
    if type(message) is dict or isinstance(message, (Message, Mapping)):
        return message
    dumped = dumped_model(message)
    return message if dumped is None else dumped
