"""The spool's files: what is in them after threads, forks, crashes, full disks and damage."""

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from forking import in_child
from learning_machine import ConfigurationError
from learning_machine import spool as spool_module
from learning_machine.spool import Spool, SpoolFull, checked_directory
from learning_machine.spool_file import (
    Record,
    blank,
    destination_of,
    header,
    is_locked,
    opened,
    record,
    records,
    spooled,
)
from learning_machine.spool_look import look
from warm_python import warm_run

LIMIT = 1 << 20
ALICE = ("default", "user/alice")
EVENT, SPEC = b'{"id":"\xc3\xa9"}', b'{"stores":{}}'


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path, "here:5432/db")


def found_in(path: Path) -> list[Record]:
    file = opened(path)
    assert file is not None
    with file:
        assert destination_of(file) == "here:5432/db"
        return list(records(file, file.tell()))


def test_given_events_then_one_private_file_holds_them_in_order_and_is_locked(spool: Spool, tmp_path: Path) -> None:
    for number in range(3):
        spool.append(ALICE, b"%d" % number, SPEC, LIMIT)

    [path] = spooled(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [(each.state, each.event, each.spec) for each in found_in(path)] == [
        ("whole", b"%d" % number, SPEC) for number in range(3)
    ]
    assert [(each.in_use, each.waiting) for each in look(tmp_path)] == [(True, 3)]
    spool.release()
    assert [(each.in_use, each.waiting) for each in look(tmp_path)] == [(False, 3)]


def test_given_an_append_then_it_is_on_the_disk_before_it_returns(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(spool_module.os, "fsync", fsync)
    spool.append(ALICE, EVENT, SPEC, LIMIT)

    assert synced[-1] == len(header("here:5432/db")) + len(record(EVENT, SPEC))


def test_given_eight_threads_then_every_record_is_whole_and_there_once(spool: Spool, tmp_path: Path) -> None:
    def append(number: int) -> None:
        for count in range(25):
            spool.append(ALICE, f"{number}/{count}".encode() + b"x" * 3_000, SPEC, LIMIT)

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    [path] = spooled(tmp_path)
    found = [each.event.rstrip(b"x").decode() for each in found_in(path)]
    assert len(found) == 200
    for number in range(8):
        assert [each for each in found if each.startswith(f"{number}/")] == [f"{number}/{count}" for count in range(25)]


def test_given_a_fork_then_the_child_has_a_file_of_its_own_and_leaves_the_parents_locked(
    spool: Spool, tmp_path: Path
) -> None:
    spool.append(ALICE, b"parent", SPEC, LIMIT)

    def work() -> str:
        spool.append(ALICE, b"child", SPEC, LIMIT)
        return ",".join(str(each.in_use) for each in look(tmp_path))

    assert in_child(work) == "True,True"
    spool.append(ALICE, b"parent again", SPEC, LIMIT)

    events = [[each.event for each in found_in(path)] for path in spooled(tmp_path)]
    assert sorted(events) == [[b"child"], [b"parent", b"parent again"]]
    assert sorted(each.in_use for each in look(tmp_path)) == [False, True]


def test_given_a_directory_that_is_full_then_the_error_says_so_and_nothing_is_written(
    spool: Spool, tmp_path: Path
) -> None:
    size = len(record(EVENT, SPEC))
    limit = len(header("here:5432/db")) + 2 * size
    spool.append(ALICE, EVENT, SPEC, limit)
    (tmp_path / "other.refused").write_bytes(b"x" * (size // 2))

    with pytest.raises(SpoolFull, match=r"is full .*LEARNING_SPOOL_BYTES"):
        spool.append(ALICE, EVENT, SPEC, limit)

    [path] = spooled(tmp_path)
    assert len(found_in(path)) == 1


def test_given_a_disk_that_fills_up_in_the_middle_of_a_record_then_the_part_is_taken_back(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(ALICE, b"before", SPEC, LIMIT)

    def half(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(spool_module, "write_all", half)
        with pytest.raises(OSError, match="No space left"):
            spool.append(ALICE, b"too much", SPEC, LIMIT)
    spool.append(ALICE, b"after", SPEC, LIMIT)

    [path] = spooled(tmp_path)
    assert [(each.state, each.event) for each in found_in(path)] == [("whole", b"before"), ("whole", b"after")]


def test_given_a_disk_that_fails_then_the_file_is_left_and_the_next_event_begins_another(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(ALICE, b"before", SPEC, LIMIT)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(spool_module.os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            spool.append(ALICE, b"who knows", SPEC, LIMIT)
    spool.append(ALICE, b"after", SPEC, LIMIT)

    assert sorted([each.event for each in found_in(path)] for path in spooled(tmp_path)) == [
        [b"after"],
        [b"before", b"who knows"],
    ]


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_given_a_process_that_is_killed_while_it_writes_then_the_torn_record_is_recognised(
    tmp_path: Path, cut: int
) -> None:
    script = f"""
import os, signal
from pathlib import Path
from learning_machine import spool
whole = spool.Spool(Path({str(tmp_path)!r}), "here:5432/db")
whole.append(("default", "user/alice"), b"first", b"{{}}", 1 << 20)
def write_all(descriptor, data):
    os.write(descriptor, data[:-{cut}])
    os.kill(os.getpid(), signal.SIGKILL)
spool.write_all = write_all
whole.append(("default", "user/alice"), b"a longer second event", b"{{}}", 1 << 20)
"""
    assert warm_run(["-c", script], env=os.environ, cwd=tmp_path, timeout=60).returncode == -9

    [path] = spooled(tmp_path)
    assert [(each.state, each.event) for each in found_in(path)] == [("whole", b"first"), ("torn", b"")]
    assert [(each.in_use, each.waiting) for each in look(tmp_path)] == [(False, 1)]


def test_given_damage_then_it_reaches_no_further_than_its_record(spool: Spool, tmp_path: Path) -> None:
    for number in range(4):
        spool.append(ALICE, b"event %d" % number, SPEC, LIMIT)
    [path] = spooled(tmp_path)
    found = found_in(path)
    with path.open("r+b") as file:
        file.seek(found[1].offset + 15)
        file.write(b"X")
        blank(file.fileno(), found[2])

    assert [each.state for each in found_in(path)] == ["whole", "damaged", "blank", "whole"]


def test_given_a_file_that_was_drained_to_its_end_then_it_is_removed_and_the_next_event_makes_another(
    spool: Spool, tmp_path: Path
) -> None:
    spool.append(ALICE, b"one", SPEC, LIMIT)
    own = spool.undrained()
    assert own is not None
    spool.append(ALICE, b"two", SPEC, LIMIT)

    spool.was_drained(own[0], own[2])
    assert len(spooled(tmp_path)) == 1  # the second one is in it
    path, start, end = spool.undrained() or (Path(), 0, 0)
    assert start == own[2]
    spool.was_drained(path, end)

    assert spooled(tmp_path) == []
    assert spool.undrained() is None
    spool.append(ALICE, b"three", SPEC, LIMIT)
    assert [each.event for each in found_in(spooled(tmp_path)[0])] == [b"three"]


def test_given_two_who_lock_a_file_then_one_of_them_has_it(tmp_path: Path, spool: Spool) -> None:
    spool.append(ALICE, EVENT, SPEC, LIMIT)
    spool.release()
    [path] = spooled(tmp_path)
    one, two = opened(path), opened(path)
    assert one is not None
    assert two is not None
    with two:
        with one:
            assert not is_locked(one)
            assert is_locked(two)
            path.unlink()
        assert is_locked(two)  # drained and removed by the other one


def test_given_a_link_then_it_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(header("here:5432/db"))
    (tmp_path / "x.spool").symlink_to(tmp_path / "secret")

    assert opened(tmp_path / "x.spool") is None


def test_given_a_directory_that_cannot_hold_a_spool_then_the_error_names_field_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, shared, closed = tmp_path / "file", tmp_path / "shared", tmp_path / "closed"
    file.write_text("")
    shared.mkdir()
    shared.chmod(0o1777)
    closed.mkdir()
    for path, problem in [
        (tmp_path / "missing", "cannot be used"),
        (file, "is not a directory"),
        (shared, "open to every user"),
    ]:
        with pytest.raises(ConfigurationError, match=problem) as refused:
            checked_directory(path)
        assert refused.value.field == "spool_dir"
        assert "mkdir -m 700" in refused.value.remedy
    monkeypatch.setattr(spool_module.os, "access", lambda *_: False)  # as for somebody who is not root
    with pytest.raises(ConfigurationError, match="cannot be written to"):
        checked_directory(closed)


def test_given_events_of_two_subjects_then_each_is_held_until_its_last_one_is_drained(spool: Spool) -> None:
    bob = ("default", "user/bob")
    assert not spool.holds(ALICE)
    spool.append(bob, b"one", SPEC, LIMIT)
    spool.append(ALICE, b"two", SPEC, LIMIT)
    path, _, first = spool.undrained() or (Path(), 0, 0)
    spool.append(ALICE, b"three", SPEC, LIMIT)
    assert (spool.holds(ALICE), spool.holds(bob)) == (True, True)

    spool.was_drained(path, first)
    assert (spool.holds(ALICE), spool.holds(bob)) == (True, False)
    assert not spool.holds(("acme", "user/alice"))

    _, start, end = spool.undrained() or (Path(), 0, 0)
    assert start == first
    spool.was_drained(path, end)
    assert spool.held == {}


def test_given_two_who_drain_one_file_then_the_slower_one_does_not_put_it_back(spool: Spool) -> None:
    spool.append(ALICE, b"one", SPEC, LIMIT)
    path, _, first = spool.undrained() or (Path(), 0, 0)
    spool.append(ALICE, b"two", SPEC, LIMIT)
    _, _, second = spool.undrained() or (Path(), 0, 0)
    spool.append(ALICE, b"three", SPEC, LIMIT)

    spool.was_drained(path, second)
    spool.was_drained(path, first)

    assert (spool.undrained() or (path, 0, 0))[1] == second


def test_given_a_file_that_the_process_no_longer_drains_then_nothing_is_held(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(ALICE, EVENT, SPEC, LIMIT)
    assert in_child(lambda: str(spool.holds(ALICE))) == "False"
    assert spool.holds(ALICE)
    spool.release()
    assert not spool.holds(ALICE)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(spool_module.os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            spool.append(ALICE, EVENT, SPEC, LIMIT)
    assert not spool.holds(ALICE)


def test_given_a_drain_that_lets_nothing_in_between_then_what_comes_behind_waits_and_is_not_spooled_once_nothing_is_left(
    spool: Spool, tmp_path: Path
) -> None:
    spool.append(ALICE, b"one", SPEC, LIMIT)
    answers: list[bool] = []
    behind = threading.Thread(target=lambda: answers.append(spool.append_behind(ALICE, b"two", SPEC, LIMIT, 60)))
    with spool.paused():
        behind.start()
        path, _, end = spool.undrained() or (Path(), 0, 0)
        spool.was_drained(path, end)
        assert answers == []
    behind.join()

    assert answers == [False]
    assert spooled(tmp_path) == []


def test_given_a_drain_that_takes_long_then_what_comes_behind_is_spooled_all_the_same(spool: Spool) -> None:
    spool.append(ALICE, b"one", SPEC, LIMIT)
    with spool.paused():
        assert spool.append_behind(ALICE, b"two", SPEC, LIMIT, 0.01)
        path, _, end = spool.undrained() or (Path(), 0, 0)

    assert [each.event for each in found_in(path)] == [b"one", b"two"]
    assert end == path.stat().st_size
