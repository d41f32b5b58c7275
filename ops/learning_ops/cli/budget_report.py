"""Budgets as people read them: in `budget list` and in `status`."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rich.console import RenderableType

from learning_ops.cli.table import PlainTable, plain

_COLOURS = {"open": "green", "near": "yellow", "spent": "red"}


def dollars(usd: Decimal | None) -> str:
    """An amount, with as many figures as it needs; `unknown` for None."""
    if usd is None:
        return "unknown"
    if not usd or usd >= 100:
        return f"${usd:,.2f}"
    return f"${usd:,.4f}" if usd >= Decimal("0.0001") else f"${usd:.8f}"


def shown(found: Sequence[dict[str, Any]]) -> RenderableType:
    """A row for each budget and tenant, as `BudgetToday.as_dict` has them."""
    numbers = ("a day", "spent", "under way", "mailboxes waiting")
    table = PlainTable("Budgets today (UTC)", "tenant", "store", *numbers, "state", numbers=numbers)
    for row in found:
        whose = row["tenant"] + ("" if row["set_for"] == row["tenant"] else " (every tenant's)")
        amounts = (dollars(row[name]) for name in ("usd_per_day", "spent_usd", "reserved_usd"))
        table.add_row(whose, row["store"], *amounts, f"{row['waiting']:,}", plain(row["state"], _COLOURS[row["state"]]))
    return table
