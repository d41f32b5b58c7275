"""`learning-machine cost` and `budget`: what is printed, and a budget that real workers keep until it is raised."""

import json
from decimal import Decimal
from typing import Any

import pytest

from acceptance.conftest import System
from harness import Place, eventually, rows, turn
from learning_machine import LearningMachine, UserProfileConfig
from learning_stores.database import Database
from running_stack import run

_CALLS = """
    INSERT INTO learning.model_call (tenant, id, extraction_id, store, purpose, subject, user_id, model_asked, model, prompt_name,
        prompt_version, outcome, events, tokens_input, tokens_cached, tokens_output, cost_usd, seconds, called_at)
    SELECT t, gen_random_uuid(), gen_random_uuid(), 'user_profile', 'extract', '', u, m, m, 'p', '1', 'ok', e, 1000, 400, 100, c, 1,
        clock_timestamp() - ago * interval '1 day'
    FROM (VALUES ('acme', 'alice', 'gpt-5-mini', 5, 0.5, 0), ('acme', 'bob', 'gpt-5-mini', 1, 0.25, 3),
                 ('globex', 'carol', 'house-model', 2, NULL, 0), ('globex', 'carol', 'gpt-5-mini', 1, 9.0, 40))
        AS v (t, u, m, e, c, ago)
"""


@pytest.fixture
def spent(place: Place, everything_db: Database) -> Place:
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql(_CALLS)
    return place


def _run(place: Place, *arguments: str) -> Any:
    return run(*arguments, cwd=place.directory, env={**place.env, "COLUMNS": "160"})


def test_given_calls_when_asked_what_they_cost_then_the_table_says_what_is_known_what_is_not_and_what_was_saved(
    spent: Place,
) -> None:
    shown = _run(spent, "cost", "--by", "user")

    assert (shown.returncode, shown.stderr) == (0, "")
    for word in (
        "alice", "$0.5000", "bob", "$0.2500", "carol", "1 unknown", "$0.7500 + 1 unknown",
        "The price of 1 calls is not known, and not in the sum: house-model (1)",
        "Saved by reading events together (estimate): 5 calls, $1.5000, 1 of them at an unknown price.",
        "Saved by cached prefixes (estimate, at today's prices): 1,200 tokens, $0.0002, 400 of them at an unknown price.",
        "What agents embed for a query is not recorded.",
    ):  # fmt: skip
        assert word in shown.stdout, word
    assert "$9" not in shown.stdout  # 40 days ago


def test_given_json_a_tenant_and_a_time_when_asked_then_the_rows_are_those_alone(spent: Place) -> None:
    found = json.loads(_run(spent, "cost", "--by", "tenant", "--since", "60d", "--json").stdout)
    assert {row["key"]: (row["cost_usd"], row["unpriced_calls"]) for row in found["rows"]} == {
        "globex": (9.0, 1),
        "acme": (0.75, 0),
    }
    assert found["saved"]["coalescing"]["estimate"] is True
    assert found["unpriced_models"] == {"house-model": 1}

    own = json.loads(_run(spent, "cost", "--by", "day", "--since", "1d", "--tenant", "acme", "--json").stdout)
    assert [(row["calls"], row["cost_usd"]) for row in own["rows"]] == [(1, 0.5)]
    assert own["total"]["tokens_cached"] == 400
    none = json.loads(_run(spent, "cost", "--since", "2020-01-01", "--until", "2020-02-01", "--json").stdout)
    assert (none["rows"], none["total"]["calls"], none["total"]["cost_usd"]) == ([], 0, None)
    assert (
        "No call was made from 2020-01-01"
        in _run(spent, "cost", "--since", "2020-01-01", "--until", "2020-02-01").stdout
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("cost", "--since", "lately"),
        ("cost", "--since", "12m"),
        ("cost", "--since", "2020-01-01", "--until", "2019-01-01"),
        ("cost", "--by", "mood"),
        ("budget", "set", "much"),
        ("budget", "set", "NaN"),
        ("budget", "set", "1", "--near", "3"),
        ("budget", "set", "1", "--near", "nan"),
        ("budget", "set", "1", "--tenant", ""),
        ("budget", "set", "1", "--store", "user-profile"),
        ("budget", "set", "--", "-1"),
    ],
)
def test_given_what_cannot_be_meant_when_asked_then_the_usage_is_wrong(
    place: Place, arguments: tuple[str, ...]
) -> None:
    told = _run(place, *arguments)

    assert told.returncode == 2, told.stderr
    assert "Traceback" not in told.stderr


def test_given_no_budget_when_set_shown_and_removed_then_each_says_what_it_did(
    spent: Place, everything_db: Database
) -> None:
    assert "No budget is set" in _run(spent, "budget", "list").stdout
    assert (
        _run(spent, "budget", "set", "0.60", "--tenant", "acme").stdout == "set $0.6 a day of tenant acme, all stores\n"
    )
    assert _run(spent, "budget", "set", "2").returncode == 0

    [acme] = [row for row in json.loads(_run(spent, "budget", "list", "--json").stdout) if row["tenant"] == "acme"]
    assert (acme["usd_per_day"], acme["spent_usd"], acme["state"], acme["set_for"]) == (0.6, 0.5, "near", "acme")
    shown = _run(spent, "budget", "list").stdout
    assert "globex (every tenant's)" in shown
    assert "near" in shown
    assert "Budgets today (UTC)" in _run(spent, "status").stdout

    assert "removed the budget of tenant acme, store *" in _run(spent, "budget", "remove", "--tenant", "acme").stdout
    missing = _run(spent, "budget", "remove", "--tenant", "acme")
    assert (missing.returncode, "budget list" in missing.stderr) == (1, True)
    assert len(rows(everything_db, "SELECT FROM learning.budget")) == 1


def test_given_real_workers_and_a_budget_that_is_spent_when_it_is_raised_then_what_waited_is_extracted_at_once(
    own_system: System,
) -> None:
    models = own_system.place.directory / "models.toml"
    models.write_text(
        '[models."offline-rules-1"]\nbase_url = ""\napi = "responses"\nkey_variable = "K"\nmax_output_tokens = 500\n'
        "input = 1.0\noutput = 1.0\n"
    )
    own_system.place.extra_env["LEARNING_MODELS_FILE"] = str(models)
    place = own_system.place
    assert _run(place, "budget", "set", "0.000001").returncode == 0
    own_system.processes.dispatcher()
    own_system.processes.worker("user_profile")
    with LearningMachine(
        database_url=place.app_url, redis_url=place.redis_url, user_profile=UserProfileConfig(debounce=0)
    ) as machine:
        for user in ("ann", "ben", "cleo"):
            machine.emit(user_id=user, session_id="s", messages=turn("I love green tea."))

    waiting = "SELECT count(*) AS n FROM learning.mailbox WHERE wait_reason = 'budget' AND ready_at > now()"
    eventually(lambda: own_system.rows(waiting) == [{"n": 3}], "all three wait for the budget")
    assert own_system.rows("SELECT FROM learning.model_call") == []
    status = json.loads(_run(place, "status", "--json").stdout)
    assert [(row["reason"], row["events"]) for row in status["backlog"]] == [("budget", 3)]
    assert [(row["tenant"], row["state"], row["waiting"]) for row in status["budgets"]] == [("default", "spent", 3)]

    raised = _run(place, "budget", "set", "5")

    assert "3 mailboxes that waited for it are tried again now" in raised.stdout
    for user in ("ann", "ben", "cleo"):
        assert [row["state"] for row in own_system.settled(user, 1)] == ["extracted"]
    spent = sum((row["cost_usd"] for row in own_system.rows("SELECT cost_usd FROM learning.model_call")), Decimal(0))
    assert spent > 0
    assert own_system.rows("SELECT FROM learning.budget_reservation") == []
