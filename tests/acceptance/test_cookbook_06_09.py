"""The cookbook's folders 06 to 09: each example does what its title says, by what it prints and by what is in the database."""

import ast
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from harness import rows
from recipes import COOKBOOK, Recipes, indexed, recipes_on_a_stack

NAMES = {
    "06_combined": "01_user_plus_session 02_user_plus_entities 03_full_learning_machine 04_learning_machine_builder",
    "07_patterns": "support_agent research_agent coding_assistant personal_assistant sales_agent team_knowledge_agent "
    "onboarding_agent",
    "08_advanced": "01_multi_user 02_curator_maintenance 03_extraction_timing 04_custom_store 05_async_patterns "
    "06_debugging",
    "09_production": "gpu_poor_learning plan_and_learn",
}
EXAMPLES = [f"{folder}/{name}" for folder, names in NAMES.items() for name in names.split()]
MOST_LINES = 66
MODULES = {"08_advanced/decision_log"}  # imported by an example, and none


@pytest.fixture(scope="module")
def recipes() -> Iterator[Recipes]:
    """The examples on one stack that has the decision log."""
    with recipes_on_a_stack(
        PYTHONPATH=os.fspath(COOKBOOK / "08_advanced"),
        LEARNING_STORES="decision_log:DecisionLogStore",
    ) as recipes:
        yield recipes


def learned(recipes: Recipes, tenant: str, where: str = "true") -> list[dict[str, Any]]:
    """The learnings of the tenants whose names begin so, oldest first."""
    statement = f"SELECT * FROM learning.learning WHERE tenant LIKE :tenant AND {where} ORDER BY id"
    return rows(recipes.db, statement, tenant=f"{tenant}-%")


def answers(told: str, question: str) -> list[str]:
    """What the agent answered to a question, each time that it was asked."""
    lines = told.splitlines()
    after = [lines[number + 1] for number, line in enumerate(lines) if line.endswith(question)]
    return [re.sub(r"^\s*(?:Agent:|→)\s*\[offline model\]\s*", "", line) for line in after]


def test_the_index_names_every_example_that_there_is() -> None:
    there = {f"{file.parent.name}/{file.stem}" for file in COOKBOOK.glob("*/*.py")}

    assert set(indexed()) == there - MODULES
    assert set(EXAMPLES) == {name for name in there - MODULES if name.startswith(tuple(NAMES))}


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_short_says_its_idea_uses_the_public_api_alone_and_never_sleeps(example: str) -> None:
    text = (COOKBOOK / f"{example}.py").read_text(encoding="utf-8")
    tree = ast.parse(text)
    named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert len(text.splitlines()) <= (80 if example.startswith("07_patterns/") else MOST_LINES)
    assert ". " in (ast.get_docstring(tree) or "").replace("\n", " ")
    assert {name for name in imported if name.startswith("learning_")} == {"learning_machine"}
    assert "sleep" not in named
    assert not {name for name in named if name.startswith("_")}


# 06_combined


def test_user_plus_session_when_recalled_elsewhere_then_the_person_is_known_and_the_task_is_not(
    recipes: Recipes,
) -> None:
    told = recipes.run("06_combined/01_user_plus_session")
    same, other, somebody_else = told.split("\n\n")[:3]

    assert "goal      Migrate the sales reports to the new warehouse" in same
    assert "progress  1. Step 1: Copy the tables" in same
    assert "name: Maya" in same
    assert "name: Maya" in other
    assert "session_context" not in other
    assert somebody_else.splitlines() == ["Noor, in a session of her own: nothing"]
    assert recipes.run("06_combined/01_user_plus_session") == told  # it can be run twice


def test_user_plus_entities_when_a_colleague_recalls_then_companies_are_shared_and_the_profile_is_not(
    recipes: Recipes,
) -> None:
    told = recipes.run("06_combined/02_user_plus_entities")
    dana, omar = re.findall(r"is told:\n(<learning-machine-memory>.*?</learning-machine-memory>)", told, re.DOTALL)

    assert "Prefers short answers" in dana
    for shared in ("Acme Corp (company): Uses Postgres", "Carla Mendes: CFO of Acme Corp"):
        assert shared in dana
        assert shared in omar
    assert "Dana" not in omar
    assert "Prefers" not in omar
    assert 'Uses Postgres, because dana said: "Acme Corp uses Postgres and is based in Lisbon."' in told


def test_full_machine_when_one_conversation_is_had_then_all_four_stores_have_of_it_and_the_answers_use_it(
    recipes: Recipes,
) -> None:
    told = recipes.run("06_combined/03_full_learning_machine")

    stores = {row["store"] for row in learned(recipes, "full", "status = 'active'")}
    assert stores == {"user_profile", "session_context", "entity_memory", "learned_knowledge"}
    assert answers(told, "What am I allergic to?") == ["From memory: Is allergic to penicillin"]
    (lesson,) = answers(told, "How should I book a locum?")
    assert lesson.startswith("From memory: Always ask for the licence number before you book a locum")
    assert "Nina, wednesday: How should I book a locum?" in told


def test_builder_when_built_in_four_ways_then_each_has_its_stores_and_remembers_with_them(recipes: Recipes) -> None:
    told = recipes.run("06_combined/04_learning_machine_builder")
    stores = dict(re.findall(r"^(\w+): LearningMachine\(.*stores=(.+)\)$", told, re.MULTILINE))

    assert stores == {
        "booleans": "user_profile",
        "configs": "user_profile, entity_memory",
        "factory": "user_profile, learned_knowledge",
        "environment": "user_profile, session_context",
    }
    assert {(row["store"], row["namespace"]) for row in learned(recipes, "payments", "status = 'active'")} == {
        ("user_profile", None),
        ("learned_knowledge", "payments"),
    }
    assert {row["scope"] for row in learned(recipes, "configs", "store = 'entity_memory'")} == {"namespace/user/ines"}
    assert learned(recipes, "environment", "kind = 'field' AND content = 'name: Ines'")
    assert "refused: learned_knowledge.enable_agent_tools: is False" in told


# 07_patterns


def test_support_agent_when_the_next_customer_asks_then_the_first_ones_solution_is_the_answer(recipes: Recipes) -> None:
    told = recipes.run("07_patterns/support_agent")

    before, after = answers(told, "Raj: How should I fix a CSV export that fails?")
    assert before == "From memory: Nothing was learned about that yet."
    assert after.startswith("From memory: Split the CSV export by month when it fails")
    assert answers(told, "do I prefer email?") == ["From memory: Prefers email over phone calls"]
    assert answers(told, "Kim: And how should I fix the CSV export that fails?") == [after]
    [lesson] = learned(recipes, "hooli-support", "store = 'learned_knowledge'")
    assert (lesson["namespace"], lesson["origin"], lesson["status"]) == ("support", "tool", "active")


def test_research_agent_when_the_report_is_written_then_each_finding_names_its_sitting(recipes: Recipes) -> None:
    told = recipes.run("07_patterns/research_agent")

    assert answers(told, "Who is the CTO of Volta Labs?") == ["From memory: Hana Mori: CTO of Volta Labs"]
    (lesson,) = answers(told, "How should I compare energy densities?")
    assert lesson.startswith("From memory: Never trust press releases")
    assert (
        "  Hana Mori, relationship: Hana Mori: CTO of Volta Labs\n"
        '    [paper, read by imani] "The CTO of Volta Labs is Hana Mori."\n' in told
    )
    assert '    [news, read by imani] "Globex acquired Initech in 2024."' in told
    assert {row["namespace"] for row in learned(recipes, "research")} == {"solid-state"}


def test_coding_assistant_when_a_new_session_begins_then_habits_are_the_users_and_rules_the_repositorys(
    recipes: Recipes,
) -> None:
    told = recipes.run("07_patterns/coding_assistant")

    assert answers(told, "Ada: Write me a test: do I prefer pytest or unittest?") == [
        "From memory: Prefers pytest over unittest"
    ]
    (bo,) = answers(told, "Bo: Do I prefer pytest or unittest?")
    assert "From memory" not in bo
    (rule,) = answers(told, "Bo: How should I push a schema?")
    assert rule.startswith("From memory: Always regenerate the API client before you push a schema")
    [lesson] = learned(recipes, "shop", "store = 'learned_knowledge'")
    assert (lesson["namespace"], lesson["origin"]) == ("repo:shop", "extraction")


def test_personal_assistant_when_told_to_remember_and_to_forget_then_it_does_both(recipes: Recipes) -> None:
    told = recipes.run("07_patterns/personal_assistant")

    assert answers(told, "Forget that I like window seats.") == ["forget_memory: Forgotten."]
    (seats,) = answers(told, "Saturday, Mo: Do I like window seats?")
    assert "From memory" not in seats
    assert answers(told, "Do I prefer trains or flights?") == ["From memory: Prefers trains over flights"]
    assert answers(told, "What am I allergic to?") == ["From memory: Is allergic to peanuts"]
    status = {row["content"]: (row["status"], row["origin"]) for row in learned(recipes, "home")}
    assert status["Likes window seats"] == ("retired", "extraction")
    assert status["Prefers trains over flights"] == ("active", "tool")
    assert status["Is allergic to peanuts"] == ("active", "extraction")


def test_sales_agent_when_an_account_is_handed_over_then_the_new_seller_has_all_of_it(recipes: Recipes) -> None:
    told = recipes.run("07_patterns/sales_agent")

    assert answers(told, "Who is the CFO of Acme Corp?") == ["From memory: Carla Mendes: CFO of Acme Corp"]
    (known,) = answers(told, "What do we know about Acme Corp?")
    for each in ("employees: 300", "Uses Postgres", "Signed a pilot contract"):
        assert each in known
    assert "Uses MongoDB" not in known
    assert 'no longer    Uses MongoDB, for ana said: "Acme Corp switched from MongoDB to Postgres."' in told


def test_team_knowledge_when_a_person_approves_and_promotes_then_the_team_and_then_everybody_has_it(
    recipes: Recipes,
) -> None:
    told = recipes.run("07_patterns/team_knowledge_agent")

    proposed, approved = answers(told, "Bob (payments): How should I rotate database passwords?")
    elsewhere, promoted = answers(told, "Zoe (search): How should I rotate database passwords?")
    assert proposed == elsewhere == "From memory: Nothing was learned about that yet."
    assert approved == promoted
    assert approved.startswith("From memory: Drain the connection pool before you rotate database passwords")
    found = [(row["namespace"], row["status"], row["decided_by"]) for row in learned(recipes, "teams")]
    assert sorted(found[:2]) == [
        ("payments", "active", "ann@acme.example"),
        ("payments", "retired", "ann@acme.example"),
    ]
    assert found[2][:2] == ("global", "active")


def test_onboarding_when_the_chat_is_cleared_then_plan_and_progress_are_there_and_the_last_newcomers_lesson(
    recipes: Recipes,
) -> None:
    told = recipes.run("07_patterns/onboarding_agent")

    assert answers(told, "What is my plan, after I set up the laptop?") == [
        "From memory: 1. Set up the laptop; 2. Request VPN access; 3. Pick a ticket; 4. Open a pull request"
    ]
    assert answers(told, "Which step have I done?") == ["From memory: 1. Step 1: Set up the laptop"]
    (lesson,) = answers(told, "How should I request VPN access?")
    assert lesson.startswith("From memory: Always ask Facilities for a token before you request VPN access")


# 08_advanced


def test_multi_user_when_many_talk_at_once_then_each_is_apart_and_lessons_stay_in_their_company(
    recipes: Recipes,
) -> None:
    told = recipes.run("08_advanced/01_multi_user")

    lesson = "Always check the time zone before you send an invitation"
    for company, user, memory, lessons in (
        ("acme", "alice", "Likes chess", lesson),
        ("acme", "bob", "Is allergic to nuts", lesson),
        ("acme", "carol", "Lives in Turin", lesson),
        ("globex", "alice", "Likes sailing", "none"),
        ("globex", "dan", "Is vegetarian", "none"),
        ("globex", "eve", "Lives in Lisbon", "none"),
    ):
        assert re.search(rf"^{user} of {company} .*\n  remembered: {memory}   lessons: {lessons}$", told, re.MULTILINE)
    assert [row["content"] for row in learned(recipes, "globex", "store = 'learned_knowledge'")] == []


def test_curator_when_jobs_run_then_the_dry_one_changes_nothing_and_undo_brings_back(recipes: Recipes) -> None:
    told = recipes.run("08_advanced/02_curator_maintenance")

    assert [int(count) for count in re.findall(r"^  (\d+) memories: ", told, re.MULTILINE)] == [9, 8, 8, 4, 8]
    assert "looked at 9, changed 1 (merged 1" in told
    assert "looked at 8, would have changed 4" in told
    assert "looked at 8, changed 4" in told
    runs = "SELECT job, dry_run, changed FROM learning.curator_run WHERE tenant LIKE 'curated-%' ORDER BY id"
    assert [tuple(row.values()) for row in rows(recipes.db, runs)] == [
        ("deduplicate", False, 1),
        ("prune", True, 4),
        ("prune", False, 4),
    ]
    assert len(learned(recipes, "curated", "kind = 'memory' AND status = 'active'")) == 8


def test_timing_when_extracted_later_then_it_is_cheaper_and_less_fresh_and_no_turn_waits(recipes: Recipes) -> None:
    told = recipes.run("08_advanced/03_extraction_timing")
    line = re.compile(r"^(before|beside|after|at the end) +(\d+) ms  (.+?) +(\d+) +(\d+)$", re.MULTILINE)
    found = {way: (int(ms), since, int(calls), int(tokens)) for way, ms, since, calls, tokens in line.findall(told)}

    since = {way: moment for way, (_, moment, _, _) in found.items()}
    assert since.pop("beside") in ("this turn", "the next turn")  # an extraction may be done before the turn looks
    assert since == {"before": "this turn", "after": "after a pause", "at the end": "the next session"}
    # A call for each of seven turns; one for each of two parts and the goodbye; one for all.
    assert {way: calls for way, (_, _, calls, _) in found.items()} == {
        "before": 7,
        "beside": 7,
        "after": 3,
        "at the end": 1,
    }
    assert found["at the end"][3] < found["after"][3] < found["beside"][3]
    assert all(found["before"][0] > found[way][0] for way in ("beside", "after", "at the end"))
    calls = "SELECT count(*) AS calls FROM learning.model_call WHERE tenant LIKE 'timing-%' AND purpose = 'extract'"
    assert rows(recipes.db, calls)[0]["calls"] == 18


def test_custom_store_when_run_in_one_command_then_decisions_are_extracted_recorded_and_recalled(
    recipes: Recipes,
) -> None:
    told = recipes.run("08_advanced/04_custom_store")

    assert "Ada's decision and Bob's outcome: extracted" in told
    assert told.count("record_decision → Recorded.") == 2
    assert {row["store"] for row in learned(recipes, "platform")} == {"decision_log"}


def test_async_when_five_users_talk_at_once_then_each_is_remembered_and_what_was_just_said_is_there(
    recipes: Recipes,
) -> None:
    told = recipes.run("08_advanced/05_async_patterns")

    assert "extracted: 5 of 5" in told
    assert "ben's tool: Saved." in told
    assert re.search(r"^ben: (?:Plays on Thursdays, Likes chess|Likes chess, Plays on Thursdays)$", told, re.MULTILINE)
    assert re.search(r"^ana: .*Likes jazz.*(?:I live in Porto\.|Lives in Porto)", told, re.MULTILINE)
    assert re.search(r"^emil: Likes hiking$", told, re.MULTILINE)


def test_debugging_when_the_model_refuses_then_the_dead_letter_is_found_and_replayed(recipes: Recipes) -> None:
    told = recipes.run("08_advanced/06_debugging")

    assert '  retired: Works at Globex, for ivo said "I work at Globex.", until ' in told
    assert '  active: Works at Hooli, for ivo said "I work at Hooli now."\n' in told
    assert "I'm allergic to nuts. {'user_profile': 'dead'}" in told
    # Of all tenants: what an example before left to be extracted may have met the refusal, too.
    assert re.search(r"^\$ learning-machine status\n.*, [1-9]\d* dead, ", told, re.MULTILINE)
    assert "Dead deliveries: 1" in told
    assert "replayed: {'user_profile': 'extracted'}; remembered: " in told
    assert "user_profile: generation 2, attempt 1" in told
    deliveries = "SELECT state, generation FROM learning.delivery WHERE tenant LIKE 'debugged-%' ORDER BY accepted_no"
    assert [tuple(row.values()) for row in rows(recipes.db, deliveries)] == [
        ("extracted", 1),
        ("extracted", 1),
        ("extracted", 2),
    ]
    assert [row["content"] for row in learned(recipes, "debugged", "status = 'active'")] == [
        "Works at Hooli",
        "Is allergic to nuts",
    ]


# 09_production


def test_gpu_poor_when_turns_are_read_together_then_the_recorded_calls_are_far_fewer_for_the_same_memory(
    recipes: Recipes,
) -> None:
    told = recipes.run("09_production/gpu_poor_learning")
    line = re.compile(r"^(model calls|tokens|US cents) +([\d.]+) +([\d.]+) +([\d.]+)×$", re.MULTILINE)
    found = {what: (float(each), float(together), float(ratio)) for what, each, together, ratio in line.findall(told)}

    recorded = {
        row["user_id"]: (row["calls"], row["tokens"])
        for row in rows(
            recipes.db,
            "SELECT user_id, count(*) AS calls, sum(tokens_input + tokens_output) AS tokens FROM learning.model_call "
            "WHERE tenant LIKE 'costs-%' AND purpose = 'extract' GROUP BY 1",
        )
    }
    assert found["model calls"][:2] == (recorded["eager"][0], recorded["frugal"][0])
    assert found["model calls"][:2] == (48, 6)
    assert found["tokens"][:2] == tuple(pytest.approx(recorded[user][1], rel=1e-4) for user in ("eager", "frugal"))
    assert found["model calls"][2] == 8.0
    assert found["tokens"][2] > 3
    assert found["US cents"][2] > 3
    assert re.search(r"^remembered +(\d+) +\1   the same$", told, re.MULTILINE)


def test_plan_and_learn_when_plans_fail_then_the_next_ones_are_wiser_and_a_colleagues_first_one_works(
    recipes: Recipes,
) -> None:
    told = recipes.run("09_production/plan_and_learn")
    attempts = re.findall(r"^(\w+), (.+): (.+)\n  (Everything is done|It failed)", told, re.MULTILINE)

    assert attempts == [
        ("ravi", "attempt 1", "deploy the shop", "It failed"),
        ("ravi", "attempt 2", "warm the cache → deploy the shop", "It failed"),
        ("ravi", "attempt 3", "run the migrations → warm the cache → deploy the shop", "Everything is done"),
        ("lin", "her first attempt", "run the migrations → warm the cache → deploy the shop", "Everything is done"),
    ]
    assert [row["content"] for row in learned(recipes, "planned", "store = 'learned_knowledge'")] == [
        "Always warm the cache before you deploy the shop",
        "Always run the migrations before you warm the cache",
    ]
