"""Options that several commands have."""

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

Tenant = Annotated[str, typer.Option(envvar="LEARNING_TENANT", help="Whose memory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]


def examples(*lines: str) -> str:
    """The end of a help text: what to type."""
    return "\n\n".join(["[bold]Examples[/]", *(f"[cyan]learning-machine {line}[/]" for line in lines)])


def prose(command: Callable[..., None]) -> str:
    """A command's help text: its docstring with whole paragraphs, for a terminal of any width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.getdoc(command).split("\n\n"))  # type: ignore[union-attr]  # every command has one
