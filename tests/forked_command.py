"""`learning-machine` with a stack whose processes are forked with their imports made, for tests of what a stack does.

Run as a file, it is that command; WARM_PYTHON names the directory of the Python to fork from, which is the test's. How the
processes of a stack start, what they are given and with whom they end is seen by those tests that start `learning-machine`.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from warm_python import WarmManagedProcess, join, read_at_import

VARIABLE = "WARM_PYTHON"


class Forked(WarmManagedProcess):
    """A process of a stack."""

    def __init__(
        self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None, **more: Any
    ) -> None:
        python, flag, *program = argv
        assert flag == "-P"  # and nothing is in the directory that it keeps out
        super().__init__(name, [python, *program], {**read_at_import(os.environ), **(env or {})}, cwd, **more)


if __name__ == "__main__":
    from learning_ops import stack
    from learning_ops.main import main

    join(Path(os.environ.pop(VARIABLE)))
    stack.ManagedProcess = Forked  # type: ignore[misc]  # as the tests' own stacks are patched
    main()
