"""docs/custom-stores.md against what it tells of: its excerpts are the cookbook's, its test file passes as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from running_stack import clean_env, directory

ROOT = Path(__file__).parents[2]
COOKBOOK = ROOT / "cookbook" / "08_advanced"
DOCUMENT = (ROOT / "docs" / "custom-stores.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


def test_given_the_excerpts_when_held_against_the_cookbook_then_they_are_in_it_word_for_word() -> None:
    store = (COOKBOOK / "decision_log.py").read_text(encoding="utf-8")
    excerpts = [block for block in PYTHON if "import" not in block]
    assert len(excerpts) == 5
    for excerpt in excerpts:
        assert excerpt in store, excerpt


def test_given_the_commands_when_held_against_the_example_then_they_are_the_same() -> None:
    example = (COOKBOOK / "04_custom_store.py").read_text(encoding="utf-8")
    [command] = re.findall(r"^PYTHONPATH=.*$", DOCUMENT, re.MULTILINE)
    assert command in example
    assert "python cookbook/08_advanced/04_custom_store.py" in example


def test_given_the_machine_block_when_run_then_the_machine_has_the_store_and_its_tool(monkeypatch: Any) -> None:
    monkeypatch.setenv("LEARNING_DATABASE_URL", "postgresql://app@127.0.0.1:1/none")
    monkeypatch.setenv("LEARNING_REDIS_URL", "redis://127.0.0.1:1/0")
    [block] = [block for block in PYTHON if "LearningMachine(" in block]
    names: dict[str, Any] = {}
    exec(block, names)
    machine = names["machine"]
    assert list(machine.spec.stores) == ["user_profile", "decision_log"]
    assert [tool.name for tool in machine.tools(user_id="ada")] == ["record_decision"]


def test_given_the_test_file_when_pytest_runs_it_alone_then_the_store_conforms_and_nothing_is_left() -> None:
    [block] = [block for block in PYTHON if "StoreConformance" in block]
    with directory() as cwd:
        (cwd / "test_decision_log.py").write_text(block, encoding="utf-8")
        # Where its Postgres is made: what is left of it would be seen there.
        env = clean_env(PYTHONPATH=os.fspath(COOKBOOK), TMPDIR=os.fspath(cwd))
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_decision_log.py"],
            cwd=cwd,
            env=env,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert re.search(r"^1\d passed", ended.stdout, re.MULTILINE), ended.stdout
        assert not list(cwd.glob("learning-conformance-*"))
