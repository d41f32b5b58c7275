"""The ledger: what producers numbered, what was accepted, what became of each delivery; and everything that does not add up.

    numbered by producers = accepted with a number + refused + missing (named by producer) + on their way
    accepted events = in the log + removed (forgotten, or past retention)
    deliveries of accepted events = settled + pending + dead + removed

It reads every event and every delivery once, in one snapshot: seconds for a million events. What the reconciler looks at each
minute is a part of it.
"""

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.spec import DEFAULT_SPEC
from learning_stores.gaps import Gap, Totals, gaps, missing_numbers, totals
from learning_stores.reconcile import FINDINGS, IDS_NAMED, UNDELIVERED, Finding, look, undelivered
from learning_stores.specs import DEFAULT_HASH
from learning_stores.status import PENDING_REASON

GAPS_NAMED = 20

# `counted` are those that `producer_seq.received` has: an event that came by the fallback is counted with its deliveries.
_EVENTS = text("""
    SELECT tenant, spec_hash, count(*) AS events, count(accepted_no) AS prepared,
           count(*) FILTER (WHERE producer IS NOT NULL AND seq IS NOT NULL) AS numbered,
           count(*) FILTER (WHERE producer IS NOT NULL AND seq IS NOT NULL
                            AND (via = 'stream' OR accepted_no IS NOT NULL)) AS counted,
           count(forgotten_at) AS forgotten,
           count(*) FILTER (WHERE accepted_no IS NULL AND forgotten_at IS NOT NULL) AS never_prepared,
           count(*) FILTER (WHERE accepted_no IS NULL AND forgotten_at IS NULL AND set_aside IS NULL) AS not_prepared,
           count(*) FILTER (WHERE accepted_no IS NULL AND forgotten_at IS NULL AND set_aside IS NOT NULL) AS set_aside
    FROM learning.conversation_event
    WHERE cast(:tenant AS text) IS NULL OR tenant = :tenant
    GROUP BY tenant, spec_hash
""")

_UNKNOWN_SPECS = text("""
    SELECT count(*) FROM learning.conversation_event e
    WHERE e.accepted_no IS NULL AND e.forgotten_at IS NULL AND e.set_aside IS NULL
      AND (cast(:tenant AS text) IS NULL OR e.tenant = :tenant) AND e.spec_hash <> :default
      AND NOT EXISTS (SELECT FROM learning.machine_spec s WHERE s.tenant = e.tenant AND s.hash = e.spec_hash)
""")

_SETTLED = text("""
    SELECT tenant, spec_hash, store, state, CASE WHEN state IN ('skipped', 'dead') THEN coalesce(reason, 'no reason') END AS reason,
           count(*) AS deliveries
    FROM learning.delivery
    WHERE cast(:tenant AS text) IS NULL OR tenant = :tenant
    GROUP BY 1, 2, 3, 4, 5
""")

_PENDING = text(f"""
    SELECT coalesce({PENDING_REASON}, 'paused') AS reason, count(*) AS deliveries
    FROM learning.delivery d
    LEFT JOIN learning.mailbox m ON m.tenant = d.tenant AND m.store = d.store AND m.scope = d.scope
    WHERE d.state = 'pending' AND (cast(:tenant AS text) IS NULL OR d.tenant = :tenant)
    GROUP BY 1 ORDER BY 1
""")  # noqa: S608 - the part is a constant

_REMOVED = text("""
    SELECT reason, sum(events) AS events, sum(numbered) AS numbered, sum(deliveries) AS deliveries
    FROM learning.removed_count WHERE cast(:tenant AS text) IS NULL OR tenant = :tenant GROUP BY 1 ORDER BY 1
""")

# From the JSON, because a spec need not be one that this version can read.
_ALWAYS = text("""
    SELECT s.tenant, s.hash, ARRAY(
        SELECT store.key FROM jsonb_each(s.spec::jsonb -> 'stores') AS store WHERE store.value ->> 'mode' = 'ALWAYS') AS stores
    FROM learning.machine_spec s WHERE cast(:tenant AS text) IS NULL OR s.tenant = :tenant
""")

# Which producers have other numbers in the log than were counted; asked for only where the sums differ.
_MISCOUNTED = text("""
    SELECT coalesce(p.producer, e.producer)::text AS producer, coalesce(e.events, 0) - coalesce(p.received, 0) AS difference
    FROM learning.producer_seq p
    FULL JOIN (SELECT producer, count(*) AS events FROM learning.conversation_event
               WHERE producer IS NOT NULL AND seq IS NOT NULL AND (via = 'stream' OR accepted_no IS NOT NULL)
               GROUP BY 1) AS e ON e.producer = p.producer
    WHERE coalesce(e.events, 0) <> coalesce(p.received, 0)
    ORDER BY sign(coalesce(e.events, 0) - coalesce(p.received, 0)) = :sign DESC,
             abs(coalesce(e.events, 0) - coalesce(p.received, 0)) DESC, 1
    LIMIT :ids
""")

LEDGER_FINDINGS = {
    **FINDINGS,
    **UNDELIVERED,
    "events_vanished": "counted when they were accepted, neither in the log nor counted as removed; where none was, by producer",
    "events_not_counted": "numbered and in the log, or removed, and not counted when they were accepted; their producers",
}
"""What each finding of a ledger means."""


@dataclass(frozen=True, kw_only=True)
class Events:
    """Accepted events: in_log + removed; in_log = prepared + not prepared, by reason."""

    accepted: int
    with_number: int
    in_log: int
    removed: dict[str, int]
    prepared: int
    not_prepared: dict[str, int]
    emptied: int  # of those in the log: forgotten one by one, which leaves the row without what was said


@dataclass(frozen=True, kw_only=True)
class Deliveries:
    """accepted = settled + pending + dead + removed; `skipped` is a part of what is settled."""

    accepted: int
    settled: dict[str, int]
    skipped: dict[str, int]
    pending: dict[str, int]
    dead: dict[str, int]
    removed: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """All of it at one moment. Of one tenant it has no numbers, which producers give over all tenants."""

    tenant: str | None
    numbers: Totals | None
    gaps: tuple[Gap, ...]
    events: Events
    deliveries: Deliveries
    findings: tuple[Finding, ...] = field(default_factory=tuple)

    @property
    def adds_up(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"adds_up": self.adds_up, **asdict(self)}


def ledger(session: Session, tenant: str | None = None) -> Ledger:
    """Add everything up, of one tenant or of all. As the dispatcher, in one snapshot."""
    named = {"tenant": tenant}
    logged = [dict(row._mapping) for row in session.execute(_EVENTS, named)]
    settled = session.execute(_SETTLED, named).all()
    removed = session.execute(_REMOVED, named).all()
    unknown = int(session.scalar(_UNKNOWN_SPECS, {**named, "default": DEFAULT_HASH}) or 0)
    pending = {row.reason: row.deliveries for row in session.execute(_PENDING, named)}
    findings = [found for found in look(session, tenant) if found.count]
    if short := _short_of_deliveries(session, tenant, logged, settled):
        findings += [found for found in (undelivered(session, tenant, specs=sorted(short)),) if found.count]
    numbers, named_gaps = None, tuple[Gap, ...]()
    if tenant is None:
        numbers = totals(session)
        named_gaps = gaps(session, GAPS_NAMED) if numbers.missing or numbers.twice else ()
        ranges = missing_numbers(session, named_gaps)
        named_gaps = tuple(replace(gap, numbers=ranges.get(gap.producer)) for gap in named_gaps)
        gone = sum(int(row.numbered) for row in removed)
        here = sum(row["counted"] for row in logged) + gone
        findings += _miscounted(session, here - numbers.received, gone)
    return Ledger(
        tenant=tenant,
        numbers=numbers,
        gaps=named_gaps,
        events=_events(logged, removed, unknown),
        deliveries=_deliveries(settled, pending, removed),
        findings=tuple(findings),
    )


def _events(logged: list[dict[str, Any]], removed: Any, unknown: int) -> Events:
    def total(name: str) -> int:
        return sum(int(row[name]) for row in logged)

    gone = {row.reason: int(row.events) for row in removed if row.events}
    reasons = {
        "waiting for spec": unknown,
        "not prepared yet": total("not_prepared") - unknown,
        "set aside": total("set_aside"),
        "forgotten": total("never_prepared"),
    }
    return Events(
        accepted=total("events") + sum(gone.values()),
        with_number=total("numbered") + sum(int(row.numbered) for row in removed),
        in_log=total("events"),
        removed=gone,
        prepared=total("prepared"),
        not_prepared={reason: count for reason, count in reasons.items() if count},
        emptied=total("forgotten"),
    )


def _deliveries(settled: Any, pending: dict[str, int], removed: Any) -> Deliveries:
    states, skipped, dead = Counter[str](), Counter[str](), Counter[str]()
    for row in settled:
        states[row.state] += row.deliveries
        if row.reason is not None:
            (dead if row.state == "dead" else skipped)[row.reason] += row.deliveries
    gone = {row.reason: int(row.deliveries) for row in removed if row.deliveries}
    return Deliveries(
        accepted=states.total() + sum(gone.values()),
        settled={state: states[state] for state in ("extracted", "nothing_found", "skipped") if states[state]},
        skipped=dict(sorted(skipped.items())),
        pending=pending,
        dead=dict(sorted(dead.items())),
        removed=gone,
    )


def _short_of_deliveries(session: Session, tenant: str | None, logged: list[dict[str, Any]], settled: Any) -> set[str]:
    """Specs with a store to which not as many deliveries were made as there are events: only their events are looked through."""
    made = Counter[tuple[str, str, str]]()
    for row in settled:
        made[row.tenant, row.spec_hash, row.store] += row.deliveries
    always: dict[tuple[str, str], list[str]] = {
        (row.tenant, row.hash): row.stores for row in session.execute(_ALWAYS, {"tenant": tenant})
    }
    default = list(DEFAULT_SPEC.always())

    return {
        row["spec_hash"]
        for row in logged
        for store in (
            default if row["spec_hash"] == DEFAULT_HASH else always.get((row["tenant"], row["spec_hash"]), [])
        )
        if made[row["tenant"], row["spec_hash"], store] != row["prepared"]
    }


def _miscounted(session: Session, difference: int, removed: int) -> list[Finding]:
    if not difference:
        return []
    sign = 1 if difference > 0 else -1
    if sign < 0 and removed:
        # Whose numbers were removed is kept nowhere: a producer that lost none is as short as one that did.
        return [Finding(name="events_vanished", count=-difference, ids=())]
    rows = session.execute(_MISCOUNTED, {"sign": sign, "ids": IDS_NAMED})
    ids = tuple(row.producer for row in rows if (row.difference > 0) == (difference > 0))
    return [Finding(name="events_not_counted" if sign > 0 else "events_vanished", count=abs(difference), ids=ids)]
