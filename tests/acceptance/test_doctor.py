"""`learning-machine doctor`, as people and scripts run it: clean where all is well, and an exit status where it is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness import Place, eventually, execute, turn
from learning_ops.doctor import CHECKS
from running_stack import directory, run, up


def _found(cwd: Path, *arguments: str) -> tuple[Any, int]:
    ended = run("doctor", "--json", *arguments, cwd=cwd)
    assert ended.stdout, ended.stderr
    return json.loads(ended.stdout), ended.returncode


@pytest.mark.timeout(600)
def test_given_the_embedded_stack_with_something_learned_when_looked_at_then_nothing_is_above_a_note() -> None:
    with directory() as cwd, up(cwd=cwd, forked=True):
        line = json.dumps({"messages": turn("I'm Dora, I work at Initech."), "user_id": "dora", "session_id": "s1"})
        assert run("emit", "-", "--settle", cwd=cwd, stdin=line).returncode == 0
        # Who is busy answers a question to all workers a moment too late, once in a while.
        found = eventually(
            lambda: (looked := _found(cwd, "--strict"))[1] == 0 and looked[0], "the doctor finds nothing to warn of"
        )
        assert [each for each in found["findings"] if each["level"] in ("warning", "error")] == []
        assert {each["check"] for each in found["findings"]} == set(CHECKS)
        assert found["level"] in ("ok", "note")

        every = "workers: every queue has a worker: learning.curator, learning.embed"
        shown = eventually(lambda: every in (ended := run("doctor", cwd=cwd)).stdout and ended, "every worker answers")
        assert shown.returncode == 0
        assert "ok       policies: row-level security is enabled and forced on each of" in shown.stdout
        assert "ok " not in run("doctor", "--quiet", cwd=cwd).stdout.splitlines()[0]


def test_given_a_deployment_at_fault_when_looked_at_then_the_exit_status_says_so_and_each_finding_has_a_remedy(
    place: Place,
) -> None:
    execute(place.superuser_url, "ALTER TABLE learning.mailbox NO FORCE ROW LEVEL SECURITY")
    ended = run("doctor", "--json", cwd=place.directory, env=place.env)
    assert ended.returncode == 1
    found = json.loads(ended.stdout)
    assert found["level"] == "error"
    wrong = [each for each in found["findings"] if each["level"] != "ok"]
    assert all(each["remedy"] for each in wrong)
    [policy] = [each for each in wrong if each["check"] == "policies"]
    assert policy["remedy"] == "ALTER TABLE learning.mailbox FORCE ROW LEVEL SECURITY"

    shown = run("doctor", "--quiet", cwd=place.directory, env=place.env)
    assert shown.returncode == 1
    assert "           ALTER TABLE learning.mailbox FORCE ROW LEVEL SECURITY\n" in shown.stdout
    assert "in-tests" not in shown.stdout + ended.stdout


def test_given_an_option_that_there_is_not_when_called_then_it_is_wrong_usage(tmp_path: Path) -> None:
    assert run("doctor", "--loud", cwd=tmp_path).returncode == 2
