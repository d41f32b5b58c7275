"""`learning-machine undo`: take back what extractions gave, or what a tool, a person, an import or the curator wrote."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from learning_ops.cli.option import Json, Tenant, examples, prose
from learning_ops.cli.replay import FORMATS, DryRun, Operator, Yes, utc
from learning_ops.cli.tenant_memory import Store, User

if TYPE_CHECKING:
    from learning_stores.database import Database
    from learning_stores.undo import Source, Undone

_SHOWN = 20


def undo(
    ids: Annotated[
        list[UUID] | None, typer.Argument(metavar="[ID]...", help="Extractions or changes, as trace and history show.")
    ] = None,
    prompt_version: Annotated[
        str | None, typer.Option(help="Extractions by this version of a prompt: 1-e3a23274, or 1.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Extractions by this model.")] = None,
    store: Store = None,
    since: Annotated[
        datetime | None, typer.Option(formats=FORMATS, help="Committed since then (UTC where no zone is said).")
    ] = None,
    until: Annotated[datetime | None, typer.Option(formats=FORMATS, help="Committed before then.")] = None,
    user: User = None,
    run: Annotated[UUID | None, typer.Option(metavar="RUN", help="What a run of the curator changed.")] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    by: Operator = "operator",
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Take back what extractions gave, or what a tool, a person, an import or the curator wrote: the newest first.

    Each goes at once or not at all. What stands on nothing else is retired. What it had taken the place of comes back, unless
    something newer has taken its place since: that is listed, and left. The events are skipped as undone, and can be replayed.
    A decision (approved, edited, rejected, promoted) is not undone: decide anew.

    Shows first what will go and come back, and asks. Needs LEARNING_DATABASE_URL.
    """
    from learning_ops.cli.asking import confirmed
    from learning_ops.cli.failure import WrongUsage, reaching_postgres
    from learning_stores.database import Database
    from learning_stores.settings import AgentSettings
    from learning_stores.undo import Period

    period = Period(
        prompt_version=prompt_version, model=model, store=store, since=utc(since), until=utc(until), user_id=user
    )
    named = [bool(ids), any(value is not None for value in period.__dict__.values()), run is not None]
    if sum(named) != 1:
        raise WrongUsage(
            "name either ids, or extractions by --prompt-version, --model, --store, --since, --until, --user, or --run"
        )
    url = AgentSettings.load().database()
    with reaching_postgres(url, "LEARNING_DATABASE_URL"), Database(url, pool_size=1) as database:
        found = _found(database, tenant, ids or [], period) if run is None else _of_run(database, tenant, run)
        open_ = [each for each in found if each.undone_at is None]
        if dry_run or not (yes and as_json):
            outlook = _rehearsed(database, tenant, open_, by)
            if dry_run and as_json:
                from learning_ops.cli.output import print_json

                print_json(_as_dict(outlook, found, open_))
            elif not as_json:
                _show(tenant, outlook, found, open_)
        if dry_run:
            return
        if open_:
            confirmed(f"Undo {len(open_):,} of tenant {tenant}?", yes=yes)
        _apply(database, tenant, found, open_, by, as_json)


def _found(database: "Database", tenant: str, ids: Sequence[UUID], period: Any) -> "list[Source]":
    """What is meant. Raises `Failed` for an id that is unknown or is a decision's."""
    from learning_ops.cli.failure import Failed
    from learning_stores.undo import chosen, named

    if not ids:
        return database.run(tenant, chosen, tenant, period)
    found = database.run(tenant, named, tenant, ids)
    if missing := [str(each) for each in ids if each not in {source.id for source in found}]:
        raise Failed(
            f"no extraction and no change of tenant {tenant!r} has the id {', '.join(missing)}: nothing was changed. `trace` shows "
            "extractions, `learnings history` shows changes"
        )
    for source in found:
        if source.refused:
            raise Failed(
                f"{source.id} is a decision ({source.action}), which is not undone: nothing was changed. Decide anew "
                "(`learnings retract`, `learnings add`), or `replay` the events"
            )
    return found


def _of_run(database: "Database", tenant: str, run_id: UUID) -> "list[Source]":
    """What a run of the curator changed. Raises `Failed` where there is no such run."""
    from learning_ops.cli.failure import Failed
    from learning_stores.curator.runs import run_of
    from learning_stores.undo import of_run

    if database.run(tenant, run_of, run_id, tenant) is None:
        raise Failed(
            f"tenant {tenant!r} has no run {run_id}: `learning-machine curate --list` shows ids, `curate show {run_id}` whose it "
            "is; name the tenant with --tenant"
        )
    return database.run(tenant, of_run, tenant, run_id)


def _rehearsed(database: "Database", tenant: str, sources: "Sequence[Source]", by: str) -> "list[Undone]":
    """What would become of each. Those of one mailbox are tried together, so that their chains are seen as a whole."""
    from learning_stores.undo import rehearse

    outlook: list[Undone] = []
    by_box = sorted(sources, key=lambda each: (each.subject or "", each.store, each.scope))
    for _, group in groupby(by_box, key=lambda each: (each.subject, each.store, each.scope)):
        newest_first = sorted(group, key=lambda each: (each.at, each.id), reverse=True)
        outlook += database.run(tenant, rehearse, tenant, newest_first, by=by)
    return outlook


def _counts(done: "Iterable[Undone]") -> dict[str, int]:
    done = list(done)
    return {
        "retired": sum(len(each.withdrawn.retired) for each in done),
        "restored": sum(len(each.withdrawn.restored) for each in done),
        "left": sum(len(each.withdrawn.left) for each in done),
        "supported": sum(len(set(each.withdrawn.touched) - set(each.withdrawn.retired)) for each in done),
        "deliveries": sum(each.deliveries for each in done),
    }


def _as_dict(done: "Sequence[Undone]", found: "Sequence[Source]", open_: "Sequence[Source]") -> dict[str, Any]:
    return {
        "undone": sum(each.done for each in done),
        "undone_before": [each.id for each in found if each.undone_at is not None]
        + [each.source.id for each in done if not each.done],
        **_counts(each for each in done if each.done),
        "each": [
            {
                "id": each.source.id,
                "store": each.source.store,
                "origin": each.source.origin,
                "at": each.source.at,
                "deliveries": each.deliveries,
                "retired": each.withdrawn.retired,
                "restored": len(each.withdrawn.restored),
                "left": [
                    {"learning": chain.learning_id, "replaced_by": chain.replaced_by} for chain in each.withdrawn.left
                ],
            }
            for each in done
            if each.done
        ],
    }


def _show(tenant: str, outlook: "Sequence[Undone]", found: "Sequence[Source]", open_: "Sequence[Source]") -> None:
    from learning_ops.cli.asking import counted
    from learning_ops.cli.output import moment

    _tell_done_before(found)
    if not open_:
        if not found:
            typer.echo(f"No extraction of tenant {tenant} that can be undone is meant by that.")
        return
    counts = _counts(outlook)
    extractions = [each for each in open_ if each.origin == "extraction"]
    what = [counted(len(extractions), "extraction")] * bool(extractions)
    changes = len(open_) - len(extractions)
    what += [counted(changes, "change")] * bool(changes)
    typer.echo(f"{' and '.join(what)}, of {moment(open_[-1].at)} to {moment(open_[0].at)}")
    typer.echo(f"  {counted(counts['retired'], 'learning')} retired, {counted(counts['restored'], 'row')} brought back")
    typer.echo(f"  {counted(counts['deliveries'], 'delivery', 'deliveries')} skipped as undone")
    _tell_left(outlook)


def _tell_done_before(found: "Sequence[Source]") -> None:
    from learning_ops.cli.output import moment

    for each in found:
        if each.undone_at is not None:
            typer.echo(f"{each.id} was undone at {moment(each.undone_at)}: nothing to do")


def _tell_left(done: "Sequence[Undone]") -> None:
    chains = [chain for each in done for chain in each.withdrawn.left]
    for chain in chains[:_SHOWN]:
        typer.echo(f"  left: {chain.learning_id}, whose place {chain.replaced_by} has taken since")
    if len(chains) > _SHOWN:
        typer.echo(f"  and {len(chains) - _SHOWN:,} more: --json lists them")


def _apply(
    database: "Database", tenant: str, found: "Sequence[Source]", open_: "Sequence[Source]", by: str, as_json: bool
) -> None:
    from learning_ops.cli.asking import counted
    from learning_ops.cli.output import print_json
    from learning_stores.undo import undo as undo_one

    done = [database.run(tenant, undo_one, tenant, each, by=by) for each in open_]
    if as_json:
        print_json(_as_dict(done, found, open_))
        return
    if not open_:
        return
    counts = _counts(done)
    typer.echo(
        f"undone: {counted(counts['retired'], 'learning')} retired, {counted(counts['restored'], 'row')} brought back, "
        f"{counted(counts['deliveries'], 'delivery', 'deliveries')} skipped"
    )
    for each in done:
        if not each.done:
            typer.echo(f"{each.source.id} was undone by somebody else meanwhile")


def register(app: typer.Typer) -> None:
    """Add the command."""
    an_id = "0198c0de-1111-7222-8333-444455556666"
    app.command(
        help=prose(undo),
        epilog=examples(f"undo {an_id} --dry-run", "undo --prompt-version 3 --since 2026-07-01 --by ops@acme.com"),
    )(undo)
