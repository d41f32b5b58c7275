"""The cookbook's chapters on session context and entity memory: each does what its title says, in output and database."""

import re

from learning_machine import EntityMemoryConfig, SessionContextConfig
from recipes import Recipes


def test_given_a_summary_when_turns_follow_then_one_is_live_and_builds_on_those_before(recipes: Recipes) -> None:
    name = "03_session_context/01_summary_mode"
    told = recipes.run(name)

    lengths = [int(found) for found in re.findall(r"summary, (\d+) characters", told)]
    assert lengths == sorted(set(lengths))
    assert len(lengths) == 3
    assert told.rstrip().endswith("Summaries that it took the place of: 2")
    kept = recipes.rows(name, "SELECT status, content FROM learning.learning WHERE tenant = :tenant ORDER BY live_from")
    assert [row["status"] for row in kept] == ["retired", "retired", "active"]
    assert "an hour to run" in kept[-1]["content"]
    assert "nightly job" in kept[-1]["content"]


def test_given_planning_when_steps_are_done_then_goal_plan_and_progress_follow(recipes: Recipes) -> None:
    name = "03_session_context/02_planning_mode"
    told = recipes.run(name)

    assert re.findall(r"progress  (\d of \d)", told) == ["0 of 3", "1 of 3", "2 of 3"]
    assert told.count("goal      Move our nightly reports to a streaming pipeline") == 3
    with recipes.machine(name, session_context=SessionContextConfig(enable_planning=True)) as machine:
        held = {each.kind: each for each in machine.learnings(user_id="lea", session_id="reports")}
        assert held["plan"].data["steps"] == [
            "List the reports",
            "Build one report as a stream",
            "Switch the old jobs off",
        ]
        assert held["progress"].data["steps"] == ["Step 1: List the reports", "Step 2: Build one report as a stream"]
        context = machine.recall(user_id="lea", session_id="reports").context
        assert "Goal of this session:\n- Move our nightly reports to a streaming pipeline\n" in context


def test_given_a_history_that_is_cut_when_its_beginning_is_asked_for_then_the_context_has_it(recipes: Recipes) -> None:
    name = "03_session_context/03_context_continuity"
    told = recipes.run(name)

    (sent,) = re.findall(r"^Sent along: (.*)$", told, re.MULTILINE)
    assert "budget" not in sent
    assert re.search(r"^From memory: User said: The budget for the party is 900 euros\.", told, re.MULTILINE)
    assert re.search(r"^Agent: .*900 euros", told, re.MULTILINE)
    with recipes.machine(name, session_context=True) as machine:
        assert "900 euros" in machine.recall(user_id="max", session_id="party", freshness="extracted").context


def test_given_a_long_conversation_when_it_grows_then_the_prompt_does_not_and_nothing_is_read_twice(
    recipes: Recipes,
) -> None:
    name = "03_session_context/04_long_conversations"
    told = recipes.run(name)

    sizes = re.findall(r"(\d+) tickets: ([\d,]+) characters said, ([\d,]+) in the prompt", told)
    said, shown = ([int(size[place].replace(",", "")) for size in sizes] for place in (1, 2))
    assert said[-1] > 2.5 * said[0]
    assert max(shown) <= 600 * 4
    assert shown[-1] < 1.1 * shown[0]
    assert "- Close all tickets of last week\n" in told
    with recipes.machine(name, session_context=SessionContextConfig(enable_planning=True)) as machine:
        held = {each.kind: each.content for each in machine.learnings(user_id="nora", session_id="tickets")}
        assert held["goal"] == "Close all tickets of last week"
        assert "Ticket 60 is closed" in held["summary"]
    shown_first = recipes.rows(
        name, "SELECT event_id, count(*) FROM learning.session_message WHERE tenant = :tenant GROUP BY 1 ORDER BY 1"
    )
    assert [row["count"] for row in shown_first] == [42, 40, 40]


def test_given_facts_and_events_when_a_fact_changes_then_it_ends_and_the_events_stay(recipes: Recipes) -> None:
    name = "04_entity_memory/01_facts_and_events"
    told = recipes.run(name)

    before, after, ended = told.split("\n\n")
    assert "facts   Uses Oracle\n  events  2026-03-03: Opened an office in Boston" in before
    assert "facts   Uses MariaDB\n" in after
    assert "2026-03-03: Opened an office in Boston; 2026-06: Switched from Oracle to MariaDB" in after
    assert "Brightwater Ltd: Uses Oracle, until" in ended
    with recipes.machine(name, entity_memory=True) as machine:
        company = machine.entity("Brightwater Ltd")
        assert company is not None
        assert company.facts == ("Uses MariaDB",)
        assert len(company.events) == 2


def test_given_relationships_of_two_users_when_a_person_is_asked_for_then_what_is_steps_away_is_found(
    recipes: Recipes,
) -> None:
    name = "04_entity_memory/02_entity_relationships"
    told = recipes.run(name)

    steps = re.findall(r"^  (\d)  ([^(]+) \(", told, re.MULTILINE)
    assert steps == [("0", "Maria"), ("1", "Northwind"), ("2", "Globex Inc"), ("3", "Peter Hansen")]
    with recipes.machine(name, entity_memory=True) as machine:
        maria = machine.entity("Maria", hops=2)
        assert maria is not None
        assert {each.name: each.distance for each in maria.neighbours} == {"Northwind": 1, "Globex Inc": 2}


def test_given_namespaces_when_run_then_each_knows_its_own_and_what_it_also_reads(recipes: Recipes) -> None:
    name = "04_entity_memory/03_namespace_sharing"
    told = recipes.run(name)

    knows = told.split("Who knows what:\n")[1].splitlines()
    assert [line.split(maxsplit=3)[3] for line in knows] == ["Fabrikam", "Contoso, Fabrikam", "Initech", "(nothing)"]
    places = recipes.rows(name, "SELECT name, namespace FROM learning.entity WHERE tenant = :tenant ORDER BY name")
    assert [(row["name"], row["namespace"]) for row in places] == [
        ("Contoso", "support"),
        ("Fabrikam", "sales"),
        ("Initech", "user"),
    ]
    with recipes.machine(name, entity_memory=EntityMemoryConfig(namespace="sales")) as sales:
        assert sales.entity("Contoso", user_id="rosa") is None


def test_given_always_when_things_are_named_in_passing_then_they_are_known_with_their_source_and_under_a_short_name(
    recipes: Recipes,
) -> None:
    name = "04_entity_memory/04_always_extraction"
    told = recipes.run(name)

    assert "“Umbrella” is Umbrella Corporation (company)" in told
    assert "employees: 120 ← the agent: “Umbrella has 120 employees.”" in told
    assert "Hired Sarah as CFO ← Tess: “Umbrella hired Sarah as CFO in May 2026.”" in told
    with recipes.machine(name, entity_memory=True) as machine:
        umbrella = machine.entity("Umbrella")
        assert umbrella is not None
        assert umbrella.name == "Umbrella Corporation"
        assert umbrella.facts == ("Based in Raleigh",)
        assert umbrella.properties == {"employees": "120"}
        assert machine.tools(user_id="tess") == []


def test_given_entities_when_searched_by_name_words_type_and_tool_then_the_right_ones_are_found(
    recipes: Recipes,
) -> None:
    name = "04_entity_memory/05_entity_search"
    told = recipes.run(name)

    found = dict(re.findall(r"^(called|who|every) .*?  +(.*)$", told, re.MULTILINE))
    assert found["called"] == "Vandelay Industries"
    assert set(found["who"].split(", ")) == {"Kestrel", "Elena Petrova"}
    assert set(found["every"].split(", ")) == {"Kestrel", "Heron"}
    assert told.rstrip().endswith("Vandelay Industries (company)\n- Pays its invoices within a week")
    with recipes.machine(name, entity_memory=True) as machine:
        assert [each.name for each in machine.search_entities(type="person")] == ["Elena Petrova"]
