"""`learning-machine run`: Python files on a system of their own, and nothing left of it."""

import signal
from pathlib import Path

from harness import eventually
from running_stack import Foreground, clean_env, directory, processes_of, run_forking, started

TOLD = """
import os
from learning_machine import LearningMachine

with LearningMachine(session_context=True) as machine:
    turn = [{"role": "user", "content": "I want to paint the fence."}, {"role": "assistant", "content": "Good."}]
    states = machine.settle(machine.emit(turn, user_id="ann", session_id="s1"), timeout=60)
    print(machine.tenant, states)
    print([learning.content for learning in machine.learnings(user_id="ann", session_id="s1", kind="summary")])
print(sorted(name for name in os.environ if name.startswith(("OPENAI_", "LEARNING_"))))
import beside, above
"""
HANGS = "import signal\nprint('runs', flush=True)\nsignal.pause()\n"
KILLS = """
import os, psutil, time
def threads(pid):  # one that is a zombie can be waited for when the last of the others has ended
    return len(os.listdir(f"/proc/{pid}/task")) if os.path.isdir("/proc") else 1
def dispatches(process):
    try:
        return "dispatcher" in process.cmdline()
    except psutil.NoSuchProcess:  # a server's, which come and go
        return False
runner = next(each for each in psutil.Process().parents() if "run" in each.cmdline())
process = next(filter(dispatches, runner.children(recursive=True)))
process.kill()
while process.status() != psutil.STATUS_ZOMBIE or threads(process.pid) > 1:
    time.sleep(0.01)
"""


def _env(cwd: Path) -> dict[str, str]:
    """Temporary files in a place of the test's own; and configuration that is another system's."""
    return clean_env(
        TMPDIR=str(cwd),
        LEARNING_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
        LEARNING_REDIS_URL="redis://127.0.0.1:1/0",
        LEARNING_EMBEDDING_MODEL="another",
        OPENAI_API_KEY="sk-not-a-key-of-anybodys-0000",
    )


def _write(cwd: Path, **texts: str) -> Path:
    """Files in a folder of a book, and one above it; the folder."""
    folder = cwd / "book" / "chapter"
    folder.mkdir(parents=True)
    (folder.parent / "above.py").write_text("")
    (folder / "beside.py").write_text("")
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_given_files_when_run_then_each_has_the_system_and_a_tenant_of_its_own_and_the_status_is_that_of_the_failed() -> (
    None
):
    with directory() as cwd:
        folder = _write(cwd, first=TOLD, second="raise SystemExit(7)", third=TOLD)
        before = sorted(cwd.rglob("*.py"))
        files = [str((folder / f"{name}.py").relative_to(cwd)) for name in ("first", "second", "third")]

        ended = run_forking("run", *files, cwd=cwd, env=_env(cwd))

        assert ended.returncode == 7, ended.stderr
        assert "second.py failed, with status 7" in ended.stderr
        first, learned, given, second, _, third, again, _ = filter(None, ended.stdout.splitlines()[1:])
        assert first == "chapter.first {'session_context': 'extracted'}"
        assert third == "chapter.third {'session_context': 'extracted'}"
        # The third has not what the first taught: a summary of one line.
        assert learned == again == "['User said: I want to paint the fence. Assistant said: Good.']", learned
        assert second == f"── {files[1]}"
        assert "OPENAI_API_KEY" not in given
        assert "LEARNING_MODEL_BASE_URL" in given
        assert processes_of(cwd) == []
        assert sorted(path for path in cwd.rglob("*.py")) == before
        assert [path.name for path in cwd.iterdir() if path.name.startswith("learning-run-")] == []


def test_given_a_file_that_does_not_end_when_interrupted_then_it_ends_and_nothing_is_left() -> None:
    with directory() as cwd:
        folder = _write(cwd, hangs=HANGS)
        foreground = Foreground(cwd, "run", str(folder / "hangs.py"), env=_env(cwd), forked=True)
        foreground.until("^runs")

        status = foreground.stop(signal.SIGINT)

        assert status == 130
        assert "stopped, nothing is left running" in foreground.output
        assert "Traceback" not in foreground.output
        assert processes_of(cwd) == []
        assert [path.name for path in cwd.iterdir() if path.name.startswith("learning-run-")] == []


def test_given_a_file_that_does_not_end_when_the_command_is_killed_then_the_file_and_its_system_end_too() -> None:
    with directory() as cwd:
        folder = _write(cwd, hangs=HANGS)
        foreground = Foreground(cwd, "run", str(folder / "hangs.py"), env=_env(cwd))
        foreground.until("^runs")

        foreground.process.kill()

        assert foreground.process.wait(60) == -signal.SIGKILL
        eventually(lambda: processes_of(cwd) == [], "nothing is left of the command", timeout=60, every=0.2)


def test_given_no_key_or_no_file_when_run_then_it_says_so_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("")

    keyless = started("run", "--model", "openai", "one.py", cwd=tmp_path)
    missing = started("run", "two.py", cwd=tmp_path)

    assert (keyless.returncode, missing.returncode) == (1, 2)
    assert "OPENAI_API_KEY is not set" in keyless.stderr
    assert "two.py" in missing.stderr


def test_given_a_part_of_the_system_that_dies_when_files_are_run_then_it_is_named_and_the_rest_is_not_run() -> None:
    with directory() as cwd:
        folder = _write(cwd, kills=KILLS, after="print('after')")
        files = [str(folder / f"{name}.py") for name in ("kills", "after")]

        ended = started("run", *files, cwd=cwd, env=_env(cwd))

        assert ended.returncode == 1, ended.stderr
        assert f"dispatcher ended (killed by SIGKILL) while {files[0]} ran" in ended.stderr
        assert f"not run: {files[1]}" in ended.stderr
        assert "after" not in ended.stdout
        assert "Traceback" not in ended.stderr, ended.stderr
        assert processes_of(cwd) == []
