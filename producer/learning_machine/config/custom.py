"""The config of a store of the user's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from learning_machine.config.shared import SharedStoreConfig
from learning_schemas.errors import ConfigurationError
from learning_schemas.spec import StoreSpec
from learning_stores.registry import checked_store
from learning_stores.store import LearningStore


@dataclass(frozen=True, kw_only=True)
class CustomStoreConfig(SharedStoreConfig):
    """A `LearningStore` of your own: the class, or an instance of it. The workers must have it too (docs/custom-stores.md).

    `namespace`, `also_reads` and `wider_writes` are for a store that is `namespaced`. `schema` travels as JSON Schema and
    `options` as they are: the store finds them in its spec.
    """

    store: LearningStore | type[LearningStore]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", checked_store(self.store, "stores"))
        if not isinstance(self.options, Mapping):
            raise ConfigurationError(
                f"{self.store_name}.options", f"is {type(self.options).__name__}, not a dictionary", "Give a dictionary"
            )
        sharing = {
            "namespace": self.namespace is not None,
            "also_reads": bool(self.also_reads),
            "wider_writes": self.wider_writes is not None,
        }
        if not self._learning_store().namespaced and (given := [name for name, is_set in sharing.items() if is_set]):
            raise ConfigurationError(
                f"{self.store_name}.{given[0]}", "is given, and this store has no namespaces", "Leave it out"
            )
        super().__post_init__()

    def spec(self, namespace: str | None = None) -> StoreSpec:
        """The form that travels. `namespace` is the machine's (None: not known yet), for a store that shares and sets none."""
        sharing = self._sharing(namespace) if self._learning_store().namespaced else {}
        return self._spec(options=dict(self.options), **sharing)

    def _learning_store(self) -> LearningStore:
        assert isinstance(self.store, LearningStore)
        return self.store
