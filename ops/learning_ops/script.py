"""Python files of the user's that are run beside a system of their own, such as the examples of the cookbook.

Invariants: a script ends with the process that started it, however that ends; it is told where the system is, and nothing of
what the user's environment says of another one; no key of the user's reaches it where the model is on this machine.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from learning_ops.environment import IMPORTING
from learning_ops.stack import Stack

_TETHER = Path(__file__).with_name("tether.py")
_STOP_SECONDS = 10.0


def script_env(stack: Stack, file: Path) -> dict[str, str]:
    """The environment of a script: the user's, with this system in the place of any other.

    A script has a tenant of its own, `folder.file`, unless `LEARNING_TENANT` names one; it can import what lies in the folder
    above its own. It may also do what operators do, since the system is thrown away after it.
    """
    offline = stack.model.is_offline
    mine = {
        name: value
        for name, value in os.environ.items()
        if name in IMPORTING or not (name.startswith("LEARNING_") or (offline and name.startswith("OPENAI_")))
    }
    paths = [os.fspath(file.absolute().parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **mine,
        "LEARNING_TENANT": os.environ.get("LEARNING_TENANT") or f"{file.absolute().parent.name}.{file.stem}",
        # What an example shows does not depend on how busy this machine is.
        "LEARNING_RECALL_DEADLINE": os.environ.get("LEARNING_RECALL_DEADLINE") or "10",
        "LEARNING_EMBEDDING_API_KEY": "",  # of a `.learning/env` where the user is, that would be another system's
        **stack.env(),
        **stack.operator_env(),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
    }


def run_script(file: Path, env: dict[str, str]) -> int:
    """Run it to its end with this Python; gives its exit status. What it prints goes where this process prints."""
    with _started(file, env) as process:
        return process.wait()


@contextmanager
def _started(file: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    # The main thread starts it: Linux sends the death signal when the thread ends that started a child.
    tether = [sys.executable, "-I", "-S", os.fspath(_TETHER), str(os.getpid()), str(int(signal.SIGTERM)), ""]
    # In a session of its own, so that Ctrl-C reaches this process alone, which then ends everything in order.
    process = subprocess.Popen([*tether, sys.executable, os.fspath(file)], env=env, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and what it started and left
        process.wait()
