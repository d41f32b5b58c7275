"""The cookbook's files: those that its index names, each short, explained, and written against the public API alone."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COOKBOOK = Path(__file__).parents[2] / "cookbook"
CHAPTERS = {
    "01_basics": (
        "01_hello_learning",
        "02_user_profile_quick",
        "03_session_context_quick",
        "04_entity_memory_quick",
        "05_learned_knowledge_quick",
    ),
    "02_user_profile": (
        "01_always_extraction",
        "02_agentic_mode",
        "03_custom_schema",
        "04_memory_vs_fields",
        "05_memory_operations",
    ),
    "03_session_context": (
        "01_summary_mode",
        "02_planning_mode",
        "03_context_continuity",
        "04_long_conversations",
    ),
    "04_entity_memory": (
        "01_facts_and_events",
        "02_entity_relationships",
        "03_namespace_sharing",
        "04_always_extraction",
        "05_entity_search",
    ),
    "05_learned_knowledge": (
        "01_agentic_mode",
        "02_propose_mode",
        "03_always_extraction",
        "04_search_and_apply",
        "05_namespace_scoping",
    ),
}
EXAMPLES = [f"{chapter}/{name}" for chapter, names in CHAPTERS.items() for name in names]
MOST_LINES = 60


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_given_a_chapter_when_listed_then_it_has_its_examples_and_nothing_else(chapter: str) -> None:
    assert sorted(path.stem for path in (COOKBOOK / chapter).glob("*.py")) == sorted(CHAPTERS[chapter])


@pytest.mark.parametrize("example", EXAMPLES)
def test_given_an_example_when_read_then_it_is_short_says_its_idea_and_uses_the_public_api_without_sleeping(
    example: str,
) -> None:
    text = (COOKBOOK / f"{example}.py").read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) <= MOST_LINES
    said = ast.get_docstring(tree)
    assert said
    assert ". " in said.replace("\n", " ")

    imported = {
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    ours = {name for name in imported if name.startswith("learning_")}
    assert ours == {"learning_machine"}
    assert "time" not in imported
    private = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("_")]
    assert private == []


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed: apt-get install make")
def test_given_a_name_that_no_example_has_when_make_is_asked_for_it_then_it_says_where_they_are_listed() -> None:
    asked = subprocess.run(
        ["make", "-o", "setup", "cookbook", "ONLY=nowhere"],
        cwd=COOKBOOK.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert asked.returncode == 2
    assert "no example begins with ONLY=nowhere: cookbook/README.md lists them" in asked.stderr


@pytest.mark.parametrize("arguments", ["null", "[]", '"tea"', "{", "3"])
def test_given_arguments_that_are_no_object_when_the_agent_calls_a_tool_then_the_model_is_told(arguments: str) -> None:
    code = f"""
from types import SimpleNamespace
from agent import _result
call = SimpleNamespace(id="c1", function=SimpleNamespace(name="save_memory", arguments={arguments!r}))
print(_result(call, {{"save_memory": lambda **given: "Saved."}})["content"])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=COOKBOOK).stdout
    assert told == "There is no such tool, or its arguments are no JSON object.\n"
