"""`make bench-curation`: duplicates and contradictions that were planted, a judge that errs, and upkeep of 100,000 learnings.

ARGS="--part planted" or "--part large" for one of the two, "--rows 20000" or "--layouts large" for less of the second. Ends with 1
where undo does not restore a fact, a judge that never errs loses one, or memory grows by more than a scope's digests.
"""

import argparse
import sys
import time
from pathlib import Path

import psycopg
from rich.console import Console

from benchmarks.curation import large, planted
from benchmarks.place import bench_place
from benchmarks.retrieval import dataset
from learning_workers.log import configure_logging


def main() -> int:
    """Run, and print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, default=dataset.default_path())
    arguments.add_argument("--part", choices=("planted", "large"), nargs="+", default=["planted", "large"])
    arguments.add_argument("--rows", type=int, default=100_000)
    arguments.add_argument("--layouts", choices=tuple(large.LAYOUTS), nargs="+", default=list(large.LAYOUTS))
    options = arguments.parse_args()
    if not options.data.exists():
        print(
            f"no {options.data}: set LEARNING_FIXTURES to the folder of locomo-dev.json, or pass --data",
            file=sys.stderr,
        )
        return 2
    configure_logging("ERROR")
    conversations = dataset.read(options.data)
    console = Console(width=130)
    began = time.monotonic()
    reached = True
    if "planted" in options.part:
        with bench_place("everysec") as place:
            reached &= planted.run(console, place, conversations)
    if "large" in options.part:
        for layout in (large.LAYOUTS[name] for name in options.layouts):
            with bench_place("everysec") as place, psycopg.connect(place.superuser_url, autocommit=True) as connection:
                reached &= large.run(console, place, connection, layout, conversations, options.rows)
    console.print(f"{time.monotonic() - began:.0f} s")
    return 0 if reached else 1


if __name__ == "__main__":  # not of the processes whose memory is measured
    sys.exit(main())
