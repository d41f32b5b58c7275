"""Tables and words for a terminal. What they are made of is data, so nothing in them is read as markup."""

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

# Controls of C0 and C1, lone surrogates, and what turns the direction of the text that follows.
_UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def plain(value: object, style: str = "") -> Text:
    """Text that shows what it is given: no markup, no emoji names, no control characters but the end of a line."""
    return Text(_UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(value)), style=style)


WHOLE_WIDTH = 118
"""Columns that the widest table needs: a narrower terminal folds its lines, which is better than a figure cut in two."""


def console(*, whole: bool = False, **options: Any) -> Console:
    """A console that takes text as text; style comes from `plain` and `Text`. `whole` gives tables the room they need."""
    found = Console(highlight=False, markup=False, emoji=False, **options)
    if whole and found.width < WHOLE_WIDTH:
        found = Console(highlight=False, markup=False, emoji=False, width=WHOLE_WIDTH, **options)
    return found


class PlainTable(Table):
    """A table whose title and cells are shown as they are; a cell of another style is a `Text`.

    `numbers` names the columns that stand to the right, `unbroken` those whose words are to be copied, `options` are those of
    rich's table.
    """

    def __init__(
        self,
        title: str | None,
        *columns: str,
        numbers: Iterable[str] = (),
        unbroken: Iterable[str] = (),
        **options: Any,
    ) -> None:
        heading = None if title is None else plain(title, "bold")
        super().__init__(title=heading, title_justify="left", title_style="bold", **options)
        right, whole = set(numbers), set(unbroken)
        for name in columns:
            justify: JustifyMethod = "right" if name in right else "left"
            self.add_column(plain(name), justify=justify, overflow="fold", no_wrap=name in whole)

    def add_row(self, *cells: RenderableType | None, style: Any = None, end_section: bool = False) -> None:
        """Add a row; text in it is no markup."""
        shown = [plain(cell) if isinstance(cell, str) else cell for cell in cells]
        super().add_row(*shown, style=style, end_section=end_section)
