import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from learning_ops.extras import MissingExtra, require_extra
from learning_ops.process import ManagedProcess, NotInTime, ProcessDied, ProcessError, free_port, wait_until
from learning_ops.readiness import says_ready

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def make(tmp_path: Path, *argv: str, **options: object) -> ManagedProcess:
    return ManagedProcess("child", argv, log_path=tmp_path / "child.log", **options)  # type: ignore[arg-type]  # options of several types


def says(process: ManagedProcess, word: str) -> None:
    wait_until(lambda: word in process.log_tail(), 10, f"the word {word}", alive=[process])


def gone(*pids: int) -> bool:
    return all(not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE for pid in pids)


def test_given_a_running_child_when_stopped_then_it_is_gone_and_its_signal_is_told(tmp_path: Path) -> None:
    child = make(tmp_path, "sleep", "60")
    child.start()
    pid = child.pid
    assert pid is not None
    assert child.alive
    assert child.returncode is None
    assert os.getpgid(pid) == pid != os.getpgid(0)
    child.stop()
    assert not child.alive
    assert child.returncode == -signal.SIGTERM
    assert child.ending == "killed by SIGTERM"
    assert child.pid is None
    assert gone(pid)
    child.stop()


def test_given_a_running_child_when_started_again_then_refused_and_after_its_end_allowed(
    tmp_path: Path, started: ExitStack
) -> None:
    child = make(tmp_path, "sleep", "60")
    started.callback(child.stop)
    child.start()
    with pytest.raises(ProcessError, match="running already"):
        child.start()
    child.stop()
    child.start()
    assert child.alive


def test_given_a_child_that_ignores_its_signal_when_stopped_then_it_is_killed_in_bounded_time(tmp_path: Path) -> None:
    child = make(tmp_path, sys.executable, "-c", STUBBORN, stop_timeout=0.2)
    child.start()
    says(child, "deaf")
    child.stop()
    assert child.returncode == -signal.SIGKILL


def test_given_an_escalation_when_the_first_signal_is_ignored_then_the_second_ends_it(tmp_path: Path) -> None:
    child = make(tmp_path, sys.executable, "-c", STUBBORN, stop_timeout=0.2, escalation=signal.SIGQUIT)
    child.start()
    says(child, "deaf")
    child.stop()
    assert child.returncode == -signal.SIGQUIT


def test_given_a_child_with_children_when_it_ends_then_its_whole_group_ends(tmp_path: Path) -> None:
    child = make(tmp_path, "sh", "-c", "sleep 60 & echo pid $!; wait")
    child.start()
    says(child, "pid ")
    grandchild = int(child.log_tail().split()[-1])
    child.stop()
    wait_until(lambda: gone(grandchild), 10, "the end of the grandchild")


def test_given_a_child_started_by_a_thread_when_the_thread_ends_then_the_child_lives(
    tmp_path: Path, started: ExitStack
) -> None:
    child = make(tmp_path, sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()")
    started.callback(child.stop)
    thread = threading.Thread(target=child.start)
    thread.start()
    thread.join()
    says(child, "up")
    assert child.alive


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_given_a_parent_when_killed_then_its_child_gets_the_stop_signal(tmp_path: Path) -> None:
    script = """
import signal, sys
from pathlib import Path
from learning_ops.process import ManagedProcess, wait_until
catch = "import signal, sys; signal.signal(signal.SIGINT, lambda *_: sys.exit(print('asked to stop', flush=True)));"
child = ManagedProcess("child", [sys.executable, "-c", catch + "print('up', flush=True); signal.pause()"],
                       log_path=Path(sys.argv[1]), stop_signal=signal.SIGINT)
child.start()
wait_until(lambda: "up" in child.log_tail(), 10, "child up", alive=[child])
print(child.pid, flush=True)
signal.pause()
"""
    log = tmp_path / "child.log"
    with subprocess.Popen([sys.executable, "-c", script, log], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: gone(pid), 10, "the end of the child")
    assert "asked to stop" in log.read_text()


def test_given_a_parent_that_ignores_sigint_when_it_starts_a_child_then_the_child_does_not(tmp_path: Path) -> None:
    child = make(tmp_path, "sleep", "60", stop_signal=signal.SIGINT)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child.start()
    finally:
        signal.signal(signal.SIGINT, before)
    wait_until(lambda: psutil.Process(child.pid).name() == "sleep", 10, "exec", alive=[child])
    child.stop()
    assert child.returncode == -signal.SIGINT


def test_given_environment_and_directory_when_started_then_the_child_has_just_these(tmp_path: Path) -> None:
    child = make(tmp_path, "/bin/sh", "-c", 'pwd; echo "$ONLY-$HOME"', env={"ONLY": "this"}, cwd=tmp_path)
    child.start()
    assert child.wait(10) == 0
    assert child.log_tail().splitlines() == [str(tmp_path), "this-"]
    assert child.log_path.stat().st_mode & 0o777 == 0o600


def test_given_a_child_that_writes_when_started_then_its_files_are_its_users_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        child = make(tmp_path, "/bin/sh", "-c", "echo secret > file; mkdir folder", cwd=tmp_path)
        child.start()
        assert child.wait(10) == 0
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700


def test_given_a_log_that_is_too_large_when_the_child_starts_again_then_it_has_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learning_ops.log_file.LARGEST", 5)
    child = make(tmp_path, "/bin/sh", "-c", "echo hello")
    for _ in range(2):
        child.start()
        assert child.wait(10) == 0
        assert child.log_tail() == "hello"
    assert (tmp_path / "child.log").read_text() == (tmp_path / "child.log.1").read_text() == "hello\n"


def test_given_a_worker_that_has_logged_much_since_it_was_ready_when_looked_at_late_then_it_is_ready(
    tmp_path: Path,
) -> None:
    """As one that finds a backlog has, when the others of its stack are waited for first."""
    (tmp_path / "child.log").write_text("celery@before ready.\n")
    child = make(tmp_path, "/bin/sh", "-c", "echo starting; sleep 60")
    child.start()
    says(child, "starting")
    assert not says_ready(child)
    child.stop()

    child = make(tmp_path, "/bin/sh", "-c", "echo celery@now ready.; seq 1 20000")
    child.start()
    assert child.wait(10) == 0
    assert says_ready(child)
    assert child.log_tail(1) == "20000"


def test_given_a_program_that_is_missing_when_started_then_it_ends_with_127_and_says_so(tmp_path: Path) -> None:
    child = make(tmp_path, "/no/such/program")
    child.start()
    assert child.wait(10) == 127
    assert "/no/such/program cannot be run: No such file" in child.log_tail()


def test_given_a_child_that_dies_when_waited_for_then_the_error_names_it_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    log.write_text("from an earlier run\n")
    child = make(tmp_path, "sh", "-c", "echo no space left; exit 3")
    child.start()
    with pytest.raises(ProcessDied) as caught:
        wait_until(lambda: False, 10, "child serving", alive=[child])
    assert str(caught.value) == f"child ended (exit code 3) before child serving; its log, {log}, ends:\nno space left"


def test_given_a_condition_that_stays_false_when_waited_for_then_the_error_says_how_long_for_what(
    tmp_path: Path, started: ExitStack
) -> None:
    child = make(tmp_path, "sh", "-c", "echo thinking; exec sleep 60")
    started.callback(child.stop)
    child.start()
    says(child, "thinking")
    with pytest.raises(NotInTime, match=r"(?s)^0\.1 s passed without child serving\nchild: .*thinking$"):
        wait_until(lambda: False, 0.1, "child serving", alive=[child])


def test_given_a_child_that_was_never_started_when_asked_then_it_is_neither_alive_nor_ended(tmp_path: Path) -> None:
    child = make(tmp_path, "true")
    assert not child.alive
    assert child.returncode is None
    child.stop()
    with pytest.raises(ProcessError, match="not started"):
        child.wait(1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a child as somebody else")
def test_given_root_and_a_user_when_started_then_the_child_is_that_user_without_roots_groups(tmp_path: Path) -> None:
    child = make(tmp_path, "/bin/sh", "-c", "id -un; id -u; id -Gn", user="nobody", cwd=Path("/"))
    child.start()
    assert child.wait(10) == 0
    name, _, groups = child.log_tail().splitlines()
    assert name == "nobody"
    assert "root" not in groups.split()


def test_given_a_preferred_port_when_free_then_kept_and_when_taken_then_another_is_chosen() -> None:
    port = free_port()
    assert free_port(port) == port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert free_port(port) != port


def test_given_an_extra_that_is_missing_when_required_then_the_error_gives_the_pip_line() -> None:
    require_extra("dev", "pytest")
    with pytest.raises(MissingExtra) as caught:
        require_extra("embedded", "module_that_nobody_has")
    assert str(caught.value).endswith("pip install 'learning-machine[embedded]'")
