"""`learning-machine budget`: what tenants may spend on models in a day."""

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from learning_ops.cli.option import Json, examples, prose

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_MOST = Decimal(100_000)

Whose = Annotated[str, typer.Option(help="Whose; '*' is each tenant that has none of its own.")]
Where = Annotated[str, typer.Option(help="In which store, `embedding` for embeddings; '*' is all of them together.")]


def set_(
    usd: Annotated[
        str, typer.Argument(metavar="USD", help="US dollars a day (UTC); 0 leaves only calls that cost nothing.")
    ],
    tenant: Whose = "*",
    store: Where = "*",
    near: Annotated[
        float,
        typer.Option(min=0, max=1, help="The part of it from which on the cheaper way is taken, where there is one."),
    ] = 0.8,
) -> None:
    """Set or change a budget; what waits for it is tried again at once. A call must have room in each that holds for it.

    Needs LEARNING_DISPATCHER_DATABASE_URL.
    """
    from learning_ops.cli.failure import WrongUsage
    from learning_stores.budgets import Budget, set_budget

    try:
        amount = Decimal(usd).quantize(Decimal("1e-8"))
    except InvalidOperation:
        raise WrongUsage(f"{usd!r} is no amount: write 2.50") from None
    if not amount.is_finite() or not 0 <= amount <= _MOST:
        raise WrongUsage(f"a budget is from 0 to {_MOST:,} US dollars a day")
    if not 0 <= near <= 1:  # which the option's own bounds let through: nan
        raise WrongUsage("--near is a part, from 0 to 1")
    budget = Budget(tenant=_name(tenant), store=_store(store), usd_per_day=amount, near=Decimal(str(round(near, 3))))
    let_go = _run(lambda session: set_budget(session, budget))
    typer.echo(f"set {budget.name}")
    _tell(let_go)


def remove(tenant: Whose = "*", store: Where = "*") -> None:
    """Take a budget away; what waits for it is tried again at once. Needs LEARNING_DISPATCHER_DATABASE_URL."""
    from learning_ops.cli.failure import Failed
    from learning_stores.budgets import remove_budget

    let_go = _run(lambda session: remove_budget(session, tenant, store))
    if let_go is None:
        raise Failed(
            f"tenant {tenant!r} has no budget for store {store!r}: `learning-machine budget list` shows those set"
        )
    typer.echo(f"removed the budget of tenant {tenant}, store {store}")
    _tell(let_go)


def list_(as_json: Json = False) -> None:
    """Show budgets with what was spent of them today and what waits, the most spent first.

    Needs LEARNING_DISPATCHER_DATABASE_URL.
    """
    from learning_ops.cli.budget_report import shown
    from learning_ops.cli.output import print_json
    from learning_ops.cli.table import console
    from learning_stores.budgets import budgets_today

    found = [each.as_dict() for each in _run(budgets_today)]
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("No budget is set: nothing is held back. `learning-machine budget set --help` says how.")
    else:
        console(whole=True).print(shown(found))


def _name(told: str) -> str:
    from learning_ops.cli.failure import WrongUsage

    if not told.strip() or told != told.strip() or "\0" in told:
        raise WrongUsage("a tenant or store has a name, or is '*'")
    return told


def _store(told: str) -> str:
    """A store that calls are made for. A budget of another, a misspelt one, would hold nothing back."""
    from learning_ops.cli.failure import check_store
    from learning_stores.registry import installed

    check_store(_name(told), ["*", *installed(), "embedding"])
    return told


def _run(work: "Callable[[Any], T]") -> T:
    from learning_ops.cli.failure import reaching_postgres
    from learning_stores.database import Database
    from learning_stores.settings import ServiceSettings

    url = ServiceSettings.load().dispatcher_database()
    with (
        reaching_postgres(url, "LEARNING_DISPATCHER_DATABASE_URL"),
        Database(url, pool_size=1, field="dispatcher_database_url") as database,
    ):
        return database.run(None, work)


def _tell(mailboxes: int) -> None:
    if mailboxes:
        typer.echo(f"{mailboxes:,} mailboxes that waited for it are tried again now")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="What tenants may spend on models in a day.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        epilog=examples("budget list"),
    )
    group.command(
        "set", help=prose(set_), epilog=examples("budget set 5 --tenant acme", "budget set 0.50 --store user_profile")
    )(set_)
    group.command("list", help=prose(list_), epilog=examples("budget list"))(list_)
    group.command("remove", help=prose(remove), epilog=examples("budget remove --tenant acme"))(remove)
    app.add_typer(group, name="budget")
