"""A tool for an agent: what a model is told about it, and the call."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from learning_machine.arguments import checked_choice


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A function that an agent may call: `tool(title="…", learning="…")`, or `await tool.acall(…)`.

    `parameters` is a strict JSON schema: closed, every property required, null for what is absent. The answer is a short text
    for the model, which says what was kept, or what was not and why: arguments that cannot be used and a database that is
    away raise nothing. Where a connection breaks at the last moment it says that the outcome is not known. What a redaction
    hook or a store of your own raises is passed on.
    """

    name: str
    description: str
    parameters: Mapping[str, Any] = field(hash=False)
    _answer: Callable[[Mapping[str, Any]], str] = field(repr=False, compare=False)
    _aanswer: Callable[[Mapping[str, Any]], Awaitable[str]] = field(repr=False, compare=False)

    def __call__(self, /, **arguments: Any) -> str:
        """Call it. What may be null may be left out."""
        return self._answer(arguments)

    async def acall(self, /, **arguments: Any) -> str:
        """The same from asyncio."""
        return await self._aanswer(arguments)

    def to_openai(self, api: Literal["chat", "responses"] = "chat") -> dict[str, Any]:
        """The tool as OpenAI's Chat Completions ("chat") or Responses API takes it in `tools`."""
        checked_choice("api", api, "chat", "responses")
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
            "strict": True,
        }
        return {"type": "function", "function": function} if api == "chat" else {"type": "function", **function}
