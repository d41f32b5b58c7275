"""A worker's embedding against a model over HTTP: what is written, what waits, what is refused, and what each call cost."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
import redis

from embedding_doubles import DIMENSIONS, Hang, vectors
from harness import Place, rows
from integration.stores.test_embeddings import change, learn, on_list, vectors_of
from learning_ops.offline.server import OfflineModel
from learning_stores.database import Database
from learning_stores.embeddings import Due, begin
from learning_stores.settings import ServiceSettings
from learning_workers.embedding import Embedder, EmbeddingReport, batches, shortened
from learning_workers.models import EmbeddingModel, load_catalogue
from scripted_model import Answer, Asked, ScriptedModel

MODEL = "m"

Make = Callable[..., Embedder]


@pytest.fixture
def make(place: Place, app_db: Database, scripted: ScriptedModel) -> Iterator[Make]:
    """Makes embedders of one worker process each."""
    scripted.answer = vectors
    made: list[Embedder] = []

    def embedder(**values: Any) -> Embedder:
        given = {"embedding_model": MODEL, "embedding_base_url": scripted.url, "model_deadline": 5, **values}
        settings = ServiceSettings.load(database_url=place.app_url, **given)
        made.append(Embedder(app_db, load_catalogue(settings), settings))
        return made[-1]

    yield embedder
    for each in made:
        each.close()


def calls(everything_db: Database) -> list[dict[str, Any]]:
    return rows(everything_db, "SELECT * FROM learning.model_call ORDER BY called_at, id")


def model_row(everything_db: Database, model: str = MODEL) -> dict[str, Any]:
    query = "SELECT *, not_before > now() AS waits FROM learning.embedding_model WHERE model = :model"
    [found] = rows(everything_db, query, model=model)
    return found


def let_on(everything_db: Database) -> None:
    """Let pauses be over now, as after some time."""
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE learning.embedding_model SET not_before = NULL")
        connection.exec_driver_sql("UPDATE learning.embedding_due SET not_before = NULL, taken_until = NULL")


def test_given_learnings_when_worked_on_then_they_are_embedded_in_one_call_that_is_recorded_and_the_model_is_read_with(
    make: Make, app_db: Database, everything_db: Database, scripted: ScriptedModel
) -> None:
    made = {learn(app_db, f"Fact {number}") for number in range(3)}

    report = make().work("default")

    assert (report.embedded, report.calls, report.tokens, report.reading) == (3, 1, 3, MODEL)
    assert vectors_of(everything_db) == {("default", MODEL, each) for each in made}
    assert on_list(everything_db) == set()
    assert model_row(everything_db)["state"] == "reading"
    assert sorted(scripted.asked[-1].body["input"]) == ["Fact 0", "Fact 1", "Fact 2"]
    [call] = calls(everything_db)
    assert (call["purpose"], call["outcome"], call["model_asked"], call["events"]) == ("embedding", "ok", MODEL, 3)
    assert (call["tokens_input"], call["cost_usd"]) == (3, None), "the price of a model that no file names is unknown"


def test_given_the_offline_model_when_worked_on_then_its_vectors_and_its_price_are_written(
    make: Make, app_db: Database, everything_db: Database, model: OfflineModel
) -> None:
    learn(app_db)

    embedder = make(embedding_model="offline-rules-1", embedding_base_url=model.url, embedding_api_key="not-a-key")
    assert embedder.work("default").embedded == 1

    assert model_row(everything_db, "offline-rules-1")["dimensions"] == 256
    [call] = calls(everything_db)
    assert (call["model"], call["cost_usd"]) == ("offline-rules-1", 0)


def test_given_a_learning_of_a_tenant_that_is_read_when_made_then_it_gets_its_vector_too(
    make: Make, app_db: Database, everything_db: Database
) -> None:
    embedder = make()
    learn(app_db)
    embedder.work("default")
    second = learn(app_db, "Likes tea")

    assert embedder.work("default").embedded == 1
    assert ("default", MODEL, second) in vectors_of(everything_db)


def test_given_nothing_to_embed_with_when_worked_on_then_the_list_waits(
    make: Make, app_db: Database, everything_db: Database, scripted: ScriptedModel
) -> None:
    learning = learn(app_db)

    assert make(embedding_model="").work("default") == EmbeddingReport()

    assert on_list(everything_db) == {learning}
    assert scripted.asked == []


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(status=500), "server_error"),
        (Answer(status=429, headers={"Retry-After": "120"}), "rate_limited"),
        (Answer(status=401), "refused_request"),
        (Answer(raw=b"<html>", headers={"Content-Type": "text/html"}), "server_error"),
        (Answer(status=400), "refused"),
    ],
)
def test_given_a_model_that_gives_no_vectors_when_worked_on_then_all_waits_and_goes_on_later(
    make: Make, app_db: Database, everything_db: Database, scripted: ScriptedModel, answer: Answer, outcome: str
) -> None:
    scripted.answer = lambda _: answer
    made = {learn(app_db, f"Fact {number}") for number in range(3)}
    embedder = make()

    assert list(embedder.work("default").waits) == [MODEL]
    asked = len(scripted.asked)
    assert asked <= 2, "a batch, and at most a harmless word"
    assert embedder.work("default").waits
    assert len(scripted.asked) == asked, "the model is left alone"

    assert on_list(everything_db) == made
    assert rows(everything_db, "SELECT FROM learning.embedding_refused") == []
    row = model_row(everything_db)
    assert row["waits"]
    assert row["failures"] == 1
    assert {call["outcome"] for call in calls(everything_db)} == {outcome}
    if "Retry-After" in answer.headers:
        query = "SELECT not_before > now() + interval '100 s' AS long FROM learning.embedding_model"
        assert rows(everything_db, query) == [{"long": True}]

    scripted.answer = vectors
    let_on(everything_db)
    assert make().work("default").embedded == 3
    assert model_row(everything_db)["failures"] == 0


def test_given_a_model_that_is_left_alone_when_another_tenant_has_work_then_it_is_not_asked_either(
    make: Make, app_db: Database, everything_db: Database, scripted: ScriptedModel
) -> None:
    scripted.answer = lambda _: Answer(status=429, headers={"Retry-After": "120"})
    learn(app_db, tenant="acme")
    learn(app_db, tenant="globex")
    embedder = make()

    assert embedder.work("acme").waits
    assert embedder.work("globex").waits

    assert len(scripted.asked) == 1


def test_given_a_limit_of_the_embedding_model_when_two_workers_embed_then_they_share_it_and_the_tenant_waits(
    make: Make, place: Place, app_db: Database, everything_db: Database, scripted: ScriptedModel
) -> None:
    models = place.directory / "models.toml"
    models.write_text('[models]\n[embeddings."m"]\nrequests_per_minute = 1\n')
    learn(app_db, tenant="acme")
    waiting = learn(app_db, tenant="globex")
    one, other = (make(models_file=models, redis_url=place.redis_url) for _ in range(2))

    assert one.work("acme").embedded == 1
    report = other.work("globex")

    assert report.waits == {MODEL: "rate limit: 1 requests a minute of m"}
    assert report.calls == 0
    assert len(scripted.asked) == 1
    assert {learning for tenant, learning in _due(everything_db) if tenant == "globex"} == {waiting}
    with redis.Redis.from_url(place.redis_url) as client:
        client.delete(*client.keys("learning:limits:*"))
    let_on(everything_db)
    assert other.work("globex").embedded == 1


def test_given_a_429_for_one_worker_when_another_embeds_then_it_does_not_ask_either(
    make: Make, place: Place, app_db: Database, scripted: ScriptedModel
) -> None:
    scripted.answer = lambda _: Answer(status=429, headers={"Retry-After": "120"})
    learn(app_db, tenant="acme")
    learn(app_db, tenant="globex")
    one, other = (make(redis_url=place.redis_url) for _ in range(2))

    assert one.work("acme").waits
    assert "left alone" in other.work("globex").waits[MODEL]

    assert len(scripted.asked) == 1


def _due(everything_db: Database) -> set[tuple[str, UUID]]:
    found = rows(everything_db, "SELECT tenant, learning_id FROM learning.embedding_due")
    return {(row["tenant"], row["learning_id"]) for row in found}


def test_given_a_text_that_is_refused_when_worked_on_then_it_alone_is_noted_and_not_tried_again(
    make: Make, app_db: Database, everything_db: Database, scripted: ScriptedModel, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(status=400, text="invalid_input") if "Keeps it secret" in asked.body["input"] else vectors(asked)

    scripted.answer = answer
    good = {learn(app_db, f"Fact {number}") for number in range(6)}
    bad = learn(app_db, "Keeps it secret")
    embedder = make()

    with caplog.at_level(logging.INFO):
        report = embedder.work("default")

    assert (report.embedded, report.refused, report.reading) == (6, 1, MODEL)
    assert vectors_of(everything_db) == {("default", MODEL, each) for each in good}
    assert rows(everything_db, "SELECT learning_id, reason FROM learning.embedding_refused") == [
        {"learning_id": bad, "reason": "HTTP 400 invalid_input"}
    ]
    asked = len(scripted.asked)
    assert embedder.work("default") == EmbeddingReport()
    assert len(scripted.asked) == asked
    assert "secret" not in caplog.text


def test_given_a_model_that_is_known_when_its_vectors_have_other_dimensions_then_none_is_written(
    make: Make, app_db: Database, everything_db: Database, scripted: ScriptedModel
) -> None:
    learn(app_db)

    report = make(embedding_model="text-embedding-3-small").work("default")

    assert report.waits == {"text-embedding-3-small": f"{DIMENSIONS} dimensions came, and it has 1536"}
    assert vectors_of(everything_db) == set()


def test_given_a_model_that_changes_its_dimensions_when_worked_on_then_the_old_vectors_stay_alone(
    make: Make, app_db: Database, everything_db: Database, scripted: ScriptedModel
) -> None:
    embedder = make()
    first = learn(app_db)
    embedder.work("default")
    scripted.answer = lambda asked: vectors(asked, 8)
    learn(app_db, "Likes tea")

    assert "had 16 dimensions, and now 8" in embedder.work("default").waits[MODEL]
    assert vectors_of(everything_db) == {("default", MODEL, first)}


def test_given_a_call_under_way_when_the_database_is_looked_at_then_nothing_of_ours_is_held(
    make: Make, place: Place, app_db: Database, everything_db: Database, scripted: ScriptedModel
) -> None:
    learning = learn(app_db)
    scripted.answer = hang = Hang()
    embedder = make()
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(embedder.work, "default")
        assert hang.asked.wait(10)
        open_transactions = rows(
            everything_db,
            "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND usename = 'learning_app' "
            "AND state LIKE 'idle in%'",
        )
        change(app_db, learning, "status = 'retired', retired_at = clock_timestamp()")  # waits for nobody
        hang.go.set()
        report = working.result()

    assert open_transactions == []
    assert report.embedded == 0
    assert vectors_of(everything_db) == set()


def test_given_two_workers_at_once_when_they_work_on_one_tenant_then_each_text_is_embedded_once(
    make: Make, app_db: Database, everything_db: Database, scripted: ScriptedModel
) -> None:
    made = {learn(app_db, f"Fact {number}") for number in range(600)}
    one, other = make(), make()

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda each: each.work("default"), (one, other)))

    assert vectors_of(everything_db) == {("default", MODEL, each) for each in made}
    assert sum(report.embedded for report in reports) == 600
    texts = [text for asked in scripted.asked for text in asked.body["input"]]
    assert len(texts) == len(set(texts)) == 600


def test_given_a_deadline_when_the_model_hangs_then_the_worker_does_not(
    make: Make, app_db: Database, everything_db: Database, scripted: ScriptedModel
) -> None:
    learn(app_db)
    scripted.answer = hang = Hang()

    report = make(model_deadline=0.3).work("default")
    hang.go.set()

    assert report.waits == {MODEL: "no answer within 0.3 s"}
    assert [call["outcome"] for call in calls(everything_db)] == ["timeout"]


def test_given_a_tenant_with_two_models_when_one_has_no_address_here_then_the_other_goes_on(
    make: Make, app_db: Database, everything_db: Database
) -> None:
    learning = learn(app_db)
    app_db.run("default", begin, "default", "elsewhere", None)
    app_db.run("default", begin, "default", MODEL, None)

    report = make().work("default")

    assert report.waits == {"elsewhere": "no address of elsewhere is known here"}
    assert vectors_of(everything_db) == {("default", MODEL, learning)}
    assert on_list(everything_db) == {learning}


def test_given_a_second_model_without_an_address_when_the_first_is_complete_then_the_worker_lets_it_be_read_with(
    make: Make, app_db: Database, everything_db: Database
) -> None:
    learn(app_db)
    app_db.run("default", begin, "default", MODEL, None)
    app_db.run("default", begin, "default", "given-up", None)

    report = make().work("default")

    assert set(report.waits) == {"given-up"}
    assert report.reading == MODEL
    assert model_row(everything_db)["state"] == "reading"


def test_given_limits_when_texts_are_put_into_requests_then_none_is_over_them_and_none_is_left_out() -> None:
    limits = EmbeddingModel(inputs=3, tokens=200, tokens_each=100)
    texts = ["short", "long " * 100, "x" * 150, "ü" * 150, *["tiny"] * 10]
    given = [Due(learning_id=UUID(int=n), text=text, missing=(MODEL,), waits=False) for n, text in enumerate(texts)]

    found = list(batches(given, limits))

    assert [row for batch in found for row in batch] == given
    for batch in found:
        assert len(batch) <= 3
        assert sum(len(shortened(row.text, limits).encode()) for row in batch) <= 400
    assert shortened("ü" * 150, limits) == "ü" * 100
