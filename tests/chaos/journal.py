"""The producers' own journal: what was acknowledged, as a file of JSON lines, each on disk before the next event is emitted."""

import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Said:
    """One acknowledged event. `refused` counts the times that no place took it; `began` and `ended` are Unix times."""

    id: str
    producer: str
    seq: int
    via: str
    user: str
    session: int
    position: int
    word: str
    work: bool
    refused: int
    began: float
    ended: float
    slowest: float  # of the calls of emit for it, in seconds


@dataclass(frozen=True, kw_only=True)
class Broke:
    """An emit that ended with something else than a receipt or a refusal."""

    session: int
    position: int
    error: str


class Journal:
    """Writes one producer's journal; safe in threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self._lock = threading.Lock()

    def write(self, entry: Said | Broke) -> None:
        """Return when the entry is on disk."""
        line = json.dumps(asdict(entry)).encode() + b"\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read_journal(paths: list[Path]) -> tuple[list[Said], list[Broke]]:
    """Everything in these journals. A line that is not whole is of an event that nobody was told is accepted."""
    said: list[Said] = []
    broke: list[Broke] = []
    for path in paths:
        if not path.exists():
            continue
        for line in path.read_bytes().split(b"\n")[:-1]:
            values = json.loads(line)
            if "error" in values:
                broke.append(Broke(**values))
            else:
                said.append(Said(**values))
    return said, broke
