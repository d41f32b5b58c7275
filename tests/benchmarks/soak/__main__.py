"""`make soak`: 20 minutes (MINUTES=…) of steady load over the whole stack, with the curator's jobs every minute.

Ends with 1 where something grows, does not add up, failed, or is left behind; 2 for wrong usage.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks.footprint import MemoryWatch
from benchmarks.soak.load import CURATING, STORES, Repeated, emit_for
from benchmarks.soak.measures import Measures, added_up
from benchmarks.soak.report import Run, findings, plotted, show
from learning_machine import LearningMachine
from learning_ops.embedded import DataDirectory
from learning_ops.stack import DATABASE, Stack
from running_stack import processes_of

DRAIN_SECONDS = 120.0
LEDGER_SECONDS = 90.0
"""A number that is missing counts as missing a minute later."""
SAMPLES = 240


def main() -> int:
    """Run, print the tables, draw the plot."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended then, too
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=3.0, help="events a second")
    parser.add_argument(
        "--plot", type=Path, default=None, help="where the plot goes, such as docs/soak.svg; else none is drawn"
    )
    options = parser.parse_args()
    if options.minutes <= 0 or options.rate <= 0:
        parser.error("minutes and rate are more than 0")
    console = Console(width=132)
    for name in [name for name in os.environ if name.startswith(("LEARNING_", "OPENAI_"))]:
        del os.environ[name]  # the run's own stack, and nobody else's
    os.environ.update(CURATING)
    directory = Path(tempfile.mkdtemp(prefix="learning-soak-"))
    try:
        run = _run(directory, options.minutes, options.rate)
        left = [f"{process.pid} {process.name()}" for process in processes_of(directory)]
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    show(run, console)
    if options.plot is not None:
        plotted(run, options.plot)
        console.print(f"plot: {options.plot}", highlight=False)
    found = [*findings(run), *(f"left behind: {each}" for each in left)]
    for each in found:
        console.print(f"FOUND {each}", markup=False, highlight=False)
    if not found:
        console.print("everything is well")
    return 1 if found else 0


def _run(directory: Path, minutes: float, rate: float) -> Run:
    """Start the stack, load it, let it come to rest, and measure; all that was started has ended then."""

    def tell(what: str) -> None:
        # Not among the tables: they may go to a file.
        print(f"{time.strftime('%H:%M:%S')}  {what}", file=sys.stderr, flush=True)

    with (
        DataDirectory(directory / "data") as data,
        Stack(data, operators=True, tell=lambda what: tell(f"starting {what}")) as stack,
    ):
        os.environ.update(stack.env())
        measures = Measures(stack.services.postgres.url(DATABASE))
        every = max(1.0, minutes * 60 / SAMPLES)
        watch = MemoryWatch(lambda: _pids(stack), every)
        began = time.time()
        with LearningMachine(**STORES) as machine:
            machine.recall(user_id="user-0")  # its first connection is no part of what is sampled
            tell(f"{minutes:g} minutes of {rate:g} events/s")
            with watch, Repeated(measures.look, every):
                emitted = emit_for(machine, minutes * 60, rate, lambda: _check(stack))
            tell("draining")
            drain = measures.drained(DRAIN_SECONDS)
        tell("the ledger")
        book = added_up(stack.addresses.dispatcher_database_url, emitted.events, LEDGER_SECONDS)
        return Run(
            began=began,
            minutes=minutes,
            rate=rate,
            emitted=emitted,
            memory=watch.samples,
            backlog=measures.backlog,
            lags=measures.lags(),
            runs=measures.runs(),
            states=measures.states(),
            drain=drain,
            ledger=book,
        )


def _pids(stack: Stack) -> dict[str, int | None]:
    """Of all that runs; the agent is this process."""
    named = {process.name: process.pid for process in (*stack.services.processes, *stack.children)}
    return {**named, "agent": os.getpid()}


def _check(stack: Stack) -> None:
    """Raise where a process has ended: nothing is started again here, so that this is seen."""
    for process in (*stack.services.processes, *stack.children):
        if not process.alive:
            raise RuntimeError(f"{process.name} ended ({process.ending}):\n{process.log_tail()}")


if __name__ == "__main__":
    sys.exit(main())
