"""`learning-machine dispatcher`: takes events in and tells workers of them, in the foreground."""

from typing import Annotated

import typer

from learning_ops.cli.option import examples, prose


def dispatcher(
    check: Annotated[
        bool, typer.Option("--check", help="Do not run one: exit 0 if one on this host turned both its loops lately.")
    ] = False,
) -> None:
    """Run a dispatcher until SIGTERM or SIGINT: intake from the Redis streams, and the pump that nudges workers.

    Needs LEARNING_DISPATCHER_DATABASE_URL and LEARNING_REDIS_URL. Any number may run; each shard has one reader among them.
    With --check, for health checks: exit 1 says why no dispatcher of this host counts as alive.
    """
    from learning_ops.extras import require_extra

    require_extra("worker", "celery")
    if not check:
        from learning_workers.dispatcher import main

        main()
        return
    import socket

    from learning_ops.cli.failure import Failed, reaching_postgres
    from learning_stores.database import Database
    from learning_stores.settings import ServiceSettings
    from learning_workers.dispatcher import is_alive
    from learning_workers.pulse import FRESH_SECONDS

    url = ServiceSettings.load().dispatcher_database()
    host = socket.gethostname()
    with (
        reaching_postgres(url, "LEARNING_DISPATCHER_DATABASE_URL"),
        Database(url, pool_size=1, field="dispatcher_database_url") as database,
    ):
        alive = database.run(None, is_alive, host)
    if not alive:
        raise Failed(
            f"no dispatcher on {host} has turned both its loops within {FRESH_SECONDS} s: its log says what it waits for"
        )
    typer.echo(f"a dispatcher on {host} is alive")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=prose(dispatcher), epilog=examples("dispatcher", "dispatcher --check"))(dispatcher)
