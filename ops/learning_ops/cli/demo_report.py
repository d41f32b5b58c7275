"""What the demo shows at its end: paths, memory with its quotes, and what it cost. Made for 100 columns and more."""

import statistics
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from learning_ops.cli.output import span
from learning_ops.cli.table import PlainTable, plain
from learning_ops.demo import Played, Sent
from learning_schemas.results import Learning
from learning_stores.registry import installed
from learning_stores.status import Trace

_STATES = {
    "extracted": ("✓", "green"),
    "nothing_found": ("·", "yellow"),
    "skipped": ("–", "dim"),
    "dead": ("✗", "bold red"),
}
_LONGEST = 150


def show(played: Played, console: Console) -> None:
    """Print all of it."""
    console.print(_paths(played, with_words=console.width >= 130))
    console.print(
        "✓ extracted  · read, nothing found  – skipped  ✗ dead. Times count from the call of emit, and the\n"
        "agent waited for the first of them only. The first day's also hold the workers' first connections.",
        style="dim",
    )
    for user, learnings in played.users.items():
        console.print()
        console.print(_profile(user, learnings))
    for user in played.users:
        console.print()
        console.print(_sessions(user, played.sessions))
    console.print()
    console.print(_shared(played))
    console.print()
    console.print(_recalled(played))
    console.print(_cost(played))
    console.print()


def _paths(played: Played, *, with_words: bool) -> PlainTable:
    table = _table("The path of each event")
    table.add_column("user", no_wrap=True)
    table.add_column("session", no_wrap=True)
    table.add_column("new messages", no_wrap=False, width=8)
    if with_words:
        table.add_column("the user's last words", no_wrap=True, overflow="ellipsis", ratio=1)
    for name in ("emit", "in the log"):
        table.add_column(name, justify="right", no_wrap=True)
    stores = [store for store in installed() if store in played.model_calls]
    for store in stores:
        table.add_column(store.replace("_", "\n"), justify="right", no_wrap=True)
    day = None
    for sent, path in zip(played.sent, played.paths, strict=True):
        if sent.conversation.day != day:
            day = sent.conversation.day
            table.add_section()
            table.add_row(Text(f"{day.day} {day:%b %Y}", style="bold"), *[""] * (len(table.columns) - 1))
        row = _path(sent, path, stores)
        table.add_row(*(row if with_words else row[:3] + row[4:]))
    return table


def _path(sent: Sent, path: Trace, stores: Iterable[str]) -> list[Any]:
    assert path.event is not None
    arguments = sent.conversation.arguments
    new = path.event["messages"] - path.event["shown_before"]
    settled = {delivery["store"]: delivery for delivery in path.deliveries}
    return [
        _short_name(arguments["user_id"]),
        arguments["session_id"],
        f"{new}" if new == path.event["messages"] else f"{new} of {path.event['messages']}",
        Text(sent.conversation.last_words),
        span(sent.seconds),
        span(_after(sent, path.event["accepted_at"])),
        *(_settled(sent, settled[store]) for store in stores),
    ]


def _settled(sent: Sent, delivery: dict[str, Any]) -> Text:
    sign, style = _STATES[delivery["state"]]
    return Text(f"{sign} {span(_after(sent, delivery['settled_at']))}", style=style)


def _after(sent: Sent, then: datetime) -> float:
    return max(0.0, (then - sent.at).total_seconds())


def _profile(user: str, learnings: list[Learning]) -> PlainTable:
    table = _memory_table(f"What is remembered of {user}, and the words it stands on")
    contents: dict[UUID | None, str] = {learning.id: learning.content for learning in learnings}
    for learning in learnings:
        if learning.store == "user_profile":
            table.add_row(*_remembered(learning, contents))
    return table


def _memory_table(title: str) -> PlainTable:
    table = _table(title)
    table.add_column("remembered", ratio=5)
    table.add_column("since", no_wrap=True)
    table.add_column("in the user's own words", ratio=5)
    return table


def _remembered(learning: Learning, contents: Mapping[UUID | None, str]) -> tuple[Text, Text, Text]:
    first, *more = learning.evidence
    quote = Text(f"“{first.quote}”")
    if more:
        quote.append(f" and {len(more)} time{'s' if len(more) > 1 else ''} more", style="dim")
    if learning.status == "active":
        return Text(learning.content), Text(_day(learning.valid_from)), quote
    told = Text(learning.content, style="dim strike")
    if learning.replaced_by in contents:
        told.append(f"\nnow: {contents[learning.replaced_by]}", style="dim not strike")
    until = f"until {_day(learning.valid_to)}" if learning.valid_to is not None else "retired"
    quote.stylize("dim")
    return told, Text(until, style="dim"), quote


def _sessions(user: str, sessions: dict[tuple[str, str], list[Learning]]) -> PlainTable:
    table = _table(f"The sessions of {user}: what each context says now, and the message it comes from")
    table.add_column("session", no_wrap=True)
    table.add_column("", no_wrap=True, style="dim")
    table.add_column("context", ratio=6)
    table.add_column("from", ratio=4)
    order = ("goal", "plan", "progress", "summary")
    for (owner, session), learnings in sessions.items():
        if owner != user:
            continue
        live = {each.kind: each for each in learnings if each.status == "active"}
        table.add_section()
        for place, kind in enumerate(kind for kind in order if kind in live):
            learning = live[kind]
            steps = learning.data.get("steps")
            told = "\n".join(f"{n}. {step}" for n, step in enumerate(steps, 1)) if steps and kind == "plan" else None
            told = told or ("\n".join(f"✓ {step}" for step in steps) if steps else _cut(learning.content))
            last = learning.evidence[-1]
            more = len(learning.evidence) - 1
            quote = Text(f"“{_cut(last.quote or '', 70)}”")
            if more:
                quote.append(f" and {more} more", style="dim")
            table.add_row(Text(session, style="bold") if not place else "", kind, Text(told), quote)
    return table


def _shared(played: Played) -> PlainTable:
    """Entities and insights: what all users of the tenant share, and in whose conversations it was said."""
    table = _table("What everybody shares: things that were talked about, and insights that two users support")
    table.add_column("about", no_wrap=True)
    table.add_column("remembered", ratio=5)
    table.add_column("in these words", ratio=5)
    about = ""
    for learning in played.shared:
        if learning.kind == "alias" or learning.status != "active":
            continue
        named = f"{learning.about} ({learning.about_type})" if learning.about else learning.kind
        if named != about:
            table.add_section()
        first, *more = learning.evidence
        quote = Text(f"“{_cut(first.quote or '', 70)}”")
        if more:
            quote.append(f" and {len(more)} more", style="dim")
        table.add_row(Text(named if named != about else "", style="bold"), Text(_cut(learning.content)), quote)
        about = named
    return table


def _recalled(played: Played) -> Panel:
    user, session = played.recalled
    title = f"recall(user_id={user!r}, session_id={session!r}): for the next prompt"
    return Panel(Text(played.context), title=plain(title), title_align="left", border_style="cyan")


def _cost(played: Played) -> PlainTable:
    table = _table("What it cost", show_header=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(ratio=1)
    turns, calls = len(played.sent), sum(played.model_calls.values())
    by_store = ", ".join(f"{store} {count}" for store, count in played.model_calls.items())
    table.add_row(
        "model calls",
        Text.assemble(
            (f"{calls}", "bold"),
            f" ({by_store}); one a turn and store would be {turns} × {played.stores} = {turns * played.stores}: ",
            (f"{calls / (turns * played.stores):.2f}", "bold"),
            " of that, because turns that come close together are read together",
        ),
    )
    seconds = sorted(sent.seconds for sent in played.sent)
    table.add_row(
        "emit",
        Text.assemble(
            "p50 ",
            (span(statistics.median(seconds)), "bold"),
            ", p99 ",
            (span(seconds[-1]), "bold"),
            f" (of {turns} calls: the slowest; the first one also connects). Includes validation, redaction and one round trip "
            "to Redis, which syncs its file each time",
        ),
    )
    table.add_row("recall", Text.assemble((span(played.recall_seconds), "bold"), " (one call, connected)"))
    redacted: dict[str, int] = {}
    for sent in played.sent:
        for kind, count in sent.receipt.redactions.items():
            redacted[kind] = redacted.get(kind, 0) + count
    told = ", ".join(f"{count} {kind}" for kind, count in redacted.items()) or "none"
    table.add_row("secrets redacted", f"{told}, in emit: it never left the agent's process")
    return table


def _short_name(user: str) -> str:
    return user.split("@")[0]


def _day(when: datetime) -> str:
    return f"{when.day} {when:%b %Y}"


def _table(title: str, *, show_header: bool = True) -> PlainTable:
    return PlainTable(
        title, box=box.SIMPLE_HEAD, expand=True, padding=(0, 1, 0, 0),
        show_header=show_header, show_edge=False, header_style="dim",
    )  # fmt: skip  # one look for all


def _cut(text: str, length: int = _LONGEST) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
