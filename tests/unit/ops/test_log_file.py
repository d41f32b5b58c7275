"""A child's log does not grow for ever."""

import os
from pathlib import Path

import pytest

from learning_ops import log_file
from learning_ops.log_file import open_log


def _append(path: Path, said: str) -> None:
    log = open_log(path)
    try:
        os.write(log, said.encode())
    finally:
        os.close(log)


def test_given_a_small_log_when_opened_then_it_is_appended_to_and_private(tmp_path: Path) -> None:
    path = tmp_path / "child.log"
    _append(path, "one ")
    _append(path, "two")
    assert path.read_text() == "one two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_given_logs_that_are_too_large_when_opened_again_and_again_then_three_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "LARGEST", 3)
    path = tmp_path / "child.log"
    for said in ("first", "second", "third", "fourth"):
        _append(path, said)
    kept = {each.name: each.read_text() for each in tmp_path.iterdir()}
    assert kept == {"child.log": "fourth", "child.log.1": "third", "child.log.2": "second"}
