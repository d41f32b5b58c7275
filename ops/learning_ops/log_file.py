"""A child's log: appended to, private, and bounded where the child starts.

A running child writes to the file that it was given, so a log is set aside only before a start: FILE becomes FILE.1, and
what was FILE.1 becomes FILE.2.
"""

import os
from pathlib import Path

LARGEST = 10 * 1024 * 1024
"""Bytes; a log that is larger is set aside before the next start."""
KEPT = 3
"""Files of one child, with the one in use."""


def open_log(path: Path) -> int:
    """A descriptor to append to the log, of mode 0600, set aside first where it has grown too large. Raises OSError."""
    log = _open(path)
    if os.fstat(log).st_size <= LARGEST:
        return log
    os.close(log)
    for number in range(KEPT - 1, 0, -1):
        older = _numbered(path, number - 1)
        if older.exists():
            older.replace(_numbered(path, number))
    return _open(path)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path
