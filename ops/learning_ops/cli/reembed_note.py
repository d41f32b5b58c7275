"""What is said where embedding is behind: the model was changed and nothing moved to it, or a model does not answer."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from learning_stores.database import Database


def reembed_note(database: "Database", name: str | None) -> str | None:
    """One line with the command, where tenants have vectors of other models alone. As the dispatcher; `name` embeds now."""
    from learning_stores.embedding_endpoint import parsed_name
    from learning_stores.embeddings import tenants_to_move

    if name is None or not (tenants := database.run(None, tenants_to_move, name)):
        return None
    model, dimensions = parsed_name(name)
    command = f"learning-machine reembed {model}" + (f" --dimensions {dimensions}" if dimensions else "")
    whose = "1 tenant" if tenants == 1 else f"{tenants:,} tenants"
    return (
        f"the memory of {whose} has no complete vectors of {name}, and recall goes by words until you run `{command}`"
    )


def waiting_notes(database: "Database") -> list[str]:
    """A line for each model that brings nothing while learnings wait for it, with the reason. As the dispatcher."""
    from learning_stores.embedding_tenants import waiting_models

    return [
        f"embedding with {each.model} waits in {each.tenants:,} {'tenant' if each.tenants == 1 else 'tenants'} ({each.note}): "
        "`learning-machine reembed --status` says until when"
        for each in database.run(None, waiting_models)
    ]
