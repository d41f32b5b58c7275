"""Draining a spool: each record goes where it is taken (`spool_taker`), and is blanked then, or set aside with the reason.

What a crash leaves unblanked is drained again, which the event's key absorbs. Where no place takes a record, it and the rest
stay for the next time. Nor is anything kept here of somebody who is to be forgotten (`blank_matching`).
"""

import base64
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import from_json, to_json

from learning_machine.failure import WITHOUT_BODY
from learning_machine.spool_file import (
    REFUSED,
    Record,
    blank,
    destination_of,
    is_locked,
    opened,
    records,
    set_aside,
    spooled,
)
from learning_machine.spool_taker import Away, Outcome, Refused, Taker
from learning_schemas.errors import InvalidEvent
from learning_schemas.event import ConversationCompleted

BATCH = 50
BATCH_BYTES = 1024 * 1024
"""Of one transaction."""


@dataclass(kw_only=True)
class Drained:
    """What became of records: `accepted` in Postgres or a stream, `known` there before, `refused` and `damaged` set aside.

    A `torn` one was cut off by the end of its process before emit returned: it was never accepted. `left` counts files with
    records that no place takes now, because of `cause`.
    """

    files: int = 0
    accepted: int = 0
    known: int = 0
    refused: int = 0
    damaged: int = 0
    torn: int = 0
    left: int = 0
    in_use: int = 0
    elsewhere: list[str] = field(default_factory=list)
    cause: str | None = None


def drain(
    path: Path, file: BinaryIO, start: int, until: int | None, taker: Taker, result: Drained, stop: Callable[[], bool]
) -> int:
    """Drain a file's records from one offset to another one, in their order. Returns the offset that was reached.

    The caller holds the file's lock, or is the process that writes it. Where no place takes one, it stops, and
    `result.cause` says why.
    """
    offset, destination = start, destination_of(file)
    for batch in _batches(records(file, start, until)):
        if stop():
            break
        try:
            if batch[0].state == "whole":
                for found, outcome in zip(batch, taker.take(batch), strict=True):
                    _settle(path, found, outcome, result, destination)
                    blank(file.fileno(), found)
                    offset = found.offset + len(found.line)
                continue
            [found] = batch
            if found.state == "damaged":
                raw = base64.b64encode(found.line).decode()
                set_aside(path, _aside(reason="the record is damaged", destination=destination, raw=raw))
                blank(file.fileno(), found)
                result.damaged += 1
            elif found.state == "torn":
                result.torn += 1
            offset = found.offset + len(found.line)
        except Away as error:
            result.cause = str(error)
            break
    return offset


def _batches(found: Iterable[Record]) -> Iterator[list[Record]]:
    """Whole records that follow each other, so many and so large as one transaction may have; any other one alone."""
    batch: list[Record] = []
    size = 0
    for each in found:
        if batch and (each.state != "whole" or len(batch) == BATCH or size + len(each.line) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        if each.state != "whole":
            yield [each]
            continue
        batch.append(each)
        size += len(each.line)
    if batch:
        yield batch


def drain_directory(
    directory: Path, destination: str | None, taker: Taker, result: Drained, stop: Callable[[], bool]
) -> None:
    """Drain the files that no process holds, oldest first, and remove those that are empty then.

    Files for another database than `destination` (None: whatever they are for) are left alone.
    """
    for path in spooled(directory):
        if (file := opened(path)) is None:
            continue
        with file:
            if is_locked(file):
                result.in_use += 1
                continue
            theirs = destination_of(file)
            if theirs is None or (destination is not None and theirs != destination):
                result.elsewhere.append(f"{path.name}: {theirs or 'not a spool file of this version'}")
                continue
            result.files += 1
            end = file.seek(0, 2)
            destination_of(file)
            if drain(path, file, file.tell(), None, taker, result, stop) >= end:
                path.unlink(missing_ok=True)
            else:
                result.left += 1
        if result.cause is not None or stop():
            return


def blank_matching(directory: Path, destination: str, matches: Callable[[ConversationCompleted], bool]) -> int:
    """Overwrite the events for that database that match, in files in use and those set aside too. Returns how many.

    A record that is being drained meanwhile may be accepted: the event log has to refuse it.
    """
    count = 0
    for path in spooled(directory):
        if (file := opened(path)) is None:
            continue
        with file:
            if destination_of(file) != destination:
                continue
            for found in records(file, file.tell()):
                if found.state == "whole" and _matches(found.event, matches):
                    blank(file.fileno(), found)
                    count += 1
    for path in spooled(directory, REFUSED):
        with path.open("r+b") as file:
            count += _forget_refused(file, destination, matches)
    return count


def _forget_refused(file: BinaryIO, destination: str, matches: Callable[[ConversationCompleted], bool]) -> int:
    """Take the words out of what was set aside; that it was, and why, stays. A line may not say for which database it is."""
    count = offset = 0
    for line in file.readlines():
        told = from_json(line) if line.endswith(b"}\n") else {}
        body = str(told.pop("event", "")).encode()
        told.pop("spec", None)
        if body and told.get("destination", destination) == destination and _matches(body, matches):
            os.pwrite(file.fileno(), to_json(told).ljust(len(line) - 1) + b"\n", offset)
            count += 1
        offset += len(line)
    return count


def _matches(body: bytes, matches: Callable[[ConversationCompleted], bool]) -> bool:
    try:
        return matches(ConversationCompleted.from_json(body, max_bytes=len(body)))
    except InvalidEvent:
        return False


def _settle(path: Path, found: Record, outcome: Outcome, result: Drained, destination: str | None) -> None:
    if isinstance(outcome, Refused):
        set_aside(path, _refusal(found, outcome, destination))
        result.refused += 1
    elif outcome:
        result.accepted += 1
    else:
        result.known += 1


def _refusal(found: Record, error: Refused, destination: str | None) -> bytes:
    told: dict[str, Any] = {"reason": str(error), "destination": destination}
    try:
        event = ConversationCompleted.from_json(found.event, max_bytes=len(found.event))
        told |= {"tenant": event.tenant, "event_id": str(event.id)}
    except InvalidEvent:
        pass  # it names nobody that could be read; the reason is told all the same
    if error.verdict not in WITHOUT_BODY:
        told |= {"event": found.event.decode(errors="replace"), "spec": found.spec.decode(errors="replace")}
    return _aside(**told)


def _aside(**told: Any) -> bytes:
    return to_json({"at": datetime.now(UTC).isoformat(), **told}) + b"\n"
