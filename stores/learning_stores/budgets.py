"""Budgets: what a tenant may spend on models in a day (UTC), in one store or in all of them together.

They stand in Postgres, so that every worker sees the same ones at once and raising one lets what waited for it go in the same
transaction. A tenant's own budget counts before that of every tenant (`*`), for each store and for all stores by itself; a call
must have room in both that remain. What was spent is summed from the rows of the calls and of the reservations.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

EVERY = "*"
"""As a tenant: each that has none of its own. As a store: all of them together."""

WAITS_FOR_BUDGET = "waits for budget"
"""How what a run of the curator waits for begins."""

LIVE = """
    r.expires_at > clock_timestamp() AND (r.mailbox_id IS NULL OR EXISTS (
        SELECT FROM learning.mailbox m WHERE m.tenant = r.tenant AND m.id = r.mailbox_id AND m.token = r.token
            AND m.lease_until > clock_timestamp()))"""
"""Of a reservation `r`, as SQL: the lease that it was made under is live."""

DAY = "date_trunc('day', statement_timestamp(), 'UTC')"
"""When the day began that budgets are for, as SQL."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """US dollars a day; from `near` of it on, the cheaper way is taken where a model has one."""

    tenant: str
    store: str
    usd_per_day: Decimal
    near: Decimal

    @property
    def name(self) -> str:
        """For people."""
        of = f"tenant {self.tenant}" if self.tenant != EVERY else "every tenant"
        where = f"store {self.store}" if self.store != EVERY else "all stores"
        return f"${self.usd_per_day.normalize():f} a day of {of}, {where}"


_OF = text("""
    SELECT tenant, store, usd_per_day, near FROM learning.budget
    WHERE tenant IN (:tenant, '*') AND store IN (:store, '*') ORDER BY tenant = '*' DESC
""")


def budgets_of(session: Session, tenant: str, store: str) -> list[Budget]:
    """The budgets that a call of this tenant and store must have room in: none, one, or two."""
    found: dict[str, Budget] = {}
    for row in session.execute(_OF, {"tenant": tenant, "store": store}):
        found[row.store] = Budget(**row._mapping)  # the tenant's own come last
    return list(found.values())


@dataclass(frozen=True, kw_only=True)
class Spent:
    """US dollars of today: of calls that returned, and what those under way may come to at most."""

    spent: Decimal
    reserved: Decimal


_SPENT = text(f"""
    SELECT coalesce(sum(usd), 0) AS everything, coalesce(sum(usd) FILTER (WHERE store = :store), 0) AS own,
           coalesce(sum(usd) FILTER (WHERE live), 0) AS everything_live,
           coalesce(sum(usd) FILTER (WHERE live AND store = :store), 0) AS own_live
    FROM (SELECT c.store, coalesce(c.cost_usd, c.estimated_usd) AS usd, false AS live FROM learning.model_call c
          WHERE c.tenant = :tenant AND c.called_at >= {DAY}
          UNION ALL
          SELECT r.store, r.usd, true FROM learning.budget_reservation r WHERE r.tenant = :tenant AND {LIVE}) AS calls
""")  # noqa: S608 - the parts are constants


def spent_today(session: Session, tenant: str, store: str) -> dict[str, Spent]:
    """What the tenant has spent today: by `store`, and by `EVERY` in all stores together."""
    row = session.execute(_SPENT, {"tenant": tenant, "store": store}).one()
    return {
        store: Spent(spent=row.own - row.own_live, reserved=row.own_live),
        EVERY: Spent(spent=row.everything - row.everything_live, reserved=row.everything_live),
    }


_SET = text("""
    INSERT INTO learning.budget (tenant, store, usd_per_day, near) VALUES (:tenant, :store, :usd, :near)
    ON CONFLICT (tenant, store) DO UPDATE SET usd_per_day = excluded.usd_per_day, near = excluded.near, set_at = clock_timestamp()
""")
_REMOVE = text("DELETE FROM learning.budget WHERE tenant = :tenant AND store = :store")
_RESUME = text("""
    UPDATE learning.mailbox SET not_before = NULL, wait_reason = NULL, wait_note = NULL
    WHERE id IN (SELECT m.id FROM learning.mailbox m
                 WHERE m.wait_reason = 'budget' AND (:tenant = '*' OR m.tenant = :tenant) AND (:store = '*' OR m.store = :store)
                 ORDER BY m.tenant, m.store, m.scope FOR UPDATE)  -- in the order in which intake locks them
""")
# The curator's runs say what they wait for where a failure would stand.
_RESUME_RUNS = text(f"""
    UPDATE learning.curator_run SET due_at = clock_timestamp()
    WHERE state = 'waiting' AND starts_with(error, '{WAITS_FOR_BUDGET}') AND (:tenant = '*' OR tenant = :tenant)
      AND (:store = '*' OR store IN (:store, ''))
""")  # noqa: S608 - a constant


def _resume(session: Session, tenant: str, store: str) -> int:
    written: Any = session.execute(_RESUME, {"tenant": tenant, "store": store})
    session.execute(_RESUME_RUNS, {"tenant": tenant, "store": store})
    return int(written.rowcount)


def set_budget(session: Session, budget: Budget) -> int:
    """Set or change one. Whatever waited for it is tried again at once; how many mailboxes. As the dispatcher.

    One that is lowered lets go, too: a mailbox that still finds no room asks nobody and waits on.
    """
    values = {"tenant": budget.tenant, "store": budget.store, "usd": budget.usd_per_day, "near": budget.near}
    session.execute(_SET, values)
    return _resume(session, budget.tenant, budget.store)


def remove_budget(session: Session, tenant: str, store: str) -> int | None:
    """Take one away, and let go what waited for it: how many mailboxes; None where there was none. As the dispatcher."""
    removed: Any = session.execute(_REMOVE, {"tenant": tenant, "store": store})
    return _resume(session, tenant, store) if removed.rowcount else None


@dataclass(frozen=True, kw_only=True)
class BudgetToday:
    """A budget and its day. Of every tenant (`*`) a row for each that has spent, and `tenant` is that one."""

    tenant: str
    store: str
    set_for: str  # the tenant that the budget names
    usd_per_day: Decimal
    near: Decimal
    spent_usd: Decimal
    reserved_usd: Decimal
    waiting: int  # mailboxes
    turns_at: datetime

    @property
    def state(self) -> str:
        """`open`, `near` (the cheaper way is taken), or `spent`."""
        used = self.spent_usd + self.reserved_usd
        if self.spent_usd >= self.usd_per_day or self.waiting:
            return "spent"
        return "near" if used >= self.usd_per_day * self.near else "open"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "state": self.state}


SHOWN = 50

_TODAY = text(f"""
    WITH calls AS (
        SELECT c.tenant, c.store, coalesce(c.cost_usd, c.estimated_usd) AS spent, 0 AS reserved FROM learning.model_call c
        WHERE c.called_at >= {DAY} AND EXISTS (SELECT FROM learning.budget)
        UNION ALL
        SELECT r.tenant, r.store, 0, r.usd FROM learning.budget_reservation r WHERE {LIVE}
    ),
    spent AS (
        SELECT tenant, coalesce(store, '*') AS store, coalesce(sum(spent), 0) AS spent, coalesce(sum(reserved), 0) AS reserved
        FROM calls GROUP BY GROUPING SETS ((tenant), (tenant, store))
    ),
    waiting AS (
        SELECT tenant, coalesce(store, '*') AS store, count(*) AS mailboxes FROM learning.mailbox
        WHERE wait_reason = 'budget' AND not_before > now() GROUP BY GROUPING SETS ((tenant), (tenant, store))
    ),
    tenants AS (SELECT tenant, store FROM spent UNION SELECT tenant, store FROM waiting),
    days AS (
        SELECT b.tenant, b.store, b.tenant AS set_for, b.usd_per_day, b.near FROM learning.budget b WHERE b.tenant <> '*'
        UNION ALL
        SELECT t.tenant, b.store, '*', b.usd_per_day, b.near FROM learning.budget b JOIN tenants t ON t.store = b.store
        WHERE b.tenant = '*'
          AND NOT EXISTS (SELECT FROM learning.budget o WHERE o.tenant = t.tenant AND o.store = b.store AND o.tenant <> '*')
        UNION ALL
        SELECT '*', b.store, '*', b.usd_per_day, b.near FROM learning.budget b
        WHERE b.tenant = '*' AND NOT EXISTS (SELECT FROM tenants t WHERE t.store = b.store AND NOT EXISTS (
            SELECT FROM learning.budget o WHERE o.tenant = t.tenant AND o.store = b.store AND o.tenant <> '*'))
    )
    SELECT d.tenant, d.store, d.set_for, d.usd_per_day, d.near, coalesce(s.spent, 0) AS spent_usd,
           coalesce(s.reserved, 0) AS reserved_usd, coalesce(w.mailboxes, 0) AS waiting, {DAY} + interval '1 day' AS turns_at
    FROM days d LEFT JOIN spent s ON s.tenant = d.tenant AND s.store = d.store
    LEFT JOIN waiting w ON w.tenant = d.tenant AND w.store = d.store
    ORDER BY coalesce(s.spent / nullif(d.usd_per_day, 0), 0) DESC, d.tenant, d.store LIMIT :shown
""")  # noqa: S608 - the parts are constants


def budgets_today(session: Session, shown: int = SHOWN) -> Sequence[BudgetToday]:
    """Every budget with what was spent of it today, the most spent first, so many at most. As the dispatcher."""
    return [BudgetToday(**row._mapping) for row in session.execute(_TODAY, {"shown": shown})]
