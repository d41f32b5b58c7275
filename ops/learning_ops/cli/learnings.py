"""`learning-machine learnings`: read what is remembered, and correct it under one's name."""

from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

import typer

from learning_ops.cli.option import Json, Tenant, examples, prose
from learning_ops.cli.tenant_memory import By, Namespace, SessionId, Store, User

_ID = "0198c0de-1111-7222-8333-444455556666"

Id = Annotated[UUID, typer.Argument(help="The learning's id, as `learnings list` shows it.")]
Content = Annotated[str | None, typer.Argument(help="What is so, in one short statement.")]
Status = Literal["active", "proposed", "retired", "all"]

Value = Annotated[str | None, typer.Option(help="A field's or property's value; JSON where it is no text.")]
Title = Annotated[str | None, typer.Option(help="An insight's title.")]
Insight = Annotated[str | None, typer.Option("--learning", help="What an insight says.")]
Context = Annotated[str | None, typer.Option(help="When an insight holds.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="A word to find an insight by; may be repeated.")]
Relation = Annotated[str | None, typer.Option(help="How an entity is tied to another: 'CTO of'.")]
Date = Annotated[str | None, typer.Option(help="When an event was: YYYY, YYYY-MM or YYYY-MM-DD.")]
Data = Annotated[str | None, typer.Option(help="A JSON object, for stores of your own.")]


def list_learnings(
    user: User = None,
    session: SessionId = None,
    store: Store = None,
    kind: Annotated[str | None, typer.Option(help="A kind: memory, field, fact, insight, …")] = None,
    status: Annotated[Status, typer.Option(help="Which of them.")] = "active",
    namespace: Namespace = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many.")] = 50,
    after: Annotated[UUID | None, typer.Option(help="The last id of the page before.")] = None,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """List what is remembered in a tenant, newest first: of everybody, or of those that the options choose."""
    from learning_ops.cli import learning_report
    from learning_ops.cli.output import print_json
    from learning_ops.cli.table import console
    from learning_ops.cli.tenant_memory import ask, note
    from learning_stores.library import Selection, page

    selection = Selection(
        stores=None if store is None else [store],
        kind=kind,
        status=None if status == "all" else status,
        namespace=namespace,
        user_id=user,
        session_id=session,
        after=after,
    )
    found = ask(tenant, partial(page, tenant=tenant, selection=selection, limit=limit))
    if as_json:
        print_json(found)
    elif found:
        console(whole=True).print(learning_report.page("Learnings, newest first", found))
    else:
        note("Nothing is remembered here.")
    if len(found) == limit:
        note(f"there may be more: --after {found[-1].id}")


def show(learning_id: Id, tenant: Tenant = "default", as_json: Json = False) -> None:
    """Show one learning with all that it stands on: the words of messages, and what people changed."""
    from learning_ops.cli.tenant_memory import ask
    from learning_stores.library import get

    _print(ask(tenant, partial(get, tenant=tenant, learning_id=learning_id)), as_json)


def history(learning_id: Id, tenant: Tenant = "default", as_json: Json = False) -> None:
    """Show what a learning took the place of and what took its place, oldest first, and who said so."""
    from learning_ops.cli import learning_report
    from learning_ops.cli.output import print_json
    from learning_ops.cli.table import console
    from learning_ops.cli.tenant_memory import ask
    from learning_stores.library import history as chain

    found = ask(tenant, partial(chain, tenant=tenant, learning_id=learning_id))
    if as_json:
        print_json(found)
    else:
        console(whole=True).print(learning_report.chain(found))


def add(
    by: By,
    content: Content = None,
    user: User = None,
    session: SessionId = None,
    store: Store = None,
    kind: Annotated[str | None, typer.Option(help="A kind, where the other options do not tell it.")] = None,
    namespace: Namespace = None,
    field: Annotated[str | None, typer.Option(help="A field of a profile, or a property of an entity.")] = None,
    value: Value = None,
    title: Title = None,
    learning: Insight = None,
    context: Context = None,
    tag: Tags = None,
    entity: Annotated[str | None, typer.Option(help="The entity that it is about.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="What that is: company, person, …")] = None,
    relation: Relation = None,
    target: Annotated[str | None, typer.Option(help="The entity that it is tied to.")] = None,
    target_type: Annotated[str | None, typer.Option(help="What that is.")] = None,
    date: Date = None,
    data: Data = None,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Remember what a person states, at once and under their name.

    The options tell the store where --store does not: --title means learned_knowledge, --entity means entity_memory, else it
    is user_profile. Fields are checked, and namespaces chosen, as the tenant's agents last did; --namespace chooses another.
    """
    from learning_ops.cli.tenant_memory import ask, checked, note, wording

    said = wording(
        {
            "content": content, "field": field, "value": value, "title": title, "learning": learning, "context": context,
            "tags": tag, "entity": entity, "type": type_, "relation": relation, "target": target,
            "target_type": target_type, "date": date, "data": data,
        }
    )  # fmt: skip  # one for each option
    means = "learned_knowledge" if title or learning else "entity_memory" if entity or relation else "user_profile"
    person = checked("by", by)
    whose = {"user_id": None if user is None else checked("user_id", user)}
    whose["session_id"] = None if session is None else checked("session_id", session)
    shared = None if namespace is None else checked("namespace", namespace)
    made = ask(tenant, partial(_added, tenant, store or means, kind, shared, whose, said, person))
    if not as_json:
        note("remembered:")
    _print(made, as_json)


def _added(
    tenant: str,
    name: str,
    kind: str | None,
    namespace: str | None,
    whose: dict[str, str | None],
    said: Any,
    by: str,
    session: Any,
) -> Any:
    """The learning that was added, in the transaction."""
    from learning_ops.cli.failure import WrongUsage
    from learning_ops.cli.tenant_memory import terms, with_value
    from learning_schemas.scope import GLOBAL_NAMESPACE
    from learning_stores.correction import add as added
    from learning_stores.place import Place, written_scope
    from learning_stores.registry import installed

    known = terms(session, tenant, name)
    store = installed()[name]
    spec = known.spec if namespace is None else known.spec.model_copy(update={"namespace": namespace})
    if namespace is not None and not store.namespaced:
        raise WrongUsage(f"--namespace: {name} shares nothing. Leave it out")
    scope = written_scope(store.scope, store.namespaced, spec, whose["user_id"], whose["session_id"])
    if scope is None:
        needed = "--user" if store.namespaced or store.scope == "user" else "--session"
        raise WrongUsage(f"{needed} is not given, and {name} needs it")
    where = (spec.namespace or GLOBAL_NAMESPACE) if store.namespaced else None
    place = Place(tenant=tenant, store=name, scope=scope, namespace=where, **whose)
    return with_value(said, lambda each: added(session, place, store, known, each, by=by, kind=kind))


def update(
    learning_id: Id,
    by: By,
    content: Content = None,
    value: Value = None,
    title: Title = None,
    learning: Insight = None,
    context: Context = None,
    tag: Tags = None,
    relation: Relation = None,
    date: Date = None,
    data: Data = None,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Correct a learning: a new one takes its place, and counts until the user says otherwise. What is not given stays."""
    from learning_ops.cli.tenant_memory import ask, checked, note, terms, with_value, wording
    from learning_stores.correction import update as updated

    said = wording(
        {
            "content": content, "value": value, "title": title, "learning": learning, "context": context, "tags": tag,
            "relation": relation, "date": date, "data": data,
        }
    )  # fmt: skip  # one for each option
    person = checked("by", by)

    def question(session: Any) -> Any:
        return with_value(
            said,
            lambda each: updated(session, tenant, learning_id, each, partial(terms, session, tenant), by=person),
        )

    made = ask(tenant, question)
    if not as_json:
        note(f"learning {learning_id} was corrected:" if made.id != learning_id else "it said so already:")
    _print(made, as_json)


def retract(learning_id: Id, by: By, tenant: Tenant = "default", as_json: Json = False) -> None:
    """Take a learning back. It comes back only by the user's own later words, or by a person."""
    from learning_ops.cli.tenant_memory import ask, checked, note
    from learning_stores.correction import retract as retracted

    made = ask(tenant, partial(retracted, tenant=tenant, learning_id=learning_id, by=checked("by", by)))
    if not as_json:
        note("taken back:")
    _print(made, as_json)


def promote(
    learning_id: Id,
    namespace: Annotated[str, typer.Argument(help="A team's name, or global.")],
    by: By,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """State an insight in a wider namespace too, with all that it stands on. The original stays."""
    from learning_ops.cli.tenant_memory import ask, checked, note
    from learning_stores.promotion import promote as promoted

    person, wider = checked("by", by), checked("namespace", namespace)
    made = ask(tenant, partial(promoted, tenant=tenant, learning_id=learning_id, namespace=wider, by=person))
    if not as_json:
        note(f"known in {namespace} too:")
    _print(made, as_json)


def _print(learning: Any, as_json: bool) -> None:
    from learning_ops.cli import learning_report
    from learning_ops.cli.output import print_json
    from learning_ops.cli.table import console

    if as_json:
        print_json(learning)
    else:
        console(whole=True).print(learning_report.one(learning))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Read what is remembered, and correct it under your name.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        epilog=examples("learnings list --user alex@example.com"),
    )
    by = "--by support@acme.com"
    group.command("list", help=prose(list_learnings), epilog=examples("learnings list --user alex@example.com"))(
        list_learnings
    )
    group.command(help=prose(show), epilog=examples(f"learnings show {_ID}"))(show)
    group.command(help=prose(history), epilog=examples(f"learnings history {_ID} --json"))(history)
    group.command(
        help=prose(add),
        epilog=examples(
            f"learnings add 'Is vegetarian' --user alex@example.com {by}",
            f"learnings add --field name --value Alex --user alex@example.com {by}",
            f"learnings add --title CI --learning 'Retry the login test once' --tag tests {by}",
            f"learnings add 'Uses PostgreSQL' --entity 'Acme Corp' --type company {by}",
        ),
    )(add)
    group.command(help=prose(update), epilog=examples(f"learnings update {_ID} 'Is vegan' {by}"))(update)
    group.command(help=prose(retract), epilog=examples(f"learnings retract {_ID} {by}"))(retract)
    group.command(help=prose(promote), epilog=examples(f"learnings promote {_ID} global {by}"))(promote)
    app.add_typer(group, name="learnings")
