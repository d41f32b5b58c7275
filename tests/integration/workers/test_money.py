"""What calls cost a worker: every one recorded, and none made that a budget has no room for."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from embedding_doubles import vectors
from harness import event, rows
from integration.stores.test_embeddings import learn
from learning_schemas.ids import uuid7
from learning_stores.budgets import Budget, set_budget
from learning_stores.prompts import Prompt
from learning_stores.reservations import sweep
from learning_stores.status import status
from learning_workers import purse as purse_module
from learning_workers.calls import CallContext
from learning_workers.embedding import Embedder
from learning_workers.extraction import Extractor
from learning_workers.gate import Gate
from learning_workers.models import load_catalogue
from scripted_model import Answer, Asked, ScriptedModel, repeat

TEA, COFFEE, JAZZ = "I love green tea.", "I love black coffee.", "I love old jazz."
# What the scripted model says that it used: 100 tokens in, 40 of them cached, 10 out.
COST = Decimal("0.00074")

PRICED = {"input": 10.0, "cached": 1.0, "output": 10.0}


@pytest.fixture
def extractor(desk: Any) -> Callable[..., Extractor]:
    """Makes extractors; `values` are those of the test's model, `others` further models of the file."""

    def make(others: dict[str, dict[str, Any]] | None = None, store: str = "user_profile", **values: Any) -> Extractor:
        path: Path = desk.place.directory / "models.toml"
        models = {"offline-rules-1": {**PRICED, **values}, **(others or {})}
        defaults = '[defaults]\nbase_url = ""\napi = "responses"\nkey_variable = "NO_KEY"\nmax_output_tokens = 500\n'
        tables = (
            f'[models."{name}"]\n' + "".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items())
            for name, given in models.items()
        )
        path.write_text(defaults + "".join(tables))
        return desk.extractor(store, models_file=path)

    return make


def allow(desk: Any, usd: str, tenant: str = "*", store: str = "*", near: str = "0.8") -> int:
    budget = Budget(tenant=tenant, store=store, usd_per_day=Decimal(usd), near=Decimal(near))
    return int(desk.dispatcher_db.run(None, set_budget, budget))


def calls(desk: Any) -> list[dict[str, Any]]:
    return rows(desk.everything_db, "SELECT * FROM learning.model_call ORDER BY called_at, id")


def under_way(desk: Any) -> list[dict[str, Any]]:
    return rows(desk.everything_db, "SELECT * FROM learning.budget_reservation")


def test_given_no_budget_when_a_call_is_made_then_it_stands_as_under_way_until_it_is_recorded(
    desk: Any, scripted: ScriptedModel, extractor: Callable[..., Extractor]
) -> None:
    desk.say(TEA)
    seen: list[list[dict[str, Any]]] = []

    def answer(asked: Asked) -> Answer:
        seen.append(under_way(desk))
        return repeat(asked)

    scripted.answer = answer
    assert desk.work(extractor()).outcome == "extracted"

    [[begun]], [call] = seen, calls(desk)
    assert under_way(desk) == []
    assert (call["id"], call["extraction_id"]) == (begun["id"], begun["extraction_id"])
    assert (call["cost_usd"], call["estimated_usd"], call["service_tier"]) == (COST, None, "default")
    assert begun["usd"] > COST
    assert (call["tokens_input"], call["tokens_cached"], call["tokens_output"]) == (100, 40, 10)


def test_given_a_budget_that_is_spent_when_worked_on_then_the_mailbox_waits_for_the_day_to_turn_and_nothing_is_asked(
    desk: Any, scripted: ScriptedModel, extractor: Callable[..., Extractor]
) -> None:
    [tea] = desk.say(TEA)
    allow(desk, "0.01")
    worker = extractor()

    report = desk.work(worker)

    assert (report.outcome, report.reason, report.model_calls) == ("waiting", "budget", 0)
    assert (scripted.asked, calls(desk), under_way(desk)) == ([], [], [])
    assert desk.deliveries() == {tea: ("pending", None, 0)}
    [waits] = rows(
        desk.everything_db,
        "SELECT wait_reason, wait_note, claims, failures, extract(epoch FROM not_before - now()) AS seconds, "
        "not_before > date_trunc('day', now(), 'UTC') + interval '1 day' - interval '1 s' AS next_day FROM learning.mailbox",
    )
    assert (waits["wait_reason"], waits["claims"], waits["failures"], waits["next_day"]) == ("budget", 0, 0, True)
    assert waits["seconds"] < 86_400 + purse_module.TURN_SPREAD_SECONDS + 1
    found = desk.dispatcher_db.run(None, status)
    assert [(row["reason"], row["events"]) for row in found["backlog"]] == [("budget", 1)]
    assert found["backlog"][0]["note"].startswith("$0.01 a day of every tenant, all stores: ")
    assert [(row["tenant"], row["state"], row["waiting"]) for row in found["budgets"]] == [("default", "spent", 1)]

    assert allow(desk, "5") == 1
    assert desk.work(worker).outcome == "extracted"
    assert desk.deliveries() == {tea: ("extracted", None, 1)}


def test_given_a_budget_of_some_calls_when_it_is_used_up_then_the_rest_waits_and_no_more_was_spent_than_it_says(
    desk: Any, scripted: ScriptedModel, extractor: Callable[..., Extractor]
) -> None:
    desk.take_in(*(event(user_id=f"user{number}") for number in range(6)))
    worker = extractor()
    boxes = rows(desk.everything_db, "SELECT id, tenant FROM learning.mailbox ORDER BY id")
    seen: list[Decimal] = []

    def answer(asked: Asked) -> Answer:
        seen.extend(row["usd"] for row in under_way(desk))
        return repeat(asked)

    scripted.answer = answer
    worker.work("default", boxes[0]["id"])
    most = seen[0]
    allow(desk, str(most + 3 * COST))

    outcomes = [worker.work("default", box["id"]).reason for box in boxes[1:]]

    assert outcomes == [None, None, None, "budget", "budget"]
    assert sum(call["cost_usd"] for call in calls(desk)) == 4 * COST <= most + 3 * COST


def test_given_a_budget_that_is_near_when_worked_on_then_the_models_fallback_is_asked(
    desk: Any, scripted: ScriptedModel, extractor: Callable[..., Extractor]
) -> None:
    desk.say(TEA)
    allow(desk, "5", near="0")
    worker = extractor(fallback="cheap", others={"cheap": {"input": 1.0, "cached": 0.1, "output": 1.0}})

    assert desk.work(worker).outcome == "extracted"

    assert scripted.asked[0].body["model"] == "cheap"
    assert "service_tier" not in scripted.asked[0].body
    [call] = calls(desk)
    assert call["model_asked"] == "cheap"


@pytest.mark.parametrize(("api", "path"), [("responses", "/v1/responses"), ("chat", "/v1/chat/completions")])
def test_given_a_model_with_a_flex_tier_and_no_fallback_when_its_budget_is_near_then_it_is_asked_there_at_its_price(
    desk: Any, scripted: ScriptedModel, extractor: Callable[..., Extractor], api: str, path: str
) -> None:
    desk.say(TEA)
    allow(desk, "5", near="0")

    assert desk.work(extractor(flex=0.5, api=api)).outcome == "extracted"

    assert (scripted.asked[0].path, scripted.asked[0].body["service_tier"]) == (path, "flex")
    [call] = calls(desk)
    cost = COST if api == "responses" else Decimal("0.0011")  # the scripted completion tells no cached tokens
    assert (call["service_tier"], call["cost_usd"]) == ("flex", cost / 2)


def test_given_a_model_without_a_price_when_a_budget_holds_then_it_waits_and_says_what_to_do_and_without_one_it_is_asked(
    desk: Any, extractor: Callable[..., Extractor]
) -> None:
    desk.say(TEA)
    allow(desk, "5")
    path: Path = desk.place.directory / "own.toml"
    path.write_text(
        '[models."offline-rules-1"]\nbase_url = ""\napi = "responses"\nkey_variable = "K"\nmax_output_tokens = 500\n'
    )
    worker = desk.extractor(models_file=path)

    report = desk.work(worker)

    assert (report.outcome, report.reason, report.model_calls) == ("waiting", "budget", 0)
    assert "the price of offline-rules-1 is not known" in str(report.wait)
    desk.change("DELETE FROM learning.budget")
    desk.over()
    assert desk.work(worker).outcome == "extracted"
    [call] = calls(desk)
    assert (call["cost_usd"], call["tokens_input"]) == (None, 100)


_ODD_USAGE = {"usage": {"input_tokens": 100, "output_tokens": 10, "input_tokens_details": {"cached_tokens": 40}}}


@pytest.mark.parametrize(
    ("answer", "outcome", "tokens"),
    [
        (Answer(text="nonsense"), "invalid_output", 100),
        (Answer(text="{}", cut_off=True), "cut_off", 100),
        (Answer(text="", refusal=True), "refused", 100),
        (Answer(raw=json.dumps({"model": "offline-rules-1", "output": 3, **_ODD_USAGE}).encode()), "server_error", 100),
        (Answer(text="nonsense", without_usage=True), "invalid_output", None),
        (Answer(status=429), "rate_limited", None),
        (Answer(status=500), "server_error", None),
    ],
    ids=["no JSON", "cut off", "refused", "another form with usage", "no usage", "429", "500"],
)
def test_given_an_answer_of_no_use_when_it_returned_then_what_it_used_is_recorded_and_no_price_is_made_up(
    desk: Any,
    scripted: ScriptedModel,
    extractor: Callable[..., Extractor],
    answer: Answer,
    outcome: str,
    tokens: int | None,
) -> None:
    desk.say(TEA)
    scripted.answer = lambda _: answer

    desk.work(extractor())

    call = calls(desk)[0]
    assert (call["outcome"], call["tokens_input"]) == (outcome, tokens)
    assert call["cost_usd"] == (COST if tokens else None)
    # Without usage it counts against a budget as what it may have cost, unless nobody bills for it.
    assert (call["estimated_usd"] is not None) == (tokens is None and outcome == "invalid_output")
    assert under_way(desk) == []


def test_given_no_answer_in_time_when_a_budget_holds_then_it_counts_as_what_it_may_have_cost(
    desk: Any, scripted: ScriptedModel, extractor: Callable[..., Extractor]
) -> None:
    desk.say(TEA)
    allow(desk, "5")
    scripted.answer = lambda _: Answer(text="", trickle=True)
    extractor()  # writes the models file
    worker = desk.extractor(models_file=desk.place.directory / "models.toml", model_deadline=0.3)

    assert desk.work(worker).reason == "provider"

    [call] = calls(desk)
    assert (call["outcome"], call["cost_usd"]) == ("timeout", None)
    assert call["estimated_usd"] > COST


class Killed(BaseException):
    """A worker that is killed at this moment."""


def test_given_a_worker_killed_between_the_answer_and_the_record_when_another_goes_on_then_the_call_is_found_as_lost(
    desk: Any, scripted: ScriptedModel, extractor: Callable[..., Extractor], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.say(TEA)
    with monkeypatch.context() as patched:

        def killed(*_: Any, **__: Any) -> None:
            raise Killed

        patched.setattr(Gate, "leave", killed)
        with pytest.raises(Killed):
            desk.work(extractor())
    assert (len(scripted.asked), calls(desk), len(under_way(desk))) == (1, [], 1)
    [begun] = under_way(desk)

    desk.over()
    assert desk.work(extractor()).outcome == "extracted"

    lost, made = calls(desk)
    assert (lost["id"], lost["outcome"], lost["cost_usd"], lost["user_id"]) == (begun["id"], "lost", None, None)
    assert (made["outcome"], made["cost_usd"]) == ("ok", COST)
    assert under_way(desk) == []


def test_given_a_call_that_was_given_up_for_lost_when_it_returns_all_the_same_then_its_row_becomes_what_it_was(
    desk: Any, scripted: ScriptedModel, extractor: Callable[..., Extractor]
) -> None:
    desk.say(TEA)

    def answer(asked: Asked) -> Answer:
        desk.change("UPDATE learning.mailbox SET lease_until = clock_timestamp() - interval '1 s'")
        assert desk.app_db.run("default", sweep, "default") == 1
        assert [call["outcome"] for call in calls(desk)] == ["lost"]
        return repeat(asked)

    scripted.answer = answer
    assert desk.work(extractor()).outcome == "extracted"

    [call] = calls(desk)
    assert (call["outcome"], call["cost_usd"], call["user_id"]) == ("ok", COST, "alice")


def test_given_postgres_away_when_a_call_returns_then_its_record_is_written_with_the_next_one(
    desk: Any, scripted: ScriptedModel, extractor: Callable[..., Extractor], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.say(TEA)
    worker = extractor()
    with monkeypatch.context() as patched:

        def away(*_: Any) -> None:
            raise psycopg.OperationalError("the server is away")

        patched.setattr(purse_module, "record_call", away)
        with pytest.raises(psycopg.OperationalError):
            desk.work(worker)
    assert calls(desk) == []

    desk.over()
    assert desk.work(worker).outcome == "extracted"

    assert sorted((call["outcome"], call["cost_usd"]) for call in calls(desk)) == [("ok", COST), ("ok", COST)]
    assert under_way(desk) == []


def test_given_a_rate_limit_without_room_when_a_call_is_held_back_then_nothing_stays_reserved(
    desk: Any, extractor: Callable[..., Extractor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learning_workers.extraction.BRIEF_SECONDS", 0.0)
    desk.take_in(event(user_id="alice"), event(user_id="bob"))
    worker = extractor(requests_per_minute=1)
    boxes = rows(desk.everything_db, "SELECT id FROM learning.mailbox ORDER BY id")

    assert [worker.work("default", box["id"]).reason for box in boxes] == [None, "provider"]

    assert under_way(desk) == []
    assert len(calls(desk)) == 1


@pytest.mark.parametrize(
    ("model", "note"), [("priced", "less than one call may cost"), ("own", "the price of own is not known")]
)
def test_given_a_budget_without_room_for_embedding_when_worked_on_then_it_waits_with_the_note_and_nothing_is_lost(
    desk: Any, scripted: ScriptedModel, model: str, note: str
) -> None:
    scripted.answer = vectors
    path: Path = desk.place.directory / "models.toml"
    path.write_text(f'[models]\n[embeddings.priced]\nbase_url = "{scripted.url}"\nprice = 100.0\n')
    settings = desk.settings(models_file=path, embedding_model=model, embedding_base_url=scripted.url)
    learn(desk.app_db, "Works at Netflix")
    allow(desk, "0.0001", store="embedding")
    embedder = Embedder(desk.app_db, load_catalogue(settings), settings)
    try:
        waits = embedder.work("default").waits
        assert note in waits[model]
        assert (scripted.asked, calls(desk), under_way(desk)) == ([], [], [])

        desk.change("DELETE FROM learning.budget")
        desk.change("UPDATE learning.embedding_model SET not_before = NULL")
        desk.change("UPDATE learning.embedding_due SET not_before = NULL, taken_until = NULL")
        assert embedder.work("default").embedded == 1
    finally:
        embedder.close()
    [call] = calls(desk)
    assert (call["purpose"], call["cost_usd"]) == ("embedding", Decimal("0.0001") if model == "priced" else None)
    assert under_way(desk) == []


def test_given_vectors_of_no_use_when_they_came_then_their_tokens_are_recorded(
    desk: Any, scripted: ScriptedModel
) -> None:
    scripted.answer = lambda asked: vectors(asked, data=[])
    settings = desk.settings(embedding_model="m", embedding_base_url=scripted.url)
    learn(desk.app_db, "Works at Netflix")
    embedder = Embedder(desk.app_db, load_catalogue(settings), settings)
    try:
        assert embedder.work("default").waits
    finally:
        embedder.close()

    [call] = calls(desk)
    assert (call["outcome"], call["model"], call["tokens_input"]) == ("server_error", "m", 1)


def test_given_a_call_that_can_wait_when_it_is_begun_then_it_goes_to_the_cheap_tier_where_the_model_has_one(
    desk: Any,
) -> None:
    catalogue = load_catalogue(desk.settings())
    purse = purse_module.Purse(desk.app_db, catalogue, 5)
    for name, tier in (("gpt-5-mini", "flex"), ("gpt-4.1", None)):
        model = catalogue.get(name)
        assert model is not None
        context = CallContext(
            tenant="default", store="user_profile", purpose="deduplicate", extraction_id=uuid7(),
            prompt=Prompt("judge", "1", ""), asked=model, events=1, can_wait=True,
        )  # fmt: skip  # two a line
        reserved, asked = purse.reserve(context, 1_000_000)

        assert (asked.name, reserved.tier, reserved.usd) == (name, tier, model.most(1_000_000, tier))
        [begun] = under_way(desk)
        assert (begun["purpose"], begun["usd"], begun["mailbox_id"]) == ("deduplicate", reserved.usd, None)
        purse.give_up("default", reserved.id)
    assert under_way(desk) == []
