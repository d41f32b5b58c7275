"""`learning-machine demo`: the whole job on sample conversations, and nothing left of it."""

import json
import signal
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
from sqlalchemy import text

from harness import Place
from learning_ops.demo import _new_tenant, conversations
from learning_stores.database import Database
from running_stack import Foreground, clean_env, directory, processes_of, started


def _env(cwd: Path) -> dict[str, str]:
    """Temporary files in a place of the test's own; and configuration that the demo must not look at."""
    return clean_env(
        TMPDIR=str(cwd),
        LEARNING_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
        LEARNING_REDIS_URL="redis://127.0.0.1:1/0",
        LEARNING_MODEL_BASE_URL="http://127.0.0.1:1/v1",
        OPENAI_API_KEY="sk-not-a-key-of-anybodys-0000",
        PYTHONUNBUFFERED="1",
    )


def test_given_the_sample_conversations_when_read_then_they_are_what_the_demo_promises() -> None:
    sample = conversations()

    users = Counter(each.arguments["user_id"] for each in sample)
    sessions = {(each.arguments["user_id"], each.arguments["session_id"]) for each in sample}
    assert 12 <= len(sample) <= 20
    assert len(users) == 2
    assert all(sum(owner == user for owner, _ in sessions) >= 2 for user in users)
    lines = files("learning_ops").joinpath("demo_conversations.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(json.loads(line)["occurred_at"] < "2026" for line in lines)


def test_given_a_machine_when_the_demo_runs_then_it_shows_path_memory_quotes_and_cost_and_leaves_nothing() -> None:
    with directory() as cwd:
        ended = started("demo", cwd=cwd, env=_env(cwd))

        assert ended.returncode == 0, ended.stderr
        for told in (
            "no language model",
            "76 deliveries",
            "The path of each event",
            "2 of 6",
            "name: Mira Novak",
            "“I'm Mira Novak”",
            "Works at Brightwater",
            "until 12 May 2025",
            "now: Works at Brightwater",
            "Likes hiking",
            "“I love hiking”",
            "✓ Step 3: Run both side by side for a week",
            "3. Pick two walks",
            "[redacted: card number]",
            "Brightwater (company)",
            "Lena Fischer: CTO of Brightwater",
            "insight",
            "<learning-machine-memory>",
            "model calls",
            "19 × 4 =",
            "p50",
            "1 card number",
            "learning-machine up",
        ):
            assert told in ended.stdout, told
        assert "4111" not in ended.stdout
        assert "dead." in ended.stdout
        assert ended.stdout.count("✗") == 1, "only the legend shows a dead delivery"
        assert ended.stderr == ""
        assert max(len(line) for line in ended.stdout.splitlines()) <= 100
        assert processes_of(cwd) == []
        assert list(cwd.iterdir()) == []


def test_given_earlier_runs_on_the_same_data_when_the_demo_starts_then_it_has_a_tenant_of_its_own(
    place: Place, everything_db: Database, dispatcher_db: Database
) -> None:
    tenants = []
    for _ in range(3):
        tenants.append(dispatcher_db.run(None, _new_tenant))
        with everything_db.transaction() as session:
            session.execute(
                text("INSERT INTO learning.machine_spec (tenant, hash, spec) VALUES (:tenant, 'h', '{}')"),
                {"tenant": tenants[-1]},
            )

    assert tenants == ["demo", "demo-2", "demo-3"]


@pytest.mark.parametrize(
    ("moment", "forked"),
    [("^The model is", False), ("serving after", True)],
    ids=["while starting", "while extracting"],
)
def test_given_a_demo_under_way_when_it_is_interrupted_then_nothing_is_left(moment: str, forked: bool) -> None:
    with directory() as cwd:
        foreground = Foreground(cwd, "demo", env=_env(cwd), forked=forked)
        foreground.until(moment)

        status = foreground.stop(signal.SIGINT)

        assert status == 130
        assert "nothing is left running" in foreground.output
        assert processes_of(cwd) == []
        assert [path.name for path in cwd.iterdir() if path.name.startswith("learning-demo-")] == []
