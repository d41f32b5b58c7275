"""`learning-machine status --ledger`: the sums, what does not add up by its ids, and the exit status."""

import json
from typing import Any

from harness import Place, event
from integration.stores.steps import BOTH_AT_ONCE, take_in
from learning_schemas.ids import uuid7
from learning_stores.database import Database
from running_stack import run


def _run(place: Place, *arguments: str) -> Any:
    return run("status", *arguments, cwd=place.directory, env={**place.env, "COLUMNS": "160"})


def test_given_a_log_that_adds_up_when_asked_then_its_sums_are_shown_and_the_status_is_0(
    place: Place, dispatcher_db: Database
) -> None:
    take_in(dispatcher_db, event(tenant="acme", producer=uuid7(), seq=1), event(user_id=None), spec=BOTH_AT_ONCE)
    found = _run(place, "--ledger", "--json")
    assert found.returncode == 0, found.stderr
    ledger = json.loads(found.stdout)
    assert (ledger["adds_up"], ledger["numbers"]["numbered"], ledger["events"]["accepted"]) == (True, 1, 2)
    assert ledger["deliveries"]["skipped"] == {"no user_id": 1}
    shown = _run(place, "--ledger")
    assert (shown.returncode, shown.stderr) == (0, "")
    for word in ("numbered by 1 producers", "skipped (no user_id)", "pending (due)", "It adds up."):
        assert word in shown.stdout
    own = json.loads(_run(place, "--ledger", "--json", "--tenant", "acme").stdout)
    assert (own["tenant"], own["numbers"], own["events"]["accepted"]) == ("acme", None, 1)


def test_given_lost_numbers_and_deliveries_when_asked_then_they_are_named_and_the_status_is_1(
    place: Place, dispatcher_db: Database, everything_db: Database
) -> None:
    producer, told = uuid7(), event(user_id="bob")
    take_in(dispatcher_db, event(producer=producer, seq=3), told, spec=BOTH_AT_ONCE)
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE learning.producer_seq SET last_seen = now() - interval '2 minutes'")
        connection.exec_driver_sql(f"DELETE FROM learning.delivery WHERE event_id = '{told.id}'")
    found = _run(place, "--ledger")
    assert found.returncode == 1
    assert found.stderr.strip() == "the ledger does not add up: numbers_missing, events_without_delivery"
    for word in (str(producer), "1–2", f"default/{told.id}", "running, or ended without a word"):
        assert word in found.stdout
    named = {each["name"]: each["ids"] for each in json.loads(_run(place, "--ledger", "--json").stdout)["findings"]}
    assert named == {"numbers_missing": [str(producer)], "events_without_delivery": [f"default/{told.id}"]}


def test_given_options_that_do_not_go_together_when_asked_then_the_usage_is_wrong(place: Place) -> None:
    for options in (("--tenant", "acme"), ("--ledger", "--watch")):
        assert _run(place, *options).returncode == 2
