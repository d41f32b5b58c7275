"""The cookbook's store of one's own, run as its first lines say: `up` in one terminal, the example in a second one."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from running_stack import clean_env, directory, run, started, up

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "cookbook" / "08_advanced" / "04_custom_store.py"


def variables(text: str) -> dict[str, str]:
    """What the example sets before `learning-machine up`."""
    [line] = re.findall(r"^ +(\S.*) learning-machine up$", text, re.MULTILINE)
    return dict(word.split("=", 1) for word in shlex.split(line))


def test_given_up_with_the_store_when_the_example_runs_then_decisions_are_extracted_recorded_and_recalled() -> None:
    given = variables(EXAMPLE.read_text(encoding="utf-8"))
    assert (ROOT / given["PYTHONPATH"]).is_dir()
    env = clean_env(**{**given, "PYTHONPATH": os.fspath(ROOT / given["PYTHONPATH"])})
    with directory() as cwd, up(cwd=cwd, env=env, forked=True) as foreground:
        assert "decision-log-worker" in {path.stem for path in (cwd / ".learning" / "logs").iterdir()}
        ended = subprocess.run(
            [sys.executable, EXAMPLE],
            cwd=cwd,
            env=clean_env(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        told = ended.stdout
        assert "Ada's decision and Bob's outcome: extracted" in told
        assert told.count("record_decision → Recorded.") == 2
        assert (
            "- Use Postgres instead of MongoDB, because we need transactions. "
            "Outcome: Postgres handles the load with room to spare" in told
        )
        assert "- Meet at 10:00, because of the time zones. Outcome: nobody is late any more" in told
        assert "\nDecisions:\n" in told
        assert (
            "Use Postgres\n"
            "  retired, by ada: We decided to use Postgres instead of MongoDB because we need transactions.\n"
            "  active, by bob: It turned out that Postgres handles the load with room to spare.\n"
        ) in told
        assert "Meet at 10:00\n  retired, by record_decision: Meet at 10:00, because of the time zones\n" in told
        [tenant] = re.findall(r"^tenant (\S+)$", told, re.MULTILINE)
        recalled = run("recall", "--user", "dave", "--namespace", "platform-team", "--tenant", tenant, cwd=cwd, env=env)
        assert "- Meet at 10:00, because of the time zones." in recalled.stdout, recalled.stderr
        # Without the variables, as an operator's other terminal may be.
        status = run("status", cwd=cwd, env=clean_env())
        assert status.returncode == 0, status.stderr
        assert "learning.decision_log" in status.stdout
        assert "Nothing waits." in status.stdout
    assert foreground.process.returncode == 0


def test_given_a_store_that_cannot_be_imported_when_up_is_run_then_it_says_which_and_leaves_nothing() -> None:
    with directory() as cwd:
        ended = started("up", cwd=cwd, env=clean_env(LEARNING_STORES="decision_log:DecisionLogStore"))
        assert ended.returncode != 0
        assert (
            "LEARNING_STORES (decision_log:DecisionLogStore): cannot be imported: ModuleNotFoundError" in ended.stderr
        )
        assert "Traceback" not in ended.stderr
