"""An operator extracts a user's events anew, takes extractions back, and looks after the dead, with real processes."""

import json
from typing import Any

import pytest

from harness import Place, Processes, eventually, rows, turn
from learning_machine import UserProfileConfig
from learning_stores.database import Database
from running_stack import run
from scripted_model import Answer, Asked, ScriptedModel, patch, profile, repeat

NOW = UserProfileConfig(debounce=0)


class Operator:
    """A place with a dispatcher, a worker and a model, and the commands."""

    def __init__(self, place: Place, db: Database, model: ScriptedModel) -> None:
        self.place, self.db, self.model = place, db, model

    def run(self, *arguments: str, status: int = 0, env: dict[str, str] | None = None) -> Any:
        ended = run(*arguments, cwd=self.place.directory, env={**self.place.env, "COLUMNS": "200", **(env or {})})
        assert ended.returncode == status, ended.stderr + ended.stdout
        assert "Traceback" not in ended.stderr
        return ended

    def json(self, *arguments: str, env: dict[str, str] | None = None) -> Any:
        return json.loads(self.run(*arguments, "--json", env=env).stdout)

    def tell(self, *sentences: str, session: str = "s1") -> list[str]:
        """Emit one event for each, one after the other; their ids."""
        ids = []
        with self.place.machine(user_profile=NOW, session_context=False) as machine:
            for sentence in sentences:
                receipt = machine.emit(turn(sentence), user_id="alex", session_id=session, history="delta")
                machine.settle(receipt)
                ids.append(str(receipt.event_id))
        return ids

    def settled(self) -> None:
        eventually(
            lambda: not rows(self.db, "SELECT FROM learning.delivery WHERE state = 'pending'"), "nothing pending"
        )

    def memories(self) -> list[str]:
        query = "SELECT content FROM learning.learning WHERE status = 'active' AND kind = 'memory'"
        return sorted(row["content"] for row in rows(self.db, query))


@pytest.fixture
def operator(place: Place, everything_db: Database, processes: Processes) -> Any:
    with ScriptedModel().running() as model:
        place.extra_env |= {
            "LEARNING_MODEL": "offline-rules-1",
            "LEARNING_MODEL_BASE_URL": model.url,
            "LEARNING_MODEL_API_KEY": "not-a-key",
        }
        processes.dispatcher()
        processes.worker("user_profile")
        yield Operator(place, everything_db, model)
        processes.kill_all()


def newer(asked: Asked) -> Answer:
    """What a better prompt makes of it: other words, and nothing about the weather."""
    told = [line["text"] for line in asked.said if line["role"] == "user" and "earlier" not in line]
    return profile(asked, [(f"Says: {words}", words) for words in told if "weather" not in words])


def test_given_a_users_events_when_replayed_with_another_answer_then_that_takes_the_place_and_trace_shows_both(
    operator: Operator,
) -> None:
    ids = operator.tell("I love green tea.", "I like the weather today.")
    assert operator.memories() == ["I like the weather today.", "I love green tea."]
    calls = len(operator.model.asked)

    outlook = operator.run("replay", "--user", "alex", "--dry-run").stdout
    assert "2 deliveries of 2 events in 1 mailbox, by 2 extractions" in outlook
    assert "2 learnings that stand on these events alone" in outlook
    assert "memory: I love green tea." in outlook
    plan = operator.json("replay", "--user", "alex", "--plan")
    (cost,) = plan["estimate"].values()
    assert (plan["deliveries"], cost["calls"], cost["usd"]) == (2, 1, 0.0)
    assert cost["tokens_output"] == 10  # as these events' own calls had
    assert cost["tokens_input"] > 100
    assert len(operator.model.asked) == calls

    refused = operator.run("replay", "--user", "alex", status=2)
    assert "--yes" in refused.stderr
    assert operator.memories() == ["I like the weather today.", "I love green tea."]

    operator.model.answer = newer
    done = operator.run("replay", "--user", "alex", "--yes").stdout
    assert "2 deliveries are pending again" in done
    operator.settled()
    assert operator.memories() == ["Says: I love green tea."]
    assert operator.model.asked[-1].known == []

    for event_id in ids:
        (delivery,) = operator.json("trace", event_id)["deliveries"]
        assert delivery["generation"] == 2
        assert len(delivery["earlier"]) == 1
        assert delivery["earlier"][0]["id"] != delivery["extraction_id"]
    shown = operator.run("trace", ids[0]).stdout
    assert "generation 2" in shown
    assert f"replayed: extraction {delivery['earlier'][0]['id']}"[:20] in shown
    assert shown.count("ok") >= 2  # the model calls of both


def test_given_extractions_when_undone_by_command_then_what_they_gave_goes_and_a_second_time_nothing_happens(
    operator: Operator,
) -> None:
    ids = operator.tell("I love green tea.", "I love rye bread.")
    last = operator.json("trace", ids[1])["deliveries"][0]["extraction_id"]

    outlook = operator.run("undo", last, "--dry-run").stdout
    assert "1 extraction" in outlook
    assert "1 learning retired" in outlook
    assert len(operator.memories()) == 2
    assert "--yes" in operator.run("undo", last, status=2).stderr

    assert "undone: 1 learning retired" in operator.run("undo", last, "--yes", "--by", "ops").stdout
    assert operator.memories() == ["I love green tea."]
    (delivery,) = operator.json("trace", ids[1])["deliveries"]
    assert (delivery["state"], delivery["reason"], delivery["generation"]) == ("skipped", "undone", 1)
    assert "undone since" in operator.run("trace", ids[1]).stdout
    assert "was undone at" in operator.run("undo", last, "--yes").stdout

    change = rows(operator.db, "SELECT id, by_whom FROM learning.change WHERE action = 'undone'")
    assert [row["by_whom"] for row in change] == ["ops"]
    assert "is a decision" in operator.run("undo", str(change[0]["id"]), "--yes", status=1).stderr
    assert "no extraction and no change" in operator.run("undo", ids[0], "--yes", status=1).stderr

    undone = operator.json("undo", "--user", "alex", "--yes")
    assert (undone["undone"], undone["retired"]) == (1, 1)
    assert operator.memories() == []
    assert operator.json("replay", "--user", "alex", "--yes")["deliveries"] == 2
    operator.settled()
    assert operator.memories() == ["I love green tea.", "I love rye bread."]


def test_given_a_delivery_that_died_when_replayed_or_discarded_by_command_then_it_is_extracted_or_skipped(
    operator: Operator,
) -> None:
    operator.model.answer = lambda _: patch(nonsense=True)
    good, bad = operator.tell("I love green tea.", "I love rye bread.")
    (first, second) = operator.json("dead", "list", "--store", "user_profile")
    assert {first["event_id"], second["event_id"]} == {good, bad}
    listed = operator.run("dead", "list", env={"COLUMNS": "80"}).stdout  # whole ids: they are copied
    assert good in listed
    shown = operator.run("dead", "show", good, "user_profile").stdout
    assert "assistant" in shown
    assert "green tea" not in shown
    assert "green tea" in operator.run("dead", "show", good, "user_profile", "--text").stdout
    assert "No event was rejected." in operator.run("dead", "list", "--rejected").stdout

    operator.model.answer = repeat
    assert "--yes" in operator.run("dead", "replay", "--event", good, status=2).stderr
    operator.run("dead", "replay", "--event", good, "--yes")
    operator.settled()
    assert operator.memories() == ["I love green tea."]

    assert "`learning-machine dead list`" in operator.run("status").stdout
    elsewhere = {"LEARNING_TENANT": "acme"}
    assert operator.json("dead", "discard", "--because", "x", "--yes", env=elsewhere) == {"dead": 0, "discarded": 0}
    assert "tenant acme" in operator.run("dead", "replay", "--yes", env=elsewhere).stdout
    assert "--yes" in operator.run("dead", "discard", "--because", "enough", status=2).stderr
    assert operator.json("dead", "discard", "--because", "enough", "--yes") == {"dead": 1, "discarded": 1}
    (delivery,) = operator.json("trace", bad)["deliveries"]
    assert (delivery["state"], delivery["reason"]) == ("skipped", "discarded by operator: enough")
    assert "No delivery is dead here." in operator.run("dead", "list").stdout


def test_given_no_choice_or_two_kinds_of_choice_when_asked_to_change_the_past_then_nothing_is_done(
    place: Place,
) -> None:
    for command in (["replay"], ["undo"], ["undo", "0198c0de-1111-7222-8333-444455556666", "--user", "alex"]):
        ended = run(*command, "--yes", cwd=place.directory, env=place.env)
        assert ended.returncode == 2, ended.stderr
        assert "name" in ended.stderr
