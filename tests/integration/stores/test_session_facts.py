"""Fields of the user's own in a session's context: one live row each, replaced and not accumulated, shown under a heading."""

from datetime import UTC, datetime
from typing import Any

from harness import Place as Served
from harness import rows
from learning_machine import SessionContextConfig, UserProfile
from learning_schemas.ids import uuid7
from learning_stores.applying import apply
from learning_stores.database import Database
from learning_stores.operations import Provenance
from learning_stores.place import Place
from learning_stores.session_context import SessionContextStore
from learning_stores.window import Window, WindowDelivery, WindowMessage

NOW = datetime(2026, 11, 22, tzinfo=UTC)
STORE = SessionContextStore()
CONFIG = SessionContextConfig(schema=UserProfile)


def _learn(database: Database, **fields: Any) -> dict[str, int]:
    event_id = uuid7()
    message = WindowMessage(
        label="m1",
        event_id=event_id,
        index=0,
        role="user",
        name=None,
        text="It is so",
        at=NOW,
        session_id="s1",
        earlier=False,
    )
    delivery = WindowDelivery(event_id=event_id, generation=1, attempts=0, accepted_no=1, occurred_at=NOW)
    window = Window(user_id="alice", spec_hash="x", deliveries=(delivery,), messages=(message,), more=False)
    cited = {name: {"value": value, "messages": ["m1"]} for name, value in fields.items()}
    answer = {"summary": None, "fields": {"name": None, "preferred_name": None} | cited}
    spec = CONFIG.spec()
    found = STORE.operations(STORE.patch_model(spec).model_validate(answer), window, {}, spec)
    place = Place(
        tenant="default", store=STORE.name, scope="session/alice/s1", user_id="alice", session_id="s1", namespace=None
    )
    source = Provenance(place=place, made_by=uuid7())
    return dict(database.run("default", apply, source, found.kept).changes)


def test_given_a_fact_of_a_session_when_it_changes_then_the_new_value_takes_its_place_and_recall_shows_it(
    place: Served, app_db: Database, everything_db: Database
) -> None:
    assert _learn(app_db, name="The ACME migration", preferred_name="ACME") == {"added": 2}
    assert _learn(app_db, name="The Initech migration") == {"updated": 1}

    live = rows(everything_db, "SELECT content FROM learning.learning WHERE status = 'active' ORDER BY content")
    assert [row["content"] for row in live] == ["name: The Initech migration", "preferred name: ACME"]
    with place.machine(session_context=CONFIG) as machine:
        here = machine.recall(user_id="alice", session_id="s1")
        elsewhere = machine.recall(user_id="alice", session_id="s2")
    assert "Facts of this session:\n- name: The Initech migration" in here.context
    assert elsewhere.learnings == ()


def test_given_facts_of_a_session_then_they_are_not_taken_for_fields_of_the_users_profile(
    place: Served, app_db: Database
) -> None:
    _learn(app_db, name="The ACME migration")
    with place.machine(session_context=CONFIG, user_profile=True) as machine:
        recalled = machine.recall(user_id="alice", session_id="s1")

    assert [learning.store for learning in recalled.learnings] == ["session_context"]
    assert recalled.fields == {}
