"""What processes use: memory and CPU of each with its children, by name.

Memory is told twice. Resident is the proportional set (shared pages split between those who share them), so that Postgres's
backends can be added up; private is what would be given back if the tree ended. Where the system tells neither, both are the
resident set.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Of one tree of processes, in MiB."""

    resident: float
    private: float


def tree(pid: int) -> list[psutil.Process]:
    """A process and what it started, as far as they are still there."""
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def memory(pid: int) -> Memory | None:
    """Of a process and its children; of this very one without them; None where it has ended."""
    resident = private = 0
    members = [psutil.Process()] if pid == os.getpid() else tree(pid)
    for process in members:
        try:
            found = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        resident += getattr(found, "pss", found.rss)
        private += getattr(found, "uss", found.rss)
    return Memory(resident=resident / MIB, private=private / MIB) if resident else None


def cpu_seconds(pid: int) -> float:
    """That a process and its children have used so far, also those that have ended."""
    used = 0.0
    for process in tree(pid):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used += times.user + times.system + times.children_user + times.children_system
    return used


def cpu_of(pids: Mapping[str, int | None]) -> dict[str, float]:
    """CPU seconds by name, of those that run."""
    return {name: cpu_seconds(pid) for name, pid in pids.items() if pid is not None}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The memory of all that ran at one moment, `at` by time.time()."""

    at: float
    memory: dict[str, Memory]


class MemoryWatch:
    """Looks every so many seconds, in a thread, for as long as the block runs."""

    def __init__(self, pids: Callable[[], Mapping[str, int | None]], every: float = 2.0) -> None:
        self.samples: list[Sample] = []
        self._pids = pids
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-watch", daemon=True)

    def look(self) -> Sample:
        """One look, at once, which is kept as well."""
        found = {name: memory(pid) for name, pid in self._pids().items() if pid is not None}
        sample = Sample(at=time.time(), memory={name: each for name, each in found.items() if each is not None})
        self.samples.append(sample)
        return sample

    def _run(self) -> None:
        while not self._over.wait(self._every):
            self.look()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()


def highest(samples: Iterable[Sample]) -> dict[str, Memory]:
    """The most that each had in any of them."""
    found: dict[str, Memory] = {}
    for sample in samples:
        for name, each in sample.memory.items():
            had = found.get(name, each)
            found[name] = Memory(resident=max(had.resident, each.resident), private=max(had.private, each.private))
    return found
