"""A tool as a store offers it to agents: what it is called with, and what it does in one transaction.

A tool never waits for a model. It answers in a short, honest sentence: what was kept, what was not and why.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from learning_schemas.spec import StoreSpec
from learning_stores.admission import Admission
from learning_stores.operations import Operation
from learning_stores.place import Place
from learning_stores.writing import Written, write


class Arguments(BaseModel):
    """What a tool is called with: subclass it, with a description for each field. Absence is `X | None`."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ToolRefusal(Exception):
    """What the agent asks for cannot be done; the text goes back to it as the tool's answer."""


@dataclass(frozen=True, kw_only=True)
class Calling:
    """One call of a tool: its transaction, where it writes, and what the store reads for this user and session."""

    session: Session
    place: Place
    scopes: Sequence[str]
    spec: StoreSpec
    admission: Admission

    def write(self, operations: Sequence[Operation], action: str) -> Written:
        """Write as this tool, in this transaction. `action` is kept beside it (`save_learning`)."""
        return write(self.session, self.place, operations, self.admission, origin="tool", action=action)


@dataclass(frozen=True, kw_only=True)
class ToolDefinition:
    """A store's tool. `run` is called inside a transaction of the tenant, and returns what the agent reads."""

    name: str
    description: str
    arguments: type[Arguments]
    run: Callable[[Calling, Any], str]
    writes: bool = True
