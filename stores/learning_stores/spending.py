"""What was spent on models: calls, tokens and dollars by whatever is asked, and what coalescing and cached prefixes saved.

A cost that is not known is never counted as nothing: the sum is of the known ones, and beside it stands how many are missing.
Of these, calls with usage lack a price; calls without never told their usage (they failed, or their worker died).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

By = Literal["tenant", "store", "model", "user", "purpose", "day"]

_KEYS: dict[str, str] = {
    "tenant": "tenant",
    "store": "store",
    "model": "coalesce(model, model_asked)",
    "user": "user_id",
    "purpose": "purpose",
    "day": "(called_at AT TIME ZONE 'UTC')::date",
}
GROUPINGS = tuple(_KEYS)

# One pass. By model and tier besides, because what is priced, and what was saved, is a matter of each; the model is who answered.
# A user is one tenant's: the same name in another tenant is somebody else.
_SPENT = """
    SELECT {key} AS key, {whose} AS whose, service_tier, coalesce(model, model_asked) AS model, purpose, outcome, count(*) AS calls,
           count(*) FILTER (WHERE cost_usd IS NULL AND tokens_input IS NOT NULL) AS unpriced,
           count(*) FILTER (WHERE cost_usd IS NULL AND tokens_input IS NULL) AS untold,
           sum(events) AS events, sum(tokens_input) AS tokens_input, sum(tokens_cached) AS tokens_cached,
           sum(tokens_output) AS tokens_output, sum(cost_usd) AS cost_usd, count(cost_usd) AS priced
    FROM learning.model_call
    WHERE called_at >= :since AND called_at < :until {one_tenant}
    GROUP BY 1, 2, 3, 4, 5, 6
"""

PricedSaving = Callable[[str, int, str | None], Decimal | None]
"""US dollars that so many cached tokens of a model, served at a tier, were cheaper than fresh ones; None: prices not known."""


@dataclass(kw_only=True)
class Sum:
    """A row. `cost_usd` is of the calls whose cost is known, None where there are none; the other two are the rest."""

    key: str | None
    tenant: str | None = None  # whose user it is, by user
    calls: int = 0
    events: int = 0  # read by extraction
    tokens_input: int = 0
    tokens_cached: int = 0
    tokens_output: int = 0
    cost_usd: Decimal | None = None
    unpriced_calls: int = 0  # whose price is not known
    untold_calls: int = 0  # whose usage nobody told

    def add(self, row: Any) -> None:
        """Take in a group of calls."""
        self.calls += row.calls
        self.events += row.events if row.purpose == "extract" and row.outcome == "ok" else 0
        self.tokens_input += row.tokens_input or 0
        self.tokens_cached += row.tokens_cached or 0
        self.tokens_output += row.tokens_output or 0
        self.unpriced_calls += row.unpriced
        self.untold_calls += row.untold
        if row.cost_usd is not None:
            self.cost_usd = (self.cost_usd or Decimal(0)) + row.cost_usd


@dataclass(kw_only=True)
class Saved:
    """An estimate. `usd` is None where nothing of it can be priced; `unpriced` counts calls, or tokens, that cannot be."""

    count: int = 0  # calls that were not made, or tokens that were cached
    usd: Decimal | None = None
    unpriced: int = 0

    def add(self, count: int, usd: Decimal | None) -> None:
        """Add so many, worth so much; None is not known."""
        if count <= 0:
            return
        self.count += count
        if usd is None:
            self.unpriced += count
        else:
            self.usd = (self.usd or Decimal(0)) + usd


@dataclass(kw_only=True)
class Spending:
    """All of it, dearest first; by day in their order."""

    by: By
    since: datetime
    until: datetime
    tenant: str | None
    rows: Sequence[Sum]
    total: Sum
    unpriced_models: dict[str, int] = field(default_factory=dict)
    untold_outcomes: dict[str, int] = field(default_factory=dict)
    coalescing: Saved = field(default_factory=Saved)
    cached_prefixes: Saved = field(default_factory=Saved)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = asdict(self)
        saved = {name: {"estimate": True, **found.pop(name)} for name in ("coalescing", "cached_prefixes")}
        return {**found, "saved": saved, "query_embeddings": "not recorded"}


def spending(
    session: Session, by: By, since: datetime, until: datetime, tenant: str | None, prefix_saving: PricedSaving
) -> Spending:
    """What was spent in [since, until), of one tenant or of all. As the dispatcher, or as one tenant.

    Coalescing: each event of an extraction that answered would have been a call, at that model's mean cost of one. Cached
    prefixes: the cached tokens at the difference of today's prices.
    """
    whose = "CASE WHEN user_id IS NOT NULL THEN tenant END" if by == "user" else "NULL"
    statement = _SPENT.format(key=_KEYS[by], whose=whose, one_tenant="" if tenant is None else "AND tenant = :tenant")
    values = {"since": since, "until": until, "tenant": tenant}
    sums: dict[tuple[str | None, str | None], Sum] = {}
    found = Spending(by=by, since=since, until=until, tenant=tenant, rows=(), total=Sum(key=None))
    answered: dict[str, list[Any]] = {}
    for row in session.execute(text(statement), values):
        key = None if row.key is None else str(row.key)
        sums.setdefault((row.whose, key), Sum(key=key, tenant=row.whose)).add(row)
        found.total.add(row)
        if row.unpriced:
            found.unpriced_models[row.model] = found.unpriced_models.get(row.model, 0) + row.unpriced
        if row.untold:
            found.untold_outcomes[row.outcome] = found.untold_outcomes.get(row.outcome, 0) + row.untold
        if row.purpose == "extract" and row.outcome == "ok":
            answered.setdefault(row.model, []).append(row)
        if row.tokens_cached:
            found.cached_prefixes.add(row.tokens_cached, prefix_saving(row.model, row.tokens_cached, row.service_tier))
    for rows in answered.values():
        calls, events, priced = (sum(getattr(row, name) for row in rows) for name in ("calls", "events", "priced"))
        mean = sum((row.cost_usd or Decimal(0) for row in rows), Decimal(0)) / priced if priced else None
        found.coalescing.add(events - calls, None if mean is None else mean * (events - calls))
    order = (lambda each: each.key or "") if by == "day" else _dearest
    found.rows = sorted(sums.values(), key=order)
    return found


def _dearest(each: Sum) -> tuple[Any, ...]:
    return -(each.cost_usd or Decimal(0)), -each.tokens_input - each.tokens_output, each.tenant or "", each.key or ""
