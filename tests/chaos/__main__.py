"""`make chaos`: the full run. `SEED=2 make chaos ARGS="--events 2000 --seconds 60"`; exit 1 where anything does not add up."""

import argparse
import os
import signal
import sys
import time

from rich.console import Console

from chaos.load import Load
from chaos.run import Form, run


def main() -> int:
    """Run as the command line says and print what it came to."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended then, too
    usual = Load()
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or usual.seed))
    parser.add_argument("--events", type=int, default=usual.events)
    parser.add_argument("--sessions", type=int, default=usual.sessions)
    parser.add_argument("--producers", type=int, default=usual.producers)
    parser.add_argument("--rate", type=float, default=usual.rate, help="events a second, while nothing is in the way")
    parser.add_argument("--latency", type=float, default=usual.latency, help="of the model, in seconds")
    parser.add_argument("--fault-rate", type=float, default=usual.fault_rate, help="of the model, as a fraction")
    parser.add_argument(
        "--seconds", type=float, default=None, help="over which faults are applied; as long as the load"
    )
    parser.add_argument("--times", type=int, default=6, help="how often each kind of fault is applied")
    parser.add_argument("--spool", action="store_true", help="give the producers a spool directory")
    parser.add_argument("--keep", action="store_true", help="keep the run's directory with its logs and journals")
    given = parser.parse_args()
    load = Load(
        seed=given.seed,
        events=given.events,
        sessions=given.sessions,
        producers=given.producers,
        rate=given.rate,
        latency=given.latency,
        fault_rate=given.fault_rate,
        spool=given.spool,
    )
    seconds = load.events / load.rate if given.seconds is None else given.seconds
    console = Console(width=132)
    began = time.monotonic()

    def tell(what: str) -> None:
        console.print(f"{time.monotonic() - began:6.1f} s  {what}", markup=False, highlight=False)

    report = run(Form(load=load, seconds=seconds, times=given.times), tell, keep=given.keep)
    report.show(console)
    console.print("everything adds up" if report.ok else f"{len(report.findings)} findings")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
