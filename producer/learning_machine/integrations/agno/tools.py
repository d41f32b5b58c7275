"""Our machine as agno's runs see it: the stores that have the ids that they need, and their tools in agno's form."""

from typing import Any, Self

from agno.tools.function import Function

from learning_machine.machine import LearningMachine
from learning_machine.tool import Tool
from learning_schemas.errors import InvalidArgument

READING_TOOLS = ("search_entities", "search_learnings")


class Memory(LearningMachine):
    """A machine for runs without a user too: of the stores that need none."""

    @property
    def recall_deadline(self) -> float:
        """Seconds."""
        return self._recall_deadline

    def of_sessions(self) -> Self:
        """The same machine without the stores that extract for a user. Closing either closes both."""
        users = {name for name, store in self.spec.always().items() if store.scope == "user"}
        if not users:
            return self
        view = self.for_tenant(self.tenant)
        kept = {name: store for name, store in self.spec.stores.items() if name not in users}
        view.spec = self.spec.model_copy(update={"stores": kept})
        view._emitter = self._emitter.for_spec(view.spec)
        return view

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
