"""`learning-machine probe`: does a process live, or a part of the deployment move? For health checks: an exit status and a line."""

from enum import StrEnum
from typing import Annotated

import typer

from learning_ops.cli.option import examples, prose


class Question(StrEnum):
    """What is asked."""

    LIVE = "live"
    READY = "ready"


def probe(
    question: Annotated[
        Question, typer.Argument(help="live: does what waits move? ready: do its servers answer?", show_default=False)
    ],
    dispatcher: Annotated[
        bool, typer.Option("--dispatcher", help="Of the dispatchers together, as Postgres and Redis tell.")
    ] = False,
    store: Annotated[
        str | None, typer.Option(help="Of a store's workers together, as Postgres and the broker tell.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            envvar="LEARNING_METRICS_PORT", min=1, max=65535, help="Of the process that serves metrics there."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(envvar="LEARNING_METRICS_HOST", help="The address that it listens on.")
    ] = "127.0.0.1",
    timeout: Annotated[float, typer.Option(help="Seconds within which there is an answer.", min=0.5, max=60)] = 8.0,
) -> None:
    """Say in one line whether something is alive or ready, within the time given. Exit 0: it is; 1: it is not, or it says nothing.

    Without --dispatcher and --store, a process on this host is asked, the one that LEARNING_METRICS_PORT names. With one of them,
    what all of them together do is judged from outside: needs LEARNING_DISPATCHER_DATABASE_URL and LEARNING_REDIS_URL.

    Not alive is what has work waiting and does not move: start it again. A provider that is paused, a spent budget, a spec that is
    not known, or a server that is away is no such thing. Not ready is what cannot work now: wait, or look at its servers.
    """
    from learning_ops.cli.failure import Failed, WrongUsage, check_store
    from learning_ops.probing import ask_process, judge
    from learning_stores.registry import installed

    if dispatcher and store is not None:
        raise WrongUsage("--dispatcher and --store are two questions: ask one")
    if store is not None:  # of one that nobody has, nothing ever waits
        check_store(store, [*installed(), "embed", "curator"])
    if dispatcher or store is not None:
        answer = judge(question.value, store, timeout)
    elif port is None:
        raise WrongUsage("which one? Set LEARNING_METRICS_PORT as the process has it, or give --dispatcher or --store")
    else:
        answer = ask_process(question.value, host, port, timeout)
    if not answer.ok:
        raise Failed(answer.told)
    typer.echo(answer.told)


def register(app: typer.Typer) -> None:
    """Add the command."""
    lines = ("probe live", "probe ready --port 9101", "probe live --dispatcher", "probe live --store user_profile")
    app.command(help=prose(probe), epilog=examples(*lines))(probe)
