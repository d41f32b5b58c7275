"""The insights that an extraction is shown as known: of its namespace, live, and like what is said."""

from datetime import UTC, datetime, timedelta

import pytest

from harness import Place as Served
from learning_machine import LearnedKnowledgeConfig
from learning_schemas.ids import uuid7
from learning_schemas.spec import StoreSpec
from learning_stores.database import Database
from learning_stores.learned_knowledge import MAX_KNOWN, LearnedKnowledgeStore
from learning_stores.operations import LiveLearning
from learning_stores.place import Place
from learning_stores.store import Reading
from learning_stores.window import Window, WindowDelivery, WindowMessage

NOW = datetime(2026, 11, 22, tzinfo=UTC)
STORE = LearnedKnowledgeStore()


def _window(*said: str, earlier: str = "Earlier words about elephants.") -> Window:
    event_id = uuid7()
    messages = tuple(
        WindowMessage(
            label=f"m{number}",
            event_id=event_id,
            index=number,
            role="user",
            name=None,
            text=text,
            at=NOW + timedelta(seconds=number),
            session_id="s1",
            earlier=number == 0,
        )
        for number, text in enumerate((earlier, *said))
    )
    delivery = WindowDelivery(event_id=event_id, generation=1, attempts=0, accepted_no=1, occurred_at=NOW)
    return Window(user_id="alice", spec_hash="x", deliveries=(delivery,), messages=messages, more=False)


@pytest.fixture
def saved(place: Served) -> None:
    """Insights on three subjects, one of them only proposed, one in another namespace."""
    with place.machine(learned_knowledge=True) as machine:
        save = next(tool for tool in machine.tools(user_id="alice") if tool.name == "save_learning")
        for learning in ("Pin versions of images", "Elephants need space", "Rotate the keys of images"):
            assert save(title="About it", learning=learning) == "Saved."
    for config in (LearnedKnowledgeConfig(mode="PROPOSE"), LearnedKnowledgeConfig(namespace="ops")):
        with place.machine(learned_knowledge=config) as machine:
            write = next(tool for tool in machine.tools(user_id="alice") if tool.name != "search_learnings")
            write(title="Elsewhere", learning="Scan images")


def _known(database: Database, window: Window, namespace: str = "global") -> list[LiveLearning]:
    place = Place(tenant="default", store=STORE.name, scope=f"namespace/{namespace}", namespace=namespace)
    reading = Reading(place=place, scopes=[place.scope], spec=StoreSpec(scope="session"))
    return database.run("default", STORE.known, reading, window)


@pytest.mark.usefixtures("saved")
def test_given_insights_when_a_window_is_read_then_the_live_ones_like_it_are_known_newest_first(
    app_db: Database,
) -> None:
    known = _known(app_db, _window("Our image broke.", "Which versions?"))

    assert [learning.data["learning"] for learning in known] == ["Rotate the keys of images", "Pin versions of images"]
    assert {learning.data["title"] for learning in known} == {"About it"}
    assert [learning.kind for learning in known] == ["insight"] * 2


@pytest.mark.usefixtures("saved")
def test_given_another_namespace_when_a_window_is_read_then_only_its_insights_are_known(app_db: Database) -> None:
    assert [one.data["learning"] for one in _known(app_db, _window("An image"), "ops")] == ["Scan images"]
    assert _known(app_db, _window("An image"), "sales") == []


@pytest.mark.usefixtures("saved")
def test_given_a_long_window_when_read_then_its_newest_words_are_looked_for(app_db: Database) -> None:
    known = _known(app_db, _window("elephants " * 500, "padding " * 500, "image"))

    assert all("images" in learning.data["learning"] for learning in known)
    assert known != []


@pytest.mark.usefixtures("saved")
def test_given_words_that_nothing_is_like_when_a_window_is_read_then_nothing_is_known(app_db: Database) -> None:
    assert _known(app_db, _window("Good morning!", "And to you.")) == []


def test_given_many_insights_when_a_window_is_read_then_a_bounded_number_is_known(
    place: Served, app_db: Database
) -> None:
    with place.machine(learned_knowledge=True) as machine:
        save = next(tool for tool in machine.tools(user_id="alice") if tool.name == "save_learning")
        for number in range(MAX_KNOWN + 5):
            save(title=f"Image {number}", learning=f"An image of {number} layers works")

    assert len(_known(app_db, _window("an image"))) == MAX_KNOWN
