"""The cookbook's chapter on learned knowledge: each does what its title says, in its output and in the database."""

import re

from learning_machine import LearnedKnowledgeConfig
from recipes import Recipes


def test_given_agentic_when_a_lesson_is_only_mentioned_then_it_is_not_kept_and_a_saved_one_is_found_by_another(
    recipes: Recipes,
) -> None:
    name = "05_learned_knowledge/01_agentic_mode"
    told = recipes.run(name)

    assert "Tools: search_learnings, save_learning" in told
    assert "From memory: Always add jitter to retries" in told.split("Will: ")[1]
    assert told.count("Kept: ") == 1
    assert "save_learning, called for vera" in told
    with recipes.machine(name, learned_knowledge=True) as machine:
        (insight,) = machine.learnings(store="learned_knowledge")
        assert insight.data["title"] == "Always add jitter to retries"
        assert insight.origin == "tool"


def test_given_proposals_when_undecided_then_nothing_is_recalled_and_after_the_approval_just_the_approved(
    recipes: Recipes,
) -> None:
    name = "05_learned_knowledge/02_propose_mode"
    told = recipes.run(name)

    before, after = told.split("Before the decision")[1].split("After it")
    assert "(nothing)" in before
    assert "Always take a backup before you upgrade Postgres\n  approved, by ann@acme.example" in before
    assert "rejected: Hurry is when they are needed, by ann@acme.example" in before
    assert "- Always take a backup before you upgrade Postgres\n" in after
    assert "skip the tests" not in after
    rows = recipes.rows(
        name, "SELECT content, status, decided_by FROM learning.learning WHERE tenant = :tenant ORDER BY content"
    )
    assert [(row["status"], row["decided_by"]) for row in rows] == [
        ("retired", "ann@acme.example"),
        ("active", "ann@acme.example"),
    ]
    with recipes.machine(name, learned_knowledge=LearnedKnowledgeConfig(mode="PROPOSE")) as machine:
        assert "skip the tests" not in machine.recall(user_id="yann").context
        assert machine.proposals() == ()

    assert recipes.run(name) == told


def test_given_always_when_one_user_says_it_nobody_has_it_and_when_a_second_does_a_third_has(recipes: Recipes) -> None:
    name = "05_learned_knowledge/03_always_extraction"
    told = recipes.run(name)

    first, second, evidence = told.split("\n\n")
    assert "waits for corroboration: Batching writes halves the load on the database" in first
    assert "Beth's agent has: nothing" in first
    assert "waits" not in second
    assert "Beth's agent has: Batching writes halves the load on the database" in second
    assert "zoe: “We learned that" in evidence
    assert "adam: “It turns out that" in evidence
    with recipes.machine(name, learned_knowledge=LearnedKnowledgeConfig(mode="ALWAYS")) as machine:
        (insight,) = machine.learnings(store="learned_knowledge")
        assert {each.user_id for each in insight.evidence} == {"zoe", "adam"}

    assert recipes.run(name) == told


def test_given_lessons_when_a_task_is_searched_for_then_the_one_that_matters_comes_first_and_is_applied(
    recipes: Recipes,
) -> None:
    name = "05_learned_knowledge/04_search_and_apply"
    told = recipes.run(name)

    scores = [float(score) for score in re.findall(r"^ +(-?\d+\.\d+)  ", told, re.MULTILINE)]
    assert scores == sorted(scores, reverse=True)
    assert re.search(r"^ +\S+  Slow imports: .*\(text ", told, re.MULTILINE)
    assert re.search(r"^Agent: .*Sort the input before a large import", told, re.MULTILINE)
    with recipes.machine(name, learned_knowledge=True) as machine:
        found = machine.search("How do I speed up a large import?", user_id="dean", limit=1)
        assert found[0].learning.data["title"] == "Slow imports"


def test_given_an_insight_when_promoted_then_first_the_user_then_the_team_then_everybody_has_it(
    recipes: Recipes,
) -> None:
    name = "05_learned_knowledge/05_namespace_scoping"
    told = recipes.run(name)

    stages = re.findall(r"^(?:Emil's agent saved it|promoted to the team|promoted to everybody) +(.*)$", told, re.M)
    assert stages == ["emil", "emil, fritz", "emil, fritz, gina"]
    assert "promoted, by lead@acme.example" in told
    rows = recipes.rows(
        name, "SELECT namespace, status FROM learning.learning WHERE tenant = :tenant ORDER BY live_from"
    )
    assert [(row["namespace"], row["status"]) for row in rows] == [
        ("user", "active"),
        ("payments", "active"),
        ("global", "active"),
    ]

    assert recipes.run(name) == told
