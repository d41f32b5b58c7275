"""The programs of the previous landing: the newest commit whose newest revision is not this tree's."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("schemas", "stores", "producer", "workers", "ops")
VERSIONS = "stores/learning_stores/migrations/versions/"


class Previous:
    """A checkout of it in `root`; `revision` is its newest."""

    def __init__(self, root: Path, commit: str, revision: str) -> None:
        self.root, self.commit, self.revision = root, commit, revision

    @property
    def env(self) -> Mapping[str, str]:
        """What makes a process of the same Python run its code: before what is installed."""
        return {"PYTHONPATH": os.pathsep.join(str(self.root / source) for source in SOURCES)}

    def run(self, program: str, env: Mapping[str, str], cwd: Path) -> str:
        """Run a program with its code, and give what it prints."""
        sure = f"import learning_stores; assert learning_stores.__file__.startswith({str(self.root)!r})\n"
        ended = subprocess.run(
            [sys.executable, "-c", sure + program],
            env={**env, **self.env},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


def previous_landing(directory: Path) -> Previous:
    """Check it out below a directory, from the history of this tree alone; skips the test where there is none."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git, and this tree's history")
    ours = _newest([path.name for path in (ROOT / VERSIONS).iterdir()])
    for commit in _git("log", "--first-parent", "--format=%H").split():
        listed = _git("ls-tree", "--name-only", commit, VERSIONS).split()
        theirs = _newest([Path(name).name for name in listed])
        if theirs is not None and theirs != ours:
            directory.mkdir()
            archive = subprocess.run(
                ["git", "-C", ROOT, "archive", commit, *SOURCES], capture_output=True, check=True
            ).stdout
            subprocess.run(["tar", "-x", "-C", directory], input=archive, check=True)
            return Previous(directory, commit, theirs)
    pytest.skip("needs a history that goes back to another revision of the schema")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True).stdout


def _newest(names: list[str]) -> str | None:
    """The number of the newest revision among files such as v0009_curator.py."""
    return max((name[1:5] for name in names if name.startswith("v0") and name.endswith(".py")), default=None)
