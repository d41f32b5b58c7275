"""`learning-machine import`: what was remembered of a user elsewhere comes into a tenant."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from learning_ops.cli.option import Json, Tenant, examples, prose


def import_(
    file: Annotated[Path | None, typer.Argument(help="What `learning-machine export` wrote.")] = None,
    from_agno: Annotated[
        str | None,
        typer.Option("--from-agno", metavar="URL", help="Instead: the Postgres in which agno keeps its learnings."),
    ] = None,
    table: Annotated[str, typer.Option(help="With --from-agno: agno's table, with its schema.")] = "ai.agno_learnings",
    user: Annotated[
        str | None,
        typer.Option(
            "--user",
            "-u",
            help="Whose it becomes; else the user's who was exported. With --from-agno: this user's alone.",
        ),
    ] = None,
    own_only: Annotated[
        bool, typer.Option("--own-only", help="Leave out what users share: entities and insights.")
    ] = False,
    by: Annotated[str | None, typer.Option(help="Who imports; kept with the changes.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the whole file and say what it would bring.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Bring a user's learnings, with what they stand on, entities and past, into a tenant; under the rules of every write.

    What is known here already gains evidence; what is newer here stays, and the older becomes its history. The same file brings
    nothing the second time. Events and costs are not taken. The file is checked whole, then this asks; without a terminal,
    --yes is required. Exit 1 for a file that cannot be taken, with the line and the field, and for a user who is closed.

    With --from-agno all users of agno's table come in, and what they share; what has no equal here is listed, row by row, with
    the reason. The table is read in one snapshot and not changed. Insights, which agno keeps in its knowledge base, do not come in.
    """
    from learning_ops.cli.asking import confirmed, counted
    from learning_ops.cli.failure import WrongUsage, reaching_postgres
    from learning_ops.cli.output import print_json
    from learning_ops.cli.tenant_memory import checked, note
    from learning_stores.database import Database
    from learning_stores.import_file import ExportFile
    from learning_stores.importing import Import, plan, run_import
    from learning_stores.settings import AgentSettings

    person = None if by is None else checked("by", by)
    if from_agno is not None and file is None:
        from learning_ops.cli.import_agno import import_from_agno

        asked = None if user is None else checked("user_id", user)
        import_from_agno(
            from_agno,
            table,
            user=asked,
            shared=not own_only,
            by=person,
            tenant=tenant,
            dry_run=dry_run,
            yes=yes,
            as_json=as_json,
        )
        return
    if file is None or from_agno is not None:
        raise WrongUsage("give either a file or --from-agno")
    source = ExportFile(file)
    user_id = source.user_id if user is None else checked("user_id", user)
    wanted = Import(source=source, tenant=tenant, user_id=user_id, by=person, shared=not own_only)
    url = AgentSettings.load().database()
    with reaching_postgres(url, "LEARNING_DATABASE_URL"), Database(url, pool_size=1) as database:
        found = plan(database, wanted)
        brings = [f"{count:,} {status}" for status, count in sorted(found.learnings.items())]
        from_whom = f"user {source.user_id} of tenant {source.tenant}"
        note(
            f"to import from {from_whom} into user {user_id} of tenant {tenant}: learnings: {', '.join(brings) or 'none'}"
            f" ({found.known:,} were imported before); {counted(found.entities, 'entity', 'entities')}"
        )
        if dry_run:
            if as_json:
                print_json({"learnings": dict(found.learnings), "entities": found.entities, "known": found.known})
            return
        confirmed(f"Import it into user {user_id} of tenant {tenant}?", yes=yes)
        done = run_import(database, wanted)
    if as_json:
        print_json(dict(done))
    else:
        typer.echo(told_of(done))


_MEANS = {
    "added": "added",
    "updated": "took the place of something older",
    "confirmed": "known here, with new evidence",
    "proposed": "proposed",
    "history": "entered the history of something newer",
    "past": "were past, and are here",
    "known": "imported before",
    "entities": "entities",
}


def told_of(done: Counter[str]) -> str:
    words = {**_MEANS, **{name: name for name in done if name not in _MEANS}}
    return "imported: " + (
        ", ".join(f"{done[name]:,} {told}" for name, told in words.items() if done[name]) or "nothing"
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    told = examples(
        "import alex.jsonl --dry-run",
        "import alex.jsonl --user alex@example.org --tenant acme --yes",
        "import --from-agno postgresql://ai:ai@localhost:5532/ai --dry-run",
    )
    app.command("import", help=prose(import_), epilog=told)(import_)
