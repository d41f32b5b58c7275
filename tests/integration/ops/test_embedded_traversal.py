import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from learning_ops.embedded.traversal import allow_reading, allow_search

UID = 54321
OTHER = 54322

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="access control entries are used on Linux only")


def entries(path: Path) -> bytes:
    return os.getxattr(path, "system.posix_acl_access")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory inside a closed one inside an open one."""
    (tmp_path / "open" / "closed" / "place").mkdir(parents=True)
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "open" / "closed").chmod(0o700)
    return tmp_path / "open" / "closed" / "place"


def test_given_a_closed_directory_above_when_a_user_is_let_through_then_others_are_not(place: Path) -> None:
    before = mode(place)
    allow_search(place, UID)
    assert mode(place.parent) & stat.S_IRWXO == 0
    assert mode(place.parent) & stat.S_IRWXG == stat.S_IXGRP  # the mask: what any entry may give at most
    assert mode(place.parents[1]) == 0o755
    assert mode(place) == before
    once = entries(place.parent)
    allow_search(place, UID)
    assert entries(place.parent) == once


def test_given_a_user_let_through_when_another_is_then_both_are_and_a_chmod_in_between_is_mended(place: Path) -> None:
    allow_search(place, UID)
    place.parent.chmod(0o700)
    allow_search(place, OTHER)
    both = entries(place.parent)
    assert UID.to_bytes(4, "little") in both
    assert OTHER.to_bytes(4, "little") in both
    assert mode(place.parent) & stat.S_IRWXG == stat.S_IXGRP


def test_given_a_file_system_without_entries_when_a_user_is_let_through_then_the_search_bit_is_set_and_logged(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "setxattr", refuse)
    allow_search(place, UID)
    assert mode(place.parent) == 0o701
    assert f"{place.parent} is opened to searching" in caplog.text


def test_given_an_installed_tree_that_a_umask_closed_when_opened_then_readable_and_only_programs_runnable(
    tmp_path: Path,
) -> None:
    (tmp_path / "tree" / "bin").mkdir(parents=True)
    for name, bits in {"bin/program": 0o700, "data": 0o600}.items():
        (tmp_path / "tree" / name).touch()
        (tmp_path / "tree" / name).chmod(bits)
    (tmp_path / "tree" / "bin").chmod(0o700)
    allow_reading(tmp_path / "tree")
    assert mode(tmp_path / "tree" / "bin") == 0o705
    assert mode(tmp_path / "tree" / "bin" / "program") == 0o705
    assert mode(tmp_path / "tree" / "data") == 0o604
