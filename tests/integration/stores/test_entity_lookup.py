"""Entities as they are asked for: by any name, within the namespaces that are read, with those around them."""

from typing import Any

import pytest
from sqlalchemy import event as listening

from harness import Place
from learning_machine import EntityMemoryConfig, InvalidArgument, LearningMachine
from learning_stores import entity_lookup as lookup
from learning_stores.database import Database


@pytest.fixture
def machine(place: Place) -> Any:
    """Entities in "global"."""
    with place.machine(entity_memory=True) as machine:
        yield machine


def _tie(machine: LearningMachine, source: str, relation: str, target: str, **more: Any) -> None:
    machine.add(relation=relation, entity=source, type="person", target=target, target_type="person", by="bob", **more)


def test_given_all_that_is_known_of_a_thing_when_asked_for_by_any_name_then_it_is_told(
    machine: LearningMachine,
) -> None:
    acme: dict[str, Any] = {"entity": "Acme Corp", "type": "company", "by": "bob"}
    machine.add("ACME", kind="alias", **acme)
    machine.add("A retailer", kind="description", **acme)
    machine.add(field="industry", value="retail", **acme)
    machine.add("Uses PostgreSQL", **acme)
    machine.add("Hired a CTO", date="2026-11-20", **acme)
    machine.add("Was founded", date="1999", **acme)
    machine.add(relation="CTO of", entity="Bob", type="person", target="acme", target_type="company", by="bob")
    for name in ("Acme Corp", "acme corp", "ACME", " acme "):
        found = machine.entity(name)
        assert found is not None, name
        assert (found.name, found.type, found.namespace, found.distance) == ("Acme Corp", "company", "global", 0)
        assert found.aliases == ("ACME",)
        assert found.description == "A retailer"
        assert found.properties == {"industry": "retail"}
        assert found.facts == ("Uses PostgreSQL",)
        assert found.events == ("1999: Was founded", "2026-11-20: Hired a CTO")
        assert found.relationships == ("Bob: CTO of acme",)
        (bob,) = found.neighbours
        assert (str(bob), bob.distance, bob.relationships) == ("Bob (person)", 1, ("CTO of Acme Corp",))
    assert machine.entity("Acme Corporation") is None
    assert machine.entity("Ac") is None
    assert machine.for_tenant("other").entity("Acme Corp") is None


def test_given_one_name_of_two_types_when_asked_for_then_the_type_decides(machine: LearningMachine) -> None:
    machine.add("Is a language", entity="Mercury", type="project", by="bob")
    machine.add("Is the first one", entity="Mercury", type="planet", by="bob")
    with pytest.raises(InvalidArgument, match="planet, project") as refused:
        machine.entity("mercury")
    assert refused.value.argument == "type"
    planet = machine.entity("mercury", "planets")
    assert planet is not None
    assert planet.facts == ("Is the first one",)
    assert machine.entity("mercury", "metal") is None


def test_given_two_that_are_called_alike_when_asked_for_then_the_own_name_comes_first(
    machine: LearningMachine,
) -> None:
    for name in ("Alexander", "Alexandra"):
        machine.add("Alex", kind="alias", entity=name, type="person", by="bob")
    with pytest.raises(InvalidArgument, match=r"Alexander \(person, in global\), Alexandra \(person, in global\)"):
        machine.entity("Alex")
    machine.add("Is a cat", entity="Sasha", type="person", by="bob")
    machine.add("Sasha", kind="alias", entity="Alexander", type="person", by="bob")
    found = machine.entity("sasha")
    assert found is not None
    assert found.facts == ("Is a cat",)


def test_given_ties_in_a_circle_when_asked_for_neighbours_then_each_is_there_once_at_its_distance(
    machine: LearningMachine,
) -> None:
    for source, target in (("A1", "B1"), ("B1", "C1"), ("C1", "A1"), ("C1", "D1"), ("E1", "D1"), ("E1", "F1")):
        _tie(machine, source, "knows", target)

    def around(hops: int) -> list[tuple[str, int]]:
        found = machine.entity("A1", hops=hops)
        assert found is not None
        return [(each.name, each.distance) for each in found.neighbours]

    assert around(0) == []
    assert around(1) == [("B1", 1), ("C1", 1)]
    assert around(2) == [("B1", 1), ("C1", 1), ("D1", 2)]
    assert around(3) == [("B1", 1), ("C1", 1), ("D1", 2), ("E1", 3)]
    for hops in (4, -1, 1.5):
        with pytest.raises(InvalidArgument, match="hops"):
            machine.entity("A1", hops=hops)  # type: ignore[arg-type]  # what is refused


def test_given_a_retracted_tie_when_asked_for_neighbours_then_it_leads_nowhere(machine: LearningMachine) -> None:
    _tie(machine, "Ann", "knows", "Ben")
    (tie,) = machine.learnings(kind="relationship")
    machine.retract(tie.id, by="bob")
    ann = machine.entity("Ann")
    assert ann is not None
    assert (ann.neighbours, ann.relationships) == ((), ())


def test_given_neighbours_when_asked_for_then_one_statement_answers(machine: LearningMachine, app_db: Database) -> None:
    _tie(machine, "Ann", "knows", "Ben")
    ann = machine.entity("Ann")
    assert ann is not None
    statements: list[str] = []
    listening.listen(app_db.engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
    found = app_db.run("default", lookup.around, "default", ["namespace/global"], [ann.id], 3)
    assert [each.name for each in found] == ["Ann", "Ben"]
    assert len([each for each in statements if "set_config" not in each]) == 1


def test_given_a_hub_of_many_when_asked_for_then_the_nearest_are_told_and_no_more(
    machine: LearningMachine, everything_db: Database
) -> None:
    _tie(machine, "Hub", "knows", "Spoke")
    with everything_db.transaction() as session:
        from sqlalchemy import text

        session.execute(
            text("""
                WITH made AS (
                    INSERT INTO learning.entity (tenant, id, namespace, type, name, name_key)
                    SELECT 'default', gen_random_uuid(), 'global', 'person', 'p' || n, 'p' || n FROM generate_series(1, 2000) n
                    RETURNING id)
                INSERT INTO learning.learning (tenant, id, store, kind, scope, namespace, about, target, content, content_key,
                                               data, status, valid_from, live_from, origin)
                SELECT l.tenant, gen_random_uuid(), l.store, l.kind, l.scope, l.namespace, m.id, l.about, 'x: knows Hub',
                       'k' || m.id, l.data, 'active', now(), now(), 'import'
                FROM made m CROSS JOIN learning.learning l WHERE l.kind = 'relationship'
            """)
        )
    hub = machine.entity("Hub", hops=3)
    assert hub is not None
    assert len(hub.neighbours) == lookup.MAX_ENTITIES - 1
    assert len(hub.relationships) == lookup.MAX_LEARNINGS + 1
    assert {each.distance for each in hub.neighbours} == {1}


def test_given_entities_when_searched_then_names_come_before_what_is_said_of_them(machine: LearningMachine) -> None:
    machine.add("Uses PostgreSQL", entity="Acme Corp", type="company", by="bob")
    machine.add("Always on time", entity="Northwind", type="company", by="bob")
    machine.add("Was bought by Acme", entity="Initech", type="company", by="bob")
    machine.add("Lives in Rome", entity="Al", type="person", by="bob")
    machine.add("NW, Inc.", kind="alias", entity="Northwind", type="company", by="bob")

    def names(*query: Any, **filters: Any) -> list[str]:
        return [each.name for each in machine.search_entities(*query, **filters)]

    assert names("acme") == ["Acme Corp", "Initech"]
    assert names("postgres") == []
    assert names("PostgreSQL") == ["Acme Corp"]
    assert names("corp acme") == ["Acme Corp", "Initech"]
    assert names("nw inc") == ["Northwind"]
    assert names("al") == ["Al"]
    assert names("acme", type="person") == []
    assert names() == ["Al", "Initech", "Northwind", "Acme Corp"]
    assert names(type="person") == ["Al"]
    assert names(limit=2) == ["Al", "Initech"]
    assert names("%") == names("!?") == []
    (acme,) = machine.search_entities("PostgreSQL")
    assert (acme.facts, acme.neighbours) == (("Uses PostgreSQL",), ())


def test_given_namespaces_when_asked_for_then_only_those_that_are_read_answer(place: Place) -> None:
    own = EntityMemoryConfig(namespace="user", also_reads=("global",))
    with place.machine(entity_memory=True) as everywhere, place.machine(entity_memory=own) as machine:
        everywhere.add("Is a company", entity="Acme", type="company", by="bob")
        machine.add("Owes me money", entity="Acme", type="company", user_id="alex", by="bob")
        _tie(machine, "Ann", "knows", "Ben", user_id="alex")
        mine, theirs, shared = (
            machine.entity("Acme", user_id="alex"),
            machine.entity("Acme", user_id="kim"),
            everywhere.entity("Acme"),
        )
        assert mine is not None
        assert theirs is not None
        assert shared is not None
        assert (mine.facts, mine.namespace) == (("Owes me money",), "user")
        assert theirs.facts == shared.facts == ("Is a company",)
        assert machine.entity("Ann", user_id="kim") is None
        assert [each.name for each in machine.search_entities("ann", user_id="alex")] == ["Ann", "Ben"]
        assert machine.search_entities("ann", user_id="kim") == everywhere.search_entities("ann") == ()
        assert everywhere.search_entities("money") == ()
    with place.machine(entity_memory=EntityMemoryConfig(namespace="user")) as closed:
        for call in (lambda: closed.entity("Acme"), closed.search_entities):
            with pytest.raises(InvalidArgument) as refused:
                call()
            assert refused.value.argument == "user_id"
    with place.machine() as without, pytest.raises(InvalidArgument, match="store"):
        without.entity("Acme")


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, 5])
def test_given_what_is_no_name_when_asked_for_then_it_is_refused(machine: LearningMachine, name: Any) -> None:
    with pytest.raises(InvalidArgument, match="name"):
        machine.entity(name)
