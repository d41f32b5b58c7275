"""`learning-machine export`: everything that is held about a user, as JSON Lines."""

import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from learning_ops.cli.option import Tenant, examples, prose

if TYPE_CHECKING:
    from learning_stores.export import Export


def export(
    user: Annotated[str, typer.Option("--user", "-u", help="The user's id.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write there, readable for you alone; else stdout.")
    ] = None,
    tenant: Tenant = "default",
) -> None:
    """Write everything that is held about a user in a tenant, one JSON object a line: a header, then the records.

    Learnings of every status with the words that they stand on, entities, events with their messages and deliveries,
    extractions, changes, sessions, model calls with their cost, forgettings. Of what users share, only this user's part. The
    header counts the records, and names what is left out (embeddings, for one). Needs LEARNING_DATABASE_URL.
    """
    from learning_ops.cli.failure import Failed, reaching_postgres
    from learning_ops.cli.tenant_memory import checked, note
    from learning_stores.database import Database
    from learning_stores.export import export as exported
    from learning_stores.settings import AgentSettings

    user_id, url = checked("user_id", user), AgentSettings.load().database()
    with (
        reaching_postgres(url, "LEARNING_DATABASE_URL"),
        Database(url, pool_size=1) as database,
        exported(database, tenant, user_id) as found,
    ):
        try:
            if out is None:
                _write(sys.stdout.buffer, found)
            else:
                _save(out, found)
        except OSError as error:
            raise Failed(f"{out or 'stdout'}: {error.strerror or type(error).__name__}") from None
    counts = {kind: count for kind, count in found.header["counts"].items() if count}
    if not counts:
        note(f"nothing is held about user {user_id} in tenant {tenant}")
    else:
        note(
            f"exported of user {user_id} in tenant {tenant}: {', '.join(f'{n:,} {kind}' for kind, n in counts.items())}"
        )


def _save(out: Path, found: "Export") -> None:
    """Whole or not at all, and never over a file that is there."""
    from learning_ops.cli.failure import Failed

    try:
        # Words of a person: nobody else on this host is to read them.
        number = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Failed(f"{out} exists: name another file") from None
    try:
        with os.fdopen(number, "wb") as file:
            _write(file, found)
            os.fsync(file.fileno())
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _write(file: IO[bytes], found: "Export") -> None:
    file.writelines(found.lines())
    file.flush()


def register(app: typer.Typer) -> None:
    """Add the command."""
    told = examples(
        "export --user alex@example.com --out alex.jsonl",
        "export --user alex@example.com --tenant acme | gzip > alex.gz",
    )
    app.command(help=prose(export), epilog=told)(export)
