"""`learning-machine schema`: the wire format, for producers in any language."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from learning_ops.cli.option import examples, prose


class Subject(StrEnum):
    """What there is a schema of."""

    EVENT = "event"
    SPEC = "spec"


def wire_schema(subject: Subject) -> dict[str, Any]:
    """The JSON Schema (2020-12) of an event, or of the spec that it names by hash."""
    from learning_schemas.event import ConversationCompleted
    from learning_schemas.spec import MachineSpec

    model = ConversationCompleted if subject is Subject.EVENT else MachineSpec
    version = model.model_fields["v"].default
    body = model.model_json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:learning-machine:{subject}:v{version}",
        "version": version,
        "title": body.pop("title"),
        "description": body.pop("description"),
        **body,
    }


def schema_text(subject: Subject) -> str:
    """The same as text, as it is checked in."""
    import json

    return json.dumps(wire_schema(subject), indent=2, ensure_ascii=False) + "\n"


def schema(
    subject: Annotated[Subject, typer.Argument(help="What of.")] = Subject.EVENT,
    output: Annotated[Path | None, typer.Option(help="Write it to this file instead of stdout.")] = None,
) -> None:
    """Print the JSON Schema of the wire format.

    An event is one entry `event` of a Redis stream `learning:events:N`; a spec travels beside it in the entry `spec`.
    """
    text = schema_text(subject)
    if output is None:
        typer.echo(text, nl=False)
        return
    from learning_ops.cli.failure import Failed

    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failed(f"{output} cannot be written: {error.strerror}") from None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=prose(schema), epilog=examples("schema", "schema spec --output spec.schema.json"))(schema)
