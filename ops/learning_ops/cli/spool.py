"""`learning-machine spool`: what agents of this host kept on the disk because neither Redis nor Postgres took it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learning_ops.cli.option import Json, examples, prose

if TYPE_CHECKING:
    from learning_stores.settings import AgentSettings

Directory = Annotated[
    Path | None, typer.Argument(metavar="[DIR]", help="The spool directory; else LEARNING_SPOOL_DIR.")
]


def list_(directory: Directory = None, as_json: Json = False) -> None:
    """Show the files of a spool directory: how many events wait in each, whether a process holds it, and what was refused.

    Connects to nothing. A file in use is drained by its own process once Postgres or Redis is back.
    """
    from learning_machine.spool_look import look
    from learning_ops.cli.output import moment, print_json
    from learning_ops.cli.table import PlainTable, console
    from learning_stores.settings import AgentSettings

    found = look(_directory(directory, AgentSettings.load()))
    if as_json:
        print_json([vars(each) for each in found])
        return
    numbers = ("waiting", "damaged", "refused", "bytes")
    table = PlainTable("Spool", "file", "for", "state", "written", *numbers, numbers=numbers)
    for each in found:
        state = "in use" if each.in_use else "to be drained" if each.waiting or each.damaged else "drained"
        figures = (each.waiting, each.damaged, each.refused, each.bytes)
        table.add_row(
            each.name, each.destination or "", state, moment(each.written_at), *(f"{figure:,}" for figure in figures)
        )
    console(whole=True).print(table)


def drain(
    directory: Directory = None,
    anywhere: Annotated[
        bool, typer.Option("--anywhere", help="Files for another database too: its events go into this one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Hand in the events of files that no process holds any more, and remove the files that are empty then.

    They go into the Postgres of LEARNING_DATABASE_URL, or into the streams of LEARNING_REDIS_URL where it does not answer.
    What was handed in before is not doubled. What is refused is set aside in a `.refused` file with the reason. Exit status 1
    where a file could not be drained to its end.
    """
    from learning_machine.spool import destination_name
    from learning_machine.spool_drain import Drained, drain_directory
    from learning_machine.spool_taker import Taker
    from learning_ops.cli.failure import Failed
    from learning_ops.cli.output import print_json
    from learning_stores.database import driver_url
    from learning_stores.settings import AgentSettings

    settings = AgentSettings.load()
    where, url = _directory(directory, settings), settings.database()
    destination = None if anywhere else destination_name(driver_url(url))
    result = Drained()
    taker = Taker(url, settings.redis() if settings.redis_url is not None else None, settings.shards)
    try:
        drain_directory(where, destination, taker, result, lambda: False)
    finally:
        taker.close()
    if as_json:
        print_json(vars(result))
    else:
        for line in _told(result):
            typer.echo(line)
    if result.cause is not None:
        raise Failed(f"not everything could be handed in: {result.cause}. What is left stays in {where}")


def _told(result: Any) -> list[str]:
    lines = [f"drained {_count(result.accepted, 'event')} of {_count(result.files, 'file')}"]
    if result.known:
        lines.append(f"{_count(result.known, 'event')} had been accepted before")
    if result.refused or result.damaged:
        lines.append(f"set aside: {result.refused:,} refused, {result.damaged:,} damaged; the .refused files say why")
    if result.torn:
        lines.append(f"{_count(result.torn, 'record')} had been cut off by a crash before emit returned: not accepted")
    if result.in_use:
        lines.append(f"{_count(result.in_use, 'file')} in use: a process drains it by itself")
    lines += [f"left alone, for another database: {each} (--anywhere takes it)" for each in result.elsewhere]
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _directory(given: Path | None, settings: "AgentSettings") -> Path:
    from learning_machine.spool import checked_directory
    from learning_ops.cli.failure import WrongUsage

    named = given or (settings.spool_dir or "").strip()
    if not named:
        raise WrongUsage("name the spool directory, or set LEARNING_SPOOL_DIR")
    return checked_directory(named, "DIR" if given else "LEARNING_SPOOL_DIR")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    spool = typer.Typer(
        name="spool",
        help="What agents of this host kept on the disk because neither Redis nor Postgres took it.",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    spool.command("list", help=prose(list_), epilog=examples("spool list /var/spool/learning"))(list_)
    spool.command("drain", help=prose(drain), epilog=examples("spool drain /var/spool/learning"))(drain)
    app.add_typer(spool)
