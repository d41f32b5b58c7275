"""`learning-machine status`: what waits for what, since when, and who works on it."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learning_ops.cli.option import Json, examples, prose

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_EVERY = 2.0


def status(
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every 2 s until Ctrl-C.")] = False,
) -> None:
    """Show the backlog of every store with reason and age, settled and dead deliveries, leases, shards, streams and queues.

    Needs LEARNING_DISPATCHER_DATABASE_URL and LEARNING_REDIS_URL. Exit 1 where one of the two servers does not answer.
    """
    from learning_ops.cli.failure import Failed
    from learning_ops.cli.output import print_json
    from learning_stores.database import Database
    from learning_stores.settings import ServiceSettings

    settings = ServiceSettings.load()
    url = settings.dispatcher_database()
    with Database(url, pool_size=1, field="dispatcher_database_url") as database:
        if watch:
            _watch(database, settings, as_json=as_json)
            return
        found = _look(database, settings)
    if as_json:
        print_json(found)
    else:
        from rich.console import Console

        Console(highlight=False).print(_shown(found))
    if problem := found["redis"].get("error"):
        raise Failed(problem)


def _watch(database: Any, settings: Any, *, as_json: bool) -> None:
    from learning_ops.cli.output import print_json

    try:
        if as_json:
            while True:
                print_json(_look(database, settings), indent=None)
                time.sleep(_EVERY)
        from rich.live import Live

        with Live(_shown(_look(database, settings)), screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(_EVERY)
                live.update(_shown(_look(database, settings)), refresh=True)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _look(database: Any, settings: Any) -> dict[str, Any]:
    """All that there is to say at this moment."""
    from learning_ops.cli.failure import Failed, reaching_postgres
    from learning_ops.cli.offline_note import is_offline
    from learning_stores.status import status as read

    with reaching_postgres(settings.dispatcher_database(), "LEARNING_DISPATCHER_DATABASE_URL"):
        found = database.run(None, read)
    try:
        redis: dict[str, Any] = {"streams": _streams(settings), "queues": _queues(settings)}
    except Failed as error:
        redis = {"error": str(error)}
    offline = is_offline(row["model"] for row in found["models"])
    return {"at": datetime.now(UTC), **found, "redis": redis, "offline_rules": offline}


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


def _queues(settings: Any) -> list[dict[str, Any]]:
    """Of every Celery queue: nudges that no worker has taken. Celery keeps a queue as a list of its name."""
    from redis import Redis

    from learning_ops.cli.failure import reaching_redis
    from learning_stores.registry import STORES

    names = [*(f"learning.{store}" for store in STORES), "learning.curator"]
    variable = "LEARNING_BROKER_URL" if settings.broker_url else "LEARNING_REDIS_URL"
    with reaching_redis(settings.broker(), variable), Redis.from_url(settings.broker(), socket_timeout=5) as client:
        return [{"queue": name, "nudges": client.llen(name)} for name in names]


def _shown(found: dict[str, Any]) -> "RenderableType":
    from rich.console import Group

    parts: list[Any] = [_headline(found), _backlog(found), _settled(found)]
    if found["leases"]:
        parts.append(_leases(found))
    parts.append(_transport(found))
    if found["last_rejected"]:
        parts.append(_rejected(found))
    parts.append(_models(found))
    return Group(*parts)


def _headline(found: dict[str, Any]) -> str:
    pending = sum(row["events"] for row in found["backlog"])
    dead = sum(row["events"] for row in found["settled"] if row["state"] == "dead")
    told = [
        f"[bold]{found['accepted']:,}[/] events in the log",
        f"[bold]{pending:,}[/] deliveries wait",
        f"[{_alarm(dead)}]{dead:,}[/] dead",
        f"[{_alarm(found['rejected'])}]{found['rejected']:,}[/] events rejected",
    ]
    if unprepared := found["unprepared"]["events"]:
        told.append(f"[yellow]{unprepared:,} accepted and not prepared yet[/]")
    return ", ".join(told)


def _alarm(count: int) -> str:
    return "bold red" if count else "bold"


def _table(title: str, *columns: str, numbers: tuple[str, ...] = ()) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    return table


def _backlog(found: dict[str, Any]) -> "RenderableType":
    from learning_ops.cli.output import age

    if not found["backlog"]:
        return "[green]Nothing waits.[/]"
    table = _table(
        "Backlog", "store", "reason", "events", "mailboxes", "oldest", "note", numbers=("events", "mailboxes", "oldest")
    )
    for row in found["backlog"]:
        counts = f"{row['events']:,}", f"{row['mailboxes']:,}"
        table.add_row(
            row["store"], row["reason"] or "paused", *counts, age(row["oldest"], found["at"]), row["note"] or ""
        )
    return table


def _settled(found: dict[str, Any]) -> "RenderableType":
    table = _table("Settled", "store", "state", "events", numbers=("events",))
    for row in found["settled"]:
        table.add_row(
            row["store"], f"[red]{row['state']}[/]" if row["state"] == "dead" else row["state"], f"{row['events']:,}"
        )
    return table if found["settled"] else "Nothing is settled yet."


def _leases(found: dict[str, Any]) -> "RenderableType":
    from learning_ops.cli.output import moment

    table = _table("In work", "store", "worker", "lease until", "claims", "token", numbers=("claims", "token"))
    for row in found["leases"]:
        table.add_row(
            row["store"], row["owner"] or "–", moment(row["lease_until"]), str(row["claims"]), str(row["token"])
        )
    return table


def _transport(found: dict[str, Any]) -> "RenderableType":
    from rich.columns import Columns

    if "error" in found["redis"]:
        return f"[red]{found['redis']['error']}[/]"
    readers = {row["shard"]: row for row in found["shards"]}
    table = _table(
        "Streams",
        "shard",
        "entries",
        "in intake",
        "not read",
        "reader",
        numbers=("shard", "entries", "in intake", "not read"),
    )
    for number, row in enumerate(found["redis"]["streams"]):
        lease = readers.get(number)
        reader = lease["owner"] if lease is not None and lease["live"] else "[yellow]none[/]"
        table.add_row(
            str(number), f"{row['entries']:,}", f"{row['read_not_acknowledged']:,}", f"{row['not_read']:,}", reader
        )
    queues = _table("Queues", "queue", "nudges", numbers=("nudges",))
    for row in found["redis"]["queues"]:
        queues.add_row(row["queue"], f"{row['nudges']:,}")
    return Columns([table, queues])


def _rejected(found: dict[str, Any]) -> "RenderableType":
    from rich.markup import escape

    from learning_ops.cli.output import age

    table = _table("Rejected lately", "ago", "tenant", "event", "reason", numbers=("ago",))
    for row in found["last_rejected"]:
        table.add_row(
            age(row["rejected_at"], found["at"]),
            escape(row["tenant"] or "–"),
            escape(row["event_id"] or "–"),
            escape(row["reason"]),
        )
    return table


def _models(found: dict[str, Any]) -> "RenderableType":
    from rich.console import Group

    from learning_ops.cli.offline_note import OFFLINE_NOTE
    from learning_ops.cli.output import age

    if not found["models"]:
        return "No model has answered within the last day."
    table = _table("Models of the last day", "model", "calls", "last", numbers=("calls", "last"))
    for row in found["models"]:
        table.add_row(row["model"], f"{row['calls']:,}", f"{age(row['last'], found['at'])} ago")
    return Group(table, f"[yellow]{OFFLINE_NOTE}[/]") if found["offline_rules"] else table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=prose(status), epilog=examples("status", "status --watch", "status --json"))(status)
