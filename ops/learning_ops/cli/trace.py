"""`learning-machine trace`: what happened to one event, in every store."""

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from learning_ops.cli.option import Json, Tenant, examples, prose

if TYPE_CHECKING:
    from rich.console import RenderableType

    from learning_ops.cli.table import PlainTable
    from learning_stores.status import Trace


def trace(
    event_id: Annotated[UUID, typer.Argument(help="The event's id, as emit's receipt has it.")],
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Follow an event: when it was accepted, and what every store made of it, by which model and prompt version.

    Needs LEARNING_DISPATCHER_DATABASE_URL. Shows states, counts and ids, never what was said.
    """
    from learning_ops.cli.failure import Failed, reaching_postgres
    from learning_ops.cli.output import print_json
    from learning_stores.database import Database
    from learning_stores.settings import ServiceSettings
    from learning_stores.status import trace as follow

    url = ServiceSettings.load().dispatcher_database()
    with (
        reaching_postgres(url, "LEARNING_DISPATCHER_DATABASE_URL"),
        Database(url, pool_size=1, field="dispatcher_database_url") as database,
    ):
        found = database.run(None, follow, event_id, tenant)
    if found.event is None and found.rejected is None:
        raise Failed(
            f"no event {event_id} of tenant {tenant!r} is known. Check the id and --tenant; check by `learning-machine status` "
            "that no stream holds entries that no dispatcher has taken in, and which entries were rejected lately; events older "
            "than the retention are gone"
        )
    if as_json:
        print_json(found.as_dict())
        return
    _show(found)


def _show(found: "Trace") -> None:
    from rich.text import Text

    from learning_ops.cli.table import console as plain_console
    from learning_ops.cli.table import plain

    console = plain_console(whole=True)
    if found.rejected is not None:
        console.print(_rejection(found.rejected))
    if found.event is None:
        return
    console.print(_heading(found.event))
    if not found.deliveries:
        console.print(plain(_no_deliveries(found.event)), soft_wrap=True)
        return
    console.print(_deliveries(found))
    for delivery in found.deliveries:
        for note in _notes(delivery):
            told = Text.assemble("  ", plain(delivery["store"], "bold"), ": ", plain(note))
            console.print(told, soft_wrap=True)
    if found.model_calls:
        console.print(_calls(found))
    if any(not call["committed"] for call in found.model_calls):
        console.print(plain(_IN_VAIN), soft_wrap=True)


_IN_VAIN = (
    "in vain: led to no extraction. A call does not say of which events it was: these were made for the same user and store "
    "between the event's acceptance and its end."
)


def _no_deliveries(event: dict[str, Any]) -> str:
    from learning_ops.cli.unprepared import why_no_deliveries

    if event["accepted_no"] is not None:
        return "Its spec has no store that extracts by itself."
    why = why_no_deliveries(event["set_aside"], None if event["spec_registered"] else event["spec_hash"])
    return f"It has no deliveries: {why}."


def _heading(event: dict[str, Any]) -> "RenderableType":
    from learning_ops.cli.output import moment
    from learning_ops.cli.table import PlainTable

    table = PlainTable(f"Event {event['id']}", box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    whose = f"tenant {event['tenant']}, user {event['user_id'] or '–'}, session {event['session_id'] or '–'}"
    table.add_row("of", whose)
    told = (
        f"{event['messages']}, of which {event['shown_before']} were shown before"
        if event["shown_before"]
        else str(event["messages"])
    )
    table.add_row(
        "messages", f"{told} ({event['body_bytes']:,} bytes)" + (", end of session" if event["end_of_session"] else "")
    )
    table.add_row("said", moment(event["occurred_at"]))
    table.add_row(
        "accepted", f"{moment(event['accepted_at'])} by {event['via']}, number {event['accepted_no'] or 'none yet'}"
    )
    table.add_row("producer", f"{event['producer'] or '–'} number {event['seq'] or '–'}")
    table.add_row("spec", event["spec_hash"][:12])
    return table


def _deliveries(found: "Trace") -> "RenderableType":
    from learning_ops.cli.output import near, span
    from learning_ops.cli.table import plain

    assert found.event is not None
    accepted = found.event["accepted_at"]
    table = _table("What each store made of it", "store", "state", "when (after acceptance)", "model, prompt", "result")
    for each in found.deliveries:
        when = "–"
        if each["settled_at"] is not None:
            after = span(max(0.0, (each["settled_at"] - accepted).total_seconds()))
            when = f"{near(each['settled_at'], accepted)} (+{after})"
        state = plain(each["state"], _COLOURS.get(each["state"], ""))
        if each["reason"]:
            state.append_text(plain(f"\n{each['reason']}"))
        table.add_row(
            each["store"],
            state,
            when,
            f"{each['model']}\n{each['prompt_name']} {each['prompt_version']}" if each["model"] else "–",
            _result(each),
        )
    return table


def _table(title: str, *columns: str) -> "PlainTable":
    from rich import box

    from learning_ops.cli.table import PlainTable

    table = PlainTable(title, box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name not in ("result", "tokens in (cached)"))
    return table


_COLOURS = {
    "extracted": "green",
    "nothing_found": "yellow",
    "dead": "red",
    "pending": "cyan",
}


def _result(delivery: dict[str, Any]) -> str:
    """What its extraction did, for all the events that it read together."""
    if delivery["extraction_id"] is None:
        return "–"
    changes = ", ".join(f"{count} {name}" for name, count in (delivery["changes"] or {}).items()) or "no change"
    dropped = ", ".join(f"{count} {name}" for name, count in (delivery["dropped"] or {}).items())
    window = "this event alone" if delivery["events"] == 1 else f"{delivery['events']} events read together"
    return f"{window}: {changes}" + (f"; dropped: {dropped}" if dropped else "")


def _notes(delivery: dict[str, Any]) -> list[str]:
    from learning_ops.cli.output import moment

    notes = [str(delivery[name]) for name in ("note", "error") if delivery[name]]
    for earlier in delivery["earlier"]:
        by = f"{earlier['model']}, {earlier['prompt_name']} {earlier['prompt_version']}"
        notes.append(f"replayed: extraction {earlier['id']} before, by {by}{_undone(earlier)}")
    if delivery["extraction_id"] is not None:
        notes.append(f"extraction {delivery['extraction_id']}{_undone(delivery)}")
    if delivery["state"] == "pending":
        if delivery["wait_reason"]:
            notes.append(
                f"waits for {delivery['wait_reason']} until {moment(delivery['not_before'])}: {delivery['wait_note'] or ''}"
            )
        elif delivery["owner"]:
            notes.append(f"in work by {delivery['owner']}")
        else:
            notes.append(f"due at {moment(delivery['due_at'])}")
    if delivery["generation"] > 1 or delivery["attempts"] > 1:
        notes.append(f"generation {delivery['generation']}, attempt {delivery['attempts']}")
    return notes


def _undone(extraction: dict[str, Any]) -> str:
    return ", undone since" if extraction["undone_at"] is not None else ""


def _calls(found: "Trace") -> "RenderableType":
    from learning_ops.cli.output import near, span

    assert found.event is not None
    table = _table(
        "Model calls made for it", "when", "store", "model", "outcome", "tokens in (cached)", "out", "cost", "time"
    )
    for call in found.model_calls:
        table.add_row(
            near(call["called_at"], found.event["accepted_at"]),
            call["store"],
            call["model"] or call["model_asked"],
            call["outcome"] if call["committed"] else f"{call['outcome']}, in vain",
            f"{_number(call['tokens_input'])} ({_number(call['tokens_cached'])})",
            _number(call["tokens_output"]),
            "unknown" if call["cost_usd"] is None else f"${call['cost_usd']:.4f}",
            span(call["seconds"]),
        )
    return table


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _rejection(rejected: dict[str, Any]) -> "RenderableType":
    from rich.panel import Panel

    from learning_ops.cli.output import moment
    from learning_ops.cli.table import plain

    told = f"{rejected['reason']}\nrejected {moment(rejected['rejected_at'])}, from {rejected['stream']}, field {rejected['field']}"
    return Panel(plain(told), title="Rejected", border_style="red", title_align="left")


def register(app: typer.Typer) -> None:
    """Add the command."""
    an_id = "0198c0de-1111-7222-8333-444455556666"
    app.command(help=prose(trace), epilog=examples(f"trace {an_id}", f"trace {an_id} --json"))(trace)
