"""agno's arguments of a machine and its stores, as ours.

What has a meaning here is taken over. What steers how agno itself extracts or renders has none, and is logged once. What asks for
something that would not be done is refused when the machine is made.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from agno.learn import config as theirs

from learning_machine import config as ours
from learning_machine.integrations.agno.notices import ignored
from learning_machine.integrations.agno.schemas import schema_of
from learning_schemas.errors import ConfigurationError, InvalidArgument
from learning_schemas.scope import GLOBAL_NAMESPACE

_OURS: Mapping[str, type[ours.StoreConfig]] = {
    "user_profile": ours.UserProfileConfig,
    "session_context": ours.SessionContextConfig,
    "entity_memory": ours.EntityMemoryConfig,
    "learned_knowledge": ours.LearnedKnowledgeConfig,
}
_NO_MEANING: Mapping[str, str] = {
    "db": "a store's memory is where the machine's is",
    "knowledge": "insights are kept in Postgres, with their embeddings",
    "max_updates_per_run": "workers take all that a conversation says; budgets limit what it may cost",
    "enable_clear_memories": "extraction never clears all; `learning-machine forget` does",
    "enable_clear_context": "a session's context is replaced as a whole",
    "supersession_threshold": "a newer statement takes the place of an older one by rules",
    "max_entities_in_context": "recall has a budget of tokens: recall_tokens",
    "max_entities_in_directory": "recall has a budget of tokens: recall_tokens",
    "max_facts_per_entity": "recall has a budget of tokens: recall_tokens",
    "max_events_per_entity": "recall has a budget of tokens: recall_tokens",
}
_MODEL = "the workers' model extracts: LEARNING_MODEL names it, or model='gpt-5-mini' as a name"
_NOT_MEANT: Mapping[str, str] = {
    "system_message": "Give instructions or additional_instructions, which are added to the store's prompt",
    "enable_update_profile": "Leave user_profile out, or retract what is not to be known",
    "enable_add_memory": "Leave user_memory out",
    "enable_update_memory": "Leave it out: what is said anew always takes the place of what was said before",
    "enable_delete_memory": "Leave it out: what a user takes back is always retired",
    "enable_add_context": "Leave session_context out",
    "enable_update_context": "Leave it out: the context follows the session",
    "enable_delete_context": "Leave it out: the context follows the session",
    "agent_can_update_profile": "Use mode ALWAYS without tools",
    "agent_can_update_memories": "Use mode ALWAYS without tools",
    "agent_can_save": "Use mode PROPOSE, where a person approves what the agent proposes",
    "agent_can_search": "Leave it out: the agent may search where it may save",
}
"""What is True or None unless somebody sets it; set, it would change what is done, and nothing here does that."""


_NO_NAMESPACE = "A machine has one: LearningMachine(namespace=…), or namespace=… of a store's config"
_NO_ENTITY = "Ask learning.memory.entity(name), or give the question as message"


def refuse_of_a_call(given: Mapping[str, Any], namespace: str) -> None:
    """Raise `InvalidArgument` for what agno takes in a call and no call does here: it would be read from or written elsewhere.

    `namespace` is the machine's own, which a call may repeat. Nothing in a run of agno's gives any of these.
    """
    remedies = {"namespace": _NO_NAMESPACE, "entity_id": _NO_ENTITY, "entity_type": _NO_ENTITY}
    for name, remedy in remedies.items():
        value = given.get(name)
        if value is not None and not (name == "namespace" and value == namespace):
            raise InvalidArgument(name, "is an argument of agno's, which has no meaning in a call here", remedy)


@dataclass(repr=False)
class EntityMemoryConfig(theirs.EntityMemoryConfig):
    """agno's, which here may also be ALWAYS: workers read every conversation for entities."""

    def __post_init__(self) -> None:
        """Nothing is refused before the machine is made."""


def stores_of(given: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """Our machine's arguments for its stores, from agno's by name. Raises `ConfigurationError`."""
    for name, remedy in (
        ("decision_log", "cookbook/08_advanced/decision_log.py is one to copy: stores=[DecisionLog]"),
        ("custom_stores", "Write it as a LearningStore (docs/custom-stores.md): stores=[…]"),
    ):
        if given.get(name):
            raise ConfigurationError(name, "is a store of agno's, which has no workers here", remedy)
    found: dict[str, Any] = {}
    profiles = [
        _store("user_profile", name, given[name]) for name in ("user_profile", "user_memory") if given.get(name)
    ]
    if profiles:
        found["user_profile"] = _one_profile(profiles)
    for name in ("session_context", "entity_memory", "learned_knowledge"):
        value = given.get(name) or (name == "learned_knowledge" and given.get("knowledge") is not None)
        if value:
            found[name] = _store(name, name, value)
    shared = {"entity_memory", "learned_knowledge"} & found.keys()
    if namespace != GLOBAL_NAMESPACE and shared:
        found["namespace"] = namespace
    return found


def _store(store: str, argument: str, value: Any) -> ours.StoreConfig:
    """One store's config: a config of ours as it is, else what agno's says."""
    if isinstance(value, _OURS[store]):
        return value
    kind = _THEIRS[argument]
    if value is True:
        value = kind()
    if not isinstance(value, kind):
        raise ConfigurationError(
            argument,
            f"is {type(value).__name__}",
            f"Give True, agno's {kind.__name__}, or learning_machine.{_OURS[store].__name__}",
        )
    _check(argument, value)
    taken: dict[str, Any] = {"mode": _mode(argument, value.mode)}
    told = [text for text in (value.instructions, value.additional_instructions) if text]
    if told:
        taken["instructions"] = "\n\n".join(told)
    if isinstance(value.model, str):
        taken["model"] = value.model
    elif value.model is not None:
        ignored(f"{argument}.model", _MODEL)
    if argument == "entity_memory" and value.schema is not None:
        raise ConfigurationError(
            "entity_memory.schema",
            "extends agno's columns of an entity",
            "Give learning_machine.EntityMemoryConfig(schema=…), whose fields are the properties that are kept",
        )
    if argument == "user_memory" and value.schema is not None:
        raise ConfigurationError(
            "user_memory.schema",
            "extends agno's list of memories",
            "Give the fields to user_profile: UserProfileConfig(schema=…)",
        )
    if (schema := schema_of(store, value.schema)) is not None:
        taken["schema"] = schema
    taken |= _own(store, taken["mode"], value)
    return _OURS[store](**taken)


_THEIRS: Mapping[str, type[Any]] = {
    "user_profile": theirs.UserProfileConfig,
    "user_memory": theirs.UserMemoryConfig,
    "session_context": theirs.SessionContextConfig,
    "entity_memory": theirs.EntityMemoryConfig,
    "learned_knowledge": theirs.LearnedKnowledgeConfig,
}


def _check(argument: str, value: Any) -> None:
    """Log what has no meaning, refuse what would not be done."""
    for each in fields(value):
        given = getattr(value, each.name)
        if given == each.default or given is None:
            continue
        if (remedy := _NOT_MEANT.get(each.name)) is not None:
            raise ConfigurationError(f"{argument}.{each.name}", "has no equal in Learning Machine", remedy)
        if (why := _NO_MEANING.get(each.name)) is not None:
            ignored(f"{argument}.{each.name}", why)


def _mode(argument: str, mode: Any) -> str:
    name = getattr(mode, "value", mode)
    if not isinstance(name, str) or name.upper() not in set(ours.LearningMode):
        told = repr(name) if isinstance(name, str) else type(mode).__name__
        raise ConfigurationError(
            f"{argument}.mode", f"is {told}, which no store here has", "Use ALWAYS, AGENTIC or PROPOSE"
        )
    return name.upper()


def _own(store: str, mode: str, value: Any) -> dict[str, Any]:
    """What only some stores have."""
    if store == "session_context":
        return {"enable_planning": value.enable_planning}
    taken: dict[str, Any] = {}
    if store == "user_profile":
        # agno gives tools in AGENTIC whatever this says.
        taken["enable_agent_tools"] = True if value.enable_agent_tools else None
    elif mode == "ALWAYS" or not value.enable_agent_tools:
        taken["enable_agent_tools"] = value.enable_agent_tools
    if store != "user_profile" and value.namespace != GLOBAL_NAMESPACE:
        taken["namespace"] = value.namespace
    return taken


def _one_profile(configs: list[ours.StoreConfig]) -> ours.StoreConfig:
    """agno's profile and its memories are one store here: extracted if either is, with tools if either has them."""
    if len(configs) == 1:
        return configs[0]
    modes = {ours.LearningMode(each.mode or "ALWAYS") for each in configs}
    told = list(dict.fromkeys(each.instructions for each in configs if each.instructions))
    tools = ours.LearningMode.AGENTIC in modes or any(each.enable_agent_tools for each in configs)
    mode = ours.LearningMode.ALWAYS if ours.LearningMode.ALWAYS in modes else ours.LearningMode.AGENTIC
    return replace(
        configs[0],
        mode=mode,
        enable_agent_tools=True if tools else None,
        instructions="\n\n".join(told) or None,
        model=next((each.model for each in configs if each.model), None),
        schema=next((each.schema for each in configs if each.schema), None),
    )
