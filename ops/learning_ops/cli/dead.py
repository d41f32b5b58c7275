"""`learning-machine dead`: deliveries that could not be extracted, and events that could not be accepted."""

from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from learning_ops.cli.option import Json, Tenant, examples, prose
from learning_ops.cli.replay import DryRun, Operator, Yes
from learning_ops.cli.tenant_memory import Store

if TYPE_CHECKING:
    from learning_stores.dead import Dead

T = TypeVar("T")

_LONGEST = 500
_ID = "0198c0de-1111-7222-8333-444455556666"

AnyTenant = Annotated[str | None, typer.Option(help="Only this tenant; else all of them.")]
Why = Annotated[str | None, typer.Option("--reason", help="Only those that died of this: crashes, refusal, …")]
EventId = Annotated[UUID | None, typer.Option("--event", help="Only this event.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many.")]


def list_dead(
    store: Store = None,
    reason: Why = None,
    tenant: AnyTenant = None,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Events that could not be accepted instead: they are in no log.")
    ] = False,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List dead deliveries, those that died last first: of what, after how many attempts, and when.

    Their events are in the log; other stores may have read them. Needs LEARNING_DISPATCHER_DATABASE_URL. Shows no words.
    """
    from learning_ops.cli.failure import WrongUsage
    from learning_ops.cli.output import print_json
    from learning_stores import dead

    if rejected:
        if store is not None or reason is not None:
            raise WrongUsage("--rejected goes with --tenant and --limit only: what is rejected comes to no store")
        events, all_ = _ask(lambda session: dead.rejected(session, tenant, limit))
        if as_json:
            print_json(events)
        else:
            _show_rejected(events, all_)
        return
    meant = dead.Meant(tenant=tenant, store=store, reason=reason)
    found, all_ = _ask(lambda session: dead.dead(session, meant, limit))
    if as_json:
        print_json([each.__dict__ for each in found])
    else:
        _show_dead(found, all_)


def show(
    event_id: Annotated[UUID, typer.Argument(help="The event's id.")],
    store: Annotated[str, typer.Argument(help="The store.")],
    words: Annotated[bool, typer.Option("--text", help="Also what was said.")] = False,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Show one delivery with its event: state, error, and of each message role and length; its words only with --text.

    Needs LEARNING_DISPATCHER_DATABASE_URL.
    """
    from learning_ops.cli.failure import Failed
    from learning_ops.cli.output import print_json
    from learning_stores import dead

    found = _ask(lambda session: dead.look(session, tenant, event_id, store, words=words))
    if found is None:
        raise Failed(
            f"there is no delivery of event {event_id} of tenant {tenant!r} to {store}: `learning-machine trace {event_id}` shows "
            "those that there are"
        )
    if as_json:
        print_json(found)
    else:
        _show_one(found)


def replay_dead(
    store: Store = None,
    reason: Why = None,
    event: EventId = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    by: Operator = "operator",
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Let dead deliveries of a tenant be extracted again, all of them where no option chooses; their attempts begin anew.

    Shows first which, and asks. Needs LEARNING_DATABASE_URL.
    """
    from learning_ops.cli.replay import run_replay
    from learning_stores.replay_selection import Choice

    choice = Choice(dead=True, store=store, reason=reason, event_id=event)
    run_replay(tenant, choice, dry_run=dry_run, plan=False, yes=yes, by=by, as_json=as_json)


def discard(
    because: Annotated[str, typer.Option(help="Why they are given up; kept with each, and shown by trace.")],
    store: Store = None,
    reason: Why = None,
    event: EventId = None,
    tenant: Tenant = "default",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Give up dead deliveries: they are skipped. Their events stay in the log, and each can still be replayed by its id.

    Shows first how many, and asks. Needs LEARNING_DISPATCHER_DATABASE_URL.
    """
    from learning_ops.cli.asking import confirmed, counted
    from learning_ops.cli.failure import WrongUsage
    from learning_ops.cli.output import print_json
    from learning_stores import dead

    because = " ".join(because.replace("\0", " ").split())
    if not because or len(because) > _LONGEST:
        raise WrongUsage(f"--because has to say why, in at most {_LONGEST} characters")
    meant = dead.Meant(tenant=tenant, store=store, reason=reason, event_id=event)
    found, all_ = _ask(lambda session: dead.dead(session, meant, 20))
    if not as_json:
        _show_dead(found, all_)
    if dry_run or not all_:
        if as_json:
            print_json({"dead": all_, "discarded": 0})
        return
    confirmed(f"Discard {counted(all_, 'dead delivery', 'dead deliveries')} of tenant {tenant}?", yes=yes)
    done = 0
    while batch := _ask(lambda session: dead.discard(session, meant, because)):
        done += batch
    if as_json:
        print_json({"dead": all_, "discarded": done})
    else:
        typer.echo(f"discarded {counted(done, 'delivery', 'deliveries')}")


def _ask(question: Any) -> Any:
    """What it answers, as the dispatcher."""
    from learning_ops.cli.failure import reaching_postgres
    from learning_stores.database import Database
    from learning_stores.settings import ServiceSettings

    url = ServiceSettings.load().dispatcher_database()
    with (
        reaching_postgres(url, "LEARNING_DISPATCHER_DATABASE_URL"),
        Database(url, pool_size=1, field="dispatcher_database_url") as database,
    ):
        return database.run(None, question)


def _show_dead(found: "list[Dead]", all_: int) -> None:
    from learning_ops.cli.output import moment
    from learning_ops.cli.table import PlainTable, console, plain

    if not found:
        typer.echo("No delivery is dead here.")
        return
    table = PlainTable(
        f"Dead deliveries: {all_:,}", "died", "tenant", "event", "store", "of", "attempts", "generation",
        numbers=("attempts", "generation"), unbroken=("event",), box=None, pad_edge=False,
    )  # fmt: skip
    for each in found:
        cause = plain(each.reason or "–", "red")
        if each.error and each.error != each.reason:
            cause.append_text(plain(f"\n{each.error}"))
        numbers = (str(each.attempts), str(each.generation))
        table.add_row(moment(each.settled_at), each.tenant, str(each.event_id), each.store, cause, *numbers)
    console(whole=True).print(table)
    if all_ > len(found):
        typer.echo(f"and {all_ - len(found):,} more")


def _show_one(found: dict[str, Any]) -> None:
    from learning_ops.cli.output import moment
    from learning_ops.cli.table import PlainTable, console, plain

    out = console(whole=True)
    table = PlainTable(f"Event {found['event_id']}, {found['store']}", box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    state = found["state"] + (f": {found['reason']}" if found["reason"] else "")
    whose = f"tenant {found['tenant']}, user {found['user_id'] or '–'}, session {found['session_id'] or '–'}"
    table.add_row("of", whose)
    table.add_row("state", state)
    table.add_row("error", found["error"] or "–")
    table.add_row("settled", moment(found["settled_at"]))
    table.add_row("attempts", f"{found['attempts']}, generation {found['generation']}")
    table.add_row("said", moment(found["occurred_at"]))
    out.print(table)
    if not found["messages"]:
        typer.echo("Its messages are no longer in the log.")
        return
    lines = PlainTable(None, "", "role", "characters", "", numbers=("", "characters"), box=None, pad_edge=False)
    for each in found["messages"]:
        text = plain(each["content"]) if "content" in each else plain("shown before" if each["history"] else "", "dim")
        lines.add_row(str(each["index"]), each["role"], f"{each['characters']:,}", text)
    out.print(lines)


def _show_rejected(found: list[dict[str, Any]], all_: int) -> None:
    from learning_ops.cli.output import moment
    from learning_ops.cli.table import PlainTable, console

    if not found:
        typer.echo("No event was rejected.")
        return
    table = PlainTable(
        f"Rejected events: {all_:,}", "rejected", "tenant", "event", "from", "field", "reason", "bytes",
        numbers=("bytes",), unbroken=("event",), box=None, pad_edge=False,
    )  # fmt: skip
    for each in found:
        table.add_row(
            moment(each["rejected_at"]),
            each["tenant"] or "–",
            each["event_id"] or "–",
            each["stream"],
            each["field"],
            each["reason"],
            f"{each['body_bytes']:,}",
        )
    console(whole=True).print(table)
    if all_ > len(found):
        typer.echo(f"and {all_ - len(found):,} more")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Deliveries that could not be extracted: look at them, try them again, give them up.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        epilog=examples("dead list"),
    )
    group.command(
        "list", help=prose(list_dead), epilog=examples("dead list --store user_profile", "dead list --rejected")
    )(list_dead)
    group.command(help=prose(show), epilog=examples(f"dead show {_ID} user_profile"))(show)
    group.command("replay", help=prose(replay_dead), epilog=examples("dead replay --reason crashes --dry-run"))(
        replay_dead
    )
    group.command(help=prose(discard), epilog=examples(f"dead discard --event {_ID} --because 'not a conversation'"))(
        discard
    )
    app.add_typer(group, name="dead")
