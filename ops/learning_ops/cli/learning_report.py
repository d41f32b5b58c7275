"""Learnings as people read them in a terminal: a page as a table, one with all that it stands on, a chain of them."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from learning_ops.cli.output import moment
from learning_ops.cli.table import PlainTable, plain
from learning_schemas.results import Evidence, Learning
from learning_stores.user_values import told


def page(title: str, learnings: Sequence[Learning]) -> PlainTable:
    """A line for each."""
    table = PlainTable(title, "id", "store", "whose", "what", "since")
    table.columns[0].no_wrap = True  # to be copied
    for each in learnings:
        table.add_row(str(each.id), f"{each.store}\n{each.kind}", whose(each), _what(each), _day(each))
    return table


def one(learning: Learning) -> RenderableType:
    """All of it."""
    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(learning):
        facts.add_row(plain(name, "dim"), value if isinstance(value, Text) else plain(value))
    return Group(plain(f"learning {learning.id}", "bold"), facts, _evidence(learning.evidence))


def chain(learnings: Sequence[Learning]) -> RenderableType:
    """A history, oldest first: when each was held, how it ended, and who said so."""
    table = PlainTable("History, oldest first", "held from", "until", "what", "said by", "id")
    table.columns[-1].no_wrap = True
    for each in learnings:
        until = moment(each.retired_at) if each.retired_at is not None else ""
        ended = f"{until}\n{each.retired_reason}" if until else each.status
        table.add_row(moment(each.live_from), ended, _told(each), "\n".join(map(_who, each.evidence)), str(each.id))
    return table


def whose(learning: Learning) -> str:
    """Whom it belongs to, or where it is shared."""
    told = [] if learning.namespace is None else [f"namespace {learning.namespace}"]
    told += [] if learning.user_id is None else [f"user {learning.user_id}"]
    told += [] if learning.session_id is None else [f"session {learning.session_id}"]
    return "\n".join(told)


def _what(learning: Learning) -> Text:
    told = _told(learning)
    if learning.status == "proposed":
        told.append(f"\nwaits for {learning.awaits}", style="yellow")
    elif learning.status == "retired":
        told.append(f"\n{learning.retired_reason}", style="dim italic")
    return told


def _told(learning: Learning) -> Text:
    about = f"{learning.about} ({learning.about_type}): " if learning.about and learning.kind != "relationship" else ""
    return plain(f"{about}{learning.content}", "" if learning.status == "active" else "dim")


def _facts(learning: Learning) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [
        ("what", _what(learning)),
        ("store", f"{learning.store}, {learning.kind}"),
        ("whose", whose(learning).replace("\n", ", ")),
        ("status", learning.status),
        ("true", _span(learning.valid_from, learning.valid_to)),
        ("held", _span(learning.live_from, learning.retired_at)),
        ("comes from", learning.origin),
    ]
    if learning.confidence is not None:
        found.append(("confidence", f"{learning.confidence:.2g}"))
    if given := [f"{name}: {told(value)}" for name, value in learning.data.items() if value not in (None, [], {})]:
        found.append(("data", ", ".join(given)))
    if learning.replaced_by is not None:
        found.append(("replaced by", str(learning.replaced_by)))
    if learning.replaces is not None:
        found.append(("would replace" if learning.status == "proposed" else "was to replace", str(learning.replaces)))
    if learning.decided_at is not None:
        found.append(("decided", f"{learning.decided_by or 'by corroboration'}, {moment(learning.decided_at)}"))
    return found


def _evidence(evidence: Sequence[Evidence]) -> PlainTable:
    table = PlainTable("What it stands on", "when", "who", "words", "event, message")
    for each in evidence:
        where = "" if each.event_id is None else f"{each.event_id}, {each.message}"
        table.add_row(moment(each.occurred_at), _who(each), each.quote or "", where)
    return table


def _who(evidence: Evidence) -> str:
    if evidence.action is not None:
        if evidence.by:
            return f"{evidence.action} by {evidence.by}"
        return f"{evidence.action} ({evidence.origin}{f', for {evidence.user_id}' if evidence.user_id else ''})"
    said = f"said by {evidence.user_id}" if evidence.user_id else "said in a conversation"
    return said if evidence.origin == "extraction" else evidence.origin


def _span(since: Any, until: Any) -> str:
    return f"from {moment(since)}" + ("" if until is None else f" to {moment(until)}")


def _day(learning: Learning) -> str:
    return f"{learning.valid_from:%Y-%m-%d}"
