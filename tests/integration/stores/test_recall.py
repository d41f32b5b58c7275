"""Recall: one round trip, one tenant, what is remembered, what is not extracted yet, and how fresh it is."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from harness import event, rows, turn
from integration.stores.flights import CountingProxy
from integration.stores.steps import BOTH_AT_ONCE, SHARDS, claim, field, mailbox_id, put, take_in, window_of, work
from learning_schemas.ids import uuid7
from learning_schemas.results import Recall, UnprocessedMessage
from learning_schemas.scope import session_scope, user_scope
from learning_stores.database import Database
from learning_stores.event_log import Incoming, accept_directly
from learning_stores.recall import Recaller, RecallRequest
from learning_stores.specs import SpecCache

STORES = ("user_profile", "session_context")


def _request(**values: Any) -> RecallRequest:
    given = {
        "tenant": "default",
        "user_id": "alice",
        "session_id": "s1",
        "stores": STORES,
        "max_tokens": 1_000,
        "deadline": 10.0,
    }
    merged = {**given, **values}
    merged.setdefault("places", _places(**merged))
    return RecallRequest(headings={}, **merged)


def _places(
    user_id: str | None, session_id: str | None, stores: tuple[str, ...], **_: Any
) -> tuple[tuple[str, str], ...]:
    scopes = {
        "user_profile": user_scope(user_id) if user_id else None,
        "session_context": session_scope(user_id, session_id) if session_id else None,
    }
    return tuple((store, scope) for store in stores if (scope := scopes[store]) is not None)


def _recall(database: Database, **values: Any) -> Recall:
    recaller = Recaller(database)
    try:
        answer = recaller.recall(_request(**values))
    finally:
        recaller.close()
    assert answer.degraded is None, answer.degraded
    return answer


def _learn(app_db: Database, everything_db: Database, *contents: str, tenant: str = "default") -> None:
    held = claim(app_db, mailbox_id(everything_db, tenant=tenant), tenant)
    window = window_of(app_db, held)
    work(app_db, held, field(window, "name", "Alice"), *(put(window, content) for content in contents), window=window)


def test_given_nothing_when_recalled_then_the_answer_is_empty_and_up_to_date(app_db: Database) -> None:
    answer = _recall(app_db)
    assert (answer.context, answer.learnings, answer.pending, answer.omitted) == ("", (), 0, 0)
    assert answer.processed_through is not None


def test_given_learnings_when_recalled_then_they_come_typed_and_as_text_with_their_model(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(), spec=BOTH_AT_ONCE)
    _learn(app_db, everything_db, "Works at Netflix")
    work(app_db, claim(app_db, mailbox_id(everything_db, "session_context")))
    answer = _recall(app_db)
    assert answer.fields == {"name": "Alice"}
    assert answer.memories == ("Works at Netflix",)
    assert answer.models == ("offline-rules-1",)
    assert (answer.pending, answer.unprocessed) == (0, ())
    assert "- Works at Netflix" in answer.context
    # Another session of hers knows it too; another user, and another tenant, do not.
    assert _recall(app_db, session_id="s2").memories == ("Works at Netflix",)
    assert _recall(app_db, user_id="bob").learnings == ()
    assert _recall(app_db, tenant="acme").learnings == ()


def test_given_an_event_that_nobody_extracted_when_recalled_in_another_session_then_its_words_are_overlaid(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(messages=turn("I'm Alice, I work at Netflix.", "Hello Alice!")), spec=BOTH_AT_ONCE)
    later = event(messages=turn("I live in Berlin."), session_id="s3")
    take_in(dispatcher_db, later, spec=BOTH_AT_ONCE)
    answer = _recall(app_db, session_id="s2")
    assert [message.content for message in answer.unprocessed] == ["I live in Berlin.", "I'm Alice, I work at Netflix."]
    assert answer.pending == 2
    assert "Hello Alice" not in answer.context
    (oldest,) = rows(everything_db, "SELECT min(accepted_at) AS at FROM learning.conversation_event")
    assert answer.processed_through == oldest["at"]
    assert _recall(app_db, user_id="bob").unprocessed == ()


def test_given_only_the_session_store_when_recalled_then_other_sessions_are_not_overlaid(
    app_db: Database, dispatcher_db: Database
) -> None:
    take_in(dispatcher_db, event(messages=turn("Find me a flight.")), spec=BOTH_AT_ONCE)
    assert _recall(app_db, session_id="s2", stores=("session_context",)).unprocessed == ()
    assert len(_recall(app_db, session_id="s1", stores=("session_context",)).unprocessed) == 1


def test_given_history_in_a_waiting_event_when_recalled_then_only_what_is_new_is_overlaid(
    app_db: Database, dispatcher_db: Database
) -> None:
    first = turn("I work at Netflix.")
    take_in(dispatcher_db, event(messages=first), spec=BOTH_AT_ONCE)
    take_in(dispatcher_db, event(messages=[*first, *turn("I live in Berlin.")]), spec=BOTH_AT_ONCE)
    answer = _recall(app_db)
    assert [message.content for message in answer.unprocessed] == ["I live in Berlin.", "I work at Netflix."]


def test_given_an_event_that_came_by_the_fallback_when_recalled_then_it_is_overlaid_before_its_deliveries_exist(
    app_db: Database,
) -> None:
    told = event(spec=BOTH_AT_ONCE.spec_hash())
    direct = Incoming(event=told, via="postgres", body_bytes=200)
    app_db.run("default", accept_directly, direct, BOTH_AT_ONCE, SpecCache(), SHARDS)
    answer = _recall(app_db)
    assert [message.content for message in answer.unprocessed] == ["I work at Netflix."]
    assert answer.pending == 1


def test_given_this_machines_own_receipts_when_recalled_then_those_in_the_log_are_told_and_not_shown_twice(
    app_db: Database, dispatcher_db: Database
) -> None:
    logged, travelling = event(messages=turn("I work at Netflix.")), uuid7()
    take_in(dispatcher_db, logged, spec=BOTH_AT_ONCE)
    own = tuple(
        UnprocessedMessage(event_id=event_id, session_id="s1", content=content, occurred_at=logged.occurred_at)
        for event_id, content in ((travelling, "I live in Berlin."), (logged.id, "I work at Netflix."))
    )
    answer = _recall(app_db, own=own)
    assert [message.content for message in answer.unprocessed] == ["I live in Berlin.", "I work at Netflix."]
    assert answer.known == {logged.id}
    assert answer.pending == 2


def test_given_a_flood_of_waiting_words_when_recalled_then_what_travels_is_bounded(
    app_db: Database, dispatcher_db: Database
) -> None:
    large = [{"role": "user", "content": f"{number} " + "x" * 100_000} for number in range(8)]
    take_in(dispatcher_db, *(event(messages=large, session_id=f"s{n}") for n in range(3)), spec=BOTH_AT_ONCE)
    with app_db.transaction("default") as session:
        answer = session.scalar(
            text("SELECT learning.recall('default', 'user/alice', NULL, 'user/alice', :stores, 4000, '{}')::text"),
            {"stores": list(STORES)},
        )
    assert len(answer) < 200_000
    assert answer.count('"said"') == 8
    assert _recall(app_db).pending == 3


def test_given_more_learnings_than_fit_when_recalled_then_the_last_learned_are_shown_and_the_rest_counted(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(), spec=BOTH_AT_ONCE)
    _learn(app_db, everything_db, *(f"Knows fact number {number:03}" for number in range(200)))
    work(app_db, claim(app_db, mailbox_id(everything_db, "session_context")))
    answer = _recall(app_db, max_tokens=200)
    assert len(answer.context) <= 200 * 4
    assert answer.fields == {"name": "Alice"}
    assert 5 < len(answer.learnings) < 40
    assert answer.omitted + len(answer.learnings) == 201
    assert f"({answer.omitted} more not shown)" in answer.context
    assert len(_recall(app_db, max_tokens=5_000).learnings) == 201


def test_given_a_summary_longer_than_the_budget_when_recalled_then_it_is_cut_and_the_name_is_still_there(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(), spec=BOTH_AT_ONCE)
    _learn(app_db, everything_db)
    held = claim(app_db, mailbox_id(everything_db, "session_context"))
    window = window_of(app_db, held)
    work(app_db, held, put(window, "Long. " * 600, kind="summary", key="summary"), window=window)
    answer = _recall(app_db, max_tokens=200)
    assert len(answer.context) <= 800
    assert answer.fields == {"name": "Alice"}
    assert "Long. Long." in answer.context
    assert "[…]" in answer.context


def test_given_no_tenant_when_recalled_then_it_is_refused(app_db: Database) -> None:
    recaller = Recaller(app_db)
    answer = recaller.recall(_request(tenant=""))
    recaller.close()
    assert answer.degraded is not None
    assert "recall needs a tenant" in answer.degraded


@pytest.fixture
def through_proxy(place: Any) -> Any:
    """The app's database behind a proxy that counts."""
    url = make_url(place.app_url)
    with CountingProxy(str(url.host), int(url.port or 5432)) as proxy:
        behind = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        with Database(behind) as database:
            yield proxy, database


def test_given_a_pooled_connection_when_recalled_then_it_is_exactly_one_round_trip(through_proxy: Any) -> None:
    proxy, database = through_proxy
    recaller = Recaller(database, max_connections=1)
    try:
        assert recaller.recall(_request()).degraded is None
        for _ in range(12):  # past the point at which the driver prepares the statement
            before = proxy.flights
            assert recaller.recall(_request()).degraded is None
            assert proxy.flights - before == 1
        assert proxy.connections == 1
    finally:
        recaller.close()


async def test_given_a_pooled_connection_when_recalled_from_asyncio_then_it_is_exactly_one_round_trip(
    through_proxy: Any,
) -> None:
    proxy, database = through_proxy
    recaller = Recaller(database, max_connections=1)
    try:
        assert (await recaller.arecall(_request())).degraded is None
        for _ in range(12):
            before = proxy.flights
            assert (await recaller.arecall(_request())).degraded is None
            assert proxy.flights - before == 1
    finally:
        await recaller.aclose()


def test_given_many_threads_at_once_when_they_recall_first_then_none_is_degraded(app_db: Database) -> None:
    recaller = Recaller(app_db)
    try:
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: recaller.recall(_request()), range(60)))
        assert {answer.degraded for answer in answers} == {None}
    finally:
        recaller.close()


async def test_given_many_tasks_at_once_when_they_recall_first_then_none_is_degraded(app_db: Database) -> None:
    import asyncio

    recaller = Recaller(app_db)
    try:
        answers = await asyncio.gather(*(recaller.arecall(_request()) for _ in range(60)))
        assert {answer.degraded for answer in answers} == {None}
    finally:
        await recaller.aclose()
