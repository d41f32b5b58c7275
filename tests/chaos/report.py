"""What a run came to: a table of the faults, the load's own figures, and everything that does not add up."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from chaos.comparison import Finding, Snapshot
from chaos.faults import Applied
from chaos.journal import Said
from chaos.load import Load
from chaos.schedule import TARGETS

_AROUND = 5.0
"""Seconds after its end in which what goes wrong is put down to a fault."""
_EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class Report:
    """The outcome of a run; `findings` empty means that every promise was kept."""

    load: Load
    seconds: float
    drained: float | None  # seconds from the last fault's end, or the last emit, until nothing was pending; None: never
    said: Sequence[Said]
    applied: Sequence[Applied]
    snapshot: Snapshot
    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """Whether nothing was lost, doubled, out of order or left over."""
        return not self.findings

    def show(self, console: Console) -> None:
        """Print it."""
        ways = Counter(one.via for one in self.said)
        console.print(
            f"seed {self.load.seed}: {len(self.said)} events of {self.load.sessions} sessions acknowledged "
            f"({', '.join(f'{count} by {via}' for via, count in sorted(ways.items()))}); "
            f"{sum(one.refused for one in self.said)} emits refused and repeated; "
            f"slowest emit {max((one.slowest for one in self.said), default=0.0):.2f} s; "
            f"{len(self.snapshot.extractions)} extractions; {self.seconds:.0f} s, "
            + ("never drained" if self.drained is None else f"drained {self.drained:.0f} s after the last")
        )
        console.print(self._table())
        kinds = Counter((finding.sort, _kind(finding.told)) for finding in self.findings)
        for (sort, told), count in kinds.most_common():
            console.print(f"{sort}: {count} × {told}", markup=False)
            for finding in [each for each in self.findings if (each.sort, _kind(each.told)) == (sort, told)][
                :_EXAMPLES
            ]:
                console.print(f"    {finding.told} {finding.event or ''}", markup=False)

    def _table(self) -> Table:
        columns = ("fault", "times", "goes on p50", "max", "taken over p50", "max", "lost", "doubled", "out of order")
        table = Table(*columns, title="seconds", title_justify="left")
        began = {one.id: one.ended for one in self.said}
        for kind in TARGETS:
            these = [each for each in self.applied if each.kind == kind]
            again = [seconds for each in these if (seconds := goes_on(each, self.snapshot)) is not None]
            over = [each.taken_over for each in these if each.taken_over is not None]
            counts = Counter(
                finding.sort
                for finding in self.findings
                if finding.event in began
                and any(each.began - 1 <= began[finding.event] <= each.ended + _AROUND for each in these)
            )
            table.add_row(
                kind,
                str(len(these)),
                *_figures(again),
                *_figures(over),
                *(str(counts[sort]) for sort in ("lost", "doubled", "out of order")),
            )
        total = Counter(finding.sort for finding in self.findings)
        table.add_section()
        table.add_row(
            "all",
            str(len(self.applied)),
            *[""] * 4,
            *(str(total[sort]) for sort in ("lost", "doubled", "out of order")),
        )
        return table


def goes_on(fault: Applied, snapshot: Snapshot) -> float | None:
    """Seconds from a fault's end until work went on, by the database's clock; None where the load was over.

    That is when both have happened: intake has numbered an event, and an extraction that began after the end is committed.
    """
    accepted = [row["accepted"] for row in snapshot.deliveries if row["accepted"] > fault.ended]
    committed = [row["committed"] for row in snapshot.extractions if row["started"] > fault.ended]
    if not accepted or not committed:
        return None
    return max(min(accepted), min(committed)) - fault.ended


def _figures(seconds: Sequence[float]) -> tuple[str, str]:
    return (f"{median(seconds):.1f}", f"{max(seconds):.1f}") if seconds else ("–", "–")


def _kind(told: str) -> str:
    """What a finding says without its numbers and names, for counting."""
    return " ".join(word if word.isalpha() else "…" for word in told.split()[:6])
