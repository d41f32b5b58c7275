"""Another tenant's ids on the command line: `--tenant globex` with acme's ids is `--tenant globex` with any."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest
import typer

from harness import Place
from learning_ops.cli import app
from learning_ops.cli.failure import run_app
from learning_stores.database import Database
from security.residents import SECRET, A, B, Ids, guessed, holdings, untold

BY = ("--by", "mallory@globex.com")

COMMANDS: dict[str, Callable[[Ids], tuple[str, ...]]] = {
    "curate": lambda ids: ("show", str(ids.run)),
    "dead discard": lambda ids: ("--event", str(ids.event.id), "--because", "none", "--yes"),
    "dead list": lambda ids: ("--store", "user_profile"),
    "dead replay": lambda ids: ("--event", str(ids.event.id), "--yes", *BY),
    "dead show": lambda ids: (str(ids.event.id), "--words"),
    "entities search": lambda ids: (ids.entity, "--user", ids.user),
    "entities show": lambda ids: (ids.entity, "--user", ids.user, "--hops", "3"),
    "export": lambda ids: ("--user", ids.user),
    "forget": lambda ids: ("--event", str(ids.event.id), "--yes", *BY),
    "learnings add": lambda ids: ("Is here", "--user", ids.user, *BY),
    "learnings history": lambda ids: (str(ids.retired),),
    "learnings list": lambda ids: ("--user", ids.user, "--status", "all", "--after", str(ids.insight)),
    "learnings promote": lambda ids: (str(ids.insight), "wider", *BY),
    "learnings retract": lambda ids: (str(ids.memory), *BY),
    "learnings show": lambda ids: (str(ids.fact),),
    "learnings update": lambda ids: (str(ids.memory), "Keeps nothing", *BY),
    "proposals approve": lambda ids: (str(ids.proposal), *BY),
    "proposals edit": lambda ids: (str(ids.proposal), "--learning", "Wait for nothing", *BY),
    "proposals list": lambda ids: ("--user", ids.user, "--after", str(ids.proposal)),
    "proposals reject": lambda ids: (str(ids.proposal), *BY),
    "proposals show": lambda ids: (str(ids.proposal),),
    "recall": lambda ids: ("--user", ids.user, "--session", ids.session),
    "replay": lambda ids: ("--user", ids.user, "--event", str(ids.event.id), "--yes", *BY),
    "skip": lambda ids: (str(ids.event.id), "--store", "user_profile", "--reason", "none", "--yes"),
    "trace": lambda ids: (str(ids.event.id),),
    "undo": lambda ids: (str(ids.extraction), "--yes", *BY),
}
OTHERS = {
    "budget list": "is the operator's: all tenants, sums alone",
    "budget set": "is the operator's, who says what each tenant may spend",
    "budget remove": "is the operator's, who says what each tenant may spend",
    "cost": "is the operator's: sums of calls, of a tenant by name or of all, and takes no id",
    "emit": "reads events from a file: they are taken in under the tenant that it names, as in tests of the event log",
    "import": "reads a file and writes what it holds into the tenant that the command names (test_export_import)",
    "reembed": "asks a model about learnings of a tenant by name and takes no id: it needs the embedding model's key",
    "spool drain": "sends what this host's own files hold",
    "spool list": "counts what this host's own files hold",
    "status": "is the operator's: all tenants, counts alone",
    "doctor": "is the operator's: looks at servers and settings over all tenants, names their tenants, and shows no words",
    "probe": "asks processes and counts over all tenants whether they move, and names nobody",
    "demo": "has servers of its own",
    "run": "starts servers",
    "up": "starts servers",
    "migrate": "is the owner's",
    "dispatcher": "runs until it is stopped",
    "schema": "prints what is published",
}
"""Commands that take no id of a tenant's."""


def commands() -> Iterator[str]:
    """Every command."""

    def walk(group: Any, path: tuple[str, ...]) -> Iterator[str]:
        for name, each in group.commands.items():
            yield from walk(each, (*path, name)) if hasattr(each, "commands") else [" ".join((*path, name))]

    yield from walk(typer.main.get_command(app), ())


def test_given_every_command_then_this_test_knows_how_to_call_it() -> None:
    found = set(commands())
    assert found - COMMANDS.keys() - OTHERS.keys() == set()
    assert (COMMANDS.keys() | OTHERS.keys()) - found == set()


def test_given_another_tenants_ids_when_every_command_runs_then_nothing_is_shown_changed_or_told(
    place: Place,
    everything_db: Database,
    acme: Ids,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {**place.env, "COLUMNS": "200"}.items():
        if name.startswith(("LEARNING_", "COLUMNS")):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(place.directory)
    before, nothing = holdings(everything_db, A), guessed()

    def shown(command: str, ids: Ids) -> str:
        arguments = [*command.split(), *COMMANDS[command](ids), "--tenant", B]
        monkeypatch.setattr(sys, "argv", ["learning-machine", *arguments])
        status = run_app(app)
        printed = capsys.readouterr()
        return untold(" ".join(f"exit {status} {printed.out} {printed.err}".split()), ids)

    for command in COMMANDS:
        of_acme, of_nothing = shown(command, acme), shown(command, nothing)
        assert SECRET not in of_acme, command
        assert of_acme == of_nothing, command
    assert holdings(everything_db, A) == before


def test_given_commands_when_their_options_are_read_then_those_that_take_an_id_take_a_tenant() -> None:
    for command in commands():
        found: click.Command = typer.main.get_command(app)
        for part in command.split():
            found = found.commands[part]  # type: ignore[attr-defined]  # a group has them
        takes = {parameter.name for parameter in found.params}
        if any(name.endswith("_id") or name == "user" for name in takes if name is not None):
            assert "tenant" in takes, command
