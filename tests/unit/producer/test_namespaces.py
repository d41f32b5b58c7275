"""Namespaces, custom stores and custom schemas: what a config may say, and how it travels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

from learning_machine import (
    ConfigurationError,
    CustomStoreConfig,
    EntityMemoryConfig,
    LearnedKnowledgeConfig,
    LearningMachine,
    LearningStore,
    UserProfileConfig,
)

Make = Callable[..., LearningMachine]


@dataclass
class CompanyProperties:
    industry: str | None = None
    employees: int | None = None


@dataclass
class CheckedProperties:
    industry: Annotated[str, AfterValidator(lambda value: value)] | None = None


def test_given_no_namespace_then_the_spec_says_nothing_of_it(machine_of: Make) -> None:
    spec = EntityMemoryConfig().spec()

    assert (spec.namespace, spec.also_reads, spec.wider_writes) == (None, None, None)
    assert EntityMemoryConfig(namespace="global", wider_writes="active").spec() == spec
    assert machine_of(entity_memory=True, namespace="global").spec == machine_of(entity_memory=True).spec


def test_given_a_machine_with_a_namespace_then_it_counts_for_stores_that_set_none(
    machine_of: Make, notes: type[LearningStore]
) -> None:
    machine = machine_of(
        user_profile=True,
        entity_memory=True,
        learned_knowledge=LearnedKnowledgeConfig(namespace="global"),
        stores=[notes],
        namespace="support",
    )

    assert {name: store.namespace for name, store in machine.spec.stores.items()} == {
        "user_profile": None,
        "entity_memory": "support",
        "learned_knowledge": None,
        "notes": None,
    }


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"namespace": ""}, r"namespace: "),
        ({"namespace": " a"}, r"namespace: has space around it"),
        ({"namespace": 5}, r"namespace: "),
        ({"also_reads": "global"}, r"also_reads: is str, not a list"),
        ({"also_reads": [""]}, r"also_reads: "),
        ({"also_reads": ["a", "a"]}, r"also_reads: names 'a' twice\. "),
        ({"namespace": "global", "also_reads": ["global"]}, r"also_reads: names 'global' twice \(the store's own .*"),
        ({"namespace": "user", "also_reads": ["a", "user"]}, r"also_reads: names 'user' twice \(the store's own"),
        ({"also_reads": [f"n{number}" for number in range(17)]}, r"also_reads: "),
        ({"wider_writes": "sometimes"}, r"wider_writes: is not a word .*active, corroborated, proposed"),
        ({"namespace": "user", "wider_writes": "proposed"}, r"wider_writes: .*in the namespace \"user\" nobody else"),
        (
            {"mode": "AGENTIC", "wider_writes": "proposed"},
            r"wider_writes: .*in AGENTIC nothing is extracted.*approval=",
        ),
    ],
)
@pytest.mark.parametrize("config", [EntityMemoryConfig, LearnedKnowledgeConfig])
def test_given_a_namespace_that_cannot_be_then_the_config_is_refused_with_the_reason(
    config: Any, values: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"{config().store_name}\.{told}"):
        config(**{"mode": "ALWAYS", **values})


def test_given_a_namespace_of_the_machine_then_the_rules_hold_with_it(machine_of: Make) -> None:
    reading, widely = EntityMemoryConfig(also_reads=["support"]), EntityMemoryConfig(wider_writes="proposed")

    with pytest.raises(ConfigurationError, match=r"entity_memory\.also_reads: names 'support' twice"):
        machine_of(entity_memory=reading, namespace="support")
    with pytest.raises(ConfigurationError, match=r"entity_memory\.also_reads: names 'global' twice"):
        machine_of(entity_memory=EntityMemoryConfig(also_reads=["global"]))
    machine_of(entity_memory=EntityMemoryConfig(also_reads=["global"]), namespace="support")
    with pytest.raises(ConfigurationError, match=r"entity_memory\.wider_writes: .*nobody else"):
        machine_of(entity_memory=widely, namespace="user")
    with pytest.raises(ConfigurationError, match=r"namespace: is given, and no store of this machine shares"):
        machine_of(user_profile=True, namespace="support")
    with pytest.raises(ConfigurationError, match=r"namespace: "):
        machine_of(entity_memory=True, namespace="")


def test_given_types_and_properties_of_entities_then_they_travel() -> None:
    spec = EntityMemoryConfig(types=["company", "person"], schema=CompanyProperties).spec()

    assert spec.options == {"types": ["company", "person"]}
    assert spec.user_schema is not None
    assert list(spec.user_schema["properties"]) == ["industry", "employees"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"types": "person"}, r"entity_memory\.types: is not a list"),
        ({"types": ["person", "Person"]}, r"entity_memory\.types: names a type twice"),
        ({"types": [""]}, r"entity_memory\.types: "),
        ({"schema": int}, r"entity_memory\.schema: int is neither .*Give a @dataclass"),
        ({"schema": "Company"}, r"entity_memory\.schema: a str is neither"),
        (
            {"schema": CheckedProperties},
            r"entity_memory\.schema: CheckedProperties has the Python validator .*schema_import",
        ),
    ],
)
def test_given_types_or_a_schema_that_cannot_be_then_the_config_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        EntityMemoryConfig(**values)


def test_given_a_store_of_ones_own_then_its_class_an_instance_and_a_config_are_the_same(
    machine_of: Make, notes: type[LearningStore]
) -> None:
    specs = [machine_of(stores=[store]).spec for store in (notes, notes(), CustomStoreConfig(store=notes))]

    assert specs[0] == specs[1] == specs[2]
    assert list(specs[0].stores) == ["notes"]
    assert specs[0].stores["notes"].scope == "session"


def test_given_options_and_a_schema_of_a_custom_store_then_they_travel_as_they_are(
    notes: type[LearningStore], shared_notes: type[LearningStore]
) -> None:
    spec = CustomStoreConfig(store=notes, options={"limit": 0, "deep": {"a": [1]}}, schema=CompanyProperties).spec()

    assert spec.options == {"limit": 0, "deep": {"a": [1]}}
    assert spec.user_schema is not None
    assert CustomStoreConfig(store=shared_notes, namespace="user").spec().namespace == "user"


def test_given_what_is_no_store_or_cannot_be_then_it_is_refused(
    machine_of: Make, notes: type[LearningStore], shared_notes: type[LearningStore]
) -> None:
    class Taken(notes):  # type: ignore[valid-type,misc]  # made by a fixture
        name = "user_profile"

    for stores, told in (
        (notes, "stores: is "),
        ("notes", "stores: is str, not a list"),
        ([5], "stores: is a int, which is not a LearningStore"),
        ([str], "stores: is the class str, which is not a LearningStore"),
        ([notes, notes()], "stores: two are named 'notes'"),
        ([Taken], "stores: 'user_profile' is the name of a store that is built in"),
        ([UserProfileConfig()], r"stores: holds a UserProfileConfig\. Give it as the argument user_profile="),
    ):
        with pytest.raises(ConfigurationError, match=told):
            machine_of(stores=stores)
    for values, told in (
        ({"namespace": "a"}, r"notes\.namespace: is given, and this store has no namespaces"),
        ({"wider_writes": "active"}, r"notes\.wider_writes: is given, and this store has no namespaces"),
        ({"options": 5}, r"notes\.options: is int, not a dictionary"),
        ({"options": {"a": object()}}, r"notes\.options: has a value that JSON cannot hold"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            CustomStoreConfig(store=notes, **values)
    assert list(machine_of(stores=[notes, shared_notes], user_profile=True).spec.stores) == [
        "user_profile",
        "notes",
        "shared_notes",
    ]
