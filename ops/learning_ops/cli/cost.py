"""`learning-machine cost`: who spends what on which model, and what was saved."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from learning_ops.cli.option import Json, examples, prose

if TYPE_CHECKING:
    from learning_stores.spending import Saved, Spending, Sum

_AGO = re.compile(r"(\d{1,5})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 168}


class By(StrEnum):
    """What rows may be of."""

    tenant = "tenant"
    store = "store"
    model = "model"
    user = "user"
    purpose = "purpose"
    day = "day"


def cost(
    by: Annotated[By, typer.Option(help="What a row is of.")] = By.store,
    since: Annotated[
        str, typer.Option(help="Since when: 12h, 7d, 4w, or a date or time (UTC where no zone is said).")
    ] = "30d",
    until: Annotated[str | None, typer.Option(help="Before when, in the same forms; now where it is not said.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant alone.")] = None,
    as_json: Json = False,
) -> None:
    """Show model and embedding calls with tokens and dollars, dearest first, and what coalescing and cached prefixes saved.

    The sum is of calls whose cost is known; how many are not, and of which models, is said beside it. Savings are estimates:
    each event that was read together with others, at its model's mean cost of a call; cached tokens at the difference of the
    models file's prices. What agents embed for a query is not recorded. Needs LEARNING_DISPATCHER_DATABASE_URL.
    """
    from learning_ops.cli.failure import WrongUsage, reaching_postgres
    from learning_ops.cli.output import print_json
    from learning_stores.database import Database
    from learning_stores.settings import ServiceSettings
    from learning_stores.spending import spending
    from learning_workers.models import load_catalogue

    now = datetime.now(UTC)
    begin, end = moment_of(since, "--since", now), moment_of(until, "--until", now) if until else now
    if begin >= end:
        raise WrongUsage(f"--since ({begin:%Y-%m-%d %H:%M}) is not before --until ({end:%Y-%m-%d %H:%M})")
    settings: ServiceSettings = ServiceSettings.load()
    catalogue = load_catalogue(settings)

    def prefix_saving(model: str, tokens: int, tier: str | None) -> Decimal | None:
        served = catalogue.served(model)
        return None if served is None else served.prefix_saving(tokens, tier)

    url = settings.dispatcher_database()
    with (
        reaching_postgres(url, "LEARNING_DISPATCHER_DATABASE_URL"),
        Database(url, pool_size=1, field="dispatcher_database_url") as database,
        database.snapshot() as session,
    ):
        found = spending(session, by.value, begin, end, tenant, prefix_saving)
    if as_json:
        print_json(found.as_dict())
    else:
        _show(found)


def moment_of(told: str, option: str, now: datetime) -> datetime:
    """The moment that an option names: so long ago, or a date or time. Raises `WrongUsage`."""
    from learning_ops.cli.failure import WrongUsage

    try:
        if ago := _AGO.fullmatch(told):
            return now - timedelta(hours=int(ago[1]) * _HOURS[ago[2]])
        when = datetime.fromisoformat(told)
        return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise WrongUsage(f"{option} is {told!r}: write 12h, 7d, 4w, 2026-11-22 or 2026-11-22T13:00") from None


def _show(found: "Spending") -> None:
    from learning_ops.cli.table import PlainTable, console, plain

    out = console(whole=True)
    whose = "" if found.tenant is None else f" of tenant {found.tenant}"
    span = f"{found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC"
    if not found.total.calls:
        out.print(plain(f"No call{whose} was made from {span}."))
        return
    numbers = ("calls", "events", "input", "of it cached", "output", "cost")
    # Of all tenants, users are told with theirs: two may have the same name.
    of_tenants = found.by == "user" and found.tenant is None
    table = PlainTable(f"Spent{whose} from {span}", *["tenant"] * of_tenants, found.by, *numbers, numbers=numbers)
    for row in found.rows:
        names = *[row.tenant or "–"] * of_tenants, row.key or "–"
        table.add_row(*names, *_cells(row), end_section=row is found.rows[-1])
    table.add_row("all", *[""] * of_tenants, *_cells(found.total), style="bold")
    out.print(table)
    for note in _unknown(found):
        out.print(plain(note, "yellow"), soft_wrap=True)
    for line in _saved(found):
        out.print(plain(line), soft_wrap=True)
    out.print(plain("What agents embed for a query is not recorded.", "dim"), soft_wrap=True)


def _cells(row: "Sum") -> tuple[str, ...]:
    from learning_ops.cli.budget_report import dollars

    counts = (row.calls, row.events, row.tokens_input, row.tokens_cached, row.tokens_output)
    told = dollars(row.cost_usd)
    if unknown := row.unpriced_calls + row.untold_calls:
        told = f"{told} + {unknown:,} unknown" if row.cost_usd is not None else f"{unknown:,} unknown"
    return *(f"{count:,}" for count in counts), told


def _unknown(found: "Spending") -> list[str]:
    notes = []
    if found.total.unpriced_calls:
        models = ", ".join(f"{model} ({calls:,})" for model, calls in sorted(found.unpriced_models.items()))
        notes.append(
            f"The price of {found.total.unpriced_calls:,} calls is not known, and not in the sum: {models}. "
            "Prices are in the models file."
        )
    if found.total.untold_calls:
        outcomes = ", ".join(f"{outcome} ({calls:,})" for outcome, calls in sorted(found.untold_outcomes.items()))
        notes.append(f"{found.total.untold_calls:,} calls never told their usage, and are not in the sum: {outcomes}.")
    return notes


def _saved(found: "Spending") -> list[str]:
    return [
        f"Saved by reading events together (estimate): {_worth(found.coalescing, 'calls')}.",
        f"Saved by cached prefixes (estimate, at today's prices): {_worth(found.cached_prefixes, 'tokens')}.",
    ]


def _worth(saved: "Saved", what: str) -> str:
    from learning_ops.cli.budget_report import dollars

    if not saved.count:
        return f"no {what}"
    told = f"{saved.count:,} {what}, {dollars(saved.usd)}"
    return (
        f"{told}, {saved.unpriced:,} of them at an unknown price" if saved.unpriced and saved.usd is not None else told
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        help=prose(cost), epilog=examples("cost", "cost --by model --since 7d", "cost --by day --tenant acme --json")
    )(cost)
