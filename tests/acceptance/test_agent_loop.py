"""The agent loop of the documentation: it saves, proposes, is approved, and applies what one user taught for another."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import openai
import pytest

from harness import turn
from learning_machine import LearnedKnowledgeConfig

ROOT = Path(__file__).parents[2]
LOOP = ROOT / "cookbook" / "agent.py"
TIP = "Save this lesson: always pin the base image when you build containers."
QUESTION = "How should I build containers?"


@pytest.fixture
def agent_of(system: Any) -> Any:
    """Makes an agent around a machine, on the offline model's chat endpoint."""
    spec = importlib.util.spec_from_file_location("agent", LOOP)
    assert spec is not None
    assert spec.loader is not None
    loop = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loop)
    with openai.OpenAI(base_url=system.model.url, api_key="not-a-key", max_retries=0) as client:
        yield lambda machine: loop.Agent(machine, client, "offline-rules-1")


def test_given_an_agent_that_saves_when_another_user_asks_then_the_insight_is_applied_at_once(
    system: Any, agent_of: Any
) -> None:
    with system.place.machine(learned_knowledge=True, tenant="saving") as machine:
        agent = agent_of(machine)
        assert "Saved" in agent.reply(TIP, user_id="alice", session_id="s1")

        (saved,) = machine.learnings(store="learned_knowledge")
        assert (saved.origin, saved.evidence[0].action) == ("tool", "save_learning")
        assert "pin the base image" in agent.reply(QUESTION, user_id="bob", session_id="s1")


def test_given_an_agent_that_proposes_when_a_person_approves_then_another_user_has_it_and_before_nobody_has(
    system: Any, agent_of: Any
) -> None:
    config = LearnedKnowledgeConfig(mode="PROPOSE")
    with system.place.machine(learned_knowledge=config, tenant="proposing") as machine:
        agent = agent_of(machine)
        assert "Proposed" in agent.reply(TIP, user_id="alice", session_id="s1")
        assert "pin the base image" not in agent.reply(QUESTION, user_id="bob", session_id="s1")

        (proposal,) = machine.proposals()
        machine.approve(proposal.id, by="ann@acme.example")
        assert "pin the base image" in agent.reply(QUESTION, user_id="bob", session_id="s2")
        decided = machine.get(proposal.id)
        assert (decided.status, decided.decided_by) == ("active", "ann@acme.example")


def test_given_an_agent_with_memory_of_its_user_when_asked_in_another_session_then_it_remembers_and_forgets(
    system: Any, agent_of: Any
) -> None:
    from learning_machine import UserProfileConfig

    with system.place.machine(user_profile=UserProfileConfig(mode="AGENTIC"), tenant="remembering") as machine:
        agent = agent_of(machine)
        agent.reply("Remember that I prefer window seats.", user_id="alice", session_id="s1")
        assert "window seats" in agent.reply("Which seats do I prefer?", user_id="alice", session_id="s2")
        assert "window seats" not in agent.reply("Which seats do I prefer?", user_id="bob", session_id="s2")


def test_given_the_lines_of_the_guide_when_run_in_their_order_then_they_do_what_it_says(
    system: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "cookbook")
    for name, value in {**system.place.env, "LEARNING_TENANT": "guided", "LEARNING_MODEL": "offline-rules-1"}.items():
        if name.startswith("LEARNING_"):
            monkeypatch.setenv(name, value)
    system.processes.dispatcher()
    for store in ("user_profile", "session_context"):
        system.processes.worker(store)
    with system.place.machine(user_profile=True, session_context=True) as machine:
        warm = machine.emit(turn("Hello."), user_id="nobody", session_id="s0")
        machine.settle(warm, timeout=60)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "agents.md").read_text(), re.DOTALL)
    assert len(blocks) == 8
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    with names["machine"] as machine, names["client"]:
        told = capsys.readouterr().out.splitlines()
        assert told[0] == "Saved."
        assert re.fullmatch(r"\d+\.\d  Pin base images: Always pin the base image.*'text': .*", told[1])
        learned, settled, last_week = (names[name] for name in ("learned", "settled", "last_week"))
        assert learned.pending == 0
        assert told[2] == f"{learned.processed_through} 0 text None"
        assert settled.unprocessed == ()
        assert [each.content for each in settled.learnings if each.store == "learned_knowledge"] == [
            "Pin base images: Always pin the base image"
        ]
        assert (last_week.learnings, last_week.degraded) == ((), None)
        assert told[-2].endswith("save_learning: Saved.")
        assert "never deploy on a friday" in told[-1].lower()
        assert names["receipt"].via == "stream"
        assert [one["function"]["name"] for one in names["offered"]] == list(names["tools"])
        assert len(machine.learnings(store="learned_knowledge")) == 2
