"""64 callers of recall at once in one event loop: what it is held for, and what a query's embedding costs."""

import asyncio
import gc
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import psycopg
from sqlalchemy.engine import make_url

from benchmarks.figures import Figure, interleaved, percentile
from benchmarks.place import bench_place
from callback_times import callback_times
from harness import Place
from learning_machine import LearningMachine
from learning_machine.query_embedding import QueryEmbedder
from learning_ops.offline import OFFLINE_MODEL_NAME
from learning_ops.offline.faults import Faults
from learning_ops.offline.server import OfflineModel, Settings, running
from learning_stores.embedding_endpoint import EmbeddingEndpoint
from tcp_proxy import TcpProxy

CALLERS = 64
ROUNDS = 10
TIMES = 300
GOAL_SECONDS = 0.005
DEADLINE = 0.5
DIMENSIONS = 1_536  # of OpenAI's small model
KEY = "not-a-key"

_FILL = """
    INSERT INTO learning.learning (tenant, id, store, kind, scope, user_id, content, content_key, status, valid_from, live_from,
                                   origin)
    SELECT 'default', gen_random_uuid(), 'user_profile', 'memory', 'user/user-7', 'user-7',
           'Remembers fact number ' || n || ' about the order of things', md5(n::text), 'active', now(), now(), 'import'
    FROM generate_series(1, 1000) AS n
"""


def run() -> list[Figure]:
    """The longest callback while all answer and while nobody does; p50 and p95 of a query's embedding beside a bare POST."""
    with running(Settings(port=0, faults=Faults())) as model, bench_place() as place:
        with psycopg.connect(place.superuser_url, autocommit=True) as connection:
            connection.execute(_FILL)
            connection.execute("ANALYZE learning.learning")
        figures = [figure for silent in (False, True) for figure in asyncio.run(_at_once(place, model, silent=silent))]
        model.faults = Faults()
        return figures + query_embedding(model)


async def _at_once(place: Place, model: OfflineModel, *, silent: bool) -> list[Figure]:
    with _proxied(place) as proxy, _machine(proxy, place, model) as machine:
        while machine._embedder is not None and not machine._embedder.counts.embedded:
            await machine.arecall("What is warm?", user_id="user-7", deadline=30)
        if silent:
            proxy.stall()
            model.faults = Faults(rate_timeout=1.0)
        pauses = _Collections()
        gc.collect()
        gc.freeze()  # what this process imported besides would be gone through again and again: no agent has it
        try:
            with callback_times() as times, pauses:
                took = [seconds for number in range(ROUNDS) for seconds in await _round(machine, number, silent=silent)]
        finally:
            gc.unfreeze()
            proxy.go_on()
        await machine.aclose()
    longest, _ = times.longest
    whose = f"{CALLERS} callers at once, {'Postgres and the endpoint silent' if silent else 'all answer'}"
    return [
        Figure(
            what=f"{whose}: longest callback, of its own CPU time",
            value=f"{longest * 1000:.1f} ms of {len(times.seconds):,}",
            goal=f"≤ {GOAL_SECONDS * 1000:.0f} ms",
            reached=longest <= GOAL_SECONDS,
        ),
        Figure(
            what=f"{whose}: longest turn of the loop, of all that was ready at once; 99th percentile",
            value=f"{max(times.turns) * 1000:.1f} ms; {percentile(times.turns, 0.99) * 1000:.1f} ms",
        ),
        Figure(
            what=f"{whose}: longest garbage collection of the process, in all",
            value=f"{pauses.longest * 1000:.1f} ms of {pauses.number}",
        ),
        Figure(
            what=f"{whose}: a call, p50 / p95 / longest",
            value=" / ".join(f"{percentile(took, share) * 1000:.0f}" for share in (0.5, 0.95, 1.0)) + " ms",
        ),
    ]


async def _round(machine: LearningMachine, number: int, *, silent: bool) -> list[float]:
    async def timed(caller: int) -> float:
        began = time.perf_counter()
        query = f"Which fact number {number * CALLERS + caller} is about things?"
        deadline = DEADLINE if silent else 30.0  # so many at once are seconds of the database's work
        found = await machine.arecall(query, user_id="user-7", session_id="s1", deadline=deadline)
        assert (found.degraded is not None) is silent
        return time.perf_counter() - began

    return await asyncio.gather(*map(timed, range(CALLERS)))


@contextmanager
def _proxied(place: Place) -> Iterator[TcpProxy]:
    url = make_url(place.app_url)
    proxy = TcpProxy(url.host or "127.0.0.1", url.port or 5432)
    proxy.open()
    try:
        yield proxy
    finally:
        proxy.cut()


@contextmanager
def _machine(proxy: TcpProxy, place: Place, model: OfflineModel) -> Iterator[LearningMachine]:
    through = make_url(place.app_url).set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    variables = {
        "LEARNING_EMBEDDING_MODEL": OFFLINE_MODEL_NAME,
        "LEARNING_EMBEDDING_BASE_URL": model.url,
        "LEARNING_EMBEDDING_API_KEY": KEY,
        "LEARNING_EMBEDDING_DIMENSIONS": str(DIMENSIONS),
    }
    with mock.patch.dict(os.environ, variables):
        machine = LearningMachine(database_url=through, redis_url=place.redis_url)
    with machine:
        yield machine


@dataclass
class _Collections:
    """Python's garbage collections while the block runs, in whatever thread."""

    number: int = 0
    longest: float = 0.0
    began: float = 0.0

    def __enter__(self) -> None:
        gc.callbacks.append(self._told)

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self._told)

    def _told(self, phase: str, _: dict[str, Any]) -> None:
        if phase == "start":
            self.began = time.perf_counter()
        else:
            self.number += 1
            self.longest = max(self.longest, time.perf_counter() - self.began)


def query_embedding(model: OfflineModel) -> list[Figure]:
    """What embedding a query takes, beside a POST of the same body over a connection that is kept."""
    endpoint = EmbeddingEndpoint(model=OFFLINE_MODEL_NAME, base_url=model.url, key=KEY, dimensions=DIMENSIONS)
    embedder, url = QueryEmbedder(endpoint, 30.0), urlsplit(model.url)
    connection = HTTPConnection(url.hostname or "", url.port)
    connection.connect()
    connection.sock.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
    )  # else head and body go as two packets, slowly
    asked = iter(range(10**9))  # each is another, or it would be remembered

    def ours() -> None:
        assert embedder.embed(f"Which fact is number {next(asked)}?") is not None

    def bare() -> None:
        query = f"Which fact is number {next(asked)}?"
        body = {"model": endpoint.model, "input": [query], "encoding_format": "base64", "dimensions": DIMENSIONS}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        connection.request("POST", f"{url.path}/embeddings", json.dumps(body), headers)
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()

    try:
        mine, theirs = interleaved([ours, bare], TIMES)
    finally:
        embedder.close()
        connection.close()
    return [
        Figure(
            what=f"embedding a query ({DIMENSIONS:,} dimensions, offline endpoint) / bare POST, {name}",
            value=f"{percentile(mine, share) * 1000:.1f} / {percentile(theirs, share) * 1000:.1f} ms",
        )
        for name, share in (("p50", 0.5), ("p95", 0.95))
    ]
