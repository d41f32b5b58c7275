"""The spool: where an event goes when neither Redis nor Postgres takes it, so that it outlives the process.

A process has one file in the directory for each database that its events are for, made with the first event that needs it.
An event is on the disk (fsync) before it counts as accepted; of several at once, one call brings all to the disk.

What is about the same subject comes behind what lies here (`holds`), so that it is not overtaken: into the file too, until
that is drained so far. Who drains may have what comes behind wait a moment (`paused`): else a caller that emits without a
pause would always be a little ahead. Of files that this process gave up, after an error of the disk or with `release`,
nothing is held.
"""

import os
import re
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from weakref import WeakSet

from learning_machine.lock import Lock
from learning_machine.spool_file import created, header, held, record, write_all
from learning_schemas.errors import ConfigurationError

Whose = tuple[str, str]
"""(tenant, subject)."""

_REMEDY = "Name a directory that this process may write to and others may not, made with `mkdir -m 700`"


class SpoolFull(OSError):
    """The directory holds as much as it may."""


class _File:
    """An open file: bytes written, bytes that are on the disk, bytes that were drained."""

    def __init__(self, descriptor: int, path: Path, size: int) -> None:
        self.descriptor = descriptor
        self.path = path
        self.size = self.synced = self.drained = size
        self._syncing = threading.Lock()
        self._given_up = False

    def sync(self, end: int) -> None:
        """Bring what was written up to there to the disk, with all that was written meanwhile. Raises `OSError`."""
        with self._syncing:
            if self.synced >= end:
                return
            if self._given_up:
                raise OSError("the file was given up after an error")
            written = self.size
            try:
                os.fsync(self.descriptor)
            except OSError:
                self._given_up = True  # what the disk holds now is unknown, and a second fsync would not say
                raise
            self.synced = written

    def close(self) -> None:
        """Close it, and with it give up the lock."""
        with self._syncing:
            self._given_up = True
            os.close(self.descriptor)


class Spool:
    """This process's file in a directory, for the events of one database; safe in threads and after a fork."""

    def __init__(self, directory: Path, destination: str) -> None:
        self.directory = directory
        self.destination = destination
        self.held: dict[Whose, int] = {}  # where the last event of each subject that waits in the file ends
        self._lock = Lock()
        self._file: _File | None = None
        self._open = _set_event()
        _ALL.add(self)

    def holds(self, whose: Whose) -> bool:
        """Whether an event about that subject waits in the own file. `held` alone says whether anything does."""
        return whose in self.held

    def append(self, whose: Whose, event: bytes, spec: bytes, limit: int) -> None:
        """Write an event and its spec, and bring them to the disk. Raises `SpoolFull` and `OSError`: it is then not there.

        `limit` is how many bytes the directory may hold. Several processes that write at the same moment may each exceed it
        by one event.
        """
        self._append(whose, record(event, spec), limit, behind=False)

    def append_behind(self, whose: Whose, event: bytes, spec: bytes, limit: int, patience: float) -> bool:
        """The same for an event that has to come behind others. False where nothing of its subject waits here any more.

        It waits for a drain that lets nothing in between, so many seconds at most.
        """
        self._open.wait(patience)
        return self._append(whose, record(event, spec), limit, behind=True)

    def _append(self, whose: Whose, line: bytes, limit: int, *, behind: bool) -> bool:
        with self._lock.mutex:
            if behind and whose not in self.held:
                return False
            if held(self.directory) + len(line) > limit:
                raise SpoolFull(
                    f"the spool directory is full ({limit:,} bytes, LEARNING_SPOOL_BYTES); `learning-machine spool drain` "
                    "empties it once Postgres or Redis is back"
                )
            file = self._file or self._create()
            try:
                write_all(file.descriptor, line)
            except OSError:
                self._undo(file)
                raise
            file.size += len(line)
            self.held[whose] = end = file.size
        try:
            file.sync(end)
        except OSError:
            with self._lock.mutex:
                self._drop(file)
            raise
        return True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Have what comes behind wait, and bring to the disk what is being written, so that all of it can be drained."""
        self._open.clear()
        try:
            with self._lock.mutex:
                file = self._file
            if file is not None:
                file.sync(file.size)
            yield
        finally:
            self._open.set()

    def undrained(self) -> tuple[Path, int, int] | None:
        """The own file, and from where to where it is to be drained."""
        with self._lock.mutex:
            file = self._file
            return None if file is None or file.drained == file.synced else (file.path, file.drained, file.synced)

    def was_drained(self, path: Path, until: int) -> None:
        """Take in how far the own file was drained. One that is drained to its end is removed."""
        with self._lock.mutex:
            if (file := self._file) is None or file.path != path:
                return
            file.drained = max(file.drained, until)  # another machine of this process may be further
            if file.drained == file.size:
                file.path.unlink(missing_ok=True)
                self._drop(file)
            else:
                self.held = {whose: end for whose, end in self.held.items() if end > file.drained}

    def release(self) -> None:
        """Leave the file to whoever drains the directory; the next event begins another one."""
        with self._lock.mutex:
            if (file := self._file) is not None:
                try:
                    file.sync(file.size)  # for one that is being appended just now
                finally:
                    self._drop(file)

    def _create(self) -> _File:
        host = re.sub("[^A-Za-z0-9-]", "-", socket.gethostname())[:64]
        name = f"{host}-{os.getpid()}-{os.urandom(4).hex()}"
        descriptor, path = created(self.directory, name, self.destination)
        self._file = _File(descriptor, path, len(header(self.destination)))
        return self._file

    def _undo(self, file: _File) -> None:
        """A record that was written in part, as on a full disk, would hide the next one."""
        try:
            os.ftruncate(file.descriptor, file.size)
        except OSError:
            self._drop(file)

    def _drop(self, file: _File) -> None:
        if self._file is file:
            self._file, self.held = None, {}
            file.close()

    def leave_to_parent(self) -> None:
        """In the child of a fork."""
        self._open = _set_event()
        if self._file is not None:
            os.close(self._file.descriptor)  # the parent's lock stays: it is held by the parent's own descriptor
            self._file, self.held = None, {}


def _set_event() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


_ALL: WeakSet[Spool] = WeakSet()
_SPOOLS: dict[tuple[Path, str], Spool] = {}


def spool_for(directory: Path, destination: str) -> Spool:
    """The spool of all machines of this process with that directory and database."""
    return _SPOOLS.setdefault((directory, destination), Spool(directory, destination))


def destination_name(url: Any) -> str:
    """How a file names a database (a SQLAlchemy URL): host, port and name, without who logs in."""
    return quote(f"{url.host or url.query.get('host', 'localhost')}:{url.port or 5432}/{url.database}", safe=":/")


def checked_directory(given: str | os.PathLike[str], field: str = "spool_dir") -> Path:
    """An absolute path of a directory that can hold a spool. Raises `ConfigurationError`."""
    directory = Path(given).absolute()
    try:
        found = directory.stat()
    except OSError as error:
        raise ConfigurationError(field, f"{directory} cannot be used ({type(error).__name__})", _REMEDY) from None
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(field, f"{directory} is not a directory", _REMEDY)
    if found.st_mode & stat.S_IWOTH:
        # What lies there is taken for what agents of this deployment said.
        raise ConfigurationError(field, f"{directory} is open to every user of this host", _REMEDY)
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(field, f"{directory} cannot be written to", _REMEDY)
    return directory


def _in_child_of_fork() -> None:
    for spool in _ALL:
        spool.leave_to_parent()


os.register_at_fork(after_in_child=_in_child_of_fork)
