"""What is said where embedding is behind: the model was changed and nothing moved to it, or a model does not answer."""

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from learning_stores.database import Database
    from learning_stores.embedding_coverage import Coverage


def reembed_note(database: "Database", name: str | None) -> str | None:
    """One line with the command, where tenants have vectors of other models alone. As the dispatcher; `name` embeds now."""
    from learning_stores.embeddings import tenants_to_move

    if name is None or not (tenants := database.run(None, tenants_to_move, name)):
        return None
    whose = "1 tenant" if tenants == 1 else f"{tenants:,} tenants"
    return f"the memory of {whose} has no complete vectors of {name}, and recall goes by words until you run `{command(name)}`"


def unfinished_notes(database: "Database", name: str | None) -> list[str]:
    """A line for each model that tenants are not wholly embedded with while another is read: how to go on, and to give it up.

    As the dispatcher; `name` embeds now.
    """
    from learning_stores.embedding_tenants import unfinished_moves

    # Where it is what embeds now, `reembed_note` says so.
    return [
        unfinished_note(each.model, each.reading, "1 tenant" if each.tenants == 1 else f"{each.tenants:,} tenants")
        for each in database.run(None, unfinished_moves, name)
        if each.model != name
    ]


def unfinished_of(tenant: str, models: "Sequence[Coverage]", name: str | None) -> list[str]:
    """The same lines for one tenant, of its models."""
    reading = [each.model for each in models if each.state == "reading"]
    kept = min(reading, key=lambda model: model != name, default=None)
    building = [each.model for each in models if each.state == "building"]
    return [unfinished_note(model, kept, tenant, tenant) for model in building if kept is not None]


def unfinished_note(model: str, reading: str, where: str, tenant: str | None = None) -> str:
    """What may be done about a move to a model that is not complete."""
    only = "" if tenant is None else f" --tenant {shlex.quote(tenant)}"
    return (
        f"the move to {model} is not complete in {where}, and what is learned waits for its vector: "
        f"`{command(model)}{only}` goes on with it, `{command(reading)} --drop-others{only}` gives it up"
    )


def command(name: str) -> str:
    """What moves to the model whose vectors have this name."""
    from learning_stores.embedding_endpoint import parsed_name

    model, dimensions = parsed_name(name)
    return f"learning-machine reembed {shlex.quote(model)}" + (f" --dimensions {dimensions}" if dimensions else "")


def waiting_notes(database: "Database") -> list[str]:
    """A line for each model that brings nothing while learnings wait for it, with the reason. As the dispatcher."""
    from learning_stores.embedding_tenants import waiting_models

    return [
        f"embedding with {each.model} waits in {each.tenants:,} {'tenant' if each.tenants == 1 else 'tenants'} ({each.note}): "
        "`learning-machine reembed --status` says until when"
        for each in database.run(None, waiting_models)
    ]
