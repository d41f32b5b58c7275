"""`learning-machine forget`: a user, a session or an event goes, with everything that was learned from it."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learning_ops.cli.option import Json, Tenant, examples, prose

if TYPE_CHECKING:
    from learning_stores.forgetting_receipt import ForgetReceipt
    from learning_stores.forgetting_target import Target

_ID = "0198c0de-1111-7222-8333-444455556666"


def forget(
    user: Annotated[str | None, typer.Option("--user", "-u", help="The user's id.")] = None,
    session: Annotated[str | None, typer.Option("--session", "-s", help="One session; its user's with --user.")] = None,
    event: Annotated[str | None, typer.Option("--event", "-e", help="One event's id.")] = None,
    close: Annotated[
        bool, typer.Option("--close", help="Keep them out until --reopen: refuse what they say later.")
    ] = False,
    reopen: Annotated[bool, typer.Option("--reopen", help="Let them in again; nothing is forgotten.")] = False,
    by: Annotated[str | None, typer.Option(help="Who asks for it; kept with the receipt.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be touched.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Forget a user, a session or an event: what was said, and what was learned from it. What other people said stays.

    Says what it will touch, and asks; without a terminal, --yes is required. One that was broken off is gone on with by asking
    again. Prints a receipt: what was deleted, what a search found afterwards, and where copies may be that it cannot reach.
    Events that were made before are refused whenever they arrive.
    """
    from learning_machine.forgetting import check_target, checked_event
    from learning_ops.cli.failure import Failed, WrongUsage, reaching_postgres
    from learning_ops.cli.tenant_memory import checked, note
    from learning_schemas.errors import ConfigurationError, InvalidArgument
    from learning_stores.database import Database
    from learning_stores.forgetting import planned
    from learning_stores.forgetting_begin import reopen as let_in
    from learning_stores.forgetting_begin import target_of
    from learning_stores.settings import AgentSettings

    try:
        user_id = None if user is None else checked("user_id", user)
        session_id = None if session is None else checked("session_id", session)
        event_id = None if event is None else checked_event(event)
        check_target(user_id, session_id, event_id, close)
    except InvalidArgument as error:
        raise WrongUsage(_told(error)) from None
    if reopen and (close or event_id is not None or dry_run):
        raise WrongUsage("--reopen goes with --user or --session alone")
    asked_by = None if by is None else checked("by", by)
    settings = AgentSettings.load()
    url = settings.database()
    with reaching_postgres(url, "LEARNING_DATABASE_URL"), Database(url, pool_size=2) as database:
        try:
            target = database.run(tenant, target_of, tenant, user_id, session_id, event_id)
        except InvalidArgument as error:
            raise Failed(_told(error)) from None
        whom = f"{_named(target)} of tenant {tenant}"
        if reopen:
            if not database.run(tenant, let_in, target):
                raise Failed(f"{whom} is not closed: nothing was changed")
            typer.echo(f"{whom} is let in again")
            return
        found = database.run(tenant, planned, target)
        _announce(whom, found, close, as_json)
        if dry_run:
            if as_json:
                from learning_ops.cli.output import print_json

                print_json({"would_touch": dict(+found)})
            return
        _confirm(whom, yes)
        try:
            receipt = _run(database, settings, target, close, asked_by)
        except KeyboardInterrupt:
            note("interrupted: what is deleted stays deleted; ask again to go on with the rest, for the receipt")
            raise
        except ConfigurationError as error:
            raise WrongUsage(str(error)) from None
    _print(receipt, as_json)


def _run(database: Any, settings: Any, target: "Target", close: bool, by: str | None) -> "ForgetReceipt":
    from learning_machine.arguments import checked_spool_dir
    from learning_machine.forgetting_outside import WaysIn, remove_outside
    from learning_stores.forgetting import forget as forgotten

    redis_url = settings.redis() if settings.redis_url is not None else None
    ways = WaysIn(redis_url=redis_url, shards=settings.shards, spool_dir=checked_spool_dir(None, settings.spool_dir))
    return forgotten(database, target, close=close, by=by, outside=lambda scope: remove_outside(database, ways, scope))


def _announce(whom: str, found: Any, close: bool, quietly: bool) -> None:
    told = ", ".join(f"{count:,} of {table}" for table, count in sorted((+found).items())) or "nothing in the database"
    after = "; and what they say later is refused until --reopen" if close else ""
    # Where the answer is JSON, this is for whoever looks on.
    typer.echo(f"to forget {whom}: {told}; what others said stays{after}", err=quietly)


def _confirm(whom: str, yes: bool) -> None:
    from learning_ops.cli.failure import WrongUsage

    if yes:
        return
    if not sys.stdin.isatty():
        raise WrongUsage("there is no terminal to ask on: --yes says that it is meant")
    typer.confirm(f"Forget {whom}? It cannot be undone", abort=True)


def _print(receipt: "ForgetReceipt", as_json: bool) -> None:
    from learning_ops.cli.output import moment, print_json

    if as_json:
        print_json(vars(receipt))
        return
    typer.echo(f"forgotten, receipt {receipt.id}, {moment(receipt.began_at)} to {moment(receipt.finished_at)}")
    for table, count in receipt.counts.items():
        typer.echo(f"  {table}: {count:,}")
    searched = ", ".join(
        f"{table} {'not looked at' if count is None else count}" for table, count in receipt.found.items()
    )
    typer.echo(f"a search afterwards found: {searched}")
    if receipt.refused_before is not None:
        typer.echo(f"events made before {moment(receipt.refused_before)} are refused whenever they arrive")
    if receipt.closed:
        typer.echo("closed: everything is refused until `learning-machine forget --reopen`")
    typer.echo("out of reach:")
    for place in receipt.beyond_reach:
        typer.echo(f"  {place}")


def _named(target: "Target") -> str:
    if target.kind == "event":
        return f"event {target.event_id}"
    if target.kind == "session":
        return f"session {target.session_id} of user {target.user_id}"
    return f"user {target.user_id}" if target.user_id else f"session {target.session_id}"


def _told(error: Any) -> str:
    option = {"user_id": "--user", "session_id": "--session", "event_id": "--event", "close": "--close"}
    return f"{option.get(error.argument, error.argument)}: {error.problem}. {error.remedy}"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        help=prose(forget),
        epilog=examples(
            "forget --user alex@example.com --dry-run",
            "forget --user alex@example.com --close --yes --json",
            "forget --user alex@example.com --session s1",
            f"forget --event {_ID}",
            "forget --user alex@example.com --reopen",
        ),
    )(forget)
