"""Asking before something is changed: what it will touch was printed by then."""

import sys

import typer


def confirmed(question: str, *, yes: bool) -> None:
    """Go on where somebody says so. Without a terminal `--yes` is required: raises `WrongUsage`."""
    from learning_ops.cli.failure import WrongUsage

    if yes:
        return
    if not sys.stdin.isatty():
        raise WrongUsage("there is no terminal to ask on: --yes says that it is meant, --dry-run only shows it")
    typer.confirm(question, abort=True, err=True)


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
