"""The spec of a machine by its arguments, and the stores that work by it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from learning_machine.arguments import ID_REMEDY, checked_id
from learning_machine.config.custom import CustomStoreConfig
from learning_machine.config.session_context import SessionContextConfig
from learning_machine.config.shared import EntityMemoryConfig, LearnedKnowledgeConfig
from learning_machine.config.store import LIMITS, StoreConfig
from learning_machine.config.user_profile import UserProfileConfig
from learning_schemas.errors import ConfigurationError
from learning_schemas.finding import first_finding
from learning_schemas.scope import GLOBAL_NAMESPACE
from learning_schemas.spec import MachineSpec
from learning_stores.store import LearningStore
from learning_stores.tooling import ToolDefinition

_CONFIGS: Mapping[str, type[StoreConfig]] = {
    "user_profile": UserProfileConfig,
    "session_context": SessionContextConfig,
    "entity_memory": EntityMemoryConfig,
    "learned_knowledge": LearnedKnowledgeConfig,
}
_TOOL_NAME = "^[A-Za-z0-9_-]{1,64}$"  # as OpenAI's API takes it
_WITHOUT_ANY = ("user_profile", "session_context")


@dataclass(frozen=True, kw_only=True)
class StoreArguments:
    """What a machine was told about its stores: by name, those of the user's own, and where what is shared lies."""

    built_in: Mapping[str, Any]
    custom: Any = ()
    namespace: str | None = None
    language: str | None = None


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The spec, and by name its stores, and the tools of those that give the agent any."""

    spec: MachineSpec
    stores: Mapping[str, LearningStore]
    tools: Mapping[str, Sequence[ToolDefinition]]


def configure(name: str, model: str | None, given: StoreArguments) -> Configuration:
    """A machine's configuration: without any store the default ones; else exactly those named. Raises `ConfigurationError`."""
    configs = [*_built_in(given.built_in), *_custom(given.custom)]
    if not configs:
        if any(value is not None for value in given.built_in.values()):
            raise ConfigurationError("stores", "the machine has none", "Name one: LearningMachine(user_profile=True)")
        configs = [_CONFIGS[store]() for store in _WITHOUT_ANY]
    stores: dict[str, LearningStore] = {}
    for config in configs:
        store = config._learning_store()
        if store.name in stores:
            raise ConfigurationError("stores", f"two are named {store.name!r}", "Give each store its own name")
        stores[store.name] = store
    if given.namespace is not None:
        checked_id("namespace", given.namespace, ConfigurationError)
        if not any(store.namespaced for store in stores.values()):
            raise ConfigurationError(
                "namespace",
                "is given, and no store of this machine shares what it learned",
                "Leave it out, or name one that does: entity_memory=True, learned_knowledge=True",
            )
    specs = {config.store_name: config.spec(given.namespace or GLOBAL_NAMESPACE) for config in configs}
    tools = {store: tuple(stores[store].tools(spec)) for store, spec in specs.items() if spec.has_tools}
    _check_tool_names(tools)
    try:
        return Configuration(
            spec=MachineSpec.model_validate(
                {"name": name, "model": model, "language": given.language, "stores": specs}
            ),
            stores=stores,
            tools=tools,
        )
    except ValidationError as error:
        found = first_finding(error)
        remedy = ID_REMEDY if found.field in ("name", "model") else LIMITS
        raise ConfigurationError(found.field or "stores", found.problem, remedy) from None


def _check_tool_names(tools: Mapping[str, Sequence[ToolDefinition]]) -> None:
    """A model must be able to call every tool, and to tell each from the others."""
    owners: dict[str, str] = {}
    for store, tool in ((store, tool) for store, each in tools.items() for tool in each):
        if not re.fullmatch(_TOOL_NAME, tool.name):
            raise ConfigurationError(
                "stores", f"the tool {tool.name!r} of {store} does not match {_TOOL_NAME}", "Name it differently"
            )
        if (owner := owners.setdefault(tool.name, store)) != store:
            raise ConfigurationError(
                "stores", f"{owner} and {store} both have a tool {tool.name}", "Name one of them differently"
            )


def _built_in(given: Mapping[str, Any]) -> list[StoreConfig]:
    configs: list[StoreConfig] = []
    for store, value in given.items():
        config = _CONFIGS[store]
        if isinstance(value, config):
            configs.append(value)
        elif value is True:
            configs.append(config())
        elif value is not None and value is not False:
            raise ConfigurationError(
                store,
                f"is {type(value).__name__}, neither a bool nor a {config.__name__}",
                f"Give True or {config.__name__}(…)",
            )
    return configs


def _custom(given: Any) -> list[StoreConfig]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ConfigurationError("stores", f"is {type(given).__name__}, not a list", "Give a list of LearningStores")
    configs = [each if isinstance(each, CustomStoreConfig) else _made(each) for each in given]
    for config in configs:
        if config.store_name in _CONFIGS:
            raise ConfigurationError(
                "stores",
                f"{config.store_name!r} is the name of a store that is built in",
                f"Use the argument {config.store_name}=…, or another name for a store of your own",
            )
    return list(configs)


def _made(store: Any) -> CustomStoreConfig:
    if isinstance(store, StoreConfig):
        raise ConfigurationError(
            "stores", f"holds a {type(store).__name__}", f"Give it as the argument {store.store_name}=…"
        )
    return CustomStoreConfig(store=store)
