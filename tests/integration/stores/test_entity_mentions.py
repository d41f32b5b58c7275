"""What extraction is shown as known: the entities that a window mentions, and those that the session spoke of lately."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from harness import event, rows, turn
from integration.stores.steps import claim, mailbox_id, take_in, window_of, work
from learning_schemas.scope import namespace_scope
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.admission import AT_ONCE
from learning_stores.database import Database
from learning_stores.entity_memory import EntityMemoryStore
from learning_stores.entity_mentions import MAX_KNOWN, MAX_MENTIONED
from learning_stores.entity_statements import (
    alias_of,
    event_of,
    fact_of,
    property_of,
    relationship_of,
)
from learning_stores.operations import Citation, EntityName, LiveLearning, Operation, Put, Retire
from learning_stores.place import Place
from learning_stores.store import Reading
from learning_stores.window import Window
from learning_stores.writing import Written, write

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SPEC = StoreSpec(scope="session", debounce=0)
MACHINE = MachineSpec(stores={"entity_memory": SPEC})
STORE = EntityMemoryStore()
ACME, BOB = EntityName("Acme Corp", "company"), EntityName("Bob", "person")
CITED = (Citation(occurred_at=NOW),)


def place(user_id: str | None = "alice", namespace: str = "global", tenant: str = "default") -> Place:
    scope = namespace_scope(namespace, user_id)
    assert scope is not None
    return Place(
        tenant=tenant,
        store="entity_memory",
        scope=scope,
        user_id=user_id,
        session_id="s1",
        namespace=namespace,
    )


def called(entity: EntityName, *names: str) -> list[Put]:
    return [alias_of(entity, name, CITED) for name in (entity.name, *names)]


class Scene:
    """A memory of entities, and windows of what is said."""

    def __init__(self, app_db: Database, dispatcher_db: Database, everything_db: Database) -> None:
        self.app, self.dispatcher, self.everything = app_db, dispatcher_db, everything_db

    def write(self, *operations: Operation, at: Place | None = None) -> Written:
        at = at or place()
        return self.app.run(at.tenant, write, at, operations, AT_ONCE, origin="tool", action="tried")

    def said(self, words: str, **values: Any) -> Window:
        """A window of an event with these words, which is settled with nothing found."""
        return self._window(words, (), **values)

    def told(self, words: str, *operations: Put, **values: Any) -> Window:
        """The same, where an extraction found these, each citing the words."""
        return self._window(words, operations, **values)

    def known(self, words: str, at: Place | None = None, **values: Any) -> list[LiveLearning]:
        """What the next extraction is shown for these words."""
        at = at or place()
        window = self.said(words, **values)
        reading = Reading(place=at, scopes=[at.scope], spec=SPEC)
        return self.app.run(at.tenant, STORE.known, reading, window)

    def _window(self, words: str, operations: tuple[Put, ...], **values: Any) -> Window:
        take_in(self.dispatcher, event(messages=turn(words), **values), spec=MACHINE)
        held = claim(self.app, mailbox_id(self.everything, "entity_memory"))
        window = window_of(self.app, held)
        (said, *_) = [each for each in window.messages if not each.earlier and each.role == "user"]
        cited = (
            Citation(
                event_id=said.event_id, message=said.index, quote=words, user_id=held.user_id, occurred_at=said.at
            ),
        )
        mine = [Put(**{**each.__dict__, "citations": cited}) for each in operations]
        at = place(held.user_id)
        work(self.app, held, *mine, window=window, place=at)
        return window


@pytest.fixture
def scene(app_db: Database, dispatcher_db: Database, everything_db: Database) -> Scene:
    return Scene(app_db, dispatcher_db, everything_db)


def told(known: list[LiveLearning]) -> list[tuple[str, str, str | None]]:
    return [(each.kind, each.content, each.entity) for each in known]


def test_given_entities_when_a_window_names_one_then_it_alone_is_known_names_first_and_the_newest_next(
    scene: Scene,
) -> None:
    scene.write(*called(ACME), fact_of(ACME, "Uses MySQL", CITED))
    scene.write(property_of(ACME, "industry", "retail", CITED))
    scene.write(*called(BOB), fact_of(BOB, "Lives in Oslo", CITED))

    known = scene.known("What does ACME corp's team use?")

    assert told(known) == [
        ("alias", "Acme Corp", "Acme Corp"),
        ("property", "industry: retail", "Acme Corp"),
        ("fact", "Uses MySQL", "Acme Corp"),
    ]
    assert {each.entity_type for each in known} == {"company"}
    assert known[1].data == {"name": "industry", "value": "retail"}


def test_given_an_alias_when_a_window_uses_it_then_its_entity_is_known_by_its_own_name(scene: Scene) -> None:
    scene.write(*called(ACME, "Acme, Inc."), fact_of(ACME, "Uses MySQL", CITED))

    assert ("fact", "Uses MySQL", "Acme Corp") in told(scene.known("We met acme, inc. yesterday"))
    assert scene.known("Acmeinc and incacme are something else", session_id="s2") == []


def test_given_a_relationship_when_either_end_is_named_then_it_is_known_with_both(scene: Scene) -> None:
    scene.write(*called(BOB), *called(ACME), relationship_of(BOB, "CTO of", ACME, CITED))

    for words in ("Is Bob there?", "Is Acme Corp there?"):
        (edge,) = [each for each in scene.known(words, session_id=words) if each.kind == "relationship"]
        assert (edge.entity, edge.entity_type) == ("Bob", "person")
        assert edge.data == {"relation": "CTO of", "target": "Acme Corp", "target_type": "company"}


def test_given_two_things_of_one_name_when_it_is_said_then_both_are_known(scene: Scene) -> None:
    product = EntityName("Acme Corp", "product")
    scene.write(*called(ACME), *called(product))
    assert {(each.entity, each.entity_type) for each in scene.known("Acme Corp?")} == {
        ("Acme Corp", "company"),
        ("Acme Corp", "product"),
    }


def test_given_what_was_retired_when_its_entity_is_named_then_it_is_not_known(scene: Scene) -> None:
    scene.write(*called(ACME))
    (fact,) = scene.write(fact_of(ACME, "Uses MySQL", CITED)).learning_ids
    assert fact is not None
    scene.write(Retire(learning_id=fact, citations=(Citation(occurred_at=datetime.now(UTC)),)))
    assert told(scene.known("Acme Corp?")) == [("alias", "Acme Corp", "Acme Corp")]


def test_given_an_entity_that_the_session_spoke_of_when_it_is_only_pointed_at_then_it_is_known(scene: Scene) -> None:
    scene.write(*called(BOB), fact_of(BOB, "Lives in Oslo", CITED))
    scene.told("Acme Corp uses MySQL", *called(ACME), fact_of(ACME, "Uses MySQL", CITED), session_id="s1")

    known = scene.known("It is moving to PostgreSQL", session_id="s1")
    elsewhere = scene.known("It is moving to PostgreSQL", session_id="s2", at=_session("s2"))

    assert told(known) == [("alias", "Acme Corp", "Acme Corp"), ("fact", "Uses MySQL", "Acme Corp")]
    assert elsewhere == []


def _session(session_id: str, user_id: str = "alice") -> Place:
    return Place(**{**place(user_id).__dict__, "session_id": session_id})


def test_given_another_users_session_of_the_same_id_when_it_spoke_of_something_then_it_is_not_ours(
    scene: Scene,
) -> None:
    scene.told("Acme Corp uses MySQL", *called(ACME), user_id="bob", session_id="s1")
    assert scene.known("It is moving", user_id="alice", session_id="s1") == []


def test_given_entities_of_others_when_they_are_named_then_no_scope_but_ones_own_is_read(scene: Scene) -> None:
    for at in (place("bob", "user"), place(namespace="team"), place(tenant="other")):
        scene.write(*called(ACME), fact_of(ACME, f"Seen from {at.scope}", CITED), at=at)

    assert scene.known("Acme Corp?") == []
    assert scene.known("Acme Corp?", at=place("alice", "user")) == []
    assert ("fact", "Seen from namespace/user/bob", "Acme Corp") in told(
        scene.known("Acme Corp?", at=place("bob", "user"))
    )


def test_given_very_much_that_is_known_when_a_window_names_much_then_it_is_bounded_and_what_is_named_comes_first(
    scene: Scene,
) -> None:
    crowd = [EntityName(f"Firm {number}", "company") for number in range(MAX_MENTIONED + 5)]
    for each in crowd:
        scene.write(*called(each), *(fact_of(each, f"{each.name} has {n}", CITED) for n in range(8)))
    scene.told("Acme Corp uses MySQL", *called(ACME), session_id="s1")
    scene.said("Let us go on", session_id="s1")  # so that the window shows it no more

    known = scene.known(", ".join(each.name for each in crowd), session_id="s1")

    assert len(known) == MAX_KNOWN
    assert len({each.about for each in known}) == MAX_MENTIONED
    assert "Acme Corp" not in {each.entity for each in known}


def test_given_one_entity_with_very_many_facts_when_it_is_named_beside_another_then_both_are_known(
    scene: Scene,
) -> None:
    scene.write(*called(ACME), *called(BOB), fact_of(BOB, "Lives in Oslo", CITED))
    scene.write(*(fact_of(ACME, f"Fact {number}", CITED) for number in range(400)))

    known = scene.known("Bob, Acme Corp")

    assert sum(each.entity == "Acme Corp" for each in known) == 100
    assert ("fact", "Lives in Oslo", "Bob") in told(known)
    assert [each.kind for each in known[:2]] == ["alias", "alias"]


def test_given_an_event_with_a_date_when_its_entity_is_named_then_the_date_is_known(scene: Scene) -> None:
    scene.write(*called(ACME), event_of(ACME, "Went public", "2026-11", CITED))
    (happened,) = [each for each in scene.known("Acme Corp") if each.kind == "event"]
    assert happened.data == {"date": "2026-11"}


def test_given_what_is_known_when_a_fact_of_the_window_replaces_it_then_it_is_retired_for_the_new_one(
    scene: Scene,
) -> None:
    scene.write(*called(ACME), fact_of(ACME, "Uses MySQL", CITED))
    words = "Acme Corp switched from MySQL to PostgreSQL."
    known = {f"k{number}": each for number, each in enumerate(scene.known(words), 1)}
    (label,) = [label for label, each in known.items() if each.kind == "fact"]
    empty: dict[str, Any] = {name: [] for name in ("entities", "properties", "events", "relationships", "retract")}
    fact = {
        "entity": "Acme Corp",
        "type": "company",
        "content": "Uses PostgreSQL",
        "replaces": label,
        "message": "m1",
        "quote": words,
    }
    patch = STORE.patch_model(SPEC).model_validate({**empty, "facts": [fact]})
    window = scene.said(words, session_id="s2")

    found = STORE.operations(patch, window, known, SPEC)
    written = scene.write(*found.kept)

    assert (found.dropped.total(), written.changes) == (0, {"updated": 1})
    query = "SELECT content, status, replaced_by FROM learning.learning WHERE kind = 'fact' ORDER BY live_from"
    old, new = rows(scene.everything, query)
    assert (old["content"], old["status"], new["content"], new["status"]) == (
        "Uses MySQL",
        "retired",
        "Uses PostgreSQL",
        "active",
    )
    assert isinstance(old["replaced_by"], UUID)
