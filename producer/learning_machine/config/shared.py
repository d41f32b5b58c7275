"""Configs of the stores that share what they learned: their learnings lie in a namespace."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from learning_machine.arguments import checked_id
from learning_machine.config.store import StoreConfig, options
from learning_schemas.entity_patch import MAX_TYPES, entity_patch_model
from learning_schemas.errors import ConfigurationError
from learning_schemas.knowledge_patch import knowledge_patch_model
from learning_schemas.scope import GLOBAL_NAMESPACE, USER_NAMESPACE
from learning_schemas.spec import StoreSpec, WiderWrites
from learning_stores.entity_memory import EntityMemoryStore
from learning_stores.learned_knowledge import LearnedKnowledgeStore
from learning_stores.store import LearningStore

_ENTITIES = EntityMemoryStore()
_KNOWLEDGE = LearnedKnowledgeStore()
_WORDS = ("active", "corroborated", "proposed")


@dataclass(frozen=True, kw_only=True)
class SharedStoreConfig(StoreConfig):
    """What a store with namespaces can be told besides.

    `namespace` is where its learnings lie: "user" (one user's own; without a user_id nothing is written or read), "global"
    (everybody's of the tenant), or any name (None: the machine's, else "global"). `also_reads` are namespaces that recall and
    search look into besides. `wider_writes` says what extraction (ALWAYS) may write where others read it: "active" at once,
    "corroborated" once two users' conversations or an approval stand behind it, "proposed" once a person approved it.
    """

    namespace: str | None = None
    also_reads: Sequence[str] = ()
    wider_writes: WiderWrites | None = None

    def __post_init__(self) -> None:
        store = self.store_name
        if self.namespace is not None:
            checked_id(f"{store}.namespace", self.namespace, ConfigurationError)
        if isinstance(self.also_reads, str) or not isinstance(self.also_reads, Sequence):
            raise ConfigurationError(
                f"{store}.also_reads", f"is {type(self.also_reads).__name__}, not a list", "Give a list of namespaces"
            )
        for name in self.also_reads:
            checked_id(f"{store}.also_reads", name, ConfigurationError)
        object.__setattr__(self, "also_reads", tuple(self.also_reads))
        if self.wider_writes is not None and self.wider_writes not in _WORDS:
            raise ConfigurationError(
                f"{store}.wider_writes", "is not a word that it can be", f"Use one of {', '.join(_WORDS)}"
            )
        super().__post_init__()

    def spec(self, namespace: str | None = None) -> StoreSpec:
        """The form that travels. `namespace` is the machine's (None: not known yet), for a config that sets none itself."""
        return self._spec(**self._sharing(namespace))

    def _sharing(self, machines: str | None) -> dict[str, Any]:
        """Where it writes and reads, as far as that deviates from the defaults."""
        name = self.namespace or machines
        self._check_also_reads(name)
        self._check_wider_writes(name)
        return {
            "namespace": None if name == GLOBAL_NAMESPACE else name,
            "also_reads": tuple(self.also_reads) or None,
            "wider_writes": None if self.wider_writes == self._learning_store().wider_writes else self.wider_writes,
        }

    def _check_also_reads(self, namespace: str | None) -> None:
        read = (namespace, *self.also_reads)
        for index, name in enumerate(read):
            if name in read[:index]:
                of = " (the store's own namespace is read anyway)" if name == namespace else ""
                raise ConfigurationError(
                    f"{self.store_name}.also_reads", f"names {name!r} twice{of}", "Name each namespace once"
                )

    def _check_wider_writes(self, namespace: str | None) -> None:
        if self.wider_writes is None:
            return
        mode = self.mode or self._learning_store().modes[0]
        if mode != "ALWAYS":
            problem = f"says what extraction may write, and in {mode} nothing is extracted"
            remedy = "Leave it out; approval=… puts the agent's writes before a person"
        elif namespace == USER_NAMESPACE:
            problem = 'says what may be written where others read it, and in the namespace "user" nobody else reads'
            remedy = "Leave it out"
        else:
            return
        raise ConfigurationError(f"{self.store_name}.wider_writes", problem, remedy)


@dataclass(frozen=True, kw_only=True)
class EntityMemoryConfig(SharedStoreConfig):
    """Entities, and what is known of each: ALWAYS (the default) or AGENTIC.

    `types` are the only types of entities that extraction and tools make (empty: any). `schema` is a class whose fields are
    the only properties that are kept (None: any).
    """

    types: Sequence[str] = ()

    def __post_init__(self) -> None:
        named = f"{self.store_name}.types"
        if isinstance(self.types, str) or not isinstance(self.types, Sequence) or len(self.types) > MAX_TYPES:
            raise ConfigurationError(
                named, f"is not a list of at most {MAX_TYPES} types", 'Give a list: types=["person", "company"]'
            )
        types = tuple(checked_id(named, each, ConfigurationError) for each in self.types)
        if len({each.casefold() for each in types}) < len(types):
            raise ConfigurationError(named, "names a type twice", "Name each type once")
        object.__setattr__(self, "types", types)
        super().__post_init__()
        entity_patch_model(self.spec())

    def spec(self, namespace: str | None = None) -> StoreSpec:
        """The form that travels. `namespace` is the machine's (None: not known yet), for a config that sets none itself."""
        return self._spec(options=options(types=list(self.types)), **self._sharing(namespace))

    def _learning_store(self) -> LearningStore:
        return _ENTITIES


@dataclass(frozen=True, kw_only=True)
class LearnedKnowledgeConfig(SharedStoreConfig):
    """Insights that help with other tasks: AGENTIC (the default), PROPOSE or ALWAYS.

    `schema` is a class whose fields are kept with each insight besides title, learning, context and tags.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        knowledge_patch_model(self.spec())

    def _learning_store(self) -> LearningStore:
        return _KNOWLEDGE
