"""Entity memory: named things, what is so of them, what happened to them, and what ties them, from everybody's words.

Whatever is said of an entity stands on a quote, and the entity's name on being said: as whole words in the messages, or as
what is known already. Names are resolved to entities where the operations are applied.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from sqlalchemy.orm import Session

from learning_schemas.entity_patch import EntityPatch, entity_patch_model
from learning_schemas.scope import ScopeKind
from learning_schemas.spec import Mode, StoreSpec, WiderWrites
from learning_stores.entity_grounding import EntityGrounding
from learning_stores.entity_mentions import known_entities
from learning_stores.entity_names import event_key
from learning_stores.operations import LiveLearning, Operations
from learning_stores.prompts import Prompt, load_prompt
from learning_stores.store import Known, LearningStore, Reading
from learning_stores.user_values import check_usable
from learning_stores.window import Window

if TYPE_CHECKING:
    from learning_stores.tooling import ToolDefinition

__all__ = ["EntityMemoryStore", "event_key"]


class EntityMemoryStore(LearningStore):
    """Kinds `description`, `property`, `fact`, `event`, `relationship`, and `alias`, by which names are looked up."""

    name = "entity_memory"
    scope: ClassVar[ScopeKind] = "session"
    namespaced: ClassVar[bool] = True
    modes: ClassVar[tuple[Mode, ...]] = ("ALWAYS", "AGENTIC")
    kinds: ClassVar[Mapping[str, str]] = {
        "description": "What things are",
        "property": "Properties",
        "fact": "Known facts",
        "event": "What happened",
        "relationship": "Relationships",
        "alias": "Names",
    }
    kept_kinds = frozenset({"alias", "description", "property"})
    wider_writes: ClassVar[WiderWrites] = "active"

    def prompt(self, spec: StoreSpec) -> Prompt:
        """The static instructions."""
        return load_prompt("entity_memory")

    def patch_model(self, spec: StoreSpec) -> type[EntityPatch]:
        """Entities and what is said of them. Raises `ConfigurationError` for an unusable schema or list of types."""
        check_usable(spec)
        return entity_patch_model(spec)

    def operations(self, patch: EntityPatch, window: Window, known: Known, spec: StoreSpec) -> Operations:
        """The patch, grounded in what user and assistant said."""
        return EntityGrounding(window, known, spec).operations(patch)

    def known(self, session: Session, reading: Reading, window: Window) -> list[LiveLearning]:
        """What is known of the entities that the window mentions, and of those that the session spoke of lately."""
        return known_entities(session, self.name, reading, window)

    def tools(self, spec: StoreSpec) -> Sequence["ToolDefinition"]:
        """remember_entity, add_fact, add_event, link_entities, search_entities, forget_fact."""
        from learning_stores.entity_tools import (
            entity_tools,
        )  # it needs the rules of admission, which need this base class

        return entity_tools(spec)

    def guidance(self, spec: StoreSpec) -> str:
        """When to use these tools."""
        from learning_stores.entity_tools import GUIDANCE

        return GUIDANCE
