"""Reservations: a call is written down before the model is asked, with what it may cost at most, and gone when it is recorded.

Where a budget holds, a call is begun only if what was spent today, what all calls under way may cost and what this one may cost
have room in it. Where a cap has room for fewer than a hundred such calls, those of one tenant are let through one after the
other (a lock, for as long as the sum takes), so that two cannot both take the last room. What a worker left behind that died
between its question and the record takes up no room, and a sweep makes it a call that was lost: its cost is not known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.budgets import LIVE, Budget, Spent, budgets_of, spent_today

FAR_CALLS = 100
"""With room for so many calls, nobody waits for a lock: it would take more that begin in the same moment to pass the cap."""

LOST = "lost"
"""The outcome of a call whose worker never said what became of it."""


class OverBudget(Exception):
    """No room in a budget. `seconds` until its day turns; None where it is only calls under way that take up the room."""

    def __init__(self, note: str, seconds: float | None) -> None:
        super().__init__(note)
        self.note, self.seconds = note, seconds


class Unpriced(Exception):
    """A budget holds, and the price of the model is not known."""

    def __init__(self, note: str) -> None:
        super().__init__(note)
        self.note = note


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One way to make a call: a model, and US dollars that it may cost at most; None where its price is not known."""

    model: str
    usd: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A call that is about to be made. `seconds` is how long it may take at most; `lease` a mailbox's id and token."""

    tenant: str
    id: UUID
    extraction_id: UUID
    store: str
    purpose: str
    prompt_name: str
    prompt_version: str
    events: int
    seconds: float
    lease: tuple[int, int] | None = None


_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('learning.budget/' || :tenant, 0))")

# Not waited for until it is on disk: the record of the call is, and that is later in the log.
_COLUMNS = """
    INSERT INTO learning.budget_reservation (tenant, id, extraction_id, store, purpose, model_asked, prompt_name, prompt_version,
        events, usd, mailbox_id, token, expires_at)
    SELECT :tenant, :id, :extraction_id, :store, :purpose, :model, :prompt_name, :prompt_version, :events, :usd, :mailbox_id,
        :token, clock_timestamp() + :seconds * interval '1 s'
    FROM set_config('synchronous_commit', 'off', true)"""

_RESERVE = text(_COLUMNS)
_RESERVE_UNBOUNDED = text(f"""{_COLUMNS}
    WHERE NOT EXISTS (SELECT FROM learning.budget WHERE tenant IN (:tenant, '*') AND store IN (:store, '*'))
""")

RELEASE = "DELETE FROM learning.budget_reservation WHERE tenant = :tenant AND id = :id"
"""What gives up a reservation, as SQL; in one statement with what takes its place."""
_RELEASE = text(RELEASE)

# Without subject and user: whose it was nobody needs to know of a call that is only counted.
_SWEEP = text(f"""
    WITH left_behind AS (
        DELETE FROM learning.budget_reservation WHERE (tenant, id) IN (
            SELECT r.tenant, r.id FROM learning.budget_reservation r WHERE r.tenant = :tenant AND NOT ({LIVE})
            FOR UPDATE SKIP LOCKED)
        RETURNING *)
    INSERT INTO learning.model_call (tenant, id, extraction_id, store, purpose, subject, model_asked, prompt_name, prompt_version,
        outcome, events, seconds, called_at)
    SELECT tenant, id, extraction_id, store, purpose, '', model_asked, prompt_name, prompt_version, '{LOST}', events, 0, reserved_at
    FROM left_behind ON CONFLICT (tenant, id) DO NOTHING
""")  # noqa: S608 - the parts are constants

_LEFT = text("SELECT extract(epoch FROM date_trunc('day', now(), 'UTC') + interval '1 day' - now())")


def sweep(session: Session, tenant: str) -> int:
    """Turn the reservations that a tenant's dead workers left behind into calls that were lost; how many."""
    written: Any = session.execute(_SWEEP, {"tenant": tenant})
    return int(written.rowcount)


def release(session: Session, tenant: str, call_id: UUID) -> None:
    """Give up a reservation: nobody was asked."""
    session.execute(_RELEASE, {"tenant": tenant, "id": call_id})


def reserve(session: Session, begun: Begun, asked: Offer, cheaper: Offer | None = None) -> Offer:
    """Write a call down and say how it is made: as asked, or near a cap the cheaper way. Raises `OverBudget`, `Unpriced`."""
    unbounded: Any = session.execute(_RESERVE_UNBOUNDED, _row(begun, asked))
    if unbounded.rowcount:
        return asked
    budgets = budgets_of(session, begun.tenant, begun.store)
    chosen = asked
    if budgets:
        if asked.usd is None:
            raise Unpriced(
                f"the price of {asked.model} is not known, and a budget holds ({budgets[0].name}): "
                "give it in the models file, 0 where it costs nothing"
            )
        spent = spent_today(session, begun.tenant, begun.store)
        if any(_used(spent[each.store]) + FAR_CALLS * asked.usd > each.usd_per_day for each in budgets):
            session.execute(_LOCK, {"tenant": begun.tenant})
            spent = spent_today(session, begun.tenant, begun.store)
        chosen = _choose(session, spent, budgets, [each for each in (asked, cheaper) if each is not None])
    session.execute(_RESERVE, _row(begun, chosen))
    return chosen


def _row(begun: Begun, offer: Offer) -> dict[str, Any]:
    mailbox_id, token = begun.lease or (None, None)
    return {
        "tenant": begun.tenant, "id": begun.id, "extraction_id": begun.extraction_id, "store": begun.store,
        "purpose": begun.purpose, "model": offer.model, "prompt_name": begun.prompt_name,
        "prompt_version": begun.prompt_version, "events": begun.events, "usd": offer.usd, "mailbox_id": mailbox_id,
        "token": token, "seconds": begun.seconds,
    }  # fmt: skip  # as the statement has them


def _choose(session: Session, spent: Mapping[str, Spent], budgets: Sequence[Budget], offers: Sequence[Offer]) -> Offer:
    """The first offer that every budget has room for, the cheaper one first where one of them is nearly spent."""
    priced = [(offer, offer.usd) for offer in offers if offer.usd is not None]
    asked_usd = priced[0][1]
    if any(_used(spent[each.store]) + asked_usd > each.near * each.usd_per_day for each in budgets):
        priced.reverse()
    for offer, usd in priced:
        if all(_used(spent[each.store]) + usd <= each.usd_per_day for each in budgets):
            return offer
    least = min(usd for _, usd in priced)
    for each in budgets:
        if spent[each.store].spent + least > each.usd_per_day:
            raise OverBudget(_note(each, least), float(session.scalar(_LEFT) or 0))
    raise OverBudget(f"{budgets[0].name}: calls under way may use up what is left", None)


def _used(spent: Spent) -> Decimal:
    return spent.spent + spent.reserved


def _note(budget: Budget, usd: Decimal) -> str:
    if usd > budget.usd_per_day:
        return f"{budget.name}: less than one call may cost (${usd.normalize():f})"
    return f"{budget.name}: has no room until 00:00 UTC"
