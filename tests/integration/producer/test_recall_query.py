"""Recall with a query, of a moment, and as fresh as it is asked for; and search, with its reasons."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import text

from harness import eventually, turn
from learning_machine import InvalidArgument, LearnedKnowledgeConfig, LearningMachine
from learning_stores.database import Database

BY = "ann@acme.example"
MEMORIES = ("Is allergic to peanuts", "Prefers window seats on flights", "Plays chess on Sundays", "Lives in Lisbon")


@pytest.fixture
def machine(place: Any) -> Any:
    """Alice's memories, last learned last; and one insight for everybody."""
    with place.machine(user_profile=True, learned_knowledge=True) as machine:
        for memory in MEMORIES:
            machine.add(memory, user_id="alice", by=BY)
        machine.add(title="Fares", learning="Night trains are cheaper when they are booked early", by=BY)
        yield machine


def _shown(context: str) -> list[str]:
    return [line.removeprefix("- ") for line in context.splitlines() if line.startswith("- ")]


def test_given_a_query_when_recalled_then_what_matters_to_it_comes_first_and_without_one_what_was_learned_last(
    machine: LearningMachine,
) -> None:
    memories = [each.content for each in machine.recall(user_id="alice").learnings if each.kind == "memory"]
    assert memories == list(reversed(MEMORIES))
    asked = machine.recall("Which seat should I book on my flight?", user_id="alice")
    assert asked.learnings[0].content == "Prefers window seats on flights"
    assert {each.content for each in asked.learnings} >= set(MEMORIES)


def test_given_a_small_budget_when_asked_then_what_fits_is_what_matters_and_the_rest_is_counted(
    machine: LearningMachine,
) -> None:
    asked = machine.recall("Can I eat peanuts?", user_id="alice", max_tokens=100)
    assert _shown(asked.context)[0] == "Is allergic to peanuts"
    assert asked.omitted == len(MEMORIES) + 1 - len(asked.learnings) > 0
    assert f"({asked.omitted} more not shown)" in asked.context


@pytest.mark.parametrize(
    "query",
    [
        "",
        "???",
        "the of and",
        "x" * 20_000,
        "'); DROP TABLE learning.learning; --",
        "a\0b",
        "\udcff",
        "tea & | ! <-> :* ((",
    ],
)
def test_given_a_query_that_says_nothing_or_too_much_when_recalled_then_everything_is_there_all_the_same(
    machine: LearningMachine, query: str
) -> None:
    answer = machine.recall(query, user_id="alice", deadline=10)
    assert answer.degraded is None
    assert len(answer.learnings) == len(MEMORIES) + 1


def test_given_a_moment_when_recalled_then_the_answer_is_what_was_live_then(machine: LearningMachine) -> None:
    before = datetime.now(UTC)
    (lisbon,) = [each for each in machine.learnings(user_id="alice") if each.content == "Lives in Lisbon"]
    machine.update(lisbon.id, content="Lives in Porto", by=BY)
    (chess,) = [each for each in machine.learnings(user_id="alice") if "chess" in each.content]
    machine.retract(chess.id, by=BY)

    then = machine.recall("Where do I live?", user_id="alice", as_of=before)
    assert {each.content for each in then.learnings} >= set(MEMORIES)
    assert then.learnings[0].content == "Lives in Lisbon"
    now = machine.recall("Where do I live?", user_id="alice")
    assert now.learnings[0].content == "Lives in Porto"
    assert not {"Lives in Lisbon", "Plays chess on Sundays"} & {each.content for each in now.learnings}
    assert machine.recall(user_id="alice", as_of=datetime(2020, 1, 1, tzinfo=UTC)).context == ""


def test_given_words_that_are_not_extracted_when_only_what_is_extracted_is_asked_for_then_they_are_not_shown(
    machine: LearningMachine,
) -> None:
    machine.emit(turn("I moved to Rome."), user_id="alice", session_id="s1")
    assert "Rome" in machine.recall(user_id="alice").context
    extracted = machine.recall(user_id="alice", freshness="extracted")
    assert "Rome" not in extracted.context
    assert extracted.pending == 1


def test_given_a_receipt_when_waited_for_without_a_worker_then_recall_answers_within_its_deadline_all_the_same(
    machine: LearningMachine,
) -> None:
    receipt = machine.emit(turn("I moved to Rome."), user_id="alice", session_id="s1")
    answer = machine.recall(user_id="alice", wait_for=receipt, deadline=1.0)
    assert answer.degraded is None
    assert "Rome" in answer.context


def test_given_a_worker_when_a_receipt_is_waited_for_then_what_was_said_is_recalled_as_learned(
    place: Any, model: Any, processes: Any
) -> None:
    processes.dispatcher()
    processes.worker("user_profile")
    with place.machine(user_profile=True) as machine:
        warm = machine.emit(turn("I love hiking."), user_id="bob", session_id="s0")
        eventually(lambda: machine.settle(warm), "the worker is there")
        receipt = machine.emit(turn("I work at Netflix."), user_id="bob", session_id="s1")
        answer = machine.recall("Where do I work?", user_id="bob", wait_for=receipt, deadline=30)
        assert answer.unprocessed == ()
        assert answer.learnings[0].content == "Works at Netflix"


def test_given_a_search_when_asked_then_each_result_says_why_and_what_shares_nothing_is_left_out(
    machine: LearningMachine,
) -> None:
    found = machine.search("cheap night train", user_id="alice")
    assert found[0].learning.store == "learned_knowledge"
    assert found[0].why["text"] > 0
    assert found[0].score == max(each.score for each in found)
    assert all(each.why for each in found)
    assert machine.search("quantum chromodynamics", user_id="alice") == ()


def test_given_a_store_a_namespace_or_another_user_when_searched_then_nothing_else_is_found(place: Any) -> None:
    own = LearnedKnowledgeConfig(namespace="user", also_reads=("global",))
    with place.machine(user_profile=True, learned_knowledge=own) as machine:
        machine.add("Likes night trains", user_id="alice", by=BY)
        machine.add(title="Mine", learning="Night trains from Vienna are quiet", user_id="alice", by=BY)
        assert [
            each.learning.store for each in machine.search("night trains", user_id="alice", store="user_profile")
        ] == ["user_profile"]
        assert machine.search("night trains", user_id="alice", namespace="global") == ()
        assert len(machine.search("night trains", user_id="alice", namespace="user")) == 1
        assert machine.search("night trains", user_id="bob") == ()
        assert machine.for_tenant("other").search("night trains", user_id="alice") == ()


def test_given_an_insight_that_was_promoted_when_both_namespaces_are_read_then_it_is_shown_once(place: Any) -> None:
    own = LearnedKnowledgeConfig(namespace="user", also_reads=("global",))
    with place.machine(learned_knowledge=own) as machine:
        mine = machine.add(title="Logs", learning="Always log the request id", user_id="alice", by=BY)
        machine.promote(mine.id, "global", by=BY)
        assert [each.content for each in machine.recall(user_id="alice").learnings] == [
            "Logs: Always log the request id"
        ]
        assert len(machine.recall("What do I log?", user_id="alice").learnings) == 1
        assert len(machine.recall(user_id="bob").learnings) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"query": 3}, "query"),
        ({"as_of": "yesterday"}, "as_of"),
        ({"as_of": datetime(2026, 1, 1)}, "as_of"),  # noqa: DTZ001 - that it has no time zone is the point
        ({"as_of": datetime.now(UTC) + timedelta(days=366)}, "as_of"),
        ({"max_tokens": 10**400}, "max_tokens"),
        ({"deadline": float("nan")}, "deadline"),
        ({"freshness": "very"}, "freshness"),
        ({"wait_for": "receipt"}, "wait_for"),
    ],
)
def test_given_arguments_that_cannot_be_used_when_recalled_then_they_are_named(
    machine: LearningMachine, arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"^{named}: "):
        machine.recall(user_id="alice", **arguments)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 10**9}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"store": ["user_profile"]}, "store"),
        ({"store": "nope"}, "store"),
        ({"namespace": 3}, "namespace"),
    ],
)
def test_given_arguments_that_cannot_be_used_when_searched_then_they_are_named(
    machine: LearningMachine, arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"^{named}: "):
        machine.search("tea", user_id="alice", **arguments)


def test_given_a_namespace_that_is_not_read_when_searched_then_it_is_refused_with_those_that_are(place: Any) -> None:
    own = LearnedKnowledgeConfig(namespace="support", also_reads=("user", "global"))
    with place.machine(user_profile=True, learned_knowledge=own, entity_memory=True) as machine:
        with pytest.raises(InvalidArgument, match=r"^namespace: .*Give one of global, support, user"):
            machine.search("tea", user_id="alice", namespace="sales")
        with pytest.raises(InvalidArgument, match=r"^namespace: is none that entity_memory .*Give one of global"):
            machine.search("tea", user_id="alice", namespace="support", store="entity_memory")
        with pytest.raises(InvalidArgument, match=r"^namespace: means nothing to user_profile"):
            machine.search("tea", user_id="alice", namespace="global", store="user_profile")
        assert machine.search("tea", user_id="alice", namespace="support") == ()
        assert machine.search("tea", namespace="user") == (), "it is read, and nobody is named whose it is"


@pytest.mark.parametrize("hours", [-14, 0, 14])
def test_given_the_first_moment_there_is_when_recalled_then_nothing_was_known(
    machine: LearningMachine, hours: int
) -> None:
    then = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=hours)))
    found = machine.recall("chess", user_id="alice", as_of=then, deadline=10, on_error="raise")
    assert found.learnings == ()
    assert machine.search("chess", user_id="alice", as_of=then) == ()


async def test_given_asyncio_when_recalled_and_searched_then_the_answers_are_the_same(machine: LearningMachine) -> None:
    asked = "Which seat should I book on my flight?"
    assert (await machine.arecall(asked, user_id="alice")).learnings == machine.recall(asked, user_id="alice").learnings
    assert await machine.asearch(asked, user_id="alice") == machine.search(asked, user_id="alice")
    await machine.aclose()


def test_given_a_moment_when_recalled_then_it_does_not_count_as_recalled(machine: LearningMachine) -> None:
    for _ in range(8):
        machine.recall("Where do I live?", user_id="alice", as_of=datetime.now(UTC))
    assert machine._counts._kept == {}
    for _ in range(8):
        machine.recall("Where do I live?", user_id="alice")
    assert set(machine._counts._kept) == {"default"}


def _embed(everything_db: Database, vectors: dict[str, list[float]], state: str) -> None:
    """Vectors of a model, by the learning's content; and how far the model is."""
    with everything_db.engine.begin() as connection:
        for content, vector in vectors.items():
            connection.execute(
                text(
                    "INSERT INTO learning.learning_embedding (tenant, learning_id, model, embedding) "
                    "SELECT tenant, id, 'm', cast(:vector AS vector) FROM learning.learning WHERE content = :content"
                ),
                {"vector": str(vector), "content": content},
            )
        connection.execute(
            text(
                "INSERT INTO learning.embedding_model (tenant, model, dimensions, state) VALUES ('default', 'm', 2, :state) "
                "ON CONFLICT (tenant, model) DO UPDATE SET state = excluded.state"
            ),
            {"state": state},
        )


async def test_given_a_model_that_still_lacks_vectors_when_asked_then_it_is_not_read_with_until_it_is_complete(
    machine: LearningMachine, everything_db: Database
) -> None:
    given = [1.0, 0.0]

    class Embedder:
        model = "m"

        def warm(self) -> None: ...

        def embed(self, *_: object) -> list[float] | None:
            return list(given) or None

        async def aembed(self, *_: object) -> list[float] | None:
            return list(given) or None

        def close(self) -> None: ...

    alone = machine.recall("zebra", user_id="alice")
    words = alone.learnings
    assert alone.matched_by == "text"
    machine._embedder = Embedder()  # type: ignore[assignment]  # all that is called of it
    _embed(everything_db, {"Is allergic to peanuts": [1.0, 0.1]}, "building")
    assert words[0].content != "Is allergic to peanuts"
    without = machine.recall("zebra", user_id="alice")
    assert (without.learnings, without.matched_by) == (words, "text")
    assert (await machine.arecall("zebra", user_id="alice")).learnings == words
    assert machine.search("zebra", user_id="alice") == ()

    _embed(everything_db, {each: [0.1, 1.0] for each in MEMORIES[1:]}, "reading")
    best = "Is allergic to peanuts"
    for answer in (machine.recall("zebra", user_id="alice"), await machine.arecall("zebra", user_id="alice")):
        assert (answer.learnings[0].content, answer.matched_by) == (best, "text+vector")
    assert machine.recall(user_id="alice").matched_by is None
    assert machine.recall("  ", user_id="alice").matched_by is None
    assert machine.search("zebra", user_id="alice")[0].learning.content == best
    other = machine.for_tenant("other").recall("zebra", user_id="alice")
    assert (other.degraded, other.matched_by) == (None, "text")
    given[:] = [0.0, 0.0]
    assert machine.recall("zebra", user_id="alice").matched_by == "text", "no direction is near to nothing"
    given[:] = [1.0, 0.0, 0.0]
    odd = machine.recall("zebra", user_id="alice")
    assert (odd.matched_by, odd.learnings) == ("text", words), "what has other dimensions compares with nothing"
    given.clear()
    assert machine.recall("zebra", user_id="alice").matched_by == "text", "the embedding was late or failed"
    await machine.aclose()
