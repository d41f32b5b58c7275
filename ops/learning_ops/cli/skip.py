"""`learning-machine skip`: give up one delivery that holds up its mailbox."""

import sys
from typing import Annotated
from uuid import UUID

import typer

from learning_ops.cli.option import Tenant, examples, prose

_LONGEST = 500


def skip(
    event_id: Annotated[UUID, typer.Argument(help="The event's id.")],
    store: Annotated[str, typer.Option(help="The store that is not to read it.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the delivery, and shown by trace.")],
    tenant: Tenant = "default",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Give up one pending delivery, so that what waits behind it in its mailbox goes on at once.

    The event stays in the log, and other stores still read it. Needs LEARNING_DISPATCHER_DATABASE_URL. Asks first;
    without a terminal, --yes is required.
    """
    from learning_ops.cli.failure import Failed, WrongUsage, reaching_postgres
    from learning_stores.database import Database
    from learning_stores.settings import ServiceSettings
    from learning_stores.skipping import skip_delivery

    reason = " ".join(reason.replace("\0", " ").split())
    if not reason:
        raise WrongUsage("--reason is empty: say why, for whoever traces the event later")
    if len(reason) > _LONGEST:
        raise WrongUsage(f"--reason has {len(reason):,} characters, and may have {_LONGEST}")
    url = ServiceSettings.load().dispatcher_database()
    if not yes:
        if not sys.stdin.isatty():
            raise WrongUsage("there is no terminal to ask on: --yes says that it is meant")
        typer.confirm(f"Skip {store} for event {event_id} of tenant {tenant}? {store} will never read it", abort=True)
    with (
        reaching_postgres(url, "LEARNING_DISPATCHER_DATABASE_URL"),
        Database(url, pool_size=1, field="dispatcher_database_url") as database,
    ):
        skipped = database.run(None, skip_delivery, tenant, event_id, store, reason)
    what = f"delivery of event {event_id} of tenant {tenant!r} to {store}"
    if skipped.state is None:
        raise Failed(f"there is no {what}: `learning-machine trace {event_id}` shows those that there are")
    if not skipped.done:
        raise Failed(f"the {what} is not pending but {skipped.state}: nothing was changed")
    typer.echo(f"skipped the {what}")
    if skipped.waiting:
        count = f"{skipped.waiting:,} deliveries" if skipped.waiting > 1 else "1 delivery"
        typer.echo(f"its mailbox is due now, with {count} pending")
    else:
        typer.echo("nothing else waits in its mailbox, which is gone")
    if skipped.worker:
        typer.echo(f"worker {skipped.worker} had it in work: what it makes of it is refused")


def register(app: typer.Typer) -> None:
    """Add the command."""
    an_id = "0198c0de-1111-7222-8333-444455556666"
    app.command(help=prose(skip), epilog=examples(f"skip {an_id} --store user_profile --reason 'kills its worker'"))(
        skip
    )
