"""The commands that read what is remembered, correct it, decide proposals, and look up entities."""

import json
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from harness import Place, rows
from learning_machine import LearnedKnowledgeConfig, UserProfile, UserProfileConfig
from learning_ops.cli import app
from learning_stores.database import Database
from running_stack import run

BY = ("--by", "support@acme.com")
NOBODY = "0198c0de-1111-7222-8333-444455556666"


def _run(place: Place, *arguments: str, **env: str) -> Any:
    return run(*arguments, cwd=place.directory, env={**place.env, "COLUMNS": "160", **env})


def _json(place: Place, *arguments: str) -> Any:
    ended = _run(place, *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "" or "there may be more" in ended.stderr
    return json.loads(ended.stdout)


def _propose(place: Place, **said: str) -> str:
    """A proposal by an agent's tool, and its id."""
    with place.machine(learned_knowledge=LearnedKnowledgeConfig(mode="PROPOSE")) as machine:
        (propose,) = [each for each in machine.tools(user_id="alex") if each.name == "propose_learning"]
        propose(**said)
        newest, *_ = machine.proposals()
    return str(newest.id)


@pytest.mark.parametrize(
    "command",
    [
        *(f"learnings {each}" for each in ("list", "show", "history", "add", "update", "retract", "promote")),
        *(f"proposals {each}" for each in ("list", "show", "approve", "edit", "reject")),
        *(f"entities {each}" for each in ("search", "show")),
    ],
)
def test_given_a_command_when_help_is_asked_for_then_it_shows_how(command: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "Examples" in shown.output
    assert f"learning-machine {command}" in shown.output


def test_given_a_memory_when_added_corrected_and_retracted_by_command_then_each_step_is_shown_and_kept(
    place: Place,
) -> None:
    added = _json(place, "learnings", "add", "Is vegetarian", "--user", "alex", *BY)
    assert (added["content"], added["status"], added["user_id"]) == ("Is vegetarian", "active", "alex")
    shown = _run(place, "learnings", "show", added["id"])
    assert shown.returncode == 0
    for word in ("Is vegetarian", "user_profile, memory", "added by support@acme.com", "user alex"):
        assert word in shown.stdout
    updated = _run(place, "learnings", "update", added["id"], "Is vegan", *BY)
    assert updated.returncode == 0
    assert f"learning {added['id']} was corrected" in updated.stderr
    assert "Is vegan" in updated.stdout
    (live,) = _json(place, "learnings", "list", "--user", "alex")
    retracted = _run(place, "learnings", "retract", live["id"], *BY)
    assert retracted.returncode == 0
    assert "retracted by a person" in retracted.stdout
    chain = _json(place, "learnings", "history", live["id"])
    assert [(each["content"], each["retired_reason"]) for each in chain] == [
        ("Is vegetarian", "corrected"),
        ("Is vegan", "retracted by a person"),
    ]
    told = _run(place, "learnings", "history", added["id"]).stdout
    assert told.index("Is vegetarian") < told.index("Is vegan")
    assert "retracted by support@acme.com" in told
    stale = _run(place, "learnings", "retract", live["id"], *BY)
    assert stale.returncode == 1
    assert "was retired" in stale.stderr
    assert "Traceback" not in stale.stderr


def test_given_learnings_of_many_when_listed_then_the_options_choose_among_all_of_the_tenant(place: Place) -> None:
    with place.machine(user_profile=True, learned_knowledge=LearnedKnowledgeConfig(namespace="team-x")) as machine:
        machine.add("Is vegetarian", user_id="alex", by="bob")
        machine.add(field="name", value="Kim", user_id="kim", by="bob")
        machine.add(title="CI", learning="Retry the login test once", by="bob")
        machine.for_tenant("other").add("Is tall", user_id="alex", by="bob")

    def contents(*options: str) -> list[str]:
        return [each["content"] for each in _json(place, "learnings", "list", *options)]

    everything = ["CI: Retry the login test once", "name: Kim", "Is vegetarian"]
    assert contents() == everything
    assert contents("--user", "alex") == ["Is vegetarian"]
    assert contents("--store", "user_profile", "--kind", "field") == ["name: Kim"]
    assert contents("--namespace", "team-x") == ["CI: Retry the login test once"]
    assert contents("--status", "retired") == []
    assert contents("--tenant", "other") == ["Is tall"]
    first = _run(place, "learnings", "list", "--limit", "2")
    assert "there may be more: --after " in first.stderr
    after = first.stderr.split()[-1]
    assert contents("--after", after) == everything[2:]
    table = _run(place, "learnings", "list").stdout
    for word in ("Is vegetarian", "user alex", "namespace team-x", "learned_knowledge"):
        assert word in table
    nothing = _run(place, "learnings", "list", "--user", "nobody")
    assert (nothing.stdout, nothing.returncode) == ("", 0)


def test_given_a_schema_that_agents_registered_when_a_field_is_set_by_command_then_it_is_checked_by_it(
    place: Place, everything_db: Database
) -> None:
    from dataclasses import dataclass

    from harness import event
    from integration.stores.steps import take_in

    @dataclass
    class Member(UserProfile):
        seats: int | None = None
        plan: str | None = None

    with place.machine(user_profile=UserProfileConfig(schema=Member)) as machine, Database(place.dispatcher_url) as log:
        take_in(log, event(), spec=machine.spec)
    seats = _json(place, "learnings", "add", "--field", "seats", "--value", "5", "--user", "alex", *BY)
    assert seats["data"] == {"name": "seats", "value": 5}
    plan = _json(place, "learnings", "add", "--field", "plan", "--value", "5", "--user", "alex", *BY)
    assert plan["data"] == {"name": "plan", "value": "5"}
    assert _json(place, "learnings", "update", seats["id"], "--value", "6", *BY)["data"]["value"] == 6
    for arguments, word in (
        (("--field", "seats", "--value", "many"), "--value"),
        (("--field", "shoes", "--value", "44"), "--field: is not in the schema of this memory. Use one of name"),
    ):
        refused = _run(place, "learnings", "add", *arguments, "--user", "alex", *BY)
        assert refused.returncode == 2
        assert word in refused.stderr
    assert len(rows(everything_db, "SELECT id FROM learning.learning WHERE status = 'active'")) == 2


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (("learnings", "show", "first"), "learning_id"),
        (("learnings", "add", "Is vegetarian", "--user", "alex"), "--by"),
        (("learnings", "add", "Is vegetarian", *BY), "--user is not given"),
        (("learnings", "add", "--user", "alex", *BY), "the text: is not given"),
        (("learnings", "add", "x", "--store", "diary", "--user", "alex", *BY), "diary is not installed"),
        (("learnings", "add", "x", "--namespace", "team", "--user", "alex", *BY), "shares nothing"),
        (("learnings", "add", "x", "--user", "alex", "--by", " "), "--by"),
        (("learnings", "add", "x", "--data", "[1]", "--user", "alex", *BY), "--data"),
        (("learnings", "list", "--status", "gone"), "gone"),
        (("learnings", "add", "Uses Kafka", "--entity", "Acme", *BY), "--type: is not given. Give --type"),
        (("proposals", "approve", "first", *BY), "learning_id"),
        (("proposals", "reject", NOBODY, "--reason", " ", *BY), "--reason"),
        (("entities", "show", "Acme", "--hops", "4"), "hops"),
        (("entities", "show", "Acme", "--namespace", "user"), "--user"),
    ],
)
def test_given_wrong_usage_when_a_command_runs_then_it_exits_2_and_names_it(
    place: Place, command: tuple[str, ...], word: str
) -> None:
    ended = _run(place, *command)
    assert ended.returncode == 2, ended.stderr
    assert word in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("learnings", "show", NOBODY),
        ("learnings", "history", NOBODY),
        ("learnings", "retract", NOBODY, *BY),
        ("proposals", "approve", NOBODY, *BY),
        ("entities", "show", "Acme"),
    ],
)
def test_given_what_is_not_there_when_a_command_asks_for_it_then_it_says_so_and_fails(
    place: Place, command: tuple[str, ...]
) -> None:
    ended = _run(place, *command)
    assert ended.returncode == 1, ended.stderr
    assert command[2] in ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr


def test_given_proposals_when_decided_by_command_then_they_are_live_or_gone_with_who_decided(place: Place) -> None:
    first = _propose(place, title="CI", learning="Retry the login test once", context=None, tags=["ci"])
    second = _propose(place, title="DB", learning="Vacuum at night", context=None, tags=[])
    third = _propose(place, title="Web", learning="Cache pages", context=None, tags=[])
    listed = _run(place, "proposals", "list")
    assert listed.returncode == 0
    assert all(each in listed.stdout for each in (first, second, third, "waits for approval"))
    assert [each["id"] for each in _json(place, "proposals", "list", "--limit", "1")] == [third]
    shown = _run(place, "proposals", "show", first).stdout
    assert "propose_learning (tool, for alex)" in shown
    assert "tags: ci, title: CI, learning: Retry the login test once" in shown
    approved = _run(place, "proposals", "approve", first, *BY)
    assert approved.returncode == 0
    assert "approved, and live" in approved.stderr
    assert "support@acme.com" in approved.stdout
    edited = _json(place, "proposals", "edit", second, "--learning", "Vacuum on Sunday night", *BY)
    assert (edited["content"], edited["status"]) == ("DB: Vacuum on Sunday night", "active")
    rejected = _run(place, "proposals", "reject", third, "--reason", "We have no pages", *BY)
    assert rejected.returncode == 0
    assert "rejected:" in rejected.stderr
    assert "We have no pages" in rejected.stdout
    again = _run(place, "proposals", "reject", first, *BY)
    assert again.returncode == 1
    assert "was approved by support@acme.com" in again.stderr
    assert f"`learning-machine learnings history {first}`" in again.stderr
    assert _json(place, "proposals", "list") == []
    live = {each["content"] for each in _json(place, "learnings", "list")}
    assert live == {"CI: Retry the login test once", "DB: Vacuum on Sunday night"}


def test_given_an_insight_of_a_user_when_promoted_by_command_then_all_have_it(place: Place) -> None:
    own = _json(
        place, "learnings", "add", "--title", "CI", "--learning", "Retry the login test once", "--tag", "ci",
        "--namespace", "user", "--user", "alex", *BY,
    )  # fmt: skip  # as it is typed
    assert (own["namespace"], own["data"]["tags"]) == ("user", ["ci"])
    promoted = _json(place, "learnings", "promote", own["id"], "global", *BY)
    assert (promoted["namespace"], promoted["user_id"]) == ("global", None)
    assert [each["action"] for each in promoted["evidence"]] == ["added", "promoted"]
    refused = _run(place, "learnings", "promote", promoted["id"], "user", *BY)
    assert refused.returncode == 2
    assert "--namespace" in refused.stderr


def test_given_entities_when_searched_and_shown_by_command_then_what_is_known_is_told(place: Place) -> None:
    acme = ("--entity", "Acme Corp", "--type", "company", *BY)
    _json(place, "learnings", "add", "Uses PostgreSQL", *acme)
    _json(place, "learnings", "add", "Hired a CTO", "--date", "2026-11-20", *acme)
    tie = ("--relation", "CTO of", "--entity", "Bob", "--type", "person")
    _json(place, "learnings", "add", *tie, "--target", "Acme Corp", "--target-type", "company", *BY)
    found = _json(place, "entities", "search", "postgresql")
    assert [each["name"] for each in found] == ["Acme Corp"]
    assert {each["name"] for each in _json(place, "entities", "search")} == {"Acme Corp", "Bob"}
    assert _json(place, "entities", "search", "--namespace", "team-x") == []
    assert "Acme Corp" in _run(place, "entities", "search", "acme").stdout
    shown = _run(place, "entities", "show", "acme corp", "--hops", "2").stdout
    for word in (
        "Acme Corp (company)",
        "Uses PostgreSQL",
        "2026-11-20: Hired a CTO",
        "Bob: CTO of Acme Corp",
        "person",
    ):
        assert word in shown
    told = _json(place, "entities", "show", "Bob")
    UUID(told["id"])
    assert [each["name"] for each in told["neighbours"]] == ["Acme Corp"]
    _json(place, "learnings", "add", "Is a boat", "--entity", "Bob", "--type", "ship", *BY)
    several = _run(place, "entities", "show", "Bob")
    assert several.returncode == 2
    assert "person, ship" in several.stderr


def test_given_content_with_markup_and_controls_when_shown_then_it_is_shown_as_it_is(place: Place) -> None:
    with place.machine(user_profile=True) as machine:
        added = machine.add("Likes [red]roses[/] and \x1b[31mred", user_id="al[b]ex", by="bob")
    for command in (("list",), ("show", str(added.id)), ("history", str(added.id))):
        ended = _run(place, "learnings", *command)
        assert ended.returncode == 0
        assert "[red]roses[/]" in ended.stdout
        assert "\x1b" not in ended.stdout


def test_given_no_database_when_asked_then_the_variable_is_named_and_no_password(place: Place) -> None:
    ended = _run(place, "learnings", "list", LEARNING_DATABASE_URL="postgresql://app:hunter2@127.0.0.1:1/none")
    assert ended.returncode == 1
    assert "LEARNING_DATABASE_URL" in ended.stderr
    assert "hunter2" not in ended.stderr
