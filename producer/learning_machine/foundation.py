"""What every part of a machine stands on: whose memory it is, its configuration, its stores, its way to the database."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from learning_machine.arguments import checked_flag, checked_id
from learning_machine.config import Configuration
from learning_machine.event_loops import EventLoops
from learning_schemas.errors import ConfigurationError, InvalidArgument, TenantRequired
from learning_schemas.redaction import Redactor
from learning_schemas.spec import MachineSpec
from learning_stores.database import Database
from learning_stores.store import LearningStore
from learning_stores.tooling import ToolDefinition


class Foundation:
    """The common part of a `LearningMachine`; the others are mixed in. Every one is usable through a view for another tenant."""

    spec: MachineSpec
    _stores: Mapping[str, LearningStore]
    _tool_definitions: Mapping[str, Sequence[ToolDefinition]]
    _database: Database
    _loops: EventLoops
    _redact: Redactor
    _tenant: str | None
    _require_tenant: bool

    def _found(
        self, configuration: Configuration, database: Database, redact: Redactor, tenant: Any, require_tenant: Any
    ) -> None:
        self.spec, self._stores = configuration.spec, configuration.stores
        self._tool_definitions = configuration.tools
        self._database, self._redact = database, redact
        self._require_tenant = checked_flag("require_tenant", require_tenant)
        self._tenant = None if tenant is None else checked_id("tenant", tenant, ConfigurationError)

    def for_tenant(self, tenant: str) -> Self:
        """The same machine for another tenant: shares connections and spec, costs nothing. Closing either closes both."""
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view._tenant = checked_id("tenant", tenant)
        return view

    @property
    def tenant(self) -> str:
        """Whose memory this is. Raises `TenantRequired`."""
        if self._tenant is None:
            if self._require_tenant:
                raise TenantRequired
            return "default"
        return self._tenant

    def _store(self, name: str) -> LearningStore:
        """The store of that name. Raises `InvalidArgument` for one that this machine does not have."""
        if (store := self._stores.get(name)) is None:
            raise InvalidArgument(
                "store", "names a store that this machine does not have", f"It has {', '.join(self._stores)}"
            )
        return store
