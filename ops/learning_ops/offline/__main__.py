"""`python -m learning_ops.offline`: serve the offline model until SIGTERM or SIGINT. Options have LEARNING_OFFLINE_* variables."""

import argparse
import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from learning_ops.offline.application import Application
from learning_ops.offline.faults import FAULTS, Faults, FaultsRefused
from learning_ops.offline.server import NotLoopback, Settings, serve

_PREFIX = "LEARNING_OFFLINE_"
_PR_SET_PDEATHSIG = 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m learning_ops.offline", description=__doc__)

    def option(flag: str, *, kind: type, default: object, text: str, metavar: str) -> None:
        variable = _PREFIX + flag.removeprefix("--").upper().replace("-", "_")
        parser.add_argument(
            flag, type=kind, default=os.environ.get(variable, default), metavar=metavar, help=f"{text} ({variable})"
        )

    def switch(flag: str, text: str) -> None:
        variable = _PREFIX + flag.removeprefix("--").upper().replace("-", "_")
        on = os.environ.get(variable, "").lower() in {"1", "true", "yes", "on"}
        parser.add_argument(flag, action="store_true", default=on, help=f"{text} ({variable})")

    option("--host", kind=str, default="127.0.0.1", metavar="ADDRESS", text="a loopback address; others are refused")
    option("--port", kind=int, default=0, metavar="PORT", text="0 takes a free one")
    option(
        "--port-file", kind=Path, default=None, metavar="PATH", text="where the port is written once requests are taken"
    )
    option(
        "--api-key",
        kind=str,
        default=None,
        metavar="KEY",
        text="ask for this bearer key; the variable keeps it out of process lists",
    )
    option("--latency", kind=float, default=0.0, metavar="SECONDS", text="wait before every answer")
    for fault in FAULTS:
        option(
            f"--rate-{fault}",
            kind=float,
            default=0.0,
            metavar="FRACTION",
            text=f"share of model requests that meet: {fault}",
        )
    option("--retry-after", kind=float, default=None, metavar="SECONDS", text="Retry-After of a 429")
    option("--timeout-seconds", kind=float, default=600.0, metavar="SECONDS", text="how long a hanging request is held")
    option("--seed", kind=int, default=0, metavar="N", text="which requests meet the faults")
    option("--request-log", kind=Path, default=None, metavar="PATH", text="append a line of JSON a model request")
    switch("--request-log-bodies", "log requests and answers in full")
    switch("--control", "serve /control, which changes the faults of the running server")
    switch("--exit-with-parent", "end when the process that started this one does (Linux)")
    return parser


def _follow_parent() -> None:
    """Have the kernel send SIGTERM when the parent dies, by whatever signal; leave at once if it died before."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            raise SystemExit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; the exit status is 0 after a signal, 2 for options that are refused, 1 where the port is taken."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings(
            host=options.host,
            port=options.port,
            api_key=options.api_key or None,
            faults=Faults(
                latency=options.latency,
                retry_after=options.retry_after,
                timeout_seconds=options.timeout_seconds,
                seed=options.seed,
                **{f"rate_{fault}": getattr(options, f"rate_{fault}") for fault in FAULTS},
            ),
            request_log=options.request_log,
            request_log_bodies=options.request_log_bodies,
            control=options.control,
        )
        if options.exit_with_parent:
            _follow_parent()
        asyncio.run(_serve(settings, options.port_file))
    except (FaultsRefused, NotLoopback, ValidationError) as refused:
        sys.stderr.write(f"{refused}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"cannot serve on {options.host}:{options.port}: {error}\n")
        return 1
    return 0


async def _serve(settings: Settings, port_file: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def ready(url: str, application: Application) -> None:
        if port_file:
            whole = port_file.with_name(f"{port_file.name}.{os.getpid()}")
            whole.write_text(url.removesuffix("/v1").rpartition(":")[2] + "\n")
            whole.replace(port_file)  # a reader sees no file or all of it
        sys.stdout.write(f"offline model on {url}\n")
        sys.stdout.flush()

    await serve(settings, ready=ready, stop=stop)


if __name__ == "__main__":
    sys.exit(main())
