"""The cookbook's first chapters, run as a reader runs them: each does what its title says, in its output and in the database."""

from typing import Any

from recipes import Recipes

LIVE = "SELECT content FROM learning.learning WHERE tenant = :tenant AND status = 'active' AND {} ORDER BY content"


def _live(recipes: Recipes, name: str, condition: str, **values: Any) -> list[str]:
    """The live learnings of an example that a condition is true of."""
    return [row["content"] for row in recipes.rows(name, LIVE.format(condition), **values)]


def test_given_the_first_example_when_run_then_a_second_session_remembers_and_shows_the_words(recipes: Recipes) -> None:
    name = "01_basics/01_hello_learning"
    told = recipes.run(name)

    _, tuesday = told.split("Tuesday, the agent's prompt:")
    assert "'user_profile': 'extracted'" in told
    assert "- name: Ann\n" in tuesday
    assert "- Works at Initech\n" in tuesday
    assert "Prefers short answers ← “I prefer short answers”" in tuesday
    quotes = recipes.rows(
        name, "SELECT quote FROM learning.evidence WHERE tenant = :tenant AND user_id = 'ann' AND quote IS NOT NULL"
    )
    assert "I work at Initech" in {row["quote"] for row in quotes}
    with recipes.machine(name) as machine:
        assert machine.recall(user_id="ann", session_id="wednesday").fields == {"name": "Ann"}


def test_given_a_user_profile_when_run_then_fields_and_memories_are_that_users_alone(recipes: Recipes) -> None:
    name = "01_basics/02_user_profile_quick"
    told = recipes.run(name)

    assert "fields    {'name': 'Bea Lindgren'}\n  memories  Is allergic to peanuts, Lives in Oslo\n" in told
    assert "What is known of carl\n  fields    {}\n  memories  none\n" in told
    assert _live(recipes, name, "user_id = 'carl'") == []
    assert _live(recipes, name, "user_id = 'bea'") == ["Is allergic to peanuts", "Lives in Oslo", "name: Bea Lindgren"]


def test_given_a_session_context_when_run_then_the_session_has_it_and_another_of_the_same_user_has_not(
    recipes: Recipes,
) -> None:
    name = "01_basics/03_session_context_quick"
    told = recipes.run(name)

    move, lunch = told.split("session 'move'")[1].split("session 'lunch'")
    assert "User said: I want to move our database to a new region." in move
    assert lunch.strip(" :\n") == "(nothing)"
    with recipes.machine(name, session_context=True) as machine:
        assert "new region" in machine.recall(user_id="cora", session_id="move").context
        assert machine.recall(user_id="cora", session_id="lunch").context == ""


def test_given_an_entity_when_run_then_another_user_has_its_facts_events_and_relationships(recipes: Recipes) -> None:
    name = "01_basics/04_entity_memory_quick"
    told = recipes.run(name)

    assert "facts: Uses PostgreSQL\n" in told
    assert "2026-03: Migrated to PostgreSQL" in told
    assert "relationships: Bob: CTO of Acme Corp\n" in told
    assert "- Acme Corp (company): Uses PostgreSQL\n" in told.split("Eve's agent")[1]
    with recipes.machine(name, entity_memory=True) as machine:
        acme = machine.entity("acme corp")
        assert acme is not None
        assert [str(near) for near in acme.neighbours] == ["Bob (person)"]


def test_given_what_ann_taught_when_ben_asks_then_it_is_in_his_agents_context_and_answer(recipes: Recipes) -> None:
    name = "01_basics/05_learned_knowledge_quick"
    told = recipes.run(name)

    prompt, answer = told.split("Ben's agent starts from:")[1].split("Ben: ")
    assert "- Always pin the base image when you build containers\n" in prompt
    assert "From memory: Always pin the base image" in answer
    with recipes.machine(name, learned_knowledge=True) as machine:
        assert "pin the base image" in machine.recall(user_id="ben", session_id="another").context
        (insight,) = machine.learnings(store="learned_knowledge")
        assert (insight.evidence[0].user_id, insight.evidence[0].action) == ("ann", "save_learning")


def test_given_always_when_run_twice_then_the_newest_employer_counts_and_the_old_one_is_history(
    recipes: Recipes,
) -> None:
    name = "02_user_profile/01_always_extraction"
    told = recipes.run(name)

    first, second, history = told.split("\n\n")
    assert "known: Likes hiking, Works at Initech" in first
    assert "known: Likes hiking, Works at Hooli" in second
    assert "Works at Initech: from " in history
    assert "still so, “I work at Hooli now”" in history
    assert _live(recipes, name, "user_id = 'fay'") == ["Likes hiking", "Works at Hooli"]
    ended = (
        "SELECT valid_to, replaced_by FROM learning.learning WHERE tenant = :tenant AND content = 'Works at Initech'"
    )
    (old,) = recipes.rows(name, ended)
    assert None not in old.values()

    assert recipes.run(name) == told


def test_given_agentic_when_run_then_only_what_the_agent_saved_is_kept_and_no_worker_read_anything(
    recipes: Recipes,
) -> None:
    name = "02_user_profile/02_agentic_mode"
    told = recipes.run(name)

    assert "Tools: update_profile, save_memory, update_memory, forget_memory" in told
    assert "From memory: Prefers window seats" in told.split("Gus, on Tuesday")[1]
    assert told.splitlines()[-1] == "Kept: Prefers window seats (by save_memory)"
    assert _live(recipes, name, "true") == ["Prefers window seats"]
    assert recipes.rows(name, "SELECT 1 FROM learning.delivery WHERE tenant = :tenant") == []


def test_given_a_schema_of_ones_own_when_run_then_its_fields_are_typed_and_the_rest_is_a_memory(
    recipes: Recipes,
) -> None:
    name = "02_user_profile/03_custom_schema"
    told = recipes.run(name)

    assert "Guest(name='Hana', preferred_name=None, city='Porto', diet='vegetarian', allergies=['walnuts'])" in told
    assert "dessert without walnuts" in told
    fields = recipes.rows(
        name,
        "SELECT data->>'name' AS name, data->'value' AS value FROM learning.learning "
        "WHERE tenant = :tenant AND kind = 'field' AND status = 'active'",
    )
    assert {row["name"]: row["value"] for row in fields} == {
        "name": "Hana",
        "city": "Porto",
        "diet": "vegetarian",
        "allergies": ["walnuts"],
    }
    assert _live(recipes, name, "kind = 'memory'") == ["Likes quiet corners"]


def test_given_fields_and_memories_when_run_then_a_field_is_replaced_and_memories_stand_side_by_side(
    recipes: Recipes,
) -> None:
    name = "02_user_profile/04_memory_vs_fields"
    told = recipes.run(name)

    assert "fields    {'preferred_name': 'Iv'}\n  memories  Likes cycling\n" in told
    assert "fields    {'preferred_name': 'Ivo'}\n  memories  Likes chess, Likes cycling\n" in told
    assert "field 'preferred name: Iv': superseded" in told
    assert _live(recipes, name, "kind = 'field'") == ["preferred name: Ivo"]
    assert _live(recipes, name, "kind = 'memory'") == ["Likes chess", "Likes cycling"]


def test_given_a_persons_operations_when_run_then_each_is_recalled_at_once_and_is_a_row_of_the_history(
    recipes: Recipes,
) -> None:
    name = "02_user_profile/05_memory_operations"
    told = recipes.run(name)

    assert told.startswith(
        "added     Is on the Starter plan\nupdated   Is on the Team plan\ndeleted   (nothing is recalled)\n"
    )
    assert "fields    {'name': 'Jan Novák'}" in told
    assert "Is on the Starter plan: retired (corrected), added by support@acme.example" in told
    assert "Is on the Team plan: retired (retracted by a person), retracted by support@acme.example" in told
    assert _live(recipes, name, "true") == ["name: Jan Novák"]
    kept = recipes.rows(name, "SELECT 1 FROM learning.learning WHERE tenant = :tenant AND kind = 'memory'")
    assert len(kept) == 2

    recipes.run(name)
    assert _live(recipes, name, "true") == ["name: Jan Novák"]
