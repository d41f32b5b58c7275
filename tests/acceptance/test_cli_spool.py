"""`learning-machine spool`: what is on the disk is shown, and handed in."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness import Place, event, rows
from learning_machine.spool import Spool, destination_name
from learning_machine.spool_file import spooled
from learning_ops.cli import app
from learning_schemas.spec import DEFAULT_SPEC
from learning_stores.database import Database, driver_url
from running_stack import run


@pytest.fixture
def directory(place: Place) -> Path:
    """A spool directory."""
    directory = place.directory / "spool"
    directory.mkdir(mode=0o700)
    return directory


def _run(place: Place, *arguments: str, **env: str) -> Any:
    return run("spool", *arguments, cwd=place.directory, env={**place.env, "COLUMNS": "160", **env})


def _spool(directory: Path, place: Place) -> Spool:
    return Spool(directory, destination_name(driver_url(place.app_url)))


@pytest.mark.parametrize("command", ["list", "drain"])
def test_given_a_command_when_help_is_asked_for_then_it_shows_how(command: str) -> None:
    shown = CliRunner().invoke(app, ["spool", command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert f"learning-machine spool {command}" in shown.output


def test_given_files_when_listed_and_drained_then_those_that_nobody_holds_are_handed_in(
    place: Place, directory: Path, everything_db: Database
) -> None:
    left, held, other = _spool(directory, place), _spool(directory, place), Spool(directory, "other:5432/db")
    for spool in (left, held, other):
        spool.append(("default", "user/alice"), event().to_json(), DEFAULT_SPEC.to_json(), 1 << 20)
    left.append(("default", "user/alice"), b"{}", DEFAULT_SPEC.to_json(), 1 << 20)
    left.release()
    other.release()

    listed = json.loads(_run(place, "list", str(directory), "--json").stdout)
    assert sorted((each["in_use"], each["waiting"]) for each in listed) == [(False, 1), (False, 2), (True, 1)]
    assert "in use" in _run(place, "list", str(directory)).stdout

    ended = _run(place, "drain", LEARNING_SPOOL_DIR=str(directory))
    assert ended.returncode == 0, ended.stderr
    assert "drained 1 event of 1 file" in ended.stdout
    assert "set aside: 1 refused, 0 damaged" in ended.stdout
    assert "1 file in use" in ended.stdout
    assert "for another database: " in ended.stdout
    assert [row["via"] for row in rows(everything_db, "SELECT via FROM learning.conversation_event")] == ["spool"]

    held.release()
    found = json.loads(_run(place, "drain", str(directory), "--anywhere", "--json").stdout)
    assert (found["accepted"], found["files"], found["in_use"], found["cause"]) == (2, 2, 0, None)
    assert spooled(directory) == []
    assert "drained 0 events of 0 files" in _run(place, "drain", str(directory)).stdout


def test_given_servers_that_are_away_when_drained_then_the_exit_status_says_so_and_the_events_stay(
    place: Place, directory: Path
) -> None:
    spool = _spool(directory, place)
    spool.append(("default", "user/alice"), event().to_json(), DEFAULT_SPEC.to_json(), 1 << 20)
    spool.release()
    nowhere = {
        "LEARNING_DATABASE_URL": "postgresql://app:pw@127.0.0.1:1/x",
        "LEARNING_REDIS_URL": "redis://127.0.0.1:1/0",
    }

    ended = _run(place, "drain", str(directory), "--anywhere", **nowhere)

    assert ended.returncode == 1
    assert "not everything could be handed in: postgres: " in ended.stderr
    assert "pw" not in ended.stderr.replace("powered", "")
    assert len(spooled(directory)) == 1


def test_given_no_directory_or_a_bad_one_then_the_error_says_what_to_do(place: Place, directory: Path) -> None:
    unnamed, missing = _run(place, "list"), _run(place, "drain", str(directory / "missing"))

    assert (unnamed.returncode, missing.returncode) == (2, 1)
    assert "LEARNING_SPOOL_DIR" in unnamed.stderr
    assert "mkdir -m 700" in missing.stderr
