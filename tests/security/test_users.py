"""Users of one tenant: what is one user's own reaches no other's prompt and no other's recall, whatever they are called."""

import json
import unicodedata
from typing import Any

import pytest

from harness import Place, event, rows, turn
from integration.workers.conftest import Desk
from learning_machine import EntityMemoryConfig, InvalidArgument, LearnedKnowledgeConfig, LearningMachine
from learning_schemas.errors import InvalidEvent
from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import uuid7
from learning_schemas.scope import namespace_scope, scope_of, session_scope, subject_of, user_scope
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.database import Database
from scripted_model import Answer, Asked, ScriptedModel, patch, repeat

OWN = MachineSpec(
    stores={
        "user_profile": StoreSpec(scope="user", debounce=0),
        "session_context": StoreSpec(scope="session", debounce=0),
        "entity_memory": StoreSpec(scope="session", debounce=0, namespace="user"),
        "learned_knowledge": StoreSpec(scope="session", debounce=0, namespace="user"),
    }
)
HERS = {
    "entity": "Orion Mining",
    "insight": "Ship quartz by way of the northern strait",
    "memory": "Keeps her key in Oslo",
}


def everybodys(place: Place) -> LearningMachine:
    """A machine whose entities and insights are each user's own."""
    return place.machine(
        user_profile=True,
        session_context=True,
        entity_memory=EntityMemoryConfig(namespace="user"),
        learned_knowledge=LearnedKnowledgeConfig(namespace="user"),
    )


def nothing(asked: Asked) -> Answer:
    """An answer that remembers nothing but a summary."""
    if asked.store == "entity_memory":
        return patch(entities=[], facts=[], properties=[], events=[], relationships=[], retract=[])
    if asked.store == "learned_knowledge":
        return patch(insights=[], confirm=[], retract=[])
    return repeat(asked)


def extract_all(desk: Desk) -> None:
    """Work on every mailbox that there is."""
    for store in OWN.stores:
        extractor = desk.extractor(store)
        for row in rows(desk.everything_db, "SELECT id, tenant FROM learning.mailbox WHERE store = :s", s=store):
            extractor.work(row["tenant"], row["id"])


def test_given_what_is_one_users_own_when_another_speaks_of_the_same_then_no_prompt_and_no_recall_has_it(
    place: Place, desk: Desk, scripted: ScriptedModel
) -> None:
    scripted.answer = nothing
    with everybodys(place) as machine:
        machine.add(HERS["memory"], user_id="ada", by="ann")
        machine.add("Digs quartz", entity=HERS["entity"], type="company", user_id="ada", by="ann")
        machine.add(title="Quartz", learning=HERS["insight"], user_id="ada", by="ann")
        said = "Orion Mining digs quartz: how do we ship it, and where is my key in Oslo?"
        for user in ("ada", "bob"):
            desk.take_in(event(user_id=user, session_id="s1", messages=turn(said)), spec=OWN)
        extract_all(desk)

        prompts = {(store, user): "" for store in OWN.stores for user in ("ada", "bob")}
        for number, asked in enumerate(scripted.asked):
            prompts[asked.store, ("ada", "bob")[number % 2]] += asked.data.split("<transcript>")[0]
        known = {store: [user for user in ("ada", "bob") if _hers(prompts[store, user])] for store in OWN.stores}
        assert len(scripted.asked) == 8
        assert known == {
            "user_profile": ["ada"], "session_context": [], "entity_memory": ["ada"], "learned_knowledge": ["ada"]
        }  # fmt: skip
        for query in (None, said):
            hers = machine.recall(query, user_id="ada", session_id="s1", freshness="extracted", deadline=20.0)
            his = machine.recall(query, user_id="bob", session_id="s1", freshness="extracted", deadline=20.0)
            assert _hers(hers.context) >= 3
            assert HERS["insight"] not in his.context
            assert HERS["memory"] not in his.context
            assert "Digs quartz" not in his.context
        assert machine.entity(HERS["entity"], user_id="bob") is None
        assert machine.search_entities("quartz", user_id="bob") == ()
        assert not [each for each in machine.search("quartz", user_id="bob") if "northern" in each.learning.content]
        with pytest.raises(InvalidArgument, match="user_id"):
            machine.entity(HERS["entity"])


def _hers(text: str) -> int:
    return sum(each in text for each in (*HERS.values(), "Digs quartz"))


def test_given_two_users_of_one_session_id_then_context_history_learnings_and_overlay_are_two(
    place: Place, desk: Desk, scripted: ScriptedModel, everything_db: Database
) -> None:
    scripted.answer = nothing
    same = [{"role": "user", "content": "The vault opens at noon."}, {"role": "assistant", "content": "Noted."}]
    users: tuple[str | None, ...] = ("ada", "bob", None)
    only_session = MachineSpec(stores={"session_context": StoreSpec(scope="session", debounce=0)})
    for user in users:
        desk.take_in(event(user_id=user, session_id="s1", messages=same), spec=only_session)
    shown = rows(everything_db, "SELECT shown_before FROM learning.conversation_event")
    assert [row["shown_before"] for row in shown] == [0, 0, 0]  # nobody's history is another's
    desk.take_in(event(user_id="ada", session_id="s1", messages=turn("And it shuts at one.")), spec=only_session)
    for row in rows(everything_db, "SELECT id, tenant FROM learning.mailbox ORDER BY id"):
        desk.extractor("session_context").work(row["tenant"], row["id"])
    assert [sum("shuts at one" in asked.data for asked in scripted.asked)] == [1]

    with place.machine(session_context=True) as machine:
        machine.add("Is about the vault", session_id="s1", user_id="ada", kind="goal", by="ann")
        machine.emit(turn("The code is 4711."), user_id="ada", session_id="s1")
        contexts = [machine.recall(user_id=user, session_id="s1", deadline=20.0) for user in users]
        assert ["4711" in each.context for each in contexts] == [True, False, False]
        assert ["about the vault" in each.context for each in contexts] == [True, False, False]
        listed = [machine.learnings(user_id=user, session_id="s1", kind="goal") for user in users]
        assert [len(each) for each in listed] == [1, 0, 0]


# Ids that look like each other, or like the key of another: each is somebody else, or is refused.
ALIKE = [
    "bob", "Bob", "BOB", "bob%", "bob/", "/bob", "bob%2F", "bob%252F", "user/bob", "user%2Fbob", "global", "user", "..", ".", "%",
    "b\u00f6b", unicodedata.normalize("NFD", "b\u00f6b"), "\uff42\uff4f\uff42", "b\u043eb", "b\u200dob", "b\u200cob", "bo\u0308b",
    "\ufb01n", "fin", "null", "None", "\\x00", "bob'; --", "bob\u00a0x", "bob x", "*", "?", "{bob}", "s1", "bob:s1",
]  # fmt: skip
REFUSED = [
    "",
    " bob",
    "bob ",
    "bob\u00a0",
    "bob\n",
    "bo\x00b",
    "b\u200bob",
    "\ufeffbob",
    "bob\u202e",
    "bo\x1bb",
    "b\u2028ob",
    "b" * 256,
]


def test_given_ids_that_look_alike_then_no_two_pairs_of_them_make_one_key() -> None:
    ids = list(dict.fromkeys(ALIKE))
    users = {user_scope(each) for each in ids}
    sessions = {session_scope(user, each) for each in ids for user in [None, *ids]}
    namespaces = {namespace_scope(each, None) for each in ids if each != "user"}
    own = {namespace_scope("user", each) for each in ids}
    subjects = {subject_of(user, each) for each in ids for user in [None, *ids]}
    assert len(users) == len(own) == len(ids)
    assert len(sessions) == len(ids) * (len(ids) + 1)
    assert len(namespaces) == len(ids) - 1
    assert len(subjects) == 2 * len(ids)
    every = [users, sessions, namespaces, own]
    assert len(set().union(*every)) == sum(map(len, every))
    assert scope_of("user", None, "s1") is None
    assert namespace_scope("user", None) is None


@pytest.mark.parametrize("given", REFUSED, ids=ascii)
def test_given_an_id_that_hides_what_it_is_then_every_way_in_refuses_it(place: Place, given: str) -> None:
    with pytest.raises(InvalidEvent, match="user_id"):
        ConversationCompleted.make(
            {"id": uuid7(), "user_id": given, "messages": turn("x"), "occurred_at": event().occurred_at}
        )
    with place.machine(user_profile=True) as machine:
        with pytest.raises(InvalidEvent):
            machine.emit(turn("x"), user_id=given, session_id="s")
        for call in (
            lambda: machine.recall(user_id=given), lambda: machine.learnings(user_id=given), lambda: machine.tools(user_id=given),
            lambda: machine.for_tenant(given), lambda: machine.add("x", user_id=given, by="ann"),
            lambda: machine.search("x", user_id=given),
        ):  # fmt: skip
            with pytest.raises(InvalidArgument):
                call()


def test_given_users_whose_ids_look_alike_then_each_has_their_own_memory_and_no_other(
    place: Place, everything_db: Database
) -> None:
    ids = list(dict.fromkeys(ALIKE))
    with everybodys(place) as machine:
        for number, user in enumerate(ids):
            machine.add(f"Has number {number}.", user_id=user, by="ann")
            machine.add(title="Number", learning=f"Of {number}: count to {number}", user_id=user, by="ann")
        for number, user in enumerate(ids):
            found = {each.content for each in machine.recall(user_id=user, session_id="s", deadline=20.0).learnings}
            assert {each for each in found if "Has" in each} == {f"Has number {number}."}, ascii(user)
            assert len([each for each in found if "count" in each]) == 1, ascii(user)
    kept: list[Any] = rows(everything_db, "SELECT DISTINCT user_id FROM learning.learning")
    assert {row["user_id"] for row in kept} == set(ids)


def test_given_a_namespace_called_like_a_users_own_then_it_is_a_shared_one_beside_it(place: Place) -> None:
    with everybodys(place) as machine:
        machine.add(title="Secret", learning="The vault is behind the clock", user_id="bob", by="ann")
    for namespace in ("user/bob", "user%2Fbob", "User", "bob", "namespace/user/bob"):
        with place.machine(learned_knowledge=LearnedKnowledgeConfig(namespace=namespace)) as machine:
            assert machine.learnings() == ()
            assert machine.search("vault", user_id="bob") == ()
            assert "vault" not in json.dumps(
                [tool(query="vault") for tool in machine.tools() if tool.name == "search_learnings"]
            )
