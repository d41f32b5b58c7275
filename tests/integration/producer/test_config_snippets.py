"""docs/configuration.md, run as a reader runs it: every Python block, in order, and what it says of each."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness import Place
from learning_machine import Approval, LearningMachine, StoreSpec

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "configuration.md"
Names = dict[str, Any]


def _blocks() -> list[tuple[str, str]]:
    """Each Python block, with the heading above it."""
    found, heading = [], ""
    for part in re.finditer(
        r"^## (?P<heading>[^\n]+)$|^```python\n(?P<block>.*?)^```",
        DOCUMENT.read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    ):
        heading = part["heading"] or heading
        if part["block"] is not None:
            found.append((heading, part["block"]))
    return found


def _stores(names: Names) -> Mapping[str, StoreSpec]:
    machine: LearningMachine = names["machine"]
    return machine.spec.stores


def _levels(names: Names) -> None:
    stores = _stores(names)
    assert list(stores) == ["user_profile", "session_context", "entity_memory"]
    assert (stores["user_profile"].mode, stores["user_profile"].instructions) == ("AGENTIC", "Keep allergies.")
    assert stores["session_context"].options == {"planning": True}


def _modes(names: Names) -> None:
    assert {name: (store.mode, store.has_tools) for name, store in _stores(names).items()} == {
        "user_profile": ("ALWAYS", True),
        "entity_memory": ("AGENTIC", True),
        "learned_knowledge": ("PROPOSE", True),
    }


def _tools(names: Names) -> None:
    assert list(names["tools"]) == [
        "update_profile", "save_memory", "update_memory", "forget_memory", "search_learnings", "save_learning",
    ]  # fmt: skip
    assert names["for_openai"][0]["function"]["strict"] is True
    assert "save_memory" in names["system_prompt"]
    assert names["answer"] == "Saved."
    assert names["machine"].recall(user_id="alex@example.com").memories == ("Prefers concise answers",)


def _approval(names: Names) -> None:
    assert {name: store.approval for name, store in _stores(names).items()} == {
        "user_profile": Approval(always=True).spec(),
        "entity_memory": Approval(confidence_below=0.8).spec(),
        "learned_knowledge": Approval(namespaces=("global",)).spec(),
    }


def _namespaces(names: Names) -> None:
    found = {name: (store.namespace, store.also_reads, store.wider_writes) for name, store in _stores(names).items()}
    assert found in (
        {"entity_memory": ("user", None, None), "learned_knowledge": ("support", ("global",), None)},
        {"entity_memory": (None, None, "corroborated"), "learned_knowledge": (None, None, "proposed")},
    )


def _schemas(names: Names) -> None:
    schemas = {name: store.user_schema for name, store in _stores(names).items()}
    assert {name: list(schema["properties"]) for name, schema in schemas.items() if schema} == {
        "user_profile": ["name", "preferred_name", "plan"],
        "session_context": ["product", "urgent"],
        "entity_memory": ["industry", "employees"],
        "learned_knowledge": ["severity"],
    }


def _own_stores(names: Names) -> None:
    store = _stores(names)["decision_log"]
    assert (store.mode, store.namespace) == ("AGENTIC", "platform-team")


CHECKS: Mapping[str, Callable[[Names], None]] = {
    "The machine": _levels,
    "Modes": _modes,
    "Tools": _tools,
    "Approval": _approval,
    "Namespaces": _namespaces,
    "Custom schemas": _schemas,
    "Stores of your own": _own_stores,
}


def test_given_the_configuration_guide_then_every_snippet_of_it_runs_and_says_what_the_guide_says(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = _blocks()
    assert [heading for heading in CHECKS if heading not in dict(blocks)] == []
    monkeypatch.setenv("LEARNING_DATABASE_URL", place.app_url)
    monkeypatch.setenv("LEARNING_REDIS_URL", place.redis_url)
    monkeypatch.chdir(place.directory)
    monkeypatch.syspath_prepend(str(ROOT / "cookbook" / "08_advanced"))
    names: Names = {"__name__": "configuration_snippets"}
    for heading, block in blocks:
        exec(compile(block, f"{DOCUMENT.name}: {heading}", "exec"), names)
        CHECKS[heading](names)
        names["machine"].close()
    assert capsys.readouterr().out == "Saved.\n"
