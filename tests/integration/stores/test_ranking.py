"""Ranking in the database: what it finds, what it never shows, and which indexes it uses."""

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from harness import Place, event, rows
from integration.stores.steps import BOTH_AT_ONCE, claim, mailbox_id, put, take_in, window_of, work
from learning_schemas.ids import uuid7
from learning_stores import ranking
from learning_stores.database import Database
from learning_stores.ranking import Ranked, RankRequest, Weights, rank

PLACE = ("user_profile", "user/alice")
NOW = datetime(2026, 6, 1, tzinfo=UTC)

_LEARNING = text("""
    INSERT INTO learning.learning (tenant, id, store, kind, scope, content, content_key, data, status, valid_from, live_from,
                                   retired_at, retired_reason, awaits, origin, confidence, language)
    VALUES (:tenant, :id, :store, :kind, :scope, :content, cast(:id AS text), cast(:data AS jsonb), :status, :valid_from,
            :live_from, :retired_at, CASE WHEN :status = 'retired' THEN 'superseded' END,
            CASE WHEN :status = 'proposed' THEN 'approval' END, 'import', :confidence, cast(:language AS regconfig))
""")


def learn(database: Database, content: str, **given: Any) -> UUID:
    """Write a learning as it would stand in the table."""
    values = {
        "tenant": "default", "id": uuid7(), "store": PLACE[0], "kind": "memory", "scope": PLACE[1], "content": content,
        "data": "{}", "status": "active", "valid_from": NOW, "live_from": NOW, "retired_at": None, "confidence": None,
        "language": "english", **given,
    }  # fmt: skip
    with database.transaction(values["tenant"]) as session:
        session.execute(_LEARNING, values)
    return UUID(str(values["id"]))


def ask(database: Database, query: str, *places: tuple[str, str], tenant: str = "default", **more: Any) -> list[Ranked]:
    with database.transaction(tenant) as session:
        return rank(session, RankRequest(places=places or (PLACE,), query=query, **more))


def ids(found: Sequence[Ranked]) -> list[UUID]:
    return [each.id for each in found]


def embed(database: Database, learning_id: UUID, vector: Sequence[float], model: str = "m") -> None:
    with database.transaction("default") as session:
        session.execute(
            text("INSERT INTO learning.learning_embedding (tenant, learning_id, model, embedding) "
                 "VALUES ('default', :id, :model, cast(:vector AS vector))"),
            {"id": learning_id, "model": model, "vector": str(list(vector))},
        )  # fmt: skip


def fill(superuser_url: str, number: int, *, dimensions: int = 0, scope: str = PLACE[1], model: str = "m") -> None:
    """So many learnings of one scope: each names one of 10,000 words, and all share one; vectors where asked for."""
    drawn = random.Random(7)
    with psycopg.connect(superuser_url) as connection, connection.cursor() as cursor:
        columns = "tenant, id, store, kind, scope, content, content_key, status, valid_from, live_from, origin"
        written = [(uuid7(), place) for place in range(number)]
        with cursor.copy(f"COPY learning.learning ({columns}) FROM STDIN") as copy:
            for key, place in written:
                content = f"Likes widget{place % 10_000} and tea"
                where = ("default", key, PLACE[0], "memory", scope)
                copy.write_row((*where, content, str(place), "active", NOW, NOW + timedelta(seconds=place), "import"))
        if dimensions:
            with cursor.copy(
                "COPY learning.learning_embedding (tenant, learning_id, model, embedding) FROM STDIN"
            ) as copy:
                for key, _ in written:
                    vector = [drawn.gauss(0, 1) for _ in range(dimensions)]
                    copy.write_row(("default", key, model, str(vector)))
        connection.commit()
        connection.autocommit = True
        # Vacuumed, as the server does: words that wait to be sorted into the index make it dear, and 20,000 rows are read instead.
        cursor.execute("VACUUM ANALYZE learning.learning, learning.learning_embedding")


def text_index_scans(database: Database) -> int:
    (found,) = rows(database, "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'learning_text'")
    return int(found["idx_scan"])


def test_given_words_in_other_forms_when_ranked_then_the_stem_decides(app_db: Database) -> None:
    fits = learn(app_db, "Paints sunsets by the lake")
    learn(app_db, "Works at Netflix")
    assert ids(ask(app_db, "painting a sunset")) == [fits]


def test_given_a_rare_and_a_common_word_when_ranked_then_the_rare_one_counts_more(app_db: Database) -> None:
    common = [learn(app_db, f"Likes tea number{place}") for place in range(8)]
    rare = learn(app_db, "Likes sailing number8")
    found = ask(app_db, "tea sailing")
    assert found[0].id == rare
    assert found[0].text_score > found[1].text_score > 0
    assert set(ids(found)) == {rare, *common}


def test_given_simple_as_language_when_ranked_then_words_count_as_they_are(app_db: Database) -> None:
    exact = learn(app_db, "laufen gehen", language="simple")
    learn(app_db, "laufend krank", language="simple")
    assert ids(ask(app_db, "laufen", language="simple")) == [exact]


@pytest.mark.parametrize("query", ["what happened in May 2023?", "the 8 of May"])
def test_given_a_query_that_names_a_date_when_ranked_then_what_was_said_then_is_found(
    app_db: Database, query: str
) -> None:
    said_then = learn(app_db, "Went hiking", valid_from=datetime(2023, 5, 8, tzinfo=UTC))
    dated = learn(app_db, "Started a company", data='{"date": "2023-05-09"}')
    learn(app_db, "Likes tea")
    found = ids(ask(app_db, query))
    assert found[0] in {said_then, dated}
    assert set(found) == {said_then, dated}


@pytest.mark.parametrize("data", ['{"date": "2023-99-99"}', '{"date": "soon"}', '{"date": 7}', '{"date": null}'])
def test_given_data_with_a_date_that_is_none_when_learned_then_it_is_found_by_its_words(
    app_db: Database, data: str
) -> None:
    learning = learn(app_db, "Likes tea", data=data)
    assert ids(ask(app_db, "tea")) == [learning]


def test_given_what_is_not_live_when_ranked_then_neither_words_nor_vector_nor_neighbours_bring_it(
    app_db: Database, everything_db: Database
) -> None:
    shown = learn(app_db, "Likes green tea")
    hidden = [
        learn(app_db, "Likes tea proposed", status="proposed"),
        learn(app_db, "Likes tea retired", status="retired", retired_at=NOW + timedelta(days=1)),
        learn(app_db, "Tea", kind="alias"),
        learn(app_db, "Likes tea elsewhere", scope="user/bob"),
        learn(app_db, "Likes tea in another store", store="session_context"),
    ]
    for each in (shown, *hidden):
        embed(app_db, each, (1.0, 0.0))
    hear(everything_db, [shown, *hidden])
    assert ids(ask(app_db, "tea", vector=(1.0, 0.0), model="m")) == [shown]


def test_given_two_tenants_when_one_asks_then_the_others_rows_never_come(app_db: Database) -> None:
    learn(app_db, "Likes tea", tenant="acme")
    own = learn(app_db, "Likes tea", tenant="globex")
    assert ids(ask(app_db, "tea", tenant="globex")) == [own]
    assert ask(app_db, "tea", tenant="third") == []


def test_given_no_tenant_when_asked_then_it_is_refused(app_db: Database) -> None:
    with pytest.raises(ProgrammingError, match="rank needs a tenant"), app_db.transaction(None) as session:
        rank(session, RankRequest(places=(PLACE,), query="tea"))


def test_given_a_moment_when_ranked_then_what_was_live_then_is_found_and_never_a_proposal(app_db: Database) -> None:
    first = learn(app_db, "Drinks tea", status="retired", retired_at=NOW + timedelta(days=2))
    second = learn(app_db, "Drinks iced tea", live_from=NOW + timedelta(days=2))
    learn(app_db, "Drinks mint tea", status="proposed")
    learn(app_db, "Drinks no tea", status="retired", retired_at=NOW)  # rejected: it never was live
    assert ids(ask(app_db, "tea", as_of=NOW + timedelta(days=1))) == [first]
    assert ids(ask(app_db, "tea", as_of=NOW + timedelta(days=2))) == [second]
    assert ids(ask(app_db, "tea")) == [second]
    assert ask(app_db, "tea", as_of=NOW - timedelta(days=1)) == []


def test_given_vectors_when_ranked_then_the_near_one_is_found_though_it_shares_no_word(app_db: Database) -> None:
    near, far, none = (learn(app_db, content) for content in ("Owns a dog", "Plays chess", "Has no vector"))
    embed(app_db, near, (1.0, 0.1))
    embed(app_db, far, (-1.0, 0.1))
    found = ask(app_db, "puppy", vector=(1.0, 0.0), model="m")
    assert ids(found) == [near, far]
    assert found[0].vector_score == pytest.approx(0.995, abs=0.001)
    assert found[0].text_score == 0
    assert none not in ids(found)
    assert ask(app_db, "puppy", vector=(1.0, 0.0), model="another") == []
    assert ask(app_db, "puppy", vector=(1.0, 0.0, 0.0), model="m") == []  # of other dimensions than what is stored


def hear(everything_db: Database, learnings: Sequence[UUID], start: int = 0) -> None:
    """Each is said at the next message of one conversation."""
    with everything_db.engine.begin() as connection:
        for index, each in enumerate(learnings, start):
            event_id = uuid7()
            values = {"event": event_id, "index": index, "id": uuid7(), "learning": each, "at": NOW}
            connection.execute(
                text("INSERT INTO learning.session_message (tenant, scope, position, key, event_id, index, role) "
                     "VALUES ('default', 'session/s', :index, '', :event, 0, 'user')"), values)  # fmt: skip
            connection.execute(
                text("INSERT INTO learning.evidence (tenant, id, learning_id, origin, event_id, message, occurred_at) "
                     "VALUES ('default', :id, :learning, 'import', :event, 0, :at)"), values)  # fmt: skip


def test_given_a_match_when_its_neighbours_are_ranked_then_they_come_too_and_nearer_ones_first(
    app_db: Database, everything_db: Database
) -> None:
    said = [learn(app_db, f"statement{place}") for place in range(12)]
    hear(everything_db, said)
    found = ask(app_db, "statement2")
    assert ids(found)[0] == said[2]
    assert set(ids(found)[1:5]) == {said[0], said[1], said[3], said[4]}
    assert set(ids(found)[5:]) == {said[5], said[6]}
    assert all(each.neighbour_score > 0 and each.text_score == 0 for each in found[1:])
    assert ids(ask(app_db, "statement2", weights=Weights(neighbours=()))) == [said[2]]


def test_given_a_real_extraction_when_committed_then_its_evidence_knows_its_place_in_the_conversation(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(), spec=BOTH_AT_ONCE)
    held = claim(app_db, mailbox_id(everything_db))
    window = window_of(app_db, held)
    work(app_db, held, put(window, "Works at Netflix"))
    (placed,) = rows(everything_db, "SELECT conversation, position FROM learning.evidence")
    (said,) = rows(
        everything_db,
        "SELECT hashtextextended(scope, 0) AS conversation, position FROM learning.session_message WHERE role = 'user'",
    )
    assert placed == said


def test_given_equals_when_ranked_then_the_later_and_the_surer_comes_first(app_db: Database) -> None:
    now = datetime.now(UTC)
    old = learn(app_db, "Likes tea from shop0", valid_from=now - timedelta(days=300))
    sure = learn(app_db, "Likes tea from shop1", valid_from=now - timedelta(days=300), confidence=1.0)
    new = learn(app_db, "Likes tea from shop2", valid_from=now)
    assert ids(ask(app_db, "tea")) == [new, sure, old]


@pytest.mark.parametrize(
    "query", ["", "the of and", "' | & ! ( ) : * \\", "it's C:\\temp\\x <-> 'quoted'", "word " * 9000, "\N{SNOWMAN}"]
)
def test_given_any_query_when_ranked_then_it_is_data(app_db: Database, query: str) -> None:
    learn(app_db, "Likes tea")
    assert isinstance(ask(app_db, query), list)


def test_given_20000_rows_when_the_app_asks_for_a_rare_word_then_the_text_index_is_used(
    app_db: Database, everything_db: Database, place: Place
) -> None:
    fill(place.superuser_url, 20_001)
    before = text_index_scans(everything_db)
    with psycopg.connect(place.app_url) as connection:
        connection.execute("SELECT set_config('learning.tenant', 'default', true)")
        found = connection.execute(ranking.RANK, RankRequest(places=(PLACE,), query="widget77").parameters()).fetchall()
        connection.execute("SELECT pg_stat_force_next_flush()")
    assert len(found) == 2
    assert text_index_scans(everything_db) > before


def test_given_a_large_scope_when_its_statistics_are_kept_then_the_same_is_found_and_common_words_weigh_little(
    app_db: Database, everything_db: Database, place: Place
) -> None:
    fill(place.superuser_url, 20_001)
    sampled = ask(app_db, "widget77 tea", limit=2)
    with app_db.transaction("default") as session:
        assert ranking.large_places(session, "default") == [PLACE]
        ranking.keep_statistics(session, "default", *PLACE)
    (kept,) = rows(everything_db, "SELECT rows, common ->> 'tea' AS tea FROM learning.scope_statistics")
    assert kept == {"rows": 20_001, "tea": "20001"}
    found = ask(app_db, "widget77 tea", limit=2)
    assert set(ids(found)) == set(ids(sampled)) == set(ids(ask(app_db, "widget77")))
    with app_db.transaction("acme") as session:
        assert session.scalar(text("SELECT count(*) FROM learning.scope_statistics")) == 0


def test_given_more_rows_than_are_searched_exactly_when_asked_by_vector_then_the_index_finds_nearly_the_same(
    everything_db: Database, place: Place
) -> None:
    """The scope is three quarters of what the index holds; the rest is another user's."""
    fill(place.superuser_url, 20_001, dimensions=8)
    fill(place.superuser_url, 6_000, dimensions=8, scope="user/bob")
    with psycopg.connect(place.superuser_url, autocommit=True) as connection:
        connection.execute(ranking.vector_index_statement("m", 8))
        connection.execute("VACUUM ANALYZE learning.learning_embedding")
    drawn = random.Random(3)
    agreed = []
    with psycopg.connect(place.superuser_url) as checking, psycopg.connect(place.app_url) as asking:
        asking.execute("SELECT set_config('learning.tenant', 'default', true)")
        for _ in range(10):
            vector = [drawn.gauss(0, 1) for _ in range(8)]
            exact = checking.execute(
                "SELECT l.id FROM learning.learning l JOIN learning.learning_embedding e ON e.learning_id = l.id "
                "WHERE l.scope = %s ORDER BY e.embedding <=> %s::vector LIMIT 20",
                (PLACE[1], str(vector)),
            ).fetchall()
            request = RankRequest(places=(PLACE,), query="", vector=vector, model="m", limit=20)
            found = asking.execute(ranking.RANK, request.parameters()).fetchall()
            agreed.append(len({row[0] for row in exact} & {row[0] for row in found}) / 20)
        asking.execute("SELECT pg_stat_force_next_flush()")
    scans = rows(
        everything_db,
        "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = :name",
        name=ranking.vector_index("m", 8),
    )
    assert scans[0]["idx_scan"] > 0
    assert sum(agreed) / len(agreed) >= 0.98


def test_given_a_model_when_its_index_is_named_then_python_and_sql_agree(everything_db: Database) -> None:
    (named,) = rows(everything_db, "SELECT learning.vector_index('text-embedding-3-small', 1536) AS name")
    assert named["name"] == ranking.vector_index("text-embedding-3-small", 1536)
    assert rows(everything_db, "SELECT 1 AS there FROM pg_indexes WHERE indexname = :name", **named)


@pytest.mark.parametrize(
    "valid_from", [datetime(1, 1, 1, tzinfo=UTC), datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)]
)
def test_given_a_learning_dated_ages_away_when_ranked_then_it_is_found_like_any_other(
    app_db: Database, valid_from: datetime
) -> None:
    old = learn(app_db, "Founded a bakery", valid_from=valid_from)
    new = learn(app_db, "Sold a bakery")
    assert set(ids(ask(app_db, "bakery"))) == {old, new}


@pytest.mark.parametrize("stored", [[0.0, 0.0, 0.0], [1e30, -1e30, 1e30]])
def test_given_a_vector_without_a_usable_direction_when_ranked_then_the_others_keep_their_scores(
    app_db: Database, stored: list[float]
) -> None:
    bakery, harbour, broken = (
        learn(app_db, each) for each in ("Owns a bakery", "Sails from the harbour", "Reads maps")
    )
    embed(app_db, bakery, [1, 0, 0])
    embed(app_db, harbour, [0, 1, 0])
    embed(app_db, broken, stored)

    found = ask(app_db, "bakery", vector=[1, 0, 0], model="m")

    assert found[0].id == bakery
    assert not any(math.isnan(each.score) for each in found)
