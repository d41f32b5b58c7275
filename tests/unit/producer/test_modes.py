"""Modes, tools and approval: what a config may ask for, and why it is refused else."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from learning_machine import (
    Approval,
    ConfigurationError,
    CustomStoreConfig,
    EntityMemoryConfig,
    LearnedKnowledgeConfig,
    LearningMachine,
    LearningMode,
    LearningStore,
    SessionContextConfig,
    StoreSpec,
    ToolDefinition,
    UserProfile,
    UserProfileConfig,
)


@dataclass
class CustomerProfile(UserProfile):
    plan: str | None = field(default=None, metadata={"description": "The plan they pay for"})


def test_given_configurations_of_before_then_their_specs_have_the_hashes_that_they_had(
    machine_of: Callable[..., LearningMachine],
) -> None:
    configured = machine_of(
        name="support",
        model="gpt-5.2",
        user_profile=UserProfileConfig(schema=CustomerProfile, instructions="Be brief.", debounce=0),
        session_context=SessionContextConfig(enable_planning=True, trigger="session_end"),
    )

    assert machine_of().spec.spec_hash() == "e4d90456a3c2a3907fdb7adff4e932ecda03e93a90def5ff134fbfc898ff3737"
    assert configured.spec.spec_hash() == "db251d25b7760e871c797f12cf9d3ef3ce998d92b0021c8827c5a6ac688c6b4f"


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        (UserProfileConfig, "ALWAYS"),
        (SessionContextConfig, "ALWAYS"),
        (EntityMemoryConfig, "ALWAYS"),
        (LearnedKnowledgeConfig, "AGENTIC"),
    ],
)
def test_given_no_mode_then_it_is_the_stores_default_and_the_agent_has_tools_unless_it_is_always(
    config: Any, mode: str
) -> None:
    spec: StoreSpec = config().spec()

    assert (spec.mode, spec.tools, spec.has_tools) == (mode, None, mode != "ALWAYS")


@pytest.mark.parametrize("mode", [LearningMode.AGENTIC, "AGENTIC", "agentic", "Agentic"])
def test_given_a_mode_by_name_in_any_case_then_it_is_the_same_config(mode: Any) -> None:
    config = UserProfileConfig(mode=mode)

    assert config == UserProfileConfig(mode=LearningMode.AGENTIC)
    assert config.spec().mode == "AGENTIC"


@pytest.mark.parametrize(
    ("config", "mode", "told"),
    [
        (UserProfileConfig, "propose", r"user_profile\.mode: is PROPOSE, which .* Use ALWAYS or AGENTIC"),
        (EntityMemoryConfig, "propose", r"entity_memory\.mode: is PROPOSE, which .* Use ALWAYS or AGENTIC"),
        (
            SessionContextConfig,
            "agentic",
            r"session_context\.mode: is AGENTIC, but .*replaced as a whole.*no tool call",
        ),
        (
            SessionContextConfig,
            "PROPOSE",
            r"session_context\.mode: is PROPOSE, but .*replaced as a whole.*no tool call",
        ),
        (SessionContextConfig, "sometimes", r"session_context\.mode: is no mode"),
        (UserProfileConfig, "sometimes", r"user_profile\.mode: is no mode\. Use ALWAYS or AGENTIC"),
        (UserProfileConfig, 5, r"user_profile\.mode: is int, not a mode"),
    ],
)
def test_given_a_mode_that_the_store_does_not_have_then_the_config_is_refused_with_the_reason(
    config: Any, mode: Any, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        config(mode=mode)


def test_given_tools_with_always_then_the_spec_says_extraction_and_tools() -> None:
    spec = UserProfileConfig(enable_agent_tools=True).spec()

    assert (spec.mode, spec.tools, spec.has_tools) == ("ALWAYS", True, True)


@pytest.mark.parametrize(
    ("values", "same"),
    [
        ({"mode": "AGENTIC", "enable_agent_tools": True}, {"mode": "AGENTIC"}),
        ({"mode": "ALWAYS", "enable_agent_tools": False}, {}),
    ],
)
def test_given_tools_as_the_mode_has_them_anyway_then_the_spec_is_the_same(
    values: dict[str, Any], same: dict[str, Any]
) -> None:
    assert UserProfileConfig(**values).spec() == UserProfileConfig(**same).spec()


@pytest.mark.parametrize("mode", ["AGENTIC", "PROPOSE"])
def test_given_no_tools_where_only_tools_write_then_the_config_is_refused(mode: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"enable_agent_tools: is False, and in {mode} only .* nothing would"):
        LearnedKnowledgeConfig(mode=mode, enable_agent_tools=False)


def test_given_tools_of_a_store_that_has_none_then_the_config_is_refused(shared_notes: type[LearningStore]) -> None:
    with pytest.raises(ConfigurationError, match=r"session_context\.enable_agent_tools: is True, but .* no tools"):
        SessionContextConfig(enable_agent_tools=True)
    with pytest.raises(
        ConfigurationError, match=r"shared_notes\.enable_agent_tools: needs tools, and this store has none"
    ):
        CustomStoreConfig(store=shared_notes, enable_agent_tools=True)
    with pytest.raises(ConfigurationError, match=r"shared_notes\.mode: needs tools, and this store has none"):
        CustomStoreConfig(store=shared_notes, mode="agentic")


def test_given_an_approval_then_it_travels_and_always_is_its_short_form() -> None:
    assert UserProfileConfig(approval="always") == UserProfileConfig(approval=Approval(always=True))
    assert UserProfileConfig(approval="always").spec().approval == Approval(always=True).spec()
    assert (
        EntityMemoryConfig(approval=Approval(confidence_below=0.8)).spec().approval
        == Approval(confidence_below=0.8).spec()
    )


@pytest.mark.parametrize(
    ("approval", "told"),
    [
        (Approval(namespaces=("global",)), "names namespaces, and this store has none"),
        ("never", 'user_profile.approval: is neither "always" nor an Approval. Give "always"'),
        (True, 'user_profile.approval: is neither "always" nor an Approval. Give "always"'),
    ],
)
def test_given_an_approval_that_could_never_hold_then_it_is_refused(approval: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        UserProfileConfig(approval=approval)


@pytest.mark.parametrize(
    ("conditions", "told"),
    [
        ({}, "approval: names no condition"),
        ({"confidence_below": 2}, r"approval\.confidence_below"),
        ({"namespaces": "global"}, r"approval\.namespaces: is text"),
        ({"namespaces": 3}, r"approval\.namespaces: is no list"),
        ({"always": "yes please"}, r"approval\.always"),
    ],
)
def test_given_conditions_that_cannot_be_used_then_the_approval_is_refused(conditions: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Approval(**conditions)


def test_given_a_debounce_longer_than_the_longest_wait_then_both_are_named() -> None:
    with pytest.raises(
        ConfigurationError, match=r"user_profile\.debounce: 60 s is longer than max_wait \(30 s\).*max_wait=60"
    ):
        UserProfileConfig(debounce=60)
    assert UserProfileConfig(debounce=60, max_wait=60).spec().debounce == 60
    assert UserProfileConfig(debounce=60, trigger="session_end").spec().debounce == 60


def test_given_two_stores_whose_tools_have_one_name_then_the_machine_is_refused(
    machine_of: Callable[..., LearningMachine], notes: type[LearningStore]
) -> None:
    class Others(notes):  # type: ignore[valid-type,misc]  # made by a fixture
        name = "others"

    agentic = CustomStoreConfig(store=notes, mode="AGENTIC")
    with pytest.raises(ConfigurationError, match=r"stores: notes and others .* take_note"):
        machine_of(stores=[agentic, CustomStoreConfig(store=Others, mode="AGENTIC")])
    assert list(machine_of(stores=[agentic, Others]).spec.stores) == ["notes", "others"]


def test_given_a_tool_with_a_name_that_no_model_can_call_then_the_machine_is_refused(
    machine_of: Callable[..., LearningMachine], notes: type[LearningStore]
) -> None:
    class Spoken(notes):  # type: ignore[valid-type,misc]  # made by a fixture
        def tools(self, spec: StoreSpec) -> list[ToolDefinition]:
            [take, _] = super().tools(spec)
            return [replace(take, name="take a note")]

    with pytest.raises(ConfigurationError, match=r"stores: the tool 'take a note' of notes does not match"):
        machine_of(stores=[CustomStoreConfig(store=Spoken, mode="AGENTIC")])
