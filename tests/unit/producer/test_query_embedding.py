"""Embedding a query: a vector in time or none, counted; what was asked lately is not asked again; nothing waits for it."""

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from callback_times import callback_times
from embedding_doubles import DIMENSIONS, Hang, vectors
from forking import in_child
from harness import asometimes, eventually
from learning_machine import query_embedding
from learning_machine.query_embedding import FAILURES_BEFORE_REST, QueryEmbedder
from learning_ops.offline.embeddings import embed
from learning_stores.embedding_client import EmbeddingClient
from learning_stores.embedding_endpoint import EmbeddingEndpoint
from scripted_model import Answer, ScriptedModel

QUERY = "Where does Alex keep the key?"
DEADLINE = 0.15


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedModel]:
    with ScriptedModel().running() as model:
        yield model


@pytest.fixture
def embedder(scripted: ScriptedModel) -> Iterator[QueryEmbedder]:
    scripted.answer = vectors
    scripted.asked.clear()
    embedder = QueryEmbedder(EmbeddingEndpoint(model="m", base_url=scripted.url, dimensions=DIMENSIONS), 60.0)
    yield embedder
    embedder.close()


def late(scripted: ScriptedModel, deadline: float = DEADLINE) -> QueryEmbedder:
    return QueryEmbedder(EmbeddingEndpoint(model="m", base_url=scripted.url), deadline)


async def test_given_a_query_when_embedded_twice_then_the_second_time_nobody_is_asked(
    scripted: ScriptedModel, embedder: QueryEmbedder
) -> None:
    first = await embedder.aembed(QUERY)
    second = await asyncio.to_thread(embedder.embed, f" {QUERY} ")

    assert first == second == pytest.approx(embed(QUERY, DIMENSIONS), abs=1e-6)
    assert embedder.model == f"m@{DIMENSIONS}"
    assert len(scripted.asked) == 1
    assert (embedder.counts.embedded, embedder.counts.cached) == (1, 1)


def test_given_more_queries_than_are_kept_when_embedded_then_the_oldest_is_forgotten(
    scripted: ScriptedModel, embedder: QueryEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_embedding, "CACHED_QUERIES", 2)
    for query in ("a", "b", "a", "c", "a", "b"):
        assert embedder.embed(query) is not None

    assert [asked.body["input"][0] for asked in scripted.asked] == ["a", "b", "c", "b"]


def test_given_an_empty_or_endless_query_when_embedded_then_none_or_its_beginning_is_sent(
    scripted: ScriptedModel, embedder: QueryEmbedder
) -> None:
    assert embedder.embed("  ") is None
    assert embedder.embed("long " * 10_000) is not None
    assert [len(asked.body["input"][0]) for asked in scripted.asked] == [query_embedding.MAX_QUERY]


async def warmed(embedder: QueryEmbedder) -> None:
    """Its first call imports the SDK, which takes longer than a query may."""
    while await embedder.aembed("warm") is None:
        assert embedder.counts.late < 400


async def test_given_an_endpoint_that_hangs_when_64_queries_are_embedded_then_each_is_none_in_time(
    scripted: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_embedding, "FAILURES_BEFORE_REST", 10**9)  # each is to be asked
    embedder = late(scripted)
    scripted.answer = vectors
    assert await embedder.aembed("warm", 5.0) is None or embedder.counts.embedded == 1
    await warmed(embedder)
    scripted.answer = hang = Hang()

    async def in_time() -> bool:
        before, began = embedder.counts.late, time.monotonic()
        assert await asyncio.gather(*(embedder.aembed(f"{QUERY} {number}") for number in range(64))) == [None] * 64
        took = time.monotonic() - began
        assert embedder.counts.late == before + 64
        return took < DEADLINE + 0.15

    try:
        await asometimes(in_time, f"all are back {DEADLINE} s later")
    finally:
        hang.go.set()
        embedder.close()


async def test_given_an_endpoint_that_hangs_when_queries_are_embedded_then_the_event_loop_is_never_held(
    scripted: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_embedding, "FAILURES_BEFORE_REST", 10**9)  # each is to be asked
    embedder = QueryEmbedder(EmbeddingEndpoint(model="m", base_url=scripted.url), DEADLINE)
    scripted.answer = vectors
    await warmed(embedder)
    scripted.answer = hang = Hang()

    async def free() -> bool:
        with callback_times() as times:
            assert await asyncio.gather(*(embedder.aembed(f"{QUERY} {number}") for number in range(16))) == [None] * 16
        assert len(times.seconds) > 16
        return times.longest[0] < 0.005

    gc.collect()
    gc.freeze()  # a full collection of all that the tests imported is none of ours
    try:
        await asometimes(free, "no callback of the loop takes 5 ms of the processor")
    finally:
        gc.unfreeze()
        hang.go.set()
        embedder.close()


def test_given_an_endpoint_that_fails_when_queries_are_embedded_then_none_raises_and_one_line_a_minute_says_so(
    scripted: ScriptedModel, embedder: QueryEmbedder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_embedding, "FAILURES_BEFORE_REST", 10**9)
    scripted.answer = lambda _: Answer(status=500)
    with caplog.at_level(logging.WARNING):
        assert [embedder.embed(f"{QUERY} {number}") for number in range(5)] == [None] * 5
        embedder._logged_at -= 61
        assert embedder.embed(f"{QUERY} 5") is None

    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "(1 since" in told[0]
    assert "(5 since" in told[1]
    assert not any(QUERY in line for line in told)
    assert embedder.counts.failed == 6


@pytest.mark.parametrize("asynchronous", [False, True])
def test_given_a_process_that_begins_when_queries_are_late_then_no_warning_says_so_and_one_that_is_late_afterwards_is_one(
    scripted: ScriptedModel, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    imported = threading.Event()
    made = EmbeddingClient._make
    monkeypatch.setattr(EmbeddingClient, "_make", lambda client: imported.wait(30) and made(client))
    hang = Hang()
    scripted.answer = hang
    embedder = late(scripted, 0.05)

    def ask(query: str) -> None:
        assert (asyncio.run(embedder.aembed(query)) if asynchronous else embedder.embed(query)) is None

    try:
        with caplog.at_level(logging.WARNING):
            ask("a")
            ask("b")
            assert caplog.records == []
            imported.set()
            eventually(lambda: embedder._client.made, "the client is made")
            ask("c")  # the first connection
            assert caplog.records == []
            monkeypatch.setattr(query_embedding, "START_SECONDS", 0.0)
            ask("d")
    finally:
        hang.go.set()
        embedder.close()

    assert ["(4 since" in record.getMessage() for record in caplog.records] == [True]
    assert embedder.counts.late == 4


def test_given_failure_after_failure_when_queries_are_embedded_then_the_endpoint_is_left_alone_for_a_while(
    scripted: ScriptedModel, embedder: QueryEmbedder
) -> None:
    scripted.answer = lambda _: Answer(status=429, headers={"Retry-After": "30"})
    for number in range(FAILURES_BEFORE_REST + 3):
        assert embedder.embed(f"{QUERY} {number}") is None
    assert len(scripted.asked) == FAILURES_BEFORE_REST

    scripted.answer = vectors
    assert 0 < embedder._rests_until - time.monotonic() <= 30
    embedder._rests_until -= 31
    assert embedder.embed(QUERY) is not None


async def test_given_64_callers_at_once_when_embedded_then_all_are_answered_in_a_few_calls_each_with_its_own(
    scripted: ScriptedModel, embedder: QueryEmbedder
) -> None:
    queries = [f"{QUERY} {number}" for number in range(64)]

    found = await asyncio.gather(*map(embedder.aembed, queries))

    for query, vector in zip(queries, found, strict=True):
        assert vector == pytest.approx(embed(query, DIMENSIONS), abs=1e-6)
    assert len(scripted.asked) <= 16


async def test_given_queries_of_which_one_is_refused_when_embedded_together_then_only_that_one_is_none(
    scripted: ScriptedModel, embedder: QueryEmbedder
) -> None:
    scripted.answer = lambda asked: Answer(status=400) if "bad" in asked.body["input"] else vectors(asked)

    found = await asyncio.gather(*map(embedder.aembed, ["a", "bad", "b", "c"]))

    assert [vector is None for vector in found] == [False, True, False, False]


def test_given_a_query_that_is_refused_when_embedded_often_then_others_are_still_asked_for(
    scripted: ScriptedModel, embedder: QueryEmbedder
) -> None:
    scripted.answer = lambda _: Answer(status=400)
    for number in range(FAILURES_BEFORE_REST + 3):
        assert embedder.embed(f"{QUERY} {number}") is None
    assert len(scripted.asked) == FAILURES_BEFORE_REST + 3


def test_given_an_embedder_in_use_when_forked_then_the_child_embeds_too(embedder: QueryEmbedder) -> None:
    assert embedder.embed("a") is not None

    assert in_child(lambda: len(embedder.embed("b") or [])) == str(DIMENSIONS)
    assert embedder.embed("c") is not None


def test_given_the_deadline_when_the_sdk_is_not_imported_yet_then_the_first_query_does_not_wait_for_it(
    scripted: ScriptedModel,
) -> None:
    scripted.answer = vectors
    code = f"""
import sys, threading, time
from learning_machine.query_embedding import QueryEmbedder
from learning_stores.embedding_endpoint import EmbeddingEndpoint
asked, go = threading.Event(), threading.Event()
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "openai":
            asked.set()
            assert go.wait(60)
sys.meta_path.insert(0, Slow())
embedder = QueryEmbedder(EmbeddingEndpoint(model="m", base_url={scripted.url!r}), 0.05)
assert "openai" not in sys.modules
first = embedder.embed("a")
assert asked.wait(60) and "openai" not in sys.modules
go.set()
while embedder.embed("b") is None:
    time.sleep(0.05)
print(first, "openai" in sys.modules)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["None", "True"]


def test_given_a_machine_when_it_is_made_then_no_sdk_is_imported_and_the_first_recall_begins_to_even_without_a_query() -> (
    None
):
    code = """
import sys, threading, time
from learning_machine import LearningMachine
machine = LearningMachine(database_url="postgresql://app:pw@127.0.0.1:1/x", redis_url="redis://127.0.0.1:1/0")
print("openai" in sys.modules, "celery" in sys.modules, threading.active_count())
machine.recall(user_id="alice", deadline=0.01)
until = time.monotonic() + 30
while machine._embedder._client._making is None or not machine._embedder._client._making.done():
    assert time.monotonic() < until
    time.sleep(0.01)
print("openai" in sys.modules, machine._embedder.counts.late)
"""
    embeds = {"LEARNING_EMBEDDING_MODEL": "m", "LEARNING_EMBEDDING_BASE_URL": "http://127.0.0.1:1/v1"}
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **embeds})
    assert shown.stdout.split() == ["False", "False", "1", "True", "0"]


def test_given_no_thread_to_be_had_when_a_query_is_embedded_then_it_is_none_and_nothing_is_raised(
    scripted: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = late(scripted)

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    embedder.warm()
    assert embedder.embed(QUERY) is None
    assert embedder.counts.failed == 1
