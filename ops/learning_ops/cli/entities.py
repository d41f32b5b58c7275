"""`learning-machine entities`: what is known of named things."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learning_ops.cli.option import Json, Tenant, examples, prose
from learning_ops.cli.tenant_memory import Namespace, User

if TYPE_CHECKING:
    from rich.console import RenderableType

    from learning_schemas.results import Entity

Type = Annotated[str | None, typer.Option("--type", help="What kind of thing: company, person, …")]


def search(
    query: Annotated[str, typer.Argument(help="A name, or words of what is said; empty: all, newest first.")] = "",
    type_: Type = None,
    namespace: Namespace = None,
    user: User = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 20,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Find entities by name or by what is said of them, best first; in all namespaces of the tenant, or in one."""
    from learning_ops.cli.output import print_json
    from learning_ops.cli.table import PlainTable, console
    from learning_ops.cli.tenant_memory import ask, note
    from learning_stores import entity_lookup

    scopes = _scopes(namespace, user)
    look = partial(entity_lookup.search, tenant=tenant, scopes=scopes, query=query, kind=type_, limit=limit)
    found = ask(tenant, look)
    if as_json:
        print_json(found)
        return
    if not found:
        note("Nothing of that kind is known.")
        return
    table = PlainTable("Entities", "name", "type", "namespace", "also called", "known", "ties")
    for each in found:
        known = [*([each.description] if each.description else []), *each.facts, *each.events]
        table.add_row(
            each.name, each.type, each.namespace, ", ".join(each.aliases), _few(known), _few(each.relationships)
        )
    console(whole=True).print(table)


def show(
    name: Annotated[str, typer.Argument(help="Any of its names.")],
    type_: Type = None,
    hops: Annotated[int, typer.Option(min=0, max=3, help="How many relationships away to look.")] = 1,
    namespace: Namespace = None,
    user: User = None,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Show what is known of an entity, and of those it is tied to."""
    from learning_ops.cli.failure import Failed
    from learning_ops.cli.output import print_json
    from learning_ops.cli.table import console
    from learning_ops.cli.tenant_memory import ask
    from learning_stores import entity_lookup

    look = partial(
        entity_lookup.entity, tenant=tenant, scopes=_scopes(namespace, user), name=name, kind=type_, hops=hops
    )
    found = ask(tenant, look)
    if found is None:
        raise Failed(f"nothing is called {name!r} here: `learning-machine entities search` lists what is known")
    if as_json:
        print_json(found)
        return
    console(whole=True).print(_shown(found))


def _scopes(namespace: str | None, user: str | None) -> list[str] | None:
    """The namespace that the options choose; None: all."""
    from learning_ops.cli.failure import WrongUsage
    from learning_schemas.scope import USER_NAMESPACE, namespace_scope

    if namespace is None:
        namespace = USER_NAMESPACE if user is not None else None
    if namespace is None:
        return None
    if (scope := namespace_scope(namespace, user)) is None:
        raise WrongUsage("--user is not given: say whose namespace is meant")
    return [scope]


def _shown(entity: "Entity") -> "RenderableType":
    from rich.console import Group
    from rich.table import Table

    from learning_ops.cli.table import PlainTable, plain

    facts = Table.grid(padding=(0, 2))
    listed: list[tuple[str, Any]] = [
        ("namespace", entity.namespace),
        ("also called", ", ".join(entity.aliases)),
        ("description", entity.description),
        ("properties", "\n".join(f"{name}: {value}" for name, value in entity.properties.items())),
        ("facts", "\n".join(entity.facts)),
        ("events", "\n".join(entity.events)),
        ("ties", "\n".join(entity.relationships)),
        ("id", str(entity.id)),
    ]
    for name, value in listed:
        if value:
            facts.add_row(plain(name, "dim"), plain(value))
    parts: list[RenderableType] = [plain(str(entity), "bold"), facts]
    if entity.neighbours:
        table = PlainTable("Around it", "away", "name", "type", "known", "ties", numbers=("away",))
        for each in entity.neighbours:
            known = [*([each.description] if each.description else []), *each.facts]
            table.add_row(str(each.distance), each.name, each.type, _few(known), _few(each.relationships))
        parts.append(table)
    return Group(*parts)


def _few(lines: Any, most: int = 3) -> str:
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "\n".join([*lines[:most], *more])


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Look up named things.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        epilog=examples("entities search postgresql"),
    )
    group.command(help=prose(search), epilog=examples("entities search postgresql", "entities search --type company"))(
        search
    )
    group.command(help=prose(show), epilog=examples("entities show 'Acme Corp' --hops 2"))(show)
    app.add_typer(group, name="entities")
