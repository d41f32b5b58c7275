"""The spool directory of this host: who may read it, what waits in it, and how full it is."""

import os
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from learning_machine.spool import checked_directory
from learning_machine.spool_look import Spooled, look
from learning_ops.doctor.deployment import Deployment
from learning_ops.doctor.finding import Finding, counted, error, note, ok, warning
from learning_schemas.errors import ConfigurationError

FULL = 0.8
"""Of LEARNING_SPOOL_BYTES: from here on it is time to act."""
DRAINED_WITHIN = timedelta(minutes=5)
"""A process drains its own file within seconds once a server is back."""


def directory(deployment: Deployment) -> Iterator[Finding]:
    """LEARNING_SPOOL_DIR, as this user sees it."""
    named = (deployment.settings.spool_dir or "").strip()
    if not named:
        yield ok("no spool directory is set: what neither Redis nor Postgres takes, emit raises NotAccepted for")
        return
    try:
        where = checked_directory(named, "LEARNING_SPOOL_DIR")
    except ConfigurationError as wrong:
        yield error(f"{wrong.field}: {wrong.problem}", f"mkdir -p -m 700 {named} && chmod 700 {named}")
        return
    findings = [*_closed(where), *_filling(where, deployment.settings.spool_bytes), *_waiting(where, look(where))]
    yield from findings or [ok(f"{where} is closed to others, and nothing waits in it")]


def _closed(where: Path) -> Iterator[Finding]:
    found = where.stat()
    if found.st_mode & (stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH | stat.S_IWGRP):
        yield warning(
            f"{where} is open to others than its owner (mode {stat.S_IMODE(found.st_mode):o}), and holds what was said",
            f"chmod 700 {where}",
        )
    if found.st_uid not in (0, os.geteuid()):
        yield note(
            f"{where} belongs to another user (uid {found.st_uid})", "run this as the user that the agents run as"
        )


def _filling(where: Path, most: int) -> Iterator[Finding]:
    used = sum(each.stat().st_size for each in where.iterdir() if each.is_file())
    if used > FULL * most:
        yield warning(
            f"{where} holds {used:,} of {most:,} bytes; full, emit raises NotAccepted",
            f"`learning-machine spool drain {where}`, or a larger LEARNING_SPOOL_BYTES",
        )


def _waiting(where: Path, files: Sequence[Spooled]) -> Iterator[Finding]:
    left = [each for each in files if each.waiting and not each.in_use]
    if left:
        yield warning(
            f"{counted(sum(each.waiting for each in left), 'event')} in {counted(len(left), 'file')} of {where} wait for "
            "somebody to hand them in",
            f"`learning-machine spool drain {where}`",
        )
    stuck = [each for each in files if each.waiting and each.in_use and _old(each)]
    if stuck:
        yield warning(
            f"{counted(sum(each.waiting for each in stuck), 'event')} wait in files of {where} whose process still runs and "
            f"has not drained them for {DRAINED_WITHIN.total_seconds() / 60:.0f} minutes",
            "see whether that process reaches Redis and Postgres; its log says once a minute where events go, and why",
        )
    held = [each for each in files if each.waiting and each.in_use and not _old(each)]
    if held:
        yield note(
            f"{counted(sum(each.waiting for each in held), 'event')} wait in files of {where} that their processes drain now",
            "nothing, unless it stays so",
        )
    refused = sum(each.refused + each.damaged for each in files)
    if refused:
        yield warning(
            f"{where} holds {counted(refused, 'record')} set aside or damaged",
            f"read the .refused files in {where}, and delete them",
        )


def _old(file: Spooled) -> bool:
    return datetime.now(UTC) - file.written_at > DRAINED_WITHIN
