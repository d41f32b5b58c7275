"""The cookbook's examples as `learning-machine run` runs them: one embedded stack for the examples of a test module."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forked_command import Forked
from harness import rows
from learning_machine import LearningMachine
from learning_ops import stack as stack_module
from learning_ops.embedded import DataDirectory
from learning_ops.script import script_env
from learning_ops.stack import DATABASE, Stack
from learning_stores.database import Database
from learning_stores.registry import look_again
from running_stack import directory
from warm_python import read_at_import, warm_run

COOKBOOK = Path(__file__).parents[1] / "cookbook"
_STRICTLY = """
import os, runpy, sys, warnings
warnings.simplefilter("error")
del sys.argv[0]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""What `python -W error FILE` does, but for the imports that a forked process has made already."""


def indexed() -> dict[str, str]:
    """The examples in the cookbook's index, each with the line of output that it promises."""
    text = (COOKBOOK / "README.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| \[\w+\]\((\w+/\w+)\.py\) \| .+ \| `(.+)` \|$", text, re.MULTILINE))


@dataclass(frozen=True, kw_only=True)
class Recipes:
    """A stack, and the examples that are run on it; `db` sees every tenant's rows."""

    stack: Stack
    db: Database

    def run(self, name: str) -> str:
        """Run an example, such as "01_basics/01_hello_learning"; what it printed.

        Fails where it failed, warned, or does not print what the index promises.
        """
        file = COOKBOOK / f"{name}.py"
        env = {**script_env(self.stack, file), "COLUMNS": "100"}
        del env["PYTHONUNBUFFERED"]  # nobody looks on
        ended = warm_run(
            ["-c", _STRICTLY, str(file)], env={**env, **read_at_import(os.environ)}, cwd=Path.cwd(), timeout=120
        )
        assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
        assert indexed()[name] in ended.stdout, f"cookbook/README.md promises {indexed()[name]!r}:\n{ended.stdout}"
        return ended.stdout

    def tenant(self, name: str) -> str:
        """The tenant of an example: that of its last run, where it makes one for each, `prefix-…`; else its own."""
        newest = "SELECT tenant FROM learning.learning WHERE tenant LIKE :like ORDER BY id DESC LIMIT 1"
        made = re.search(r'f"(\w+-)\{token_hex', (COOKBOOK / f"{name}.py").read_text(encoding="utf-8"))
        if made is None:
            return script_env(self.stack, COOKBOOK / f"{name}.py")["LEARNING_TENANT"]
        (row,) = rows(self.db, newest, like=f"{made[1]}%")
        return str(row["tenant"])

    def machine(self, name: str, **stores: Any) -> LearningMachine:
        """A machine in an example's tenant."""
        env = script_env(self.stack, COOKBOOK / f"{name}.py")
        return LearningMachine(
            tenant=self.tenant(name),
            database_url=env["LEARNING_DATABASE_URL"],
            redis_url=env["LEARNING_REDIS_URL"],
            **stores,
        )

    def rows(self, name: str, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query about an example; `:tenant` in it is the example's."""
        return rows(self.db, statement, tenant=self.tenant(name), **parameters)


@contextmanager
def recipes_on_a_stack(**variables: str) -> Iterator[Recipes]:
    """A stack with the offline model, and no configuration but these variables; ended with the block."""
    with pytest.MonkeyPatch.context() as patch, directory() as place:
        for name in [name for name in os.environ if name.startswith(("LEARNING_", "OPENAI_"))]:
            patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(stack_module, "ManagedProcess", Forked)
        look_again()  # the stack has a worker for each store that this process knows
        try:
            with (
                DataDirectory(place / "data") as data,
                Stack(data, controlled=True) as stack,
                Database(stack.services.postgres.url(DATABASE)) as db,
            ):
                yield Recipes(stack=stack, db=db)
        finally:
            look_again()
