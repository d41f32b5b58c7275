"""Whether a process moves. Alive is: nothing waits for it, or it works on what waits. A thread that turns in vain is not alive.

What it cannot help is no reason to start it again: a server that is away makes it not ready, and a paused provider, a spent
budget or a spec that is not known leave nothing in its queues. So each judgement is of what waits while the servers answer.
"""

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

LOOK_EVERY = 5.0
"""Seconds between two looks at what waits."""
STILL_SECONDS = 60.0
"""How long work may wait, while the servers answer, before nothing counts as moving."""
HUNG_SECONDS = 120.0
"""How long one turn of a loop may take: statements are cancelled after 30 s, and a turn has several."""

FRESH_SECONDS = 20
"""A dispatcher whose loops have not said for so long that they turn is gone, or hangs."""

Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Yes or no, and why, in one line."""

    ok: bool
    told: str


class Still:
    """How long each of several values has been the same, by what was seen at each look."""

    def __init__(self) -> None:
        self._since: dict[Hashable, tuple[Hashable, float]] = {}

    def see(self, values: Mapping[Hashable, Hashable], now: float) -> None:
        """Look: what is not among `values` any more is forgotten."""
        self._since = {
            key: (value, self._since[key][1] if key in self._since and self._since[key][0] == value else now)
            for key, value in values.items()
        }

    def longest(self, now: float) -> tuple[Hashable, float] | None:
        """Which one has been the same for longest, and for how many seconds."""
        if not self._since:
            return None
        key, (_, since) = min(self._since.items(), key=lambda each: each[1][1])
        return key, now - since


class DispatcherPulse:
    """A dispatcher's. `looked` is told at each look what waits; `turned` by the loops. Safe in threads."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._turned: dict[str, float] = {}
        self._well: dict[str, float] = {}
        self._answer_since: float | None = None
        self._heads = Still()

    def turned(self, loop: str, *, well: bool) -> None:
        """A loop's turn has ended, well or with an error; also said when the loop begins."""
        now = self._clock()
        with self._lock:
            self._turned[loop] = now
            if well:
                self._well[loop] = now

    def looked(self, heads: Mapping[Hashable, str] | None) -> None:
        """The first entry of each held stream that has one; None where one of the servers did not answer."""
        now = self._clock()
        with self._lock:
            if heads is None:
                self._answer_since = None
                self._heads = Still()
                return
            if self._answer_since is None:
                self._answer_since = now
            self._heads.see(dict(heads), now)

    def live(self) -> Verdict:
        """Whether both loops turn, and what waits moves."""
        now = self._clock()
        with self._lock:
            if len(self._turned) < 2:
                return Verdict(ok=True, told="starting")
            for loop, at in self._turned.items():
                if now - at > HUNG_SECONDS:
                    return Verdict(ok=False, told=f"{loop} has been in one turn for {now - at:.0f} s")
            if self._answer_since is None:
                return Verdict(ok=True, told="both loops turn, and wait for a server")
            for loop, at in self._well.items():
                if (failing := now - max(at, self._answer_since)) > STILL_SECONDS:
                    told = f"every turn of {loop} has failed for {failing:.0f} s, and both servers answer"
                    return Verdict(ok=False, told=f"{told}: its log says how")
            if (longest := self._heads.longest(now)) is not None and longest[1] > STILL_SECONDS:
                told = f"the first entry of stream {longest[0]} has not been taken in for {longest[1]:.0f} s"
                return Verdict(ok=False, told=f"{told}, and both servers answer")
        return Verdict(ok=True, told="both loops turn")


class WorkerPulse:
    """A worker's. `began`, `moved` and `ended` are said in the thread of the task; `looked` at each look. Safe in threads."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[int, float] = {}  # thread -> when its task moved last
        self._begun = self._begun_at_look = 0
        self._idle_since: float | None = None
        self.threads = 1
        self.ready = False
        """Whether it has begun to take nudges."""
        self.task_seconds = 300.0
        """How long a task may go without a commit: a call of a model, what it waits for, and a transaction."""

    @property
    def running(self) -> int:
        """Tasks in hand."""
        return len(self._running)

    def began(self) -> None:
        """A task begins in this thread."""
        with self._lock:
            self._running[threading.get_ident()] = self._clock()
            self._begun += 1

    def moved(self) -> None:
        """A transaction of this thread's task was committed."""
        with self._lock:
            if (thread := threading.get_ident()) in self._running:
                self._running[thread] = self._clock()

    def ended(self) -> None:
        """This thread's task is over, however it ended."""
        with self._lock:
            self._running.pop(threading.get_ident(), None)

    def looked(self, nudges: int | None) -> None:
        """How many nudges are in the queues that this worker serves; None where the broker did not answer."""
        with self._lock:
            idle = len(self._running) < self.threads and self._begun == self._begun_at_look
            if nudges and idle:
                self._idle_since = self._idle_since if self._idle_since is not None else self._clock()
            else:
                self._idle_since = None
            self._begun_at_look = self._begun

    def live(self) -> Verdict:
        """Whether its tasks move, and nudges that wait are taken."""
        now = self._clock()
        with self._lock:
            since = min(self._running.values(), default=now)
            if now - since > self.task_seconds:
                return Verdict(ok=False, told=f"a task has committed nothing for {now - since:.0f} s")
            if self._idle_since is not None and now - self._idle_since > STILL_SECONDS:
                told = f"nudges have waited for {now - self._idle_since:.0f} s, and threads are free"
                return Verdict(ok=False, told=f"{told}: the worker takes none")
            return Verdict(ok=True, told=f"{len(self._running)} tasks running, of {self.threads} at once")
