"""`learning-machine emit`: send events from a file or a pipe, one a line."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from learning_ops.cli.option import Json, Tenant, examples, prose

if TYPE_CHECKING:
    from rich.progress import Progress

    from learning_machine import LearningMachine, Receipt

_FIELDS = (
    "messages", "user_id", "session_id", "agent_id", "team_id", "occurred_at", "history", "end_of_session", "metadata",
    "tenant",
)  # fmt: skip  # a list of names
_LONGER = 4
"""A line may be so many times as long as an event, for escapes and spaces in it; a longer one is read past."""


@dataclass(kw_only=True)
class Tally:
    """What became of the lines."""

    accepted: Counter[str] = field(default_factory=Counter)
    bad: int = 0
    redacted: Counter[str] = field(default_factory=Counter)
    states: dict[str, Counter[str]] = field(default_factory=dict)
    unsettled: int = 0
    stopped: str | None = None
    last: UUID | None = None  # the event that was accepted last

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "accepted": sum(self.accepted.values()),
            "via": dict(self.accepted),
            "bad": self.bad,
            "redacted": dict(self.redacted),
            "states": {store: dict(states) for store, states in self.states.items()},
            "unsettled": self.unsettled,
            "stopped": self.stopped,
            "last_event_id": self.last,
        }


class BadLine(ValueError):
    """A line that is no event; the message says why."""


def emit(
    file: Annotated[str, typer.Argument(help="JSON lines, one event each; - reads stdin.", metavar="FILE.jsonl|-")],
    tenant: Tenant = "default",
    settle: Annotated[
        bool, typer.Option("--settle", help="Wait until every event is extracted, and show the states.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that --settle waits for one event.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Emit events: each line a JSON object of what `LearningMachine.emit` takes.

    Fields: messages, user_id, session_id, agent_id, team_id, occurred_at (ISO 8601 with a time zone), history,
    end_of_session, metadata; and tenant, where it is not the same for all. A bad line is named on stderr with its number and
    reason, and does not stop the others; the exit status is then 1.
    """
    from learning_machine import LearningMachine
    from learning_ops.cli.output import print_json

    tally = Tally()
    receipts: list[Receipt] = []
    with ExitStack() as stack:
        source, total = stack.enter_context(_opened(file)), _size(file)
        machine = stack.enter_context(LearningMachine(tenant=tenant))
        progress = stack.enter_context(_progress())
        _send(machine, _lines(source, _LONGER * _event_limit()), tally, receipts if settle else None, progress, total)
        if settle:
            _settle(machine, receipts, timeout, tally, progress)
    if as_json:
        print_json(tally.as_dict())
    else:
        _summarise(tally)
    if tally.bad or tally.stopped or tally.unsettled or any(states["dead"] for states in tally.states.values()):
        raise typer.Exit(1)


def _send(
    machine: "LearningMachine",
    lines: Iterable[tuple[int, bytes, bool]],
    tally: Tally,
    receipts: "list[Receipt] | None",
    progress: "Progress",
    total: int | None,
) -> None:
    from learning_machine import InvalidArgument, InvalidEvent, NotAccepted

    machines: dict[str, LearningMachine] = {}
    task = progress.add_task("emitting", total=total)
    for number, line, whole in lines:
        try:
            values = _values(line, whole=whole)
            if values:
                own = values.pop("tenant", None)
                if own is not None and own not in machines:
                    machines[own] = machine.for_tenant(own)
                receipt = (machines[own] if own is not None else machine).emit(values.pop("messages"), **values)
                tally.accepted[receipt.via] += 1
                tally.last = receipt.event_id
                tally.redacted.update(receipt.redactions)
                if receipts is not None:
                    receipts.append(receipt)
        except (BadLine, InvalidEvent, InvalidArgument) as error:
            tally.bad += 1
            progress.console.print(f"line {number}: {error}", style="red", soft_wrap=True)
        except NotAccepted as error:
            # The lines before are in; going on would only find the same servers away.
            causes = "; ".join(f"{place}: {cause}" for place, cause in error.causes.items())
            tally.stopped = f"line {number} was not accepted ({causes}). Go on from there once a server is back"
            progress.console.print(tally.stopped, style="red", soft_wrap=True)
            return
        finally:
            progress.advance(task, len(line))


def _values(line: bytes, *, whole: bool) -> dict[str, Any]:
    """The arguments of emit that a line holds; empty for an empty line. Raises BadLine."""
    from pydantic_core import from_json

    if not whole:
        raise BadLine(f"is longer than {_LONGER * _event_limit():,} bytes; emit a conversation turn by turn")
    if not line.strip():
        return {}
    try:
        values = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        raise BadLine(f"is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise BadLine(f"is a JSON {type(values).__name__}, not an object")
    if unknown := sorted(set(values) - set(_FIELDS)):
        raise BadLine(f"{unknown[0]}: no such field. There are: {', '.join(_FIELDS)}")
    for name, kind, told in (
        ("messages", list, "a list of messages"),
        ("occurred_at", str, "ISO 8601 text"),
        ("tenant", str, "text"),
    ):
        if name in values and not isinstance(values[name], kind) and (values[name] is not None or name == "messages"):
            raise BadLine(f"{name}: must be {told}")
    if "messages" not in values:
        raise BadLine("messages: is missing")
    return {name: value for name, value in values.items() if value is not None}


def _opened(file: str) -> IO[bytes]:
    from learning_ops.cli.failure import Failed

    try:
        # Not to be closed, stdin is left open by its descriptor's other owner.
        return open(sys.stdin.fileno(), "rb", closefd=False) if file == "-" else Path(file).open("rb")
    except OSError as error:
        raise Failed(f"{file} cannot be read: {error.strerror}") from None


def _size(file: str) -> int | None:
    if file == "-":
        return None
    path = Path(file)
    return path.stat().st_size if path.is_file() else None


def _lines(source: IO[bytes], limit: int) -> Iterator[tuple[int, bytes, bool]]:
    """Number, line and whether it is whole; of a line over the limit the rest is read past, so that memory stays small."""
    number = 0
    while line := source.readline(limit):
        number += 1
        whole = line.endswith(b"\n") or len(line) < limit
        yield number, line, whole
        while not whole and (rest := source.readline(limit)):
            whole = rest.endswith(b"\n")


def _event_limit() -> int:
    from learning_stores.settings import AgentSettings

    return AgentSettings.load().max_event_bytes


def _progress() -> "Progress":
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from learning_ops.cli.table import console as plain_console

    console = plain_console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _settle(
    machine: "LearningMachine", receipts: "list[Receipt]", timeout: float, tally: Tally, progress: "Progress"
) -> None:
    from learning_machine import SettleTimeout
    from learning_ops.cli.failure import reaching_postgres
    from learning_stores.settings import AgentSettings

    task = progress.add_task("settling", total=len(receipts))
    with reaching_postgres(AgentSettings.load().database(), "LEARNING_DATABASE_URL"):
        for receipt in receipts:
            try:
                states = machine.for_tenant(receipt.tenant).settle(receipt, timeout=timeout)
            except SettleTimeout as error:
                tally.unsettled += 1
                states = error.states
                progress.console.print(f"event {receipt.event_id}: {error}", style="red", soft_wrap=True)
            for store, state in states.items():
                tally.states.setdefault(store, Counter())[state] += 1
            progress.advance(task)


def _summarise(tally: Tally) -> None:
    via = ", ".join(f"{count:,} by {name}" for name, count in sorted(tally.accepted.items()))
    redacted = ", ".join(f"{count:,} {name}" for name, count in sorted(tally.redacted.items()))
    typer.echo(f"accepted  {sum(tally.accepted.values()):,}" + (f" ({via})" if via else ""))
    typer.echo(f"bad       {tally.bad:,}")
    typer.echo(f"redacted  {sum(tally.redacted.values()):,}" + (f" ({redacted})" if redacted else ""))
    for store, states in sorted(tally.states.items()):
        typer.echo(f"{store}: " + ", ".join(f"{count:,} {state}" for state, count in sorted(states.items())))
    if tally.unsettled:
        typer.echo(f"unsettled {tally.unsettled:,}")
    if tally.last is not None:
        typer.echo(f"the last one's path: learning-machine trace {tally.last}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=prose(emit), epilog=examples("emit events.jsonl --settle", "emit - --tenant acme < events.jsonl"))(
        emit
    )
