"""Words are found in the language in which a machine's users speak."""

from typing import Any

import pytest

from learning_machine import ConfigurationError

BY = "ann@acme.example"


@pytest.mark.parametrize(
    ("language", "memory", "query"),
    [
        ("german", "Fährt gern mit Nachtzügen", "Nachtzug"),
        ("simple", "Pidi kahvista", "kahvista"),
        (None, "Prefers window seats", "which seat is preferred"),
    ],
)
def test_given_a_language_when_a_word_is_asked_for_in_another_form_then_it_is_found(
    place: Any, language: str | None, memory: str, query: str
) -> None:
    with place.machine(user_profile=True, learned_knowledge=True, language=language) as machine:
        machine.add(memory, user_id="alice", by=BY)
        machine.add("Something else", user_id="alice", by=BY)
        machine.add(title="Title", learning=memory, by=BY)
        assert [each.learning.content for each in machine.search(query, user_id="alice", store="user_profile")] == [
            memory
        ]
        assert machine.recall(query, user_id="alice").learnings[0].content.endswith(memory)
        tools = {tool.name: tool for tool in machine.tools(user_id="alice", session_id="s1")}
        assert memory in tools["search_learnings"](query=query)


def test_given_a_language_that_postgres_does_not_know_when_the_machine_is_made_then_it_is_refused(place: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^language: "):
        place.machine(language="klingon")
