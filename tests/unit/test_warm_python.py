"""A forked process beside one that is started: what it sees, how it ends, and with whom."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import eventually
from warm_python import WarmManagedProcess, WarmProcess, WarmPython, warm_python, warm_run

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="all processes are started where Linux is not")

TESTS = Path(__file__).parents[1]
COOKBOOK = TESTS.parent / "cookbook" / "08_advanced"

LOOK = """
import json, multiprocessing, os, random, signal, sys, threading
numbers = set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}
print(json.dumps({
    "argv": sys.argv, "orig_argv": sys.orig_argv[1:], "path": sys.path, "flags": str(sys.flags), "name": __name__,
    "main": sorted(name for name in vars(sys.modules["__main__"]) if not name.startswith("__")),
    "environment": dict(os.environ), "directory": os.getcwd(), "umask": os.umask(0), "executable": sys.executable,
    "handlers": {int(number): str(signal.getsignal(number)) for number in numbers},
    "mask": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    "descriptors": sorted(os.listdir("/proc/self/fd")), "threads": threading.active_count(), "stdin": sys.stdin.read(),
    "streams": [[each.encoding, each.errors, each.line_buffering, each.isatty()] for each in (sys.stdout, sys.stderr)],
    "main_thread": threading.current_thread() is threading.main_thread(), "process": multiprocessing.current_process().name,
}, sort_keys=True))
"""

ENDINGS = {
    "nothing more": "print('said')",
    "a number": "import sys; sys.exit(3)",
    "a number over 255": "import sys; sys.exit(300)",
    "words": "import sys; sys.exit('what went wrong')",
    "an error": "1 / 0",
    "Ctrl-C": "raise KeyboardInterrupt",
    "SIGKILL": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "SIGTERM": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "at once": "import os; os._exit(4)",
    "no such code": "def",
    "a thread that goes on": """
import threading
def go_on():
    threading.main_thread().join()
    print("from a thread")
threading.Thread(target=go_on).start()
print("main")
""",
    "atexit": "import atexit; atexit.register(print, 'one'); atexit.register(print, 'two'); print('main')",
    "a stream that is closed": "import sys; print('said'); sys.stdout.close()",
}


@pytest.fixture
def warm() -> WarmPython:
    warm = warm_python()
    assert warm is not None
    return warm


def started(argv: list[str], cwd: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, **more}
    return subprocess.run(
        [sys.executable, *argv], cwd=cwd, env=env, capture_output=True, text=True, input="typed", check=False
    )


def forked(argv: list[str], cwd: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    warm = warm_python()
    assert warm is not None
    assert warm.takes(argv, {**os.environ, **more}, cwd)
    return warm_run(argv, cwd=cwd, env={**os.environ, **more}, timeout=60, stdin="typed")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Tests that a shell runs in the background ignore these, and so does whatever they start plainly."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGQUIT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("kind", ["code", "module", "script"])
def test_given_a_program_when_forked_then_it_sees_what_it_would_see_when_started(kind: str, tmp_path: Path) -> None:
    (tmp_path / "looking.py").write_text(LOOK)
    argv = {
        "code": ["-c", LOOK, "one", "two"],
        "module": ["-m", "looking", "-c"],
        "script": [str(tmp_path / "looking.py"), "-m", "x"],
    }[kind]
    more = {"LEARNING_TENANT": "é", "PYTHONPATH": f"{COOKBOOK}{os.pathsep}nowhere", "TZ": "Asia/Tokyo"}

    there, here = started(argv, tmp_path, **more), forked(argv, tmp_path, **more)

    assert here.stderr == there.stderr == ""
    assert json.loads(here.stdout) == json.loads(there.stdout)
    assert json.loads(here.stdout)["stdin"] == "typed"


@pytest.mark.parametrize("code", ENDINGS.values(), ids=ENDINGS)
def test_given_an_ending_when_forked_then_it_ends_as_when_started(code: str, tmp_path: Path) -> None:
    there, here = started(["-c", code], tmp_path), forked(["-c", code], tmp_path)

    assert (here.returncode, here.stdout) == (there.returncode, there.stdout)
    assert here.stderr.splitlines()[-1:] == there.stderr.splitlines()[-1:]


def test_given_a_store_that_a_variable_names_when_forked_then_it_is_installed(tmp_path: Path) -> None:
    code = "from learning_stores.registry import installed; print(*installed())"
    more = {"PYTHONPATH": str(COOKBOOK), "LEARNING_STORES": "decision_log:DecisionLogStore"}

    assert "decision_log" in forked(["-c", code], tmp_path, **more).stdout
    assert "decision_log" not in forked(["-c", code], tmp_path).stdout


def test_given_the_modules_that_tests_start_when_forked_then_they_run_as_for_the_first_time(tmp_path: Path) -> None:
    assert forked(["-m", "celery", "--version"], tmp_path).stderr == ""
    assert forked(["-m", "learning_ops.main", "--help"], tmp_path).stderr == ""


def test_given_two_children_when_they_draw_lots_then_they_draw_their_own(tmp_path: Path) -> None:
    code = "import random, uuid, tempfile; print(random.random(), uuid.uuid4(), next(tempfile._get_candidate_names()))"
    drawn = [forked(["-c", code], tmp_path).stdout.split() for _ in range(2)]
    assert not set(drawn[0]) & set(drawn[1])


def test_given_what_a_fork_would_do_otherwise_when_asked_then_it_is_started_plainly(
    warm: WarmPython, tmp_path: Path
) -> None:
    env = dict(os.environ)
    (tmp_path / "celery.py").touch()
    bare, old = tmp_path / "bare", tmp_path / "old"
    bare.mkdir()
    (old / "learning_stores").mkdir(parents=True)

    assert warm.takes(["-m", "celery"], env, bare)
    assert not warm.takes(["-W", "error", "-c", "pass"], env, bare)
    assert not warm.takes(["-m", "celery"], env, tmp_path)
    assert warm.takes(["looking.py"], env, tmp_path)
    assert not warm.takes(["looking.py"], {**env, "PYTHONPATH": str(old)}, tmp_path)
    assert not warm.takes(["looking.py"], {**env, "PROMETHEUS_MULTIPROC_DIR": str(bare)}, tmp_path)
    assert not warm.takes(["looking.py"], {**env, "PYTHONHASHSEED": "7"}, tmp_path)
    ended = warm_run(["-O", "-c", "print(__debug__)"], cwd=bare, env=env, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "False\n")


def test_given_a_directory_that_there_is_not_when_forked_then_it_is_an_error(warm: WarmPython, tmp_path: Path) -> None:
    with open(os.devnull, "r+b") as nothing:
        streams = (nothing.fileno(),) * 3
        with pytest.raises(ChildProcessError, match="-c pass"):
            warm.fork(["-c", "pass"], env={}, cwd=tmp_path / "gone", streams=streams, umask=0)


def managed(tmp_path: Path, code: str, **options: Any) -> WarmManagedProcess:
    process = WarmManagedProcess("child", [sys.executable, "-c", code], log_path=tmp_path / "log", **options)
    process.start()
    assert isinstance(process._popen, WarmProcess)
    return process


def test_given_a_managed_process_when_signals_are_sent_then_they_reach_it_and_its_end_is_known(tmp_path: Path) -> None:
    process = managed(tmp_path, "import os, signal; print(os.getpid(), flush=True); signal.pause()", cwd=tmp_path)
    eventually(lambda: "\n" in process.log_path.read_text(), "it runs")
    pid = process.pid
    assert pid == int(process.log_path.read_text()) == os.getsid(pid) == os.getpgid(pid)
    assert process.log_path.stat().st_mode & 0o777 == 0o600

    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, "it stands still")
    assert process.alive
    os.kill(pid, signal.SIGCONT)
    process.stop()

    assert process.returncode == -signal.SIGTERM
    assert not psutil.pid_exists(pid)
    process.start()
    assert process.pid not in (None, pid)
    os.kill(process.pid or 0, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    process.stop()


def test_given_a_child_that_does_not_end_when_its_time_is_over_then_it_is_killed(tmp_path: Path) -> None:
    code = "import os, signal; open('pid', 'w').write(str(os.getpid())); signal.pause()"
    with pytest.raises(subprocess.TimeoutExpired):
        warm_run(["-c", code], cwd=tmp_path, env=dict(os.environ), timeout=1)
    pid = int((tmp_path / "pid").read_text())
    eventually(lambda: not psutil.pid_exists(pid), "it is gone")


PARENT = """
import os, signal, sys
from pathlib import Path
from warm_python import WarmManagedProcess, warm_python
child = WarmManagedProcess("child", [sys.executable, "-c", "import signal; signal.pause()"], log_path=Path(sys.argv[1]))
child.start()
print(child.pid, warm_python().process.pid, flush=True)
signal.pause()
"""


def test_given_a_parent_that_is_killed_when_it_is_gone_then_so_are_what_forked_and_what_was_forked(
    tmp_path: Path,
) -> None:
    env = {**os.environ, "PYTHONPATH": str(TESTS), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            child, zygote = map(int, parent.stdout.readline().split())
            assert psutil.Process(child).ppid() == zygote
        finally:
            parent.kill()
    eventually(lambda: not psutil.pid_exists(child) and not psutil.pid_exists(zygote), "both are gone")


JOINS = """
import signal, sys
from pathlib import Path
from warm_python import WarmManagedProcess, join
join(Path(sys.argv[1]))
child = WarmManagedProcess("child", [sys.executable, "-c", "import signal; signal.pause()"], log_path=Path(sys.argv[2]))
child.start()
print(child.pid, flush=True)
signal.pause()
"""


def test_given_anothers_zygote_when_who_joined_it_is_killed_then_so_is_what_was_forked_and_the_zygote_serves_on(
    warm: WarmPython, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", JOINS, str(warm.directory), str(tmp_path / "log")]
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as joined:
        try:
            assert joined.stdout is not None
            child = int(joined.stdout.readline())
            assert psutil.pid_exists(child)
        finally:
            joined.kill()
    eventually(lambda: not psutil.pid_exists(child), "it is gone")
    assert forked(["-c", "print('served')"], tmp_path).stdout == "served\n"
