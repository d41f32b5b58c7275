import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from learning_ops.embedded import DataDirectory, DataDirectoryInUse, DataDirectoryRefused

HOLD = """
import signal, sys
from learning_ops.embedded import DataDirectory
with DataDirectory(sys.argv[1]):
    print("held", flush=True)
    signal.pause()
"""


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_given_no_directory_when_opened_then_it_is_private_and_ignored_by_git(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "a" / "data") as data:
        assert mode(data.path) == 0o700
        assert (data.path / ".gitignore").read_text() == "*\n"
        assert mode(data.log_path("x").parent) == 0o700


def test_given_an_owner_when_opened_again_then_refused_with_directory_pid_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(DataDirectoryInUse) as caught:
            DataDirectory(path).open()
        assert str(caught.value) == (
            f"{path} is in use by process {owner.pid}: stop that one, or choose another directory with --data"
        )
        owner.send_signal(signal.SIGKILL)
    with DataDirectory(path) as data:
        assert (data.path / "lock").read_text() == f"{os.getpid()}\n"
        with pytest.raises(DataDirectoryInUse):
            DataDirectory(path).open()


def test_given_an_owner_whose_child_lives_on_when_it_closes_then_the_next_owner_gets_in(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "data"):
        child = subprocess.Popen(["sleep", "60"])
    try:
        with DataDirectory(tmp_path / "data"):
            assert child.poll() is None
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("content", ["notes.txt", ".git"])
def test_given_a_directory_of_somebody_elses_files_when_opened_then_refused_and_untouched(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / content).write_text("mine")
    with pytest.raises(DataDirectoryRefused, match="it holds something else"):
        DataDirectory(tmp_path).open()
    assert [path.name for path in tmp_path.iterdir()] == [content]


def test_given_a_file_in_the_place_when_opened_then_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(DataDirectoryRefused, match="File exists"):
        DataDirectory(tmp_path / "data").open()


def test_given_values_when_written_then_a_shell_and_we_read_the_same_and_only_the_owner_may(tmp_path: Path) -> None:
    values = {
        "LEARNING_DATABASE_URL": "postgresql://app:p-w_%24@127.0.0.1:5432/learning?a=b&c=d#e",
        "LEARNING_NAME": 'two words, $HOME, `id`, "quoted", * and é',
        "LEARNING_EMPTY": "",
    }
    with DataDirectory(tmp_path / "data") as data:
        assert data.read_env() == {}
        data.write_env({"LEARNING_OLD": "1"})
        data.write_env(values)
        assert mode(data.env_path) == 0o600
        assert data.read_env() == values
        assert sorted(path.name for path in data.path.iterdir()) == [".gitignore", "env", "lock"]
        script = 'set -a; . "$0"; exec "$1" -c "import os, json; print(json.dumps(dict(os.environ)))"'
        seen = subprocess.run(
            ["sh", "-c", script, data.env_path, sys.executable], env={}, capture_output=True, text=True, check=True
        )
    assert {name: value for name, value in json.loads(seen.stdout).items() if name in values} == values


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "LEARNING_", "learning_x", "LEARNING_X=1\nPATH", "XLEARNING_A"])
def test_given_another_name_when_written_then_refused_and_the_file_stays(tmp_path: Path, name: str) -> None:
    with DataDirectory(tmp_path / "data") as data:
        data.write_env({"LEARNING_A": "1"})
        with pytest.raises(ValueError, match="only LEARNING_ variables"):
            data.write_env({"LEARNING_A": "2", name: "x"})
        assert data.read_env() == {"LEARNING_A": "1"}


@pytest.mark.parametrize("value", ["a'b", "a\nb", "a\\b", "a\0b", "${HOME}"])
def test_given_a_value_that_readers_would_take_differently_when_written_then_refused(
    tmp_path: Path, value: str
) -> None:
    with DataDirectory(tmp_path / "data") as data, pytest.raises(ValueError, match="percent-encode"):
        data.write_env({"LEARNING_A": value})


def test_given_a_secret_when_asked_for_again_then_the_same_also_by_the_next_owner(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "data") as data:
        first, second = data.secret("first"), data.secret("second")
        assert first != second
        assert len(first) == 32
        assert data.secret("first") == first
        assert mode(data.path / "secrets.json") == 0o600
    with pytest.raises(RuntimeError, match="must be opened"):
        data.secret("first")
    with DataDirectory(tmp_path / "data") as data:
        assert data.secret("first") == first
        assert data.secret("second") == second
