"""`learning-machine forget`: it says what it will touch, asks, and prints a receipt."""

import json
from typing import Any

from harness import Place, rows
from learning_stores.database import Database
from running_stack import run


def _run(place: Place, *arguments: str) -> Any:
    return run(*arguments, cwd=place.directory, env={**place.env, "COLUMNS": "160"})


def _remember(place: Place) -> None:
    with place.machine() as machine:
        for user in ("gonzalo", "kim"):
            machine.add("Likes zorblax", user_id=user, by="support")


def _left(everything_db: Database) -> list[str]:
    return [row["user_id"] for row in rows(everything_db, "SELECT user_id FROM learning.learning ORDER BY 1")]


def test_given_no_terminal_when_yes_is_missing_then_it_says_what_it_would_touch_and_touches_nothing(
    place: Place, everything_db: Database
) -> None:
    _remember(place)

    ended = _run(place, "forget", "--user", "gonzalo")
    assert ended.returncode == 2
    assert "to forget user gonzalo of tenant default: 1 of change, 1 of evidence, 1 of learning" in ended.stdout
    assert "--yes" in ended.stderr

    planned = _run(place, "forget", "--user", "gonzalo", "--dry-run", "--json")
    assert json.loads(planned.stdout) == {"would_touch": {"change": 1, "evidence": 1, "learning": 1}}
    assert _left(everything_db) == ["gonzalo", "kim"]
    assert rows(everything_db, "SELECT id FROM learning.forgetting") == []


def test_given_yes_then_the_user_is_forgotten_and_the_receipt_is_printed(place: Place, everything_db: Database) -> None:
    _remember(place)

    ended = _run(place, "forget", "--user", "gonzalo", "--close", "--by", "dpo@acme.com", "--yes")

    assert ended.returncode == 0, ended.stderr
    assert "  learning: 1\n" in ended.stdout
    assert "learning 0" in ended.stdout
    assert "closed: everything is refused" in ended.stdout
    assert "backups" in ended.stdout
    assert _left(everything_db) == ["kim"]
    again = _run(place, "forget", "--user", "gonzalo", "--yes", "--json")
    receipt = json.loads(again.stdout)
    assert receipt["counts"] == {}
    assert set(receipt["found"].values()) == {0}
    assert "to forget user gonzalo" in again.stderr


def test_given_a_closed_user_when_reopened_then_it_is_said_once(place: Place) -> None:
    assert _run(place, "forget", "--user", "gonzalo", "--close", "--yes").returncode == 0
    opened = _run(place, "forget", "--user", "gonzalo", "--reopen")
    assert (opened.returncode, opened.stdout) == (0, "user gonzalo of tenant default is let in again\n")
    again = _run(place, "forget", "--user", "gonzalo", "--reopen")
    assert again.returncode == 1
    assert "is not closed" in again.stderr


def test_given_arguments_that_do_not_go_together_then_they_are_named(place: Place) -> None:
    for arguments, status, told in (
        ((), 2, "--user"),
        (("--event", "x"), 2, "--event"),
        (("--event", "0198c0de-1111-7222-8333-444455556666", "--user", "a"), 2, "--event"),
        (("--event", "0198c0de-1111-7222-8333-444455556666", "--yes"), 1, "no event that is known"),
        (("--user", "a", "--close", "--reopen"), 2, "--reopen"),
    ):
        ended = _run(place, "forget", *arguments)
        assert (ended.returncode, told in ended.stderr) == (status, True), ended.stderr
