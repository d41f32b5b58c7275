"""What `learning-machine status` shows to people."""

from datetime import datetime
from typing import Any

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.text import Text

from learning_ops.cli.budget_report import shown as budgets_shown
from learning_ops.cli.offline_note import OFFLINE_NOTE
from learning_ops.cli.output import age, moment
from learning_ops.cli.table import PlainTable, plain
from learning_ops.cli.unprepared import why_no_deliveries
from learning_stores.reconcile import FINDINGS, UNDELIVERED


def shown(found: dict[str, Any]) -> RenderableType:
    """All of it, from top to bottom."""
    parts: list[RenderableType] = [_headline(found), *_findings(found), _stores(found)]
    if any(row["dead"] for row in found["stores"]):
        parts.append(
            plain("`learning-machine dead list` shows the dead, and of what; `dead replay` tries them again", "yellow")
        )
    if found["without_deliveries"]:
        parts.append(_without_deliveries(found))
    parts.append(_backlog(found))
    if found["leases"]:
        parts.append(_leases(found))
    parts.append(_transport(found))
    if found["last_rejected"]:
        parts.append(_rejected(found))
    parts.append(_models(found))
    if found["budgets"]:
        parts.append(budgets_shown(found["budgets"]))
    parts += [plain(note, "yellow") for note in found["embedding_waits"]]
    if found.get("reembed"):
        parts.append(plain(found["reembed"], "yellow"))
    return Group(*parts)


def _headline(found: dict[str, Any]) -> Text:
    pending, dead = (sum(row[name] for row in found["stores"]) for name in ("pending", "dead"))
    told = [
        Text.assemble((f"{found['accepted']:,}", "bold"), " events in the log"),
        Text.assemble((f"{pending:,}", "bold"), " deliveries wait"),
        Text.assemble((f"{dead:,}", _alarm(dead)), " dead"),
        Text.assemble((f"{found['rejected']:,}", _alarm(found["rejected"])), " events rejected"),
    ]
    unprepared = found["unprepared"]
    if waiting := unprepared["events"] - unprepared["set_aside"]:
        told.append(plain(f"{waiting:,} events without deliveries yet", "yellow"))
    if unprepared["set_aside"]:
        told.append(plain(f"{unprepared['set_aside']:,} events set aside", "bold red"))
    return Text(", ").join(told)


def _alarm(count: int) -> str:
    return "bold red" if count else "bold"


def _findings(found: dict[str, Any]) -> list[Text]:
    """A line for each count that is not zero: what does not add up now, and what the reconciler last found besides."""
    since = {row["name"]: row["since"] for row in found["reconciled"]}
    slow = {row["name"]: row["count"] for row in found["reconciled"] if row["name"] in UNDELIVERED}
    return [
        plain(f"{count:,} {name.replace('_', ' ')}{_since(since.get(name), found['at'])}: {_MEANS[name]}", "yellow")
        for name, count in {**found["findings"], **slow}.items()
        if count
    ]


_MEANS = {**FINDINGS, **UNDELIVERED}


def _since(when: datetime | None, now: datetime) -> str:
    return "" if when is None else f" for {age(when, now)}"


def _stores(found: dict[str, Any]) -> RenderableType:
    if not found["stores"]:
        return Text("No store has a delivery yet.")
    columns = ("accepted", "= settled", "+ pending", "+ dead")
    table = PlainTable("Deliveries", "store", *columns, "settled as", numbers=columns)
    for row in found["stores"]:
        states = [
            f"{each['events']:,} {each['state']}"
            for each in found["settled"]
            if each["store"] == row["store"] and each["state"] != "dead"
        ]
        table.add_row(
            row["store"],
            f"{row['accepted']:,}",
            f"{row['settled']:,}",
            f"{row['pending']:,}",
            plain(f"{row['dead']:,}", "red" if row["dead"] else ""),
            ", ".join(states) or "–",
        )
    return table


def _without_deliveries(found: dict[str, Any]) -> RenderableType:
    table = PlainTable("Events without deliveries", "tenant", "events", "oldest", "why", numbers=("events", "oldest"))
    for row in found["without_deliveries"]:
        why = why_no_deliveries(row["set_aside"], row["unknown_spec"])
        table.add_row(row["tenant"], f"{row['events']:,}", age(row["oldest"], found["at"]), why)
    return table


def _backlog(found: dict[str, Any]) -> RenderableType:
    if not found["backlog"]:
        return Text("Nothing waits.", style="green")
    numbers = ("events", "mailboxes", "oldest")
    table = PlainTable("Backlog", "store", "reason", *numbers, "note", numbers=numbers)
    for row in found["backlog"]:
        counts = f"{row['events']:,}", f"{row['mailboxes']:,}"
        table.add_row(
            row["store"], row["reason"] or "paused", *counts, age(row["oldest"], found["at"]), row["note"] or ""
        )
    return table


def _leases(found: dict[str, Any]) -> RenderableType:
    table = PlainTable("In work", "store", "worker", "lease until", "claims", "token", numbers=("claims", "token"))
    for row in found["leases"]:
        table.add_row(
            row["store"], row["owner"] or "–", moment(row["lease_until"]), str(row["claims"]), str(row["token"])
        )
    return table


def _transport(found: dict[str, Any]) -> RenderableType:
    if "error" in found["redis"]:
        return plain(found["redis"]["error"], "red")
    readers = {row["shard"]: row for row in found["shards"]}
    numbers = ("shard", "entries", "in intake", "not read")
    table = PlainTable("Streams", *numbers, "reader", numbers=numbers)
    for number, row in enumerate(found["redis"]["streams"]):
        lease = readers.get(number)
        reader = plain(lease["owner"]) if lease is not None and lease["live"] else plain("none", "yellow")
        table.add_row(
            str(number), f"{row['entries']:,}", f"{row['read_not_acknowledged']:,}", f"{row['not_read']:,}", reader
        )
    queues = PlainTable("Queues", "queue", "nudges", numbers=("nudges",))
    for row in found["redis"]["queues"]:
        queues.add_row(row["queue"], f"{row['nudges']:,}")
    return Columns([table, queues])


def _rejected(found: dict[str, Any]) -> RenderableType:
    table = PlainTable("Rejected lately", "ago", "tenant", "event", "reason", numbers=("ago",))
    for row in found["last_rejected"]:
        ago = age(row["rejected_at"], found["at"])
        table.add_row(ago, row["tenant"] or "–", row["event_id"] or "–", row["reason"])
    return table


def _models(found: dict[str, Any]) -> RenderableType:
    if not found["models"]:
        return Text("No model has answered within the last day.")
    table = PlainTable("Models of the last day", "model", "calls", "last", numbers=("calls", "last"))
    for row in found["models"]:
        table.add_row(row["model"], f"{row['calls']:,}", f"{age(row['last'], found['at'])} ago")
    return Group(table, plain(OFFLINE_NOTE, "yellow")) if found["offline_rules"] else table
