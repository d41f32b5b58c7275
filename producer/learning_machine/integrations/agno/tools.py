"""Our machine as agno's tools see it: those of the stores that have the ids that they need, in agno's form."""

from typing import Any

from agno.tools.function import Function

from learning_machine.machine import LearningMachine
from learning_machine.tool import Tool
from learning_schemas.errors import InvalidArgument


class Memory(LearningMachine):
    """A machine that gives the tools of a run without a user too: of the stores that need none."""

    def tools_there_are(self, **ids: str | None) -> list[Tool]:
        """The tools for these ids; a store that lacks one has none."""
        all_of_them = self._tool_definitions
        found: list[Tool] = []
        for store in all_of_them:
            view = self.for_tenant(self.tenant)
            view._tool_definitions = {store: all_of_them[store]}
            try:
                found += view.tools(**ids)
            except InvalidArgument as error:
                if ids.get(error.argument) is not None:
                    raise
        return found


def as_function(tool: Tool, *, asynchronous: bool) -> Function:
    """A tool in the form that agno gives to models. What it answers is for the model; it raises nothing for it to handle."""

    def call(**arguments: Any) -> str:
        return tool(**arguments)

    async def acall(**arguments: Any) -> str:
        return await tool.acall(**arguments)

    return Function(
        name=tool.name,
        description=tool.description,
        parameters=dict(tool.parameters),
        strict=True,
        entrypoint=acall if asynchronous else call,
        skip_entrypoint_processing=True,
    )
