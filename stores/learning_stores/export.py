"""Exporting a user: everything that is held about them, as JSON Lines. As the app role.

The first line is the header: format, version, tenant, user, when, and how many records of each type follow; one record a line.
All of it is of one moment where it can be read within `SNAPSHOT_SECONDS`, since no transaction lasts longer; else of several,
each of which the header names: rows of one table are then of the moment at which they were read. It goes through a temporary
file, so that neither the user's size nor a slow reader holds memory or a transaction.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import IO, Any, Self
from weakref import finalize

from pydantic_core import from_json, to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.scope import session_scope, subject_of
from learning_stores.database import Database
from learning_stores.export_sections import LEFT_OUT, SECTIONS, Section

FORMAT, VERSION = "learning-machine-export", 1
SNAPSHOT_SECONDS = 20.0
_IN_MEMORY = 4 * 1024 * 1024
_LINES = 100

_MOMENT = text("SELECT clock_timestamp()")
_UTC = text("SET LOCAL TIME ZONE 'UTC'")


@dataclass(kw_only=True)
class _Progress:
    """How far an export is: the records so far, the moments that were seen."""

    file: IO[bytes]
    counts: dict[str, int] = field(default_factory=lambda: {section.record: 0 for section in SECTIONS})
    moments: list[datetime] = field(default_factory=list)


class Export:
    """Everything that is held about a user: the header, then the records, as dictionaries of what JSON has.

        for record in machine.export("alex@example.com"):

    Goes through once, with `for` or `async for`; the end of it, `close` or the end of a `with` block removes the temporary file.
    """

    def __init__(self, header: dict[str, Any], file: IO[bytes]) -> None:
        self.header = header
        self._file = file
        finalize(self, file.close)  # of one that nobody goes through

    def lines(self) -> Iterator[bytes]:
        """The same, each as a line of JSON."""
        yield to_json(self.header) + b"\n"
        yield from self._file
        self.close()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(from_json, self.lines())

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        lines = self.lines()
        while some := await asyncio.to_thread(lambda: list(islice(lines, _LINES))):
            for line in some:
                yield from_json(line)

    def close(self) -> None:
        """Remove the records that were not gone through."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def export(database: Database, tenant: str, user_id: str, *, seconds: float = SNAPSHOT_SECONDS) -> Export:
    """Read everything that is held about a user in a tenant. `seconds` is how long one snapshot is read from."""
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY))
        progress = _Progress(file=file)
        _gather(database, tenant, user_id, seconds, progress)
        file.seek(0)
        stack.pop_all()  # whoever has the export closes it
    header = {
        "record": "header",
        "format": FORMAT,
        "version": VERSION,
        "tenant": tenant,
        "user_id": user_id,
        "exported_at": progress.moments[-1],
        "moments": progress.moments,
        "counts": progress.counts,
        "left_out": LEFT_OUT,
    }
    return Export(from_json(to_json(header)), progress.file)


def _gather(database: Database, tenant: str, user_id: str, seconds: float, progress: _Progress) -> None:
    values = {
        "tenant": tenant,
        "user_id": user_id,
        "subject": subject_of(user_id, None),
        "sessions": session_scope(user_id, ""),
    }
    left, after = list(SECTIONS), SECTIONS[0].first
    while left:
        with database.snapshot(tenant) as session:
            session.execute(_UTC)
            progress.moments.append(session.scalars(_MOMENT).one())
            until = time.monotonic() + seconds
            while left:
                after = _read(session, left[0], {**values, "after": after}, until, progress)
                if after is not None:  # the time is up: on from there in another snapshot
                    break
                left.pop(0)
                after = left[0].first if left else None


def _read(session: Session, section: Section, values: dict[str, Any], until: float, progress: _Progress) -> Any:
    """Write a section's records after a key. The last key written where the time was up before the end; else None."""
    found = session.execute(section.statement, values, execution_options={"yield_per": section.rows})
    for part in found.partitions():
        for row in part:
            progress.file.write(to_json({"record": section.record, **row.record}) + b"\n")
            progress.counts[section.record] += 1
        if time.monotonic() > until:
            found.close()
            return part[-1].key
    return None
