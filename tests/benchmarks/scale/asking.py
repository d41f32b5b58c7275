"""What is asked of the memory, and how long it takes: recall as an agent's process does it, and the same SQL by itself."""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import psycopg

from benchmarks.figures import percentile
from benchmarks.retrieval.dataset import Conversation
from benchmarks.scale.memory import TENANT, Layout
from benchmarks.scale.vectors import MODEL
from learning_stores.recall import Recaller, RecallRequest

DEADLINE = 0.5
"""Seconds that a recall may take; asked with ten times as many, so that what is late is measured."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Seconds of each recall and of its SQL through bare psycopg, and how many recalls took longer than the deadline."""

    ours: Sequence[float]
    bare: Sequence[float]

    @property
    def late(self) -> int:
        """How many recalls would have been answered as degraded."""
        return sum(seconds > DEADLINE for seconds in self.ours)

    def row(self) -> tuple[str, ...]:
        """As the table shows it: milliseconds at p50 and p95, the ratio of the medians, and what was late."""
        told = []
        for share in (0.5, 0.95):
            ours, bare = (percentile(each, share) * 1e3 for each in (self.ours, self.bare))
            told.append(f"{ours:,.1f} / {bare:,.1f}")
        ratio = percentile(self.ours, 0.5) / percentile(self.bare, 0.5)
        return (*told, f"{ratio:.2f} ×", f"{self.late} of {len(self.ours)}")


def questions(connection: psycopg.Connection, conversations: Sequence[Conversation]) -> Iterator[str]:
    """The questions whose text has six words to search by, without end, in an order that repeats."""
    six = [
        question.text for each in conversations for question in each.questions if _words(connection, question.text) == 6
    ]
    drawn = random.Random(11)
    while True:
        yield drawn.choice(six)


def measured(recaller: Recaller, bare: psycopg.Connection, requests: Iterable[RecallRequest], times: int) -> Latency:
    """So many recalls, each of something else; who asks first takes turns, since the second finds its pages warm."""
    ours: list[float] = []
    theirs: list[float] = []
    for number, request in zip(range(-5, times), requests, strict=False):
        for product in (number % 2 == 0, number % 2 == 1):
            began = time.perf_counter()
            if product:
                found = recaller.recall(request)
                assert found.degraded is None, found.degraded
            else:
                bare.execute(request.statement().encode(), request.parameters()).fetchone()
            if number >= 0:  # five to warm up
                (ours if product else theirs).append(time.perf_counter() - began)
    return Latency(ours=ours, bare=theirs)


def requests(
    layout: Layout, users: int, texts: Iterator[str] | None = None, vectors: Iterator[list[float]] | None = None
) -> Iterator[RecallRequest]:
    """Recalls of one user after another, without end: with a query where there are texts, and its vector."""
    drawn = random.Random(12)
    while True:
        user = drawn.randrange(users)
        yield RecallRequest(
            tenant=TENANT,
            user_id=f"user-{user}",
            session_id="s1",
            stores=("user_profile", "session_context", layout.store),
            places=layout.places(user),
            max_tokens=1_000,
            deadline=10 * DEADLINE,
            query=next(texts) if texts else None,
            vector=next(vectors) if vectors else None,
            model=MODEL if vectors else None,
        )


def _words(connection: psycopg.Connection, text: str) -> int:
    row = connection.execute("SELECT length(to_tsvector('english', %s))", (text,)).fetchone()
    return int(row[0]) if row else 0
