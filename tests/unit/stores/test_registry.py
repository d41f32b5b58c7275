"""The stores of a deployment: where they are looked for, and what is said about one that cannot be used."""

import sys
import threading
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest

from learning_schemas.errors import ConfigurationError
from learning_schemas.spec import StoreSpec
from learning_stores import registry
from learning_stores.operations import Operations
from learning_stores.prompts import Prompt
from learning_stores.registry import GROUP, find_stores, installed, look_again
from learning_stores.store import Known, LearningStore
from learning_stores.user_profile import UserProfileStore
from learning_stores.window import Window

BUILT_IN = ["user_profile", "session_context", "entity_memory", "learned_knowledge"]


class NoteStore(LearningStore):
    """The smallest store that can be used."""

    name = "notes"
    kinds: ClassVar[Mapping[str, str]] = {"note": "Notes"}

    def prompt(self, spec: StoreSpec) -> Prompt:
        return Prompt("notes", "1", "Note it.")

    def patch_model(self, spec: StoreSpec) -> Any:
        return None

    def operations(self, patch: Any, window: Window, known: Known, spec: StoreSpec) -> Operations:
        raise NotImplementedError


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module `own_stores` that can be imported; its attributes are set by the test."""
    module: Any = type(sys)("own_stores")
    module.NoteStore = NoteStore
    monkeypatch.setitem(sys.modules, "own_stores", module)
    yield module
    look_again()


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group=GROUP)


def test_given_nothing_else_when_stores_are_looked_for_then_there_are_the_built_in_ones_in_their_order() -> None:
    assert list(find_stores([], "")) == BUILT_IN


def test_given_an_entry_point_and_the_setting_when_looked_for_then_both_stores_are_there_after_the_built_in_ones(
    stores: Any,
) -> None:
    stores.Other = type("Other", (NoteStore,), {"name": "others"})
    found = find_stores([entry("notes", "own_stores:NoteStore")], " own_stores:Other , ")
    assert list(found) == [*BUILT_IN, "notes", "others"]
    assert isinstance(found["notes"], NoteStore)


def test_given_one_store_named_twice_when_looked_for_then_it_is_there_once(stores: Any) -> None:
    assert list(find_stores([entry("notes", "own_stores:NoteStore")], "own_stores:NoteStore")) == [*BUILT_IN, "notes"]


def test_given_the_variable_when_many_threads_ask_then_all_get_the_same_stores(
    stores: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEARNING_STORES", "own_stores:NoteStore")
    look_again()
    begin, found = threading.Barrier(8), []

    def ask() -> None:
        begin.wait()
        found.append(installed())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "notes" in found[0]
    assert len({id(each) for each in found}) == 1
    with pytest.raises(TypeError):
        found[0]["mine"] = NoteStore()


def test_given_an_unusable_setting_when_asked_again_after_it_is_mended_then_the_stores_are_there(
    stores: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEARNING_STORES", "own_stores:Missing")
    look_again()
    with pytest.raises(ConfigurationError, match="LEARNING_STORES"):
        installed()
    stores.Missing = NoteStore
    assert "notes" in installed()


def test_given_a_module_that_makes_a_machine_when_it_is_imported_for_its_store_then_that_has_what_is_built_in(
    stores: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "one_file_agent.py").write_text(
        "from own_stores import NoteStore as Base\n"
        "from learning_machine import LearningMachine\n"
        "class NoteStore(Base): pass\n"
        "machine = LearningMachine(user_profile=True, stores=[NoteStore], database_url='postgresql://x', redis_url='redis://x')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LEARNING_STORES", "one_file_agent:NoteStore")
    look_again()
    assert list(installed()) == [*BUILT_IN, "notes"]
    assert list(sys.modules.pop("one_file_agent").machine.spec.stores) == ["user_profile", "notes"]


def test_given_a_distribution_with_an_entry_point_when_it_is_installed_then_its_store_is_there(
    stores: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    information = tmp_path / "our_notes-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: our-notes\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[{GROUP}]\nnotes = own_stores:NoteStore\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEARNING_STORES", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    look_again()
    assert list(installed()) == [*BUILT_IN, "notes"]
    stores.NoteStore = dict
    look_again()
    with pytest.raises(ConfigurationError, match=r"entry point notes of our-notes \(learning_machine\.stores\)"):
        installed()


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("own_stores", "not of the form package.module:Class"),
        ("own_stores:", "not of the form package.module:Class"),
        ("no_such_module:Store", "cannot be imported: ModuleNotFoundError"),
        ("own_stores:Nothing", "cannot be imported: AttributeError"),
        ("own_stores:dict", "is the class dict, which is not a LearningStore"),
        ("own_stores:number", "is a int, which is not a LearningStore"),
    ],
)
def test_given_a_path_that_leads_to_no_store_when_looked_for_then_variable_cause_and_remedy_are_named(
    stores: Any, path: str, problem: str
) -> None:
    stores.dict, stores.number = dict, 7
    with pytest.raises(ConfigurationError) as caught:
        find_stores([], path)
    assert caught.value.field == f"LEARNING_STORES ({path})"
    assert problem in caught.value.problem
    assert caught.value.remedy


def _raises(self: Any) -> None:
    raise RuntimeError("no licence")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "Notes"}, "its name 'Notes' does not match"),
        ({"name": "notes\n"}, "does not match"),
        ({"name": None}, "its name None does not match"),
        ({"name": "curator"}, "that of a queue of the system"),
        ({"name": "user_profile"}, "the name 'user_profile' is taken by learning_stores.user_profile:UserProfileStore"),
        ({"kinds": {}}, "it names no kinds"),
        ({"kinds": ("note",)}, "it names no kinds"),
        ({"kinds": {"A note": "Notes"}}, "its kind 'A note' does not match"),
        ({"modes": ()}, "its modes are empty"),
        ({"modes": "ALWAYS"}, "its modes are a text"),
        ({"modes": ("ALWAYS", "SOMETIMES")}, "its mode 'SOMETIMES' is none of ALWAYS, AGENTIC, PROPOSE"),
        ({"scope": "team"}, "its scope 'team' is none of user, session"),
        ({"wider_writes": "maybe"}, "its wider_writes 'maybe' is none of"),
        (
            {"prompt": LearningStore.prompt, "operations": LearningStore.operations},
            "does not define prompt, operations",
        ),
        ({"__init__": _raises}, "raises RuntimeError when it is made: no licence"),
    ],
)
def test_given_a_store_that_cannot_be_used_when_looked_for_then_the_entry_point_and_the_cause_are_named(
    stores: Any, changes: dict[str, Any], problem: str
) -> None:
    stores.Bad = type("Bad", (NoteStore,), changes)
    with pytest.raises(ConfigurationError, match=r"entry point bad .*learning_machine\.stores") as caught:
        find_stores([entry("bad", "own_stores:Bad")], "")
    assert problem in caught.value.problem


def test_given_a_class_without_kinds_when_checked_then_it_is_refused_and_a_whole_one_is_given_back() -> None:
    class Kindless(LearningStore):
        name = "kindless"

    with pytest.raises(ConfigurationError, match="mine: it names no kinds"):
        registry.checked_store(Kindless, "mine")
    assert isinstance(registry.checked_store(UserProfileStore, "mine"), UserProfileStore)
    given = NoteStore()
    assert registry.checked_store(given, "mine") is given
