"""The load: an agent in this process that emits at a steady rate and recalls once a second, and what was sampled meanwhile."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from benchmarks.end_to_end.conversation import word
from learning_machine import (
    EntityMemoryConfig,
    LearnedKnowledgeConfig,
    LearningMachine,
    Prune,
    SessionContextConfig,
    UserProfileConfig,
)

USERS = 40
TURNS = 10
"""Of a session; then the user begins another."""
_WITHOUT, _WITH = "without a query", "with a query"

CURATING = {
    **{
        f"LEARNING_CURATOR_{job}": "* * * * *"
        for job in ("RECONCILE", "TRIM", "PRUNE", "DEDUPLICATE", "STATISTICS", "RETAIN")
    },
    "LEARNING_CURATOR_SPREAD": "0",
    "LEARNING_RETAIN_RETIRED_DAYS": "0.002",
}
"""Every job each minute; what was pruned is removed for good three minutes later."""

STORES: dict[str, Any] = {
    "name": "soak",
    "user_profile": UserProfileConfig(prune=Prune(max_count=20)),
    "session_context": SessionContextConfig(),
    "entity_memory": EntityMemoryConfig(prune=Prune(max_count=300)),
    "learned_knowledge": LearnedKnowledgeConfig(mode="ALWAYS", wider_writes="active", prune=Prune(max_count=200)),
}
"""Four stores, ALWAYS; caps that are reached within minutes, so that from then on prune works."""


def question(number: int) -> str:
    """What may be asked once that turn was said."""
    return f"What has {_company(number)} moved to?"


def said(number: int) -> list[dict[str, str]]:
    """One turn, which says one thing for each store."""
    company, tool, dish = _company(number), word(number + 4_000).capitalize(), word(number + 70_000)
    moved = f"{company} just migrated to {tool}."
    text = f"I love {dish} soup. {moved} Lesson learned: always check {tool} before a deploy."
    return [
        {"role": "user", "content": text},
        {"role": "assistant", "content": f"Noted: {company} has {tool} now."},
    ]


def _company(number: int) -> str:
    return f"{word(number + 200).capitalize()} Corp"


@dataclass(kw_only=True)
class Emitted:
    """What the agent did: events accepted, the longest that it fell behind its rate (seconds), and its recalls' seconds."""

    events: int = 0
    behind: float = 0.0
    recalls: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # by kind: when (time.time()), how long
    degraded: Counter[str] = field(default_factory=Counter)  # recalls, by why


def emit_for(machine: LearningMachine, seconds: float, rate: float, check: Callable[[], None]) -> Emitted:
    """Emit so many events a second for so long; `check` is called now and then and raises where there is no point in going on."""
    done = Emitted()
    began = time.monotonic()
    recalled, asked = began, 0
    while (due := began + done.events / rate) < began + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        done.behind = max(done.behind, time.monotonic() - due)
        user, turn = done.events % USERS, done.events // USERS
        names: dict[str, Any] = {"user_id": f"user-{user}", "session_id": f"s{turn // TURNS}"}
        machine.emit(said(done.events), history="delta", **names)
        done.events += 1
        if time.monotonic() - recalled >= 1:
            recalled = time.monotonic()
            at, query = time.time(), question(done.events - 1) if asked % 2 else None
            asked += 1
            found = machine.recall(query, **names)
            took = (at, time.monotonic() - recalled)
            done.recalls.setdefault(_WITH if query else _WITHOUT, []).append(took)
            if found.degraded is not None:
                done.degraded[found.degraded] += 1
            check()
    return done


class Repeated:
    """Calls something every so many seconds, in a thread, for as long as the block runs; raises at the end what it raised."""

    def __init__(self, look: Callable[[], object], every: float) -> None:
        self._look = look
        self._every = every
        self._over = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="repeated", daemon=True)

    def _run(self) -> None:
        try:
            while not self._over.wait(self._every):
                self._look()
        except BaseException as error:
            self._failed = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._failed is not None and error is None:
            raise self._failed
