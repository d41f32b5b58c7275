"""A request's conversation, the same for both endpoints: its turns, and the functions that it offers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from learning_ops.offline.problem import wrong_type


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One message; a `tool` turn is a function's result and `tool` that function's name, "" where no call names it."""

    role: str
    text: str
    tool: str = ""


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A function that the model wants called, with its arguments."""

    name: str
    arguments: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The arguments as the API writes them: JSON text."""
        return json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """The turns in order, and the JSON Schema of each function's arguments by its name; no functions where none may be called."""

    turns: tuple[Turn, ...] = ()
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def offered(body: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The functions that a request offers, in either endpoint's form; none with `tool_choice` "none", one where it names one."""
    given = body.get("tools")
    if given is None:
        return {}
    if not isinstance(given, list):
        raise wrong_type("tools", "an array", given)
    tools: dict[str, Mapping[str, Any]] = {}
    for number, one in enumerate(given):
        if not isinstance(one, dict):
            raise wrong_type(f"tools[{number}]", "an object", one)
        function = one.get("function", one) if one.get("type") == "function" else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            parameters = function.get("parameters")
            tools[function["name"]] = parameters if isinstance(parameters, dict) else {}
    choice = body.get("tool_choice")
    if choice == "none":
        return {}
    if isinstance(choice, dict):
        named = choice.get("function", choice)
        name = named.get("name") if isinstance(named, dict) else None
        return {one: schema for one, schema in tools.items() if one == name} if name else tools
    return tools
