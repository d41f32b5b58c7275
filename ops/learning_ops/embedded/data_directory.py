"""The directory that holds everything an embedded stack keeps: one owner at a time, private to its user."""

import fcntl
import json
import os
import re
import secrets
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

_NAME = re.compile(r"LEARNING_[A-Z0-9_]+\Z")
# Without these, 'value' means the same to a shell, to shlex and to readers of .env files.
_UNQUOTABLE = re.compile(r"['\\\x00-\x1f\x7f]|\$\{")

# DataDirectoryError
# ├── DataDirectoryInUse
# └── DataDirectoryRefused


class DataDirectoryError(Exception):
    """a data directory cannot be used"""


class DataDirectoryInUse(DataDirectoryError):
    """PATH is in use by process PID: stop that one, or choose another directory with --data"""

    def __init__(self, path: Path, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        owner = "another process" if pid is None else f"process {pid}"
        super().__init__(f"{path} is in use by {owner}: stop that one, or choose another directory with --data")


class DataDirectoryRefused(DataDirectoryError):
    """PATH cannot be a data directory: REASON; choose another with --data"""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path} cannot be a data directory: {reason}; choose another with --data")


class DataDirectory:
    """A directory of mode 0700 that this process alone owns between `open` and `close`, or inside `with`.

    The ownership is an flock: it ends with the process, however that ends. The directory is new, empty, or one that
    an earlier stack left; anything else is refused, so that nobody's project gets a `.gitignore` of `*`.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self._lock: int | None = None

    def open(self) -> Self:
        """Create the directory where it is missing, and take it. Raises DataDirectoryInUse, DataDirectoryRefused."""
        if self._lock is not None:
            raise DataDirectoryInUse(self.path, os.getpid())
        try:
            self._adopt()
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataDirectoryRefused(self.path, error.strerror or str(error)) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
            os.close(lock)
            if not isinstance(error, BlockingIOError):
                raise DataDirectoryRefused(self.path, f"it cannot be locked ({error.strerror})") from error
            raise DataDirectoryInUse(self.path, int(owner) if owner.isdigit() else None) from None
        self._lock = lock
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        (self.path / ".gitignore").write_text("*\n")
        return self

    def _adopt(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            if not self.path.is_dir():
                raise
        owner = self.path.stat().st_uid
        if os.geteuid() not in (0, owner):
            raise DataDirectoryRefused(self.path, f"it belongs to another user (uid {owner})")
        if any(self.path.iterdir()):
            if not (self.path / "lock").is_file():
                raise DataDirectoryRefused(self.path, "it holds something else")
        else:
            self.path.chmod(0o700)

    def close(self) -> None:
        """Give the directory up; nothing happens if it is not held."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def env_path(self) -> Path:
        """The file that `write_env` writes, for agents."""
        return self.path / "env"

    @property
    def operator_env_path(self) -> Path:
        """The file that `write_operator_env` writes, for who may see all tenants or change the schema."""
        return self.path / "operator-env"

    def folder(self, name: str) -> Path:
        """The subdirectory `name`, of mode 0700, created where it is missing."""
        folder = self.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def log_path(self, name: str) -> Path:
        """Where the process `name` logs to; its folder exists afterwards."""
        return self.folder("logs") / f"{name}.log"

    def write_env(self, values: Mapping[str, str]) -> None:
        """Replace the file `env` in one step: a line `NAME='value'` for each, mode 0600.

        A shell reads it by `set -a; . DIR/env`. Raises ValueError for a name that does not begin with LEARNING_ (nothing
        else may ever stand there) and for a value with control characters, quotes, backslashes or `${`.
        """
        _write_variables(self.env_path, values)

    def write_operator_env(self, values: Mapping[str, str]) -> None:
        """The same for the file `operator-env`."""
        _write_variables(self.operator_env_path, values)

    def read_env(self) -> dict[str, str]:
        """What `env` says; empty where there is none."""
        try:
            text = self.env_path.read_text()
        except FileNotFoundError:
            return {}
        return dict(word.split("=", 1) for word in shlex.split(text, comments=True))

    def secret(self, name: str) -> str:
        """The secret called `name`: made up once (192 random bits in URL-safe characters), the same ever after.

        Kept in `secrets.json`, mode 0600. The directory must be held.
        """
        if self._lock is None:
            raise RuntimeError(f"{self.path} must be opened before secrets are read from it")
        path = self.path / "secrets.json"
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        if name not in known:
            known[name] = secrets.token_urlsafe(24)
            _replace(path, json.dumps(known, indent=2) + "\n")
        return known[name]


def _write_variables(path: Path, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        if not _NAME.match(name):
            raise ValueError(f"{name!r} may not stand in {path}: only LEARNING_ variables may")
        if _UNQUOTABLE.search(value):
            raise ValueError(f"the value of {name} holds a character that {path} cannot: percent-encode it")
    _replace(path, "".join(f"{name}='{value}'\n" for name, value in values.items()))


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    # A password that a database was created with must not vanish with the power.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
