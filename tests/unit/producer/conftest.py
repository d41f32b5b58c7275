"""Machines of tests that talk to no server, and a store of the tests' own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from pydantic import Field

from learning_machine import (
    Arguments,
    Calling,
    Known,
    LearningMachine,
    LearningStore,
    Operations,
    PatchModel,
    Prompt,
    StoreSpec,
    ToolDefinition,
    Window,
)
from learning_schemas.spec import Mode

NOWHERE = {"database_url": "postgresql://app:pw@127.0.0.1:1/x", "redis_url": "redis://127.0.0.1:1/0"}


@pytest.fixture
def machine_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Callable[..., LearningMachine]:
    """Makes a machine whose servers are nowhere."""
    monkeypatch.chdir(tmp_path)
    for variable in ("LEARNING_DATABASE_URL", "LEARNING_REDIS_URL", "LEARNING_TENANT", "LEARNING_SHARDS"):
        monkeypatch.delenv(variable, raising=False)

    def make(**options: Any) -> LearningMachine:
        return LearningMachine(**{**NOWHERE, **options})

    return make


class _Note(Arguments):
    text: str = Field(description="What to note", min_length=1)
    tags: list[str] = Field(description="Words to find it by")
    due: str | None = Field(description="When it is due")


class _Find(Arguments):
    query: str
    limit: int = Field(default=5, ge=1, le=20)


class _Notes(LearningStore):
    """Takes notes, in every mode."""

    name = "notes"
    modes: ClassVar[tuple[Mode, ...]] = ("ALWAYS", "AGENTIC", "PROPOSE")
    kinds: ClassVar[Mapping[str, str]] = {"note": "Notes"}

    def prompt(self, spec: StoreSpec) -> Prompt:
        raise NotImplementedError

    def patch_model(self, spec: StoreSpec) -> type[PatchModel]:
        raise NotImplementedError

    def operations(self, patch: Any, window: Window, known: Known, spec: StoreSpec) -> Operations:
        raise NotImplementedError

    def tools(self, spec: StoreSpec) -> Sequence[ToolDefinition]:
        def run(calling: Calling, arguments: Any) -> str:
            raise NotImplementedError

        return (
            ToolDefinition(name="take_note", description="Note something.", arguments=_Note, run=run),
            ToolDefinition(name="find_notes", description="Find notes.", arguments=_Find, run=run, writes=False),
        )

    def guidance(self, spec: StoreSpec) -> str:
        return "take_note: note what matters.\n"


class _SharedNotes(_Notes):
    """The same in a namespace."""

    name = "shared_notes"
    namespaced: ClassVar[bool] = True

    def tools(self, spec: StoreSpec) -> Sequence[ToolDefinition]:
        return ()


@pytest.fixture
def notes() -> type[LearningStore]:
    """A store of a session's, with tools."""
    return _Notes


@pytest.fixture
def shared_notes() -> type[LearningStore]:
    """A store with namespaces, without tools."""
    return _SharedNotes
