"""Runs the benchmarks and prints what they found; `python -m benchmarks emit intake` runs some."""

import importlib
import platform
import sys
import time

from rich.console import Console
from rich.table import Table

ALL = ("emit", "intake", "coalescing", "latency", "recall", "recall_concurrency")


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all."""
    console = Console(width=120)
    console.print(f"{platform.machine()}, Python {platform.python_version()}")
    for name in names or ALL:
        began = time.perf_counter()
        figures = importlib.import_module(f"benchmarks.{name}").run()
        table = Table(
            "what", "measured", "goal", "", title=f"{name} ({time.perf_counter() - began:.0f} s)", title_justify="left"
        )
        for figure in figures:
            mark = "" if figure.reached is None else "reached" if figure.reached else "missed"
            table.add_row(figure.what, figure.value, figure.goal or "", mark)
        console.print(table)


main(sys.argv[1:])
