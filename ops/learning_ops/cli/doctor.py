"""`learning-machine doctor`: what is wrong with this deployment, and what to do about it."""

from typing import TYPE_CHECKING, Annotated

import typer

from learning_ops.cli.option import Json, examples, prose

if TYPE_CHECKING:
    from learning_ops.doctor import Examination

_STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "bold red"}


def doctor(
    as_json: Json = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings also give exit status 1.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Leave out what is as it should be.")] = False,
) -> None:
    """Look at versions, roles and policies, Redis' persistence and eviction, clocks, dispatchers, workers, schema, embedding,
    models, dead deliveries and the spool of this host; say what is wrong, each with its remedy. Changes nothing.

    Reads the variables and files that the commands read; LEARNING_OWNER_DATABASE_URL only for the schema's revision. A server
    that is away is one finding, and the others are looked at all the same.

    Exit 0: nothing above a warning (with --strict: above a note). Exit 1: at least one finding that needs action. Exit 2: wrong
    usage.
    """
    from learning_ops.cli.output import print_json
    from learning_ops.doctor import LEVELS, Deployment, examine
    from learning_ops.extras import require_extra
    from learning_stores.settings import ServiceSettings

    require_extra("worker", "celery")
    deployment = Deployment(settings=ServiceSettings.load())
    found = examine(deployment)
    if as_json:
        print_json(found.as_dict())
    else:
        _show(found, quiet=quiet)
    least = "warning" if strict else "error"
    if LEVELS.index(found.level) >= LEVELS.index(least):
        raise typer.Exit(1)


def _show(found: "Examination", *, quiet: bool) -> None:
    from learning_ops.cli.table import console, plain

    screen = console(soft_wrap=True)
    for each in found.findings:
        if quiet and each.level == "ok":
            continue
        line = plain(f"{each.level:<8}", _STYLES[each.level])
        screen.print(line + plain(f" {each.check}: {each.what}"))
        if each.remedy is not None:
            screen.print(plain(f"{'':11}{each.remedy}", "bold"))
    counts = {level: sum(each.level == level for each in found.findings) for level in _STYLES}
    screen.print(plain(", ".join(f"{count} {level}" for level, count in counts.items() if count)))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=prose(doctor), epilog=examples("doctor", "doctor --json", "doctor --strict --quiet"))(doctor)
