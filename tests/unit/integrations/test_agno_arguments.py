"""agno's arguments as ours: taken over, ignored with a word, or refused."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import agno.learn
import pytest
from agno.learn.schemas import UserProfile as AgnoUserProfile

import learning_machine as ours
from learning_machine.integrations import agno as integration
from learning_machine.integrations.agno import (
    EntityMemoryConfig,
    LearnedKnowledgeConfig,
    LearningMachine,
    LearningMode,
    SessionContextConfig,
    UserMemoryConfig,
    UserProfileConfig,
)


@dataclass
class CustomerProfile(AgnoUserProfile):
    plan: str | None = field(default=None, metadata={"description": "The plan that the customer is on"})
    ticket: str | None = field(default=None, metadata={"internal": True})


def machine(**options: Any) -> LearningMachine:
    return LearningMachine(
        **{"database_url": "postgresql://u:p@127.0.0.1:1/x", "redis_url": "redis://127.0.0.1:1/0", **options}
    )


def stores(**options: Any) -> dict[str, Any]:
    return dict(machine(**options).memory.spec.stores)


def test_given_the_module_then_it_exports_what_agnos_programs_import() -> None:
    assert integration.__all__ == [
        "EntityMemoryConfig",
        "LearnedKnowledgeConfig",
        "LearningMachine",
        "LearningMode",
        "SessionContextConfig",
        "UserMemoryConfig",
        "UserProfileConfig",
    ]
    assert issubclass(LearningMachine, agno.learn.LearningMachine)


def test_given_no_store_then_it_is_our_default_machine() -> None:
    assert set(stores()) == {"user_profile", "session_context"}


def test_given_agnos_booleans_then_the_stores_have_the_modes_that_agno_gives_them() -> None:
    found = stores(user_profile=True, session_context=True, entity_memory=True, learned_knowledge=True)

    assert {name: spec.mode for name, spec in found.items()} == {
        "user_profile": "ALWAYS",
        "session_context": "ALWAYS",
        "entity_memory": "AGENTIC",
        "learned_knowledge": "AGENTIC",
    }


def test_given_agnos_configs_then_what_has_a_meaning_is_taken_over() -> None:
    found = stores(
        user_profile=UserProfileConfig(
            mode=LearningMode.AGENTIC,
            schema=CustomerProfile,
            instructions="Keep plans.",
            additional_instructions="And seats.",
        ),
        session_context=SessionContextConfig(enable_planning=True),
        entity_memory=EntityMemoryConfig(mode=LearningMode.ALWAYS, namespace="user"),
        learned_knowledge=LearnedKnowledgeConfig(mode=LearningMode.PROPOSE),
        namespace="team-payments",
    )

    profile = found["user_profile"]
    assert (profile.mode, profile.instructions) == ("AGENTIC", "Keep plans.\n\nAnd seats.")
    assert set(profile.user_schema["properties"]) == {"name", "preferred_name", "plan"}
    assert profile.user_schema["properties"]["plan"]["description"] == "The plan that the customer is on"
    assert dict(found["session_context"].options) == {"planning": True}
    assert (found["entity_memory"].mode, found["entity_memory"].namespace) == ("ALWAYS", "user")
    assert found["entity_memory"].has_tools
    assert (found["learned_knowledge"].mode, found["learned_knowledge"].namespace) == ("PROPOSE", "team-payments")


def test_given_agnos_profile_and_memories_then_they_are_one_store() -> None:
    (profile,) = stores(
        user_profile=UserProfileConfig(instructions="Keep plans.", schema=CustomerProfile),
        user_memory=UserMemoryConfig(mode=LearningMode.AGENTIC, instructions="Keep tastes."),
    ).values()

    assert (profile.mode, profile.has_tools, profile.instructions) == ("ALWAYS", True, "Keep plans.\n\nKeep tastes.")
    assert "plan" in profile.user_schema["properties"]


def test_given_configs_of_ours_then_they_are_taken_as_they_are() -> None:
    (profile,) = stores(user_profile=ours.UserProfileConfig(debounce=0, mode="ALWAYS")).values()

    assert profile.debounce == 0


def test_given_arguments_without_a_meaning_then_each_is_logged_once_and_the_machine_is_made(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learning_machine.integrations.agno.notices._told_of", set())
    with caplog.at_level(logging.WARNING, "learning_machine"):
        for _ in range(2):
            machine(
                user_profile=UserProfileConfig(max_updates_per_run=3),
                entity_memory=EntityMemoryConfig(max_facts_per_entity=3, supersession_threshold=0.5),
                knowledge=object(),
                model=object(),
                debug_mode=True,
            )

    told = sorted(record.getMessage().split(" is ignored")[0] for record in caplog.records)
    assert told == [
        "debug_mode",
        "entity_memory.max_facts_per_entity",
        "entity_memory.supersession_threshold",
        "knowledge",
        "model",
        "user_profile.max_updates_per_run",
    ]


def test_given_a_knowledge_base_then_learned_knowledge_is_on_as_with_agno() -> None:
    assert set(stores(knowledge=object())) == {"learned_knowledge"}


def test_given_a_model_by_name_then_it_extracts() -> None:
    assert machine(user_profile=True, model="gpt-5-mini").memory.spec.model == "gpt-5-mini"


@pytest.mark.parametrize(
    ("options", "field_name"),
    [
        ({"user_profile": UserProfileConfig(system_message="Do as I say.")}, "user_profile.system_message"),
        ({"user_profile": UserProfileConfig(enable_update_profile=False)}, "user_profile.enable_update_profile"),
        ({"user_profile": UserProfileConfig(mode=LearningMode.PROPOSE)}, "user_profile.mode"),
        ({"user_memory": UserMemoryConfig(enable_delete_memory=False)}, "user_memory.enable_delete_memory"),
        ({"learned_knowledge": LearnedKnowledgeConfig(mode=LearningMode.HITL)}, "learned_knowledge.mode"),
        ({"learned_knowledge": LearnedKnowledgeConfig(agent_can_save=False)}, "learned_knowledge.agent_can_save"),
        ({"entity_memory": EntityMemoryConfig(enable_agent_tools=False)}, "entity_memory.enable_agent_tools"),
        ({"entity_memory": EntityMemoryConfig(schema=CustomerProfile)}, "entity_memory.schema"),
        ({"session_context": "yes"}, "session_context"),
        ({"decision_log": True}, "decision_log"),
        ({"custom_stores": {"mine": object()}}, "custom_stores"),
        ({"user_profile": True, "language": "klingon!"}, "language"),
    ],
)
def test_given_what_would_not_be_done_then_it_is_refused_by_name_when_the_machine_is_made(
    options: dict[str, Any], field_name: str
) -> None:
    with pytest.raises(ours.ConfigurationError) as caught:
        machine(**options)

    assert caught.value.field == field_name


def test_given_an_argument_that_nobody_has_then_it_is_refused_as_python_does() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'user_profil'"):
        machine(user_profil=True)


def test_given_what_agno_looks_up_then_it_finds_views_of_our_stores() -> None:
    made = machine(user_profile=True, learned_knowledge=True)

    assert set(made.stores) == {"user_profile", "user_memory", "learned_knowledge"}
    assert made.user_profile_store is not None
    assert made.session_context_store is None
    assert not made.requires_history
    with pytest.raises(ours.ConfigurationError, match="learning-machine curate"):
        _ = made.curator


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda made: made.build_context(user_id="alice", namespace="team-a"), "namespace"),
        (lambda made: made.recall("alice", "s1", "Acme?", "acme", "company"), "entity_id"),
        (lambda made: made.recall(user_id="alice", entity_type="company"), "entity_type"),
        (lambda made: asyncio.run(made.abuild_context(user_id="alice", namespace="team-a")), "namespace"),
        (lambda made: asyncio.run(made.arecall(user_id="alice", entity_id="acme")), "entity_id"),
        (lambda made: made.get_tools(user_id="alice", namespace="team-a"), "namespace"),
        (lambda made: asyncio.run(made.aget_tools(user_id="alice", namespace="team-a")), "namespace"),
        (lambda made: made.process([], user_id="alice", namespace="user"), "namespace"),
        (lambda made: asyncio.run(made.aprocess([], user_id="alice", namespace="user")), "namespace"),
        (lambda made: made.session_context_store.get("s1"), "session_context_store"),
        (lambda made: made.entity_memory_store.get("acme", "company"), "entity_memory_store"),
        (lambda made: made.entity_memory_store.search("acme", namespace="team-a"), "entity_memory_store"),
        (lambda made: made.entity_memory_store.print("acme", "company"), "entity_memory_store"),
        (lambda made: made.learned_knowledge_store.search("x", namespace="team-a"), "learned_knowledge_store"),
        (lambda made: asyncio.run(made.user_profile_store.aget("alice", "s1")), "user_profile_store"),
    ],
)
def test_given_what_agno_takes_in_a_call_and_we_do_not_then_it_is_refused_and_nothing_else_is_read_or_written(
    call: Callable[[Any], Any], argument: str
) -> None:
    made = machine(user_profile=True, session_context=True, entity_memory=True, learned_knowledge=True, namespace="ops")

    with pytest.raises(ours.InvalidArgument) as caught:
        call(made)

    assert caught.value.argument == argument
    assert made.get_tools(user_id="alice", session_id="s1", namespace="ops")  # its own may be repeated


def test_given_what_agnos_stores_write_by_then_it_is_said_what_does_so_here() -> None:
    store: Any = machine(user_profile=True).user_memory_store

    with pytest.raises(AttributeError, match=r"'add_memory' .* learning\.memory: add, update, retract, forget"):
        store.add_memory("alice", "Is vegetarian")
    assert getattr(store, "config", None) is None


def test_given_a_machine_as_agno_stores_it_when_made_again_then_it_is_refused_since_the_tenant_is_not_in_it() -> None:
    stored = machine(user_profile=True, tenant="acme", name="support").to_dict()

    with pytest.raises(ours.ConfigurationError, match="registry"):
        LearningMachine.from_dict(stored)


def test_given_a_component_that_is_stored_then_its_machine_is_a_reference_and_never_one_of_agnos() -> None:
    from agno.agent import Agent

    agent = Agent(name="Helper", learning=machine(user_profile=True, name="support"), telemetry=False)

    assert agent.to_dict()["learning"] == {"name": "support"}


def test_given_a_machine_of_agnos_own_then_its_agent_is_left_alone() -> None:
    from agno.agent import Agent
    from agno.db.in_memory import InMemoryDb

    theirs = agno.learn.LearningMachine(user_profile=True)
    agent = Agent(name="Helper", learning=theirs, db=InMemoryDb(), telemetry=False)

    assert agent.learning_machine is theirs
    assert agent.post_hooks is None


def test_given_agno_is_not_installed_when_imported_then_the_error_has_the_pip_line() -> None:
    code = (
        "import sys; sys.modules['agno'] = None\n"
        "import importlib.util; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'agno' else find(name, *a)\n"
        "import learning_machine.integrations.agno"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert found.returncode == 1
    assert found.stderr.splitlines()[-1] == (
        "learning_schemas.errors.ConfigurationError: learning_machine.integrations.agno: agno is not installed. "
        "pip install 'learning-machine[agno]'"
    )


def test_given_learning_machine_alone_when_imported_then_agno_is_not() -> None:
    code = "import sys, learning_machine, learning_machine.integrations; print('agno' in sys.modules)"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout == "False\n"
