"""Looking into a spool directory, without changing anything."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from learning_machine.spool_file import REFUSED, destination_of, is_locked, opened, records, spooled


@dataclass(frozen=True, kw_only=True)
class Spooled:
    """A file: `waiting` events, `damaged` records, lines set aside beside it (`refused`), bytes of both."""

    name: str
    destination: str | None
    in_use: bool
    waiting: int
    damaged: int
    refused: int
    bytes: int
    written_at: datetime


def look(directory: Path) -> list[Spooled]:
    """The files, the one that was written to longest ago first; and those of which only refusals are left."""
    found: list[Spooled] = []
    seen: set[Path] = set()
    for path in spooled(directory):
        if (file := opened(path)) is None:
            continue
        with file:
            in_use = is_locked(file)
            destination = destination_of(file)
            held = os.fstat(file.fileno())
            states = [] if destination is None else [each.state for each in records(file, file.tell())]
        refused, size = _refused(path)
        seen.add(path.with_suffix(REFUSED))
        found.append(
            Spooled(
                name=path.name,
                destination=destination,
                in_use=in_use,
                waiting=states.count("whole"),
                damaged=states.count("damaged"),
                refused=refused,
                bytes=held.st_size + size,
                written_at=datetime.fromtimestamp(held.st_mtime, UTC),
            )
        )
    for path in spooled(directory, REFUSED):
        if path not in seen:
            refused, size = _refused(path)
            written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            found.append(
                Spooled(
                    name=path.name, destination=None, in_use=False, waiting=0, damaged=0, refused=refused, bytes=size,
                    written_at=written_at,
                )
            )  # fmt: skip  # only what is refused is left
    return found


def _refused(path: Path) -> tuple[int, int]:
    """Lines and bytes of what was set aside beside a file."""
    try:
        lines = path.with_suffix(REFUSED).read_bytes()
    except FileNotFoundError:
        return 0, 0
    return lines.count(b"\n"), len(lines)
