"""An embedding model that was changed, or does not answer: who runs the system is told what to do, and only then."""

import json
from typing import Any

import pytest

from harness import Place
from learning_machine import UserProfileConfig
from learning_ops.cli.reembed_note import reembed_note, unfinished_notes, waiting_notes
from learning_stores.database import Database
from learning_stores.embeddings import begin, pause
from running_stack import run


def _model(app_db: Database, everything_db: Database, tenant: str, model: str, state: str) -> None:
    app_db.run(tenant, begin, tenant, model, 2)
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE learning.embedding_model SET state = %s WHERE tenant = %s AND model = %s", (state, tenant, model)
        )


@pytest.mark.parametrize("state", [None, "building"])
def test_given_tenants_on_another_model_when_the_model_was_changed_then_the_command_is_told_until_they_are_moved(
    app_db: Database, dispatcher_db: Database, everything_db: Database, state: str | None
) -> None:
    for tenant in ("acme", "globex"):
        _model(app_db, everything_db, tenant, "old", "reading")
        if state is not None:
            _model(app_db, everything_db, tenant, "new@8", state)
    told = reembed_note(dispatcher_db, "new@8")
    assert told is not None
    assert "2 tenants" in told
    assert "`learning-machine reembed new --dimensions 8`" in told
    assert reembed_note(dispatcher_db, "old") is None

    _model(app_db, everything_db, "acme", "new@8", "reading")
    assert "1 tenant " in (reembed_note(dispatcher_db, "new@8") or "")
    _model(app_db, everything_db, "globex", "new@8", "reading")
    assert reembed_note(dispatcher_db, "new@8") is None


def test_given_a_first_model_that_is_still_built_or_none_when_asked_then_nothing_is_to_be_moved(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    assert reembed_note(dispatcher_db, "new") is None
    _model(app_db, everything_db, "acme", "new", "building")
    assert reembed_note(dispatcher_db, "new") is None
    assert reembed_note(dispatcher_db, None) is None


def test_given_a_changed_model_when_status_is_asked_then_it_ends_with_the_command(
    place: Place, app_db: Database, everything_db: Database
) -> None:
    _model(app_db, everything_db, "acme", "old", "reading")
    given: dict[str, Any] = {"cwd": place.directory, "env": {**place.env, "LEARNING_EMBEDDING_MODEL": "new"}}
    shown = run("status", **given)
    assert shown.returncode == 0
    assert "run `learning-machine reembed new`" in " ".join(shown.stdout.split())
    assert "reembed new" in json.loads(run("status", "--json", **given).stdout)["reembed"]


def test_given_a_move_that_was_given_up_when_status_is_asked_then_it_says_how_to_go_on_and_how_to_end_it(
    place: Place, app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    for tenant in ("acme", "globex"):
        _model(app_db, everything_db, tenant, "old@8", "reading")
        _model(app_db, everything_db, tenant, "other", "reading")
        _model(app_db, everything_db, tenant, "half", "building")
    _model(app_db, everything_db, "first", "half", "building")
    [told] = unfinished_notes(dispatcher_db, "old@8")
    assert "the move to half is not complete in 2 tenants" in told
    assert "`learning-machine reembed half` goes on" in told
    assert "`learning-machine reembed old --dimensions 8 --drop-others` gives it up" in told
    assert "`learning-machine reembed other --drop-others`" in unfinished_notes(dispatcher_db, "other")[0]
    assert unfinished_notes(dispatcher_db, "half") == [], "what embeds now is to be moved to, and said so elsewhere"

    given: dict[str, Any] = {
        "cwd": place.directory,
        "env": {**place.env, "LEARNING_EMBEDDING_MODEL": "old", "LEARNING_EMBEDDING_DIMENSIONS": "8"},
    }
    assert told in " ".join(run("status", **given).stdout.split())
    of_one = run("reembed", "--status", **given)
    assert of_one.returncode == 0
    assert "learning-machine reembed old --dimensions 8 --drop-others --tenant acme" in " ".join(of_one.stderr.split())
    assert "--tenant first" not in of_one.stderr


def test_given_a_model_that_fails_when_learnings_wait_for_it_then_status_says_why_and_before_that_nothing(
    place: Place, app_db: Database, dispatcher_db: Database
) -> None:
    app_db.run("default", begin, "default", "m", 2)
    app_db.run("default", pause, "default", "m", 60.0, "HTTP 500")
    assert waiting_notes(dispatcher_db) == []

    with place.machine(user_profile=UserProfileConfig(mode="AGENTIC")) as machine:
        tools = {tool.name: tool for tool in machine.tools(user_id="alex")}
        assert tools["save_memory"](content="Likes tea") == "Saved."

    [told] = waiting_notes(dispatcher_db)
    assert told.startswith("embedding with m waits in 1 tenant (HTTP 500)")
    shown = run("status", cwd=place.directory, env=place.env)
    assert shown.returncode == 0
    assert "embedding with m waits in 1 tenant (HTTP 500)" in " ".join(shown.stdout.split())
    assert json.loads(run("status", "--json", cwd=place.directory, env=place.env).stdout)["embedding_waits"] == [told]


def test_given_a_query_when_recalled_by_command_then_what_matters_to_it_comes_first(place: Place) -> None:
    with place.machine(user_profile=UserProfileConfig(mode="AGENTIC")) as machine:
        tools = {tool.name: tool for tool in machine.tools(user_id="alex")}
        for content in ("Likes tea", "Lives in Rome", "Plays chess"):
            assert tools["save_memory"](content=content) == "Saved."

    first = {
        query: json.loads(
            run("recall", "-u", "alex", "-q", query, "--json", cwd=place.directory, env=place.env).stdout
        )["memories"][0]
        for query in ("tea", "Rome", "chess")
    }

    assert [told if isinstance(told, str) else told["content"] for told in first.values()] == [
        "Likes tea",
        "Lives in Rome",
        "Plays chess",
    ]
