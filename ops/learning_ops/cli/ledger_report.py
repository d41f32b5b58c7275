"""What `learning-machine status --ledger` shows to people."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from learning_ops.cli.output import moment
from learning_ops.cli.table import PlainTable, plain
from learning_stores.ledger import LEDGER_FINDINGS, Ledger


def shown(ledger: Ledger) -> RenderableType:
    """The three sums, the gaps by name, and the verdict."""
    parts: list[RenderableType] = []
    if ledger.numbers is not None:
        parts.append(_numbers(ledger.numbers))
    parts += [_events(ledger), _deliveries(ledger)]
    if ledger.gaps:
        parts.append(_gaps(ledger))
    return Group(*parts, *_verdict(ledger))


def _sum(title: str, total: tuple[str, int], terms: Mapping[str, int]) -> PlainTable:
    """What a number is the sum of, a line for each part."""
    table = PlainTable(title, "", "count", numbers=("count",))
    table.add_row(total[0], plain(f"{total[1]:,}", "bold"))
    for place, (name, count) in enumerate(terms.items()):
        table.add_row(f"{'=' if place == 0 else '+'} {name}", f"{count:,}")
    return table


def _numbers(numbers: Any) -> RenderableType:
    terms = {
        "accepted": numbers.received + numbers.waiting,
        "refused": numbers.refused,
        "missing": numbers.missing,
        "on their way (given less than a minute ago)": numbers.on_their_way,
    }
    if numbers.twice:
        terms["counted twice"] = -numbers.twice
    return _sum("Numbers", (f"numbered by {numbers.producers:,} producers", numbers.numbered), terms)


def _events(ledger: Ledger) -> RenderableType:
    events = ledger.events
    terms = {"with deliveries": events.prepared, **_told("without deliveries", events.not_prepared)}
    terms |= _told("removed", events.removed)
    title = "Events" if ledger.tenant is None else f"Events of tenant {ledger.tenant}"
    return _sum(title, (f"accepted, {events.with_number:,} of them with a number", events.accepted), terms)


def _deliveries(ledger: Ledger) -> RenderableType:
    made = ledger.deliveries
    settled = {state: count for state, count in made.settled.items() if state != "skipped"}
    terms = {"extracted": 0, **settled, **_told("skipped", made.skipped), **_told("pending", made.pending)}
    terms |= _told("dead", made.dead) | _told("removed", made.removed)
    return _sum("Deliveries", ("of accepted events", made.accepted), terms)


def _told(what: str, counts: Mapping[str, int]) -> dict[str, int]:
    return {f"{what} ({reason})": count for reason, count in counts.items()}


def _gaps(ledger: Ledger) -> RenderableType:
    numbers = ("missing", "of", "twice")
    table = PlainTable("Gaps", "producer", *numbers, "which", "seen since", "last heard", "end", numbers=numbers)
    for gap in ledger.gaps:
        which = [f"{first:,}" if first == last else f"{first:,}–{last:,}" for first, last in gap.numbers or ()]
        table.add_row(
            str(gap.producer),
            f"{gap.missing:,}",
            f"{gap.numbered:,}",
            f"{gap.twice:,}",
            ", ".join(which) or "–",
            moment(gap.since),
            moment(gap.last_seen),
            "closed" if gap.closed else "running, or ended without a word",
        )
    return table


def _verdict(ledger: Ledger) -> list[Text]:
    if ledger.adds_up:
        return [plain("It adds up.", "green")]
    return [
        plain(
            f"{found.count:,} {found.name.replace('_', ' ')}: {LEDGER_FINDINGS[found.name]}\n    {_ids(found)}",
            "yellow",
        )
        for found in ledger.findings
    ]


def _ids(found: Any) -> str:
    more = ", …" if found.count > len(found.ids) else ""
    return ", ".join(found.ids) + more
