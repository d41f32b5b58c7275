"""`learning-machine status`: what waits for what, since when, and who works on it."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from learning_ops.cli.option import Json, examples, prose

_EVERY = 2.0


def status(
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every 2 s until Ctrl-C.")] = False,
    ledger: Annotated[bool, typer.Option("--ledger", help="Add up every event and every delivery instead.")] = False,
    tenant: Annotated[
        str | None, typer.Option(help="With --ledger: this tenant's alone, without producers' numbers.")
    ] = None,
) -> None:
    """Show every store's deliveries and its backlog with reason and age, what does not add up, leases, streams and queues.

    Needs LEARNING_DISPATCHER_DATABASE_URL and LEARNING_REDIS_URL. Exit 1 where one of the two servers does not answer.

    With --ledger, from Postgres alone: numbered by producers = accepted + refused + missing, by producer; deliveries =
    settled + pending + dead + removed, by reason. It reads the whole log. Exit 1 where something does not add up, with the
    ids of what does not.
    """
    from learning_ops.cli.failure import Failed
    from learning_ops.cli.output import print_json
    from learning_stores.database import Database
    from learning_stores.settings import ServiceSettings

    settings = ServiceSettings.load()
    url = settings.dispatcher_database()
    with Database(url, pool_size=1, field="dispatcher_database_url") as database:
        if ledger or tenant is not None:
            _add_up(database, url, tenant, as_json=as_json, whole=ledger and not watch)
            return
        if watch:
            _watch(database, settings, as_json=as_json)
            return
        found = _look(database, settings)
    if as_json:
        print_json(found)
    else:
        from learning_ops.cli.status_report import shown
        from learning_ops.cli.table import console

        console(whole=True).print(shown(found))
    if problem := found["redis"].get("error"):
        raise Failed(problem)


def _add_up(database: Any, url: str, tenant: str | None, *, as_json: bool, whole: bool) -> None:
    from learning_ops.cli.failure import Failed, WrongUsage, reaching_postgres
    from learning_ops.cli.output import print_json
    from learning_stores.ledger import ledger

    if not whole:
        raise WrongUsage("--tenant is for --ledger, which does not go with --watch")
    with reaching_postgres(url, "LEARNING_DISPATCHER_DATABASE_URL"), database.snapshot() as session:
        found = ledger(session, tenant)
    if as_json:
        print_json(found.as_dict())
    else:
        from learning_ops.cli.ledger_report import shown
        from learning_ops.cli.table import console

        console(whole=True).print(shown(found))
    if not found.adds_up:
        raise Failed(f"the ledger does not add up: {', '.join(each.name for each in found.findings)}")


def _watch(database: Any, settings: Any, *, as_json: bool) -> None:
    from learning_ops.cli.output import print_json

    try:
        if as_json:
            while True:
                print_json(_look(database, settings), indent=None)
                time.sleep(_EVERY)
        from rich.live import Live

        from learning_ops.cli.status_report import shown
        from learning_ops.cli.table import console

        with Live(shown(_look(database, settings)), console=console(), screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(_EVERY)
                live.update(shown(_look(database, settings)), refresh=True)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _look(database: Any, settings: Any) -> dict[str, Any]:
    """All that there is to say at this moment."""
    from learning_ops.cli.failure import Failed, reaching_postgres
    from learning_ops.cli.offline_note import is_offline
    from learning_ops.cli.reembed_note import reembed_note, unfinished_notes, waiting_notes
    from learning_stores.status import status as read

    with reaching_postgres(settings.dispatcher_database(), "LEARNING_DISPATCHER_DATABASE_URL"):
        found = database.run(None, read)
        endpoint = settings.embedding_endpoint()
        embeds = None if endpoint is None else endpoint.name
        reembed = reembed_note(database, embeds)
        embedding_waits = [*waiting_notes(database), *unfinished_notes(database, embeds)]
    try:
        queues = _queues(settings, [row["store"] for row in found["stores"]])
        redis: dict[str, Any] = {"streams": _streams(settings), "queues": queues}
    except Failed as error:
        redis = {"error": str(error)}
    offline = is_offline(row["model"] for row in found["models"])
    return {"at": datetime.now(UTC), **found, "redis": redis, "offline_rules": offline, "reembed": reembed,
            "embedding_waits": embedding_waits}  # fmt: skip  # one line a half


def _streams(settings: Any) -> list[dict[str, Any]]:
    """Of every shard's stream: entries, those read and not acknowledged, and those that nobody has read."""
    from redis import Redis
    from redis.exceptions import ResponseError

    from learning_ops.cli.failure import reaching_redis
    from learning_schemas.scope import stream_name

    rows = []
    with (
        reaching_redis(settings.redis()),
        Redis.from_url(settings.redis(), socket_timeout=5, decode_responses=True) as client,
    ):
        for shard in range(settings.shards):
            name = stream_name(shard)
            length = client.xlen(name)
            try:
                groups: Any = client.xinfo_groups(name)
            except ResponseError:  # no such stream yet
                groups = []
            rows.append(
                {
                    "stream": name,
                    "entries": length,
                    "read_not_acknowledged": sum(group["pending"] for group in groups),
                    "not_read": sum(group.get("lag") or 0 for group in groups) if groups else length,
                }
            )
    return rows


def _queues(settings: Any, stores: Iterable[str]) -> list[dict[str, Any]]:
    """Of every Celery queue: nudges that no worker has taken. Celery keeps a queue as a list of its name."""
    from redis import Redis

    from learning_ops.cli.failure import reaching_redis
    from learning_stores.registry import installed

    # Those of this deployment, and those that deliveries name: a store of somebody's own may be installed elsewhere.
    own = ("learning.embed", "learning.curator")
    names = [*(f"learning.{store}" for store in dict.fromkeys((*installed(), *stores))), *own]
    variable = "LEARNING_BROKER_URL" if settings.broker_url else "LEARNING_REDIS_URL"
    with reaching_redis(settings.broker(), variable), Redis.from_url(settings.broker(), socket_timeout=5) as client:
        return [{"queue": name, "nudges": client.llen(name)} for name in names]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=prose(status), epilog=examples("status", "status --watch", "status --json", "status --ledger"))(
        status
    )
