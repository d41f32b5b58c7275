"""`make bench-end-to-end`: the whole system beside a naive design. ARGS="--backlog 50000 --backlog-seconds 900" for more.

Ends with 1 where a goal is missed.
"""

import argparse
import dataclasses
import signal
import sys

from rich.console import Console

from benchmarks.end_to_end.measurement import Sizes, measured


def main() -> int:
    """Run with the sizes that the command line gives."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended then, too
    parser = argparse.ArgumentParser(prog="python -m benchmarks.end_to_end", description=__doc__)
    for field in dataclasses.fields(Sizes):
        kind = float if isinstance(field.default, float) else int
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    sizes = Sizes(**vars(parser.parse_args()))
    if min(sizes.interleaved, sizes.single, sizes.slow) < 1:
        parser.error("--interleaved, --single and --slow: at least 1 event; --backlog 0 leaves the backlog out")
    console = Console(width=132)
    figures = measured(sizes)
    for figure in figures:
        mark = "" if figure.reached is None else f"goal {figure.goal}: {'reached' if figure.reached else 'missed'}"
        console.print(f"{figure.what}: {figure.value}  {mark}", markup=False, highlight=False)
    return 0 if all(figure.reached is not False for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
