"""The plot of a run: memory, lag, backlog and recall over its minutes. The same figures give the same file."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

Points = Sequence[tuple[float, float]]

# Text stays text, and what would differ from run to run (ids, the date) is left out: the file is small, and its changes are read.
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "soak",
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "lines.linewidth": 1.2,
}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One of the plots below each other: its axis, its lines by name, each of (minute, value)."""

    axis: str
    lines: dict[str, Points] = field(default_factory=dict)


def draw(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Write the plot to the file, whose ending says the format."""
    with mpl.rc_context(_STYLE):
        figure, axes = plt.subplots(len(panels), 1, figsize=(9, 2.4 * len(panels)), sharex=True, layout="constrained")
        figure.suptitle(title, fontsize=9, x=0.01, ha="left")
        for place, panel in zip(axes, panels, strict=True):
            colors = mpl.colormaps["tab10" if len(panel.lines) <= 10 else "tab20"]
            for number, (name, points) in enumerate(panel.lines.items()):
                minutes, values = zip(*points, strict=True) if points else ((), ())
                place.plot(minutes, [round(value, 3) for value in values], label=name, color=colors(number))
            place.set_ylabel(panel.axis)
            place.set_ylim(bottom=0)
            place.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=7)
        axes[-1].set_xlabel("minutes")
        axes[-1].set_xlim(left=0)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=metadata, dpi=100)
        plt.close(figure)
