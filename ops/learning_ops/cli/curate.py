"""`learning-machine curate`: run one of the curator's jobs now, list jobs and schedules, show a run's report."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from learning_ops.cli.option import Json, examples, prose

if TYPE_CHECKING:
    from learning_stores.curator.job import Step
    from learning_stores.curator.runs import Run
    from learning_workers.curator import Curator

SHOW = "show"
_TELL_EVERY = 1.0


def curate(
    job: Annotated[str | None, typer.Argument(help="A job, as --list has them; or `show`, with a run's id.")] = None,
    run_id: Annotated[UUID | None, typer.Argument(metavar="[RUN]", help="With `show`: a run.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show jobs, schedules, last and next runs.")] = False,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant; else all of them.")] = None,
    store: Annotated[str | None, typer.Option(help="Only this store, of a job that runs for each.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would do; change nothing.")] = False,
    by: Annotated[str, typer.Option(help="Who asks for it; kept with the run.")] = "operator",
    as_json: Json = False,
) -> None:
    """Run one of the curator's jobs now, and show its report: what it looked at, what it changed.

    What was done stays done when it is interrupted; `undo --run RUN` takes back what a run did to what is remembered. With
    --dry-run it takes the same steps and rolls each of them back. Agents and workers work on meanwhile.

    Needs LEARNING_DATABASE_URL, LEARNING_DISPATCHER_DATABASE_URL, for `trim` LEARNING_REDIS_URL, and where a job asks a model
    what workers need for that.
    """
    from learning_ops.cli.failure import WrongUsage
    from learning_ops.extras import require_extra

    if (job is None) is not list_ or (run_id is not None) is not (job == SHOW):
        raise WrongUsage("give a job, or `show` with a run's id, or --list")
    require_extra("worker", "structlog")
    from learning_workers.log import configure_logging

    configure_logging("ERROR")
    curator = _curator()
    try:
        if run_id is not None:
            _show(curator, run_id, tenant, as_json)
        elif job is None:
            _list(curator, tenant, as_json)
        else:
            _run(curator, job, tenant, store, dry_run, by, as_json)
    finally:
        curator.close()


def _curator() -> "Curator":
    import os
    import socket

    from learning_stores.registry import installed
    from learning_stores.settings import ServiceSettings
    from learning_workers.curator import Curator

    return Curator(ServiceSettings.load(), installed(), f"{socket.gethostname()}:{os.getpid()}:curate")


def _run(
    curator: "Curator", name: str, tenant: str | None, store: str | None, dry_run: bool, by: str, as_json: bool
) -> None:
    from learning_ops.cli.failure import Failed, WrongUsage, check_store
    from learning_ops.cli.output import print_json

    job = curator.jobs.get(name)
    if job is None:
        raise WrongUsage(f"there is no job {name}: there are {', '.join(sorted(curator.jobs))}")
    if store is not None and not job.per_store:
        raise WrongUsage(f"{name} does not run for one store")
    if store is not None:
        check_store(store, curator.stores_of(job))
    if tenant is not None and not tenant.strip():
        raise WrongUsage("--tenant is empty: name a tenant, or leave it out for all of them")
    if tenant is not None and not job.per_tenant:
        raise WrongUsage(f"{name} runs for the whole deployment, not for one tenant")
    whose = [tenant] if tenant is not None else _everybody(curator, name)
    places = [(each, inside) for each in whose for inside in ([store] if store else curator.stores_of(job))]
    done = [_one(curator, name, each, inside, dry_run, by) for each, inside in places]
    if as_json:
        print_json([_as_dict(run) for run in done])
    else:
        _print(done, "Would have changed" if dry_run else "Changed")
    if any(run.state != "done" for run in done):
        raise Failed(
            "not every run is done: `curate show RUN` says how far each is, and why it failed or what it waits for"
        )


def _everybody(curator: "Curator", name: str) -> list[str]:
    from learning_stores.curator.tenants import every_tenant
    from learning_workers.curator import tenants_of

    job = curator.jobs[name]
    return tenants_of(job, curator.database("dispatcher").run(None, every_tenant) if job.per_tenant else [])


def _one(curator: "Curator", name: str, tenant: str, store: str, dry_run: bool, by: str) -> "Run":
    """One run from beginning to end, with a line of progress now and then; cancelled where it is interrupted."""
    from learning_ops.cli.tenant_memory import note

    run = curator.ask(name, tenant, store, by=by, dry_run=dry_run)
    place = " ".join(part for part in (name, tenant, store) if part)
    told = time.monotonic()

    def tell(now: "Run", step: "Step") -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_EVERY:
            told = time.monotonic()
            note(f"{place}: {now.looked_at:,} looked at, {now.changed:,} changed")

    try:
        ended = curator.drive(run, tell=tell)
        if ended.state == "waiting" and ended.error:
            note(f"{place}: {ended.error}")
        return ended
    except KeyboardInterrupt:
        curator.cancel(run, "interrupted")
        note(f"{place}: interrupted; what was done stays done (run {run.id})")
        raise


def _show(curator: "Curator", run_id: UUID, tenant: str | None, as_json: bool) -> None:
    from learning_ops.cli.failure import Failed
    from learning_ops.cli.output import moment, print_json
    from learning_stores.curator.runs import run_of

    run = curator.database("dispatcher").run(None, run_of, run_id, tenant)
    if run is None:
        raise Failed(f"there is no run {run_id}" + (f" of tenant {tenant}" if tenant else ""))
    if as_json:
        print_json(_as_dict(run))
        return
    asked = f"asked for by {run.asked_by}" if run.tick is None else f"tick of {moment(run.tick)}"
    _print([run], "Would have changed" if run.dry_run else "Changed")
    typer.echo(f"{asked}, began {moment(run.began_at)}, ended {moment(run.finished_at)}")
    if run.error:
        typer.echo(run.error)
    if run.tenant and run.store and run.changed and not run.dry_run:
        typer.echo(f"learning-machine undo --run {run.id} --tenant {run.tenant} takes back what it did")


def _print(found: "list[Run]", changed: str) -> None:
    from learning_ops.cli.table import PlainTable, console

    numbers = ("looked at", changed.lower())
    table = PlainTable(None, "run", "job", "tenant", "store", "state", *numbers, "report", numbers=numbers)
    for run in found:
        table.add_row(
            str(run.id), run.job, run.tenant or "(all)", run.store, run.state, f"{run.looked_at:,}", f"{run.changed:,}",
            _told(run),
        )  # fmt: skip  # a cell each
    console(whole=True).print(table)


def _told(run: "Run") -> str:
    parts = [f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int) else f"{name.replace('_', ' ')} {value}"
             for name, value in run.report.items() if value]  # fmt: skip  # one comprehension
    if run.model_calls:
        cost = "unknown cost" if run.cost_usd is None else f"${run.cost_usd:.4f}"
        parts.append(f"{run.model_calls:,} model calls, {cost}")
    return "\n".join(parts)


def _list(curator: "Curator", tenant: str | None, as_json: bool) -> None:
    from learning_ops.cli.output import moment, print_json
    from learning_ops.cli.table import PlainTable, console
    from learning_stores.curator.changed_runs import changed_runs
    from learning_stores.curator.failed_runs import failed_runs
    from learning_stores.curator.runs import latest

    now = datetime.now(UTC)
    found: dict[str, dict[str, Any]] = {}
    for name, schedule in curator.schedule().items():
        following = None if schedule is None else schedule.next(now)
        found[name] = {"job": name, "schedule": "off" if schedule is None else schedule.text, "last": None,
                       "next": following, "waiting": None}  # fmt: skip  # a row
    for run in curator.database("dispatcher").run(None, latest, tenant):
        if run.job in found:
            found[run.job]["last" if run.finished_at is not None else "waiting"] = run
    if as_json:
        print_json([
            {**row, **{name: _as_dict(row[name]) if row[name] else None for name in ("last", "waiting")}}
            for row in found.values()
        ])  # fmt: skip  # a list of rows
        return
    table = PlainTable(
        "Jobs", "job", "schedule (UTC)", "last run", "state", "changed", "next tick", numbers=("changed",)
    )
    for row in found.values():
        last, waiting = row["last"], row["waiting"]
        state = waiting.state if waiting is not None else last.state if last is not None else ""
        table.add_row(
            row["job"], row["schedule"], moment(last.finished_at if last else None), state,
            f"{last.changed:,}" if last else "", moment(row["next"]),
        )  # fmt: skip  # a cell each
    console(whole=True).print(table)
    for changed in curator.database("dispatcher").run(None, changed_runs, tenant):
        place = f"{changed.job} {changed.tenant} {changed.store}"
        when = f"at {moment(changed.finished_at)}, {changed.changed:,}"
        typer.echo(f"changed: {place} {when} (curate show {changed.id})")
    for failed in curator.database("dispatcher").run(None, failed_runs, tenant):
        place = " ".join(part for part in (failed.job, failed.tenant, failed.store) if part)
        typer.echo(f"failed: {place} at {moment(failed.finished_at)}, {failed.error} (curate show {failed.id})")


def _as_dict(run: "Run") -> dict[str, Any]:
    kept = dict(run.__dict__)
    for inner in ("token", "cursor", "owner", "lease_until", "failures"):
        kept.pop(inner)
    return kept


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        help=prose(curate),
        epilog=examples(
            "curate --list",
            "curate prune --tenant acme --dry-run",
            "curate deduplicate --store user_profile",
            "curate show 0198c0de-1111-7222-8333-444455556666",
        ),
    )(curate)
