"""One tenant's memory, as commands ask it: as the app role, any store and any user, one transaction a question."""

import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from learning_stores.wording import Terms, Wording

T = TypeVar("T")

User = Annotated[str | None, typer.Option("--user", "-u", help="The user's id.")]
SessionId = Annotated[str | None, typer.Option("--session", "-s", help="The session's id.")]
Namespace = Annotated[str | None, typer.Option(help="Where what is shared lies: a team's, global, or user.")]
Store = Annotated[str | None, typer.Option(help="A store: user_profile, entity_memory, …")]
By = Annotated[str, typer.Option(help="Who says so; kept with the change.")]

_OPTIONS = {
    "user_id": "--user",
    "session_id": "--session",
    "learning_id": "the id",
    "content": "the text",
    "tags": "--tag",
}


def ask(tenant: str, question: Callable[["Session"], T]) -> T:
    """What the question answers. Raises `Failed`, `WrongUsage`; a learning that is unknown or stale stays its own error."""
    from learning_ops.cli.failure import WrongUsage, reaching_postgres
    from learning_schemas.errors import InvalidArgument
    from learning_stores.database import Database
    from learning_stores.settings import AgentSettings

    url = AgentSettings.load().database()
    with reaching_postgres(url, "LEARNING_DATABASE_URL"), Database(url, pool_size=1) as database:
        try:
            return database.run(tenant, question)
        except InvalidArgument as error:
            remedy = re.sub(r"\b(\w+)=…", lambda named: _option(named[1]), error.remedy)
            raise WrongUsage(f"{_option(error.argument)}: {error.problem}. {remedy}") from None


def _option(argument: str) -> str:
    """An argument as the command line has it."""
    return _OPTIONS.get(argument, f"--{argument.replace('_', '-')}")


def checked(name: str, value: str) -> str:
    """An id, a name of a person or a namespace. Raises `WrongUsage`."""
    from learning_machine.arguments import checked_id
    from learning_ops.cli.failure import WrongUsage
    from learning_schemas.errors import InvalidArgument

    try:
        return checked_id(name, value)
    except InvalidArgument as error:
        raise WrongUsage(f"{_OPTIONS.get(name, f'--{name}')}: {error.problem}. {error.remedy}") from None


def wording(given: Mapping[str, Any]) -> "Wording":
    """The options that say what is to be remembered, without their secrets; a value and data may be JSON."""
    from learning_machine.drafting import redacted_json
    from learning_ops.cli.failure import WrongUsage
    from learning_schemas.redaction import Redactor
    from learning_stores.wording import Wording

    kept = {name: value for name, value in given.items() if value not in (None, [])}
    if isinstance(kept.get("data"), str):
        try:
            kept["data"] = json.loads(kept["data"])
        except ValueError:
            kept["data"] = None
        if not isinstance(kept["data"], dict):
            raise WrongUsage("--data is no JSON object")
    return Wording(**redacted_json(kept, Redactor(), {}))


def with_value(said: "Wording", attempt: Callable[["Wording"], T]) -> T:
    """What the attempt gives with the value as text, or, where that is no value for it, with the JSON that the text is."""
    from dataclasses import replace

    from learning_schemas.errors import InvalidArgument

    try:
        return attempt(said)
    except InvalidArgument as error:
        if error.argument != "value" or not isinstance(said.value, str):
            raise
        try:
            value = json.loads(said.value)
        except ValueError:
            raise error from None
        return attempt(replace(said, value=value))


def terms(session: "Session", tenant: str, store: str) -> "Terms":
    """The configuration of a store. Raises `WrongUsage` for one that is not installed."""
    from learning_ops.cli.failure import check_store
    from learning_stores.latest_terms import latest_terms
    from learning_stores.registry import installed

    stores = installed()
    check_store(store, stores)
    return latest_terms(session, tenant, stores[store])


def note(line: str) -> None:
    """Tell people something beside the answer."""
    sys.stdout.flush()
    typer.echo(line, err=True)
