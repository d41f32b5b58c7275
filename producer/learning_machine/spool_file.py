"""The files of a spool: their form, and reading, blanking and locking them.

A file begins with one line that says what it is and for which database its events are. Each record is one line: the CRC-32 of
what follows its length, that length in bytes, then the event's JSON, a tab and its spec's JSON, neither of which has a tab or
the end of a line in it. So a record that a crash cut off is recognised, and no damage reaches beyond its line.

A record that was dealt with is overwritten with spaces in place, which disturbs nobody who appends. Who appends to a file or
drains it holds a lock (flock) on it, which ends with the process.
"""

import errno
import fcntl
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

SPOOLED = ".spool"
REFUSED = ".refused"

_HEADER = re.compile(rb"learning-machine spool 1 (\S+)\n")
_RECORD = re.compile(rb"([0-9a-f]{8}) (\d{1,12}) ")
_MODE = 0o600


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record, or what is left of one: where it is, and its whole line."""

    offset: int
    line: bytes
    state: Literal["whole", "blank", "torn", "damaged"]
    event: bytes = b""
    spec: bytes = b""


def record(event: bytes, spec: bytes) -> bytes:
    """The line of a record."""
    return _line(b"%b\t%b" % (event, spec))


def header(destination: str) -> bytes:
    """The first line of a file."""
    return b"learning-machine spool 1 %b\n" % destination.encode()


def destination_of(file: BinaryIO) -> str | None:
    """For which database a file's events are; None for a file that is none of ours. Leaves the position behind the header."""
    file.seek(0)
    found = _HEADER.fullmatch(file.readline(4_096))
    return found[1].decode(errors="replace") if found else None


def records(file: BinaryIO, start: int, until: int | None = None) -> Iterator[Record]:
    """The records from one offset to another one, or to the end, in their order."""
    offset = start
    while until is None or offset < until:
        file.seek(offset)
        line = file.readline()
        if not line:
            return
        found = _parsed(offset, line)
        if found.state == "damaged":  # or it was being overwritten just now
            found = _parsed(offset, os.pread(file.fileno(), len(line), offset))
        yield found
        offset += len(line)


def blank(descriptor: int, found: Record) -> None:
    """Overwrite a record in place. The descriptor must not append."""
    os.pwrite(descriptor, b" " * (len(found.line) - 1) + b"\n", found.offset)


def created(directory: Path, name: str, destination: str) -> tuple[int, Path]:
    """A new file, locked, with its header; a descriptor that appends, and the path. It is nobody else's at any time."""
    path, hidden = directory / f"{name}{SPOOLED}", directory / f".{name}.new"
    descriptor = os.open(hidden, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        write_all(descriptor, header(destination))
        hidden.rename(path)  # only what is locked has a name that is drained
        sync_directory(directory)
    except BaseException:
        os.close(descriptor)
        for left in (hidden, path):
            left.unlink(missing_ok=True)
        raise
    return descriptor, path


def opened(path: Path) -> BinaryIO | None:
    """A file to read and to blank; None where it is gone meanwhile, or is a link. Raises `OSError`."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return None
        raise
    return os.fdopen(descriptor, "r+b")


def is_locked(file: BinaryIO) -> bool:
    """Whether somebody else appends to the file or drains it; if not, it is ours from now on."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return os.fstat(file.fileno()).st_nlink == 0  # drained to the end by somebody, and removed


def spooled(directory: Path, ending: str = SPOOLED) -> list[Path]:
    """The files of a directory with that ending, the one that was written to longest ago first."""
    found: list[tuple[float, Path]] = []
    for path in directory.glob(f"*{ending}"):
        with suppress(FileNotFoundError):
            found.append((path.lstat().st_mtime, path))
    return [path for _, path in sorted(found)]


def held(directory: Path) -> int:
    """Bytes of all files of a spool directory."""
    total = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith((SPOOLED, REFUSED)):
                with suppress(FileNotFoundError):
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def set_aside(path: Path, line: bytes) -> None:
    """Add a line to the refused ones beside a file, and to the disk."""
    refused = path.with_suffix(REFUSED)
    descriptor = os.open(refused, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
    try:
        write_all(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(path.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line(payload: bytes) -> bytes:
    return b"%08x %d %b\n" % (zlib.crc32(payload), len(payload), payload)


def _parsed(offset: int, line: bytes) -> Record:
    if not line.endswith(b"\n"):
        return Record(offset=offset, line=line, state="torn")
    if not line.strip(b" \n"):
        return Record(offset=offset, line=line, state="blank")
    found = _RECORD.match(line)
    payload = line[found.end() : -1] if found else b""
    if found is None or int(found[2]) != len(payload) or int(found[1], 16) != zlib.crc32(payload):
        return Record(offset=offset, line=line, state="damaged")
    event, _, spec = payload.partition(b"\t")
    return Record(offset=offset, line=line, state="whole", event=event, spec=spec)
