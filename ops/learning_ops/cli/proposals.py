"""`learning-machine proposals`: what waits for a person's word, and giving it."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

import typer

from learning_ops.cli.learnings import Content, Context, Data, Date, Insight, Relation, Tags, Title, Value
from learning_ops.cli.option import Json, Tenant, examples, prose
from learning_ops.cli.tenant_memory import By, Namespace, Store, User

_ID = "0198c0de-1111-7222-8333-444455556666"
_LONGEST = 500

Id = Annotated[UUID, typer.Argument(help="The proposal's id, as `proposals list` shows it.")]


def list_proposals(
    store: Store = None,
    user: User = None,
    namespace: Namespace = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many.")] = 50,
    after: Annotated[UUID | None, typer.Option(help="The last id of the page before.")] = None,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """List what waits in a tenant, for approval or for a second user, newest first. Nobody is shown it before."""
    from learning_ops.cli import learning_report
    from learning_ops.cli.output import print_json
    from learning_ops.cli.table import console
    from learning_ops.cli.tenant_memory import ask, note
    from learning_stores.library import Selection, page

    stores = None if store is None else [store]
    selection = Selection(status="proposed", stores=stores, user_id=user, namespace=namespace, after=after)
    found = ask(tenant, partial(page, tenant=tenant, selection=selection, limit=limit))
    if as_json:
        print_json(found)
    elif found:
        console(whole=True).print(learning_report.page("Proposals, newest first", found))
    else:
        note("Nothing waits to be decided.")
    if len(found) == limit:
        note(f"there may be more: --after {found[-1].id}")


def show(learning_id: Id, tenant: Tenant = "default", as_json: Json = False) -> None:
    """Show a proposal with all that it stands on, and what it would replace."""
    from learning_ops.cli.tenant_memory import ask
    from learning_stores.library import get

    _print("", ask(tenant, partial(get, tenant=tenant, learning_id=learning_id)), as_json)


def approve(learning_id: Id, by: By, tenant: Tenant = "default", as_json: Json = False) -> None:
    """Make a proposal live, from now on. Where an equal learning is live already, that gains its evidence."""
    from learning_ops.cli.tenant_memory import ask, checked
    from learning_stores.proposals import approve as approved

    made = ask(tenant, partial(approved, tenant=tenant, learning_id=learning_id, by=checked("by", by)))
    _print("approved, and live:", made, as_json)


def edit(
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
    """Approve a proposal in other words. What is not given stays; the proposal is kept, retired as "edited"."""
    from learning_ops.cli.tenant_memory import ask, checked, terms, with_value, wording
    from learning_stores.proposals import edit as edited

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
            lambda each: edited(session, tenant, learning_id, each, partial(terms, session, tenant), by=person),
        )

    _print("edited, and live:", ask(tenant, question), as_json)


def reject(
    learning_id: Id,
    by: By,
    reason: Annotated[str | None, typer.Option(help="Why; kept with it.")] = None,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """End a proposal that is not to be."""
    from learning_ops.cli.failure import WrongUsage
    from learning_ops.cli.tenant_memory import ask, checked
    from learning_schemas.redaction import Redactor
    from learning_stores.proposals import reject as rejected

    told = " ".join(reason.replace("\0", " ").split()) if reason is not None else None
    if told is not None and not 0 < len(told) <= _LONGEST:
        raise WrongUsage(f"--reason has {len(told):,} characters, and may have 1 to {_LONGEST}")
    kept = None if told is None else Redactor()(told)[0]
    decide = partial(rejected, tenant=tenant, learning_id=learning_id, by=checked("by", by), reason=kept)
    _print("rejected:", ask(tenant, decide), as_json)


def _print(heading: str, learning: Any, as_json: bool) -> None:
    from learning_ops.cli import learning_report
    from learning_ops.cli.output import print_json
    from learning_ops.cli.table import console
    from learning_ops.cli.tenant_memory import note

    if as_json:
        print_json(learning)
        return
    if heading:
        note(heading)
    console(whole=True).print(learning_report.one(learning))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Decide what is remembered: list, show, approve, edit, reject.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        epilog=examples("proposals list"),
    )
    by = "--by lead@acme.com"
    group.command("list", help=prose(list_proposals), epilog=examples("proposals list --store learned_knowledge"))(
        list_proposals
    )
    group.command(help=prose(show), epilog=examples(f"proposals show {_ID}"))(show)
    group.command(help=prose(approve), epilog=examples(f"proposals approve {_ID} {by}"))(approve)
    group.command(help=prose(edit), epilog=examples(f"proposals edit {_ID} --learning 'Retry twice' {by}"))(edit)
    group.command(help=prose(reject), epilog=examples(f"proposals reject {_ID} --reason 'Not so' {by}"))(reject)
    app.add_typer(group, name="proposals")
