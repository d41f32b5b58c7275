"""An agent in one loop: recall, ask the model with the memory's tools, emit. Written to be copied.

It speaks the Chat Completions API through the openai SDK, and keeps no state but each session's messages.
"""

import json
import os
from typing import Any

from openai import OpenAI

from learning_machine import LearningMachine, Receipt, Tool

ROUNDS = 5
"""How often the model may call tools before it has to answer."""


class Agent:
    """A chat agent with memory. `client` and `model` are whatever serves Chat Completions."""

    def __init__(
        self, machine: LearningMachine, client: OpenAI, model: str, instructions: str = "You are a helpful assistant."
    ) -> None:
        self.machine, self.client, self.model, self.instructions = machine, client, model, instructions
        self.sessions: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.receipt: Receipt | None = None  # of the last turn, for scripts that wait until it is learned from

    @classmethod
    def from_env(cls, machine: LearningMachine, instructions: str = "You are a helpful assistant.") -> "Agent":
        """An agent on the model that `learning-machine run` or `up` serves, else on OpenAI's: by the variables alone."""
        address, key = os.environ.get("LEARNING_MODEL_BASE_URL"), os.environ.get("LEARNING_MODEL_API_KEY")
        client = OpenAI(base_url=address, api_key=key)
        return cls(machine, client, os.environ.get("LEARNING_MODEL", "gpt-5-mini"), instructions)

    def reply(self, text: str, *, user_id: str, session_id: str) -> str:
        """One turn: the answer to `text`. What was said is handed over when the answer is there."""
        said = self.sessions.setdefault((user_id, session_id), [])
        memory = self.machine.recall(text, user_id=user_id, session_id=session_id)
        tools = {tool.name: tool for tool in self.machine.tools(user_id=user_id, session_id=session_id)}
        # How to use memory, and what is in it, stay apart: the first are instructions, the second is data.
        system = [self.instructions, self.machine.instructions(), memory.context]
        turn = [{"role": "user", "content": text}]
        while True:
            prompt = [{"role": "system", "content": "\n\n".join(filter(None, system))}, *said, *turn]
            offered = tools if len(turn) <= 2 * ROUNDS else {}
            answer = self._ask(prompt, offered)
            if not answer.tool_calls:
                break
            turn += [answer.model_dump(exclude_none=True), *(_result(call, tools) for call in answer.tool_calls)]
        turn = [turn[0], {"role": "assistant", "content": answer.content or ""}]
        said += turn
        self.receipt = self.machine.emit(turn, user_id=user_id, session_id=session_id)
        return answer.content or ""

    def _ask(self, prompt: list[dict[str, Any]], tools: dict[str, Tool]) -> Any:
        offered: Any = {"tools": [tool.to_openai() for tool in tools.values()]} if tools else {}
        messages: Any = prompt
        return self.client.chat.completions.create(model=self.model, messages=messages, **offered).choices[0].message


def _result(call: Any, tools: dict[str, Tool]) -> dict[str, Any]:
    """What a tool answers, for the model. A tool of the memory never raises: it says what it did, or why it did not."""
    tool = tools.get(call.function.name)
    try:
        arguments = json.loads(call.function.arguments)
    except ValueError:
        arguments = None
    told = "There is no such tool, or its arguments are no JSON object."
    if tool is not None and isinstance(arguments, dict):
        told = tool(**arguments)
    return {"role": "tool", "tool_call_id": call.id, "content": told}
