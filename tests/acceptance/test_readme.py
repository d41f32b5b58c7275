"""The README's lines, run as a reader runs them: `up` in one terminal, copy and paste in a second one."""

import re
import subprocess
import sys
from pathlib import Path

from running_stack import clean_env, directory, up

README = Path(__file__).parents[2] / "README.md"


def _python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_given_up_in_one_terminal_when_the_readmes_lines_run_in_a_second_then_they_work() -> None:
    lines = "\n".join(_python_blocks(README.read_text(encoding="utf-8")))
    for call in ("LearningMachine()", "machine.recall(", "machine.emit(", "machine.settle("):
        assert call in lines, f"README.md does not show {call}"
    checks = """
assert states == {"user_profile": "extracted", "session_context": "extracted"}, states
assert machine.recall(user_id="alex@example.com", session_id="s1").fields["name"] == "Alex"
"""
    with directory() as cwd, up(cwd=cwd, forked=True):
        ended = subprocess.run(
            [sys.executable, "-c", f"{lines}\n{checks}\n"],
            cwd=cwd,
            env=clean_env(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert ended.returncode == 0, ended.stderr
