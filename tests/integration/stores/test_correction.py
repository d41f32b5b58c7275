"""What people change: they add, correct and take back, under their name, and their word counts until the user says otherwise."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from harness import Place, event, rows, turn
from integration.stores.steps import BOTH_AT_ONCE, citation, claim, field, mailbox_id, put, take_in, window_of, work
from learning_machine import (
    InvalidArgument,
    Learning,
    LearningMachine,
    LearningStore,
    Operations,
    PatchModel,
    Prompt,
    SessionContextConfig,
    StaleLearning,
    StoreSpec,
    UnknownLearning,
    UserProfile,
    UserProfileConfig,
)
from learning_schemas.ids import uuid7
from learning_stores.database import Database


@pytest.fixture
def machine(place: Place) -> Any:
    """Every built-in store."""
    with place.machine(
        user_profile=True,
        session_context=SessionContextConfig(enable_planning=True),
        entity_memory=True,
        learned_knowledge=True,
    ) as machine:
        yield machine


def _says(app: Database, dispatcher: Database, everything: Database, operation: Any, **more: Any) -> Any:
    """Extract from a new event of alice's with this operation, a function of the window."""
    words = more.pop("messages", turn(f"I work at Netflix. {uuid7()}"))
    take_in(dispatcher, event(messages=words, **more), spec=BOTH_AT_ONCE)
    held = claim(app, mailbox_id(everything))
    window = window_of(app, held)
    return work(app, held, operation(window), window=window).changes


def test_given_what_a_person_adds_when_recalled_then_it_is_there_with_who_said_it(
    machine: LearningMachine, everything_db: Database
) -> None:
    added = machine.add("Is vegetarian", user_id="alex", by="support@acme.com")
    assert "Is vegetarian" in machine.recall(user_id="alex").context
    assert (added.store, added.kind, added.origin, added.confidence) == ("user_profile", "memory", "human", 1)
    (evidence,) = added.evidence
    assert (evidence.origin, evidence.action, evidence.by) == ("human", "added", "support@acme.com")
    (change,) = rows(everything_db, "SELECT * FROM learning.change")
    assert (change["id"], change["subject"], change["undone_at"]) == (evidence.source_id, "user/alex", None)
    assert rows(everything_db, "SELECT made_by FROM learning.learning") == [{"made_by": change["id"]}]


def test_given_what_is_known_already_when_added_then_it_gains_evidence(machine: LearningMachine) -> None:
    first = machine.add("Is vegetarian", user_id="alex", by="bob")
    again = machine.add("is vegetarian.", user_id="alex", by="eve")
    assert again.id == first.id
    assert [each.by for each in again.evidence] == ["bob", "eve"]


def test_given_every_kind_when_added_then_each_has_its_form(machine: LearningMachine) -> None:
    def add(**arguments: Any) -> Learning:
        return machine.add(**arguments, by="bob")

    of_alex, of_acme = {"user_id": "alex"}, {"entity": "Acme Corp", "type": "Companies"}
    assert add(field="preferred_name", value="Al", **of_alex).content == "preferred name: Al"
    plan = add(kind="plan", value=["Book a flight", "Pack"], session_id="s1", **of_alex)
    assert (plan.content, plan.data["steps"]) == ("1. Book a flight; 2. Pack", ["Book a flight", "Pack"])
    assert (plan.user_id, plan.session_id) == ("alex", "s1")
    insight = add(title="CI", learning="Retry the login test once", context="nightly builds", tags=["Flaky", "ci"])
    assert insight.content == "CI: Retry the login test once (nightly builds)"
    assert (insight.namespace, insight.user_id, insight.data["tags"]) == ("global", None, ["flaky", "ci"])
    fact = add(content="Uses PostgreSQL", **of_acme)
    assert (fact.kind, fact.about, fact.about_type) == ("fact", "Acme Corp", "company")
    event = add(content="Hired a CTO", date="2026-11-20", **of_acme)
    assert (event.kind, event.data) == ("event", {"date": "2026-11-20"})
    assert add(field="Industry", value="retail", **of_acme).content == "industry: retail"
    assert add(content="A retailer", kind="description", **of_acme).kind == "description"
    assert add(content="Acme", kind="alias", **of_acme).kind == "alias"
    tie = add(relation="CTO of", entity="Bob", type="person", target="ACME", target_type="company")
    assert tie.content == "Bob: CTO of ACME"
    assert tie.data == {"relation": "CTO of", "target": "Acme Corp", "target_type": "company"}


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({}, "content"),
        ({"content": "  "}, "content"),
        ({"content": "x" * 4_001}, "content"),
        ({"content": 5}, "content"),
        ({"content": "Is vegetarian", "value": "yes"}, "value"),
        ({"content": "Is vegetarian", "user_id": None}, "user_id"),
        ({"content": "Is vegetarian", "by": ""}, "by"),
        ({"content": "Is vegetarian", "kind": "hobby"}, "kind"),
        ({"content": "Is vegetarian", "store": "diary"}, "store"),
        ({"field": "shoe_size", "value": 44}, "field"),
        ({"field": "name", "value": 44}, "value"),
        ({"field": "name"}, "value"),
        ({"title": "CI"}, "learning"),
        ({"title": "CI", "learning": "Retry", "tags": "ci"}, "tags"),
        ({"content": "Retry", "title": "CI"}, "content"),
        ({"content": "Uses PostgreSQL", "entity": "Acme"}, "type"),
        ({"content": "Was hired", "entity": "Bob", "type": "person", "date": "yesterday"}, "date"),
        ({"relation": "knows", "entity": "Bob", "type": "person", "target": "bob", "target_type": "person"}, "target"),
        ({"relation": "CTO of", "entity": "Bob", "type": "person", "target": "Acme"}, "target_type"),
        ({"kind": "plan", "value": "Pack", "session_id": "s1"}, "value"),
        ({"kind": "summary", "content": "Plans a trip"}, "session_id"),
        ({"content": "x", "data": {"a": 1}}, "data"),
        ({"field": "name", "value": object()}, "value"),
    ],
)
def test_given_arguments_that_do_not_go_together_when_added_then_the_one_at_fault_is_named(
    machine: LearningMachine, everything_db: Database, arguments: dict[str, Any], argument: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        machine.add(**{"user_id": "alex", "by": "bob", **arguments})
    assert refused.value.argument == argument
    assert rows(everything_db, "SELECT id FROM learning.learning") == []


def test_given_a_schema_of_ones_own_when_a_field_is_added_then_its_values_are_checked_by_it(place: Place) -> None:
    from dataclasses import dataclass

    @dataclass
    class Member(UserProfile):
        plan: str | None = None
        seats: int | None = None

    with place.machine(user_profile=UserProfileConfig(schema=Member)) as machine:
        seats = machine.add(field="seats", value=5, user_id="alex", by="bob")
        assert (seats.content, seats.data) == ("seats: 5", {"name": "seats", "value": 5})
        with pytest.raises(InvalidArgument, match="seats"):
            machine.update(seats.id, value="many", by="bob")
        assert machine.update(seats.id, value=6, by="bob").data["value"] == 6
        assert machine.recall(user_id="alex").fields == {"seats": 6}


class DecisionLog(LearningStore):
    """A store of one's own, as far as people write to it."""

    name = "decision_log"
    kinds: ClassVar[Mapping[str, str]] = {"decision": "Decided", "outcome": "What came of it"}

    def prompt(self, spec: StoreSpec) -> Prompt:
        """None."""
        raise AssertionError("nothing is extracted here")

    def patch_model(self, spec: StoreSpec) -> type[PatchModel]:
        """Nothing."""
        return PatchModel

    def operations(self, patch: Any, window: Any, known: Any, spec: StoreSpec) -> Operations:
        """None."""
        raise AssertionError("nothing is extracted here")


def test_given_a_store_of_ones_own_when_people_write_to_it_then_content_and_data_are_kept(place: Place) -> None:
    with place.machine(stores=[DecisionLog], user_profile=True) as machine:
        made = machine.add("Use Postgres", kind="decision", data={"why": ["joins"]}, session_id="s1", by="bob")
        assert (made.store, made.kind, made.data, made.session_id) == (
            "decision_log",
            "decision",
            {"why": ["joins"]},
            "s1",
        )
        changed = machine.update(made.id, content="Use PostgreSQL", by="bob")
        assert (changed.content, changed.data) == ("Use PostgreSQL", {"why": ["joins"]})
        assert machine.update(changed.id, data={"why": []}, by="bob").data == {"why": []}
        with pytest.raises(InvalidArgument, match="kind: is needed for decision_log"):
            machine.add("Use Postgres", store="decision_log", session_id="s1", by="bob")
        with pytest.raises(InvalidArgument, match="title"):
            machine.add("Use it", title="DB", store="decision_log", kind="decision", session_id="s1", by="bob")


def test_given_a_secret_when_a_person_adds_it_then_it_is_redacted(machine: LearningMachine) -> None:
    added = machine.add("Has the key sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD", user_id="alex", by="bob")
    assert "sk-proj" not in added.content
    assert "[redacted" in added.content


def test_given_a_learning_when_corrected_then_a_new_row_is_live_and_the_old_one_says_so(
    machine: LearningMachine, everything_db: Database
) -> None:
    old = machine.add("Lives in Berlin", user_id="alex", by="bob")
    new = machine.update(str(old.id), content="Lives in Paris", by="eve")
    was = machine.get(old.id)
    assert (new.content, new.status, new.user_id, new.origin) == ("Lives in Paris", "active", "alex", "human")
    assert [(each.action, each.by) for each in new.evidence] == [("corrected", "eve")]
    assert (was.status, was.retired_reason, was.replaced_by) == ("retired", "corrected", new.id)
    assert was.content == "Lives in Berlin"
    assert was.retired_at == new.live_from
    assert was.valid_to == new.valid_from
    (row,) = rows(everything_db, "SELECT retired_by FROM learning.learning WHERE status = 'retired'")
    assert row["retired_by"] == new.evidence[0].source_id


def test_given_a_mere_change_of_case_when_corrected_then_the_new_wording_counts(machine: LearningMachine) -> None:
    old = machine.add("lives in berlin", user_id="alex", by="bob")
    new = machine.update(old.id, content="Lives in Berlin.", by="bob")
    assert new.id != old.id
    assert [each.content for each in machine.learnings(user_id="alex")] == ["Lives in Berlin."]


def test_given_the_same_wording_when_corrected_then_the_learning_stays_and_gains_evidence(
    machine: LearningMachine,
) -> None:
    old = machine.add("Lives in Berlin", user_id="alex", by="bob")
    same = machine.update(old.id, content="Lives in Berlin", by="eve")
    assert same.id == old.id
    assert [each.by for each in same.evidence] == ["bob", "eve"]


def test_given_a_correction_to_what_is_known_beside_it_when_made_then_one_of_the_two_stays(
    machine: LearningMachine,
) -> None:
    berlin = machine.add("Lives in Berlin", user_id="alex", by="bob")
    paris = machine.add("Lives in Paris", user_id="alex", by="bob")
    assert machine.update(berlin.id, content="Lives in Paris", by="eve").id == paris.id
    assert [each.id for each in machine.learnings(user_id="alex")] == [paris.id]
    assert machine.get(berlin.id).replaced_by == paris.id


def test_given_parts_of_an_insight_when_corrected_then_the_others_stay(machine: LearningMachine) -> None:
    old = machine.add(title="CI", learning="Retry the login test once", context="nightly", tags=["ci"], by="bob")
    new = machine.update(old.id, title="Flaky tests", by="bob")
    assert new.content == "Flaky tests: Retry the login test once (nightly)"
    assert new.data == {**old.data, "title": "Flaky tests"}
    without = machine.update(new.id, context="", tags=[], by="bob")
    assert without.content == "Flaky tests: Retry the login test once"
    assert without.data["tags"] == []
    assert [each.id for each in machine.learnings()] == [without.id]


def test_given_learnings_about_entities_when_corrected_then_they_stay_about_them(machine: LearningMachine) -> None:
    acme: dict[str, Any] = {"entity": "Acme", "type": "company", "by": "bob"}
    event = machine.add("Hired Bob", date="2026-11-20", **acme)
    redated = machine.update(event.id, date="2026-11-21", by="bob")
    assert (redated.content, redated.data, redated.about) == ("Hired Bob", {"date": "2026-11-21"}, "Acme")
    tie = machine.add(relation="CTO of", entity="Bob", type="person", target="Acme", target_type="company", by="bob")
    retied = machine.update(tie.id, relation="CEO of", by="bob")
    assert retied.content == "Bob: CEO of Acme"
    assert (retied.about, retied.data["target"]) == ("Bob", "Acme")
    value = machine.add(field="employees", value="20", **acme)
    assert machine.update(value.id, value="30", by="bob").content == "employees: 30"
    alias = machine.add("ACME Inc", kind="alias", **acme)
    with pytest.raises(InvalidArgument, match="name of an entity"):
        machine.update(alias.id, content="Acme Incorporated", by="bob")


def test_given_arguments_that_the_kind_has_no_use_for_when_corrected_then_they_are_refused(
    machine: LearningMachine,
) -> None:
    name = machine.add(field="name", value="Alex", user_id="alex", by="bob")
    with pytest.raises(InvalidArgument, match="content: has no use for a field of user_profile"):
        machine.update(name.id, content="Alexa", by="bob")
    with pytest.raises(InvalidArgument, match="It takes value"):
        machine.update(name.id, by="bob")
    insight = machine.add(title="CI", learning="Retry", by="bob")
    with pytest.raises(InvalidArgument, match="title, learning, context, tags"):
        machine.update(insight.id, content="Never retry", by="bob")
    assert {each.id for each in machine.learnings(user_id="alex")} == {name.id, insight.id}


def test_given_a_learning_that_is_gone_when_changed_then_it_is_said_what_became_of_it(
    machine: LearningMachine,
) -> None:
    old = machine.add("Lives in Berlin", user_id="alex", by="bob")
    new = machine.update(old.id, content="Lives in Paris", by="bob")
    with pytest.raises(StaleLearning, match=rf"{old.id} was retired .*corrected.*learning {new.id} took its place"):
        machine.update(old.id, content="Lives in Rome", by="bob")
    retracted = machine.retract(new.id, by="eve")
    assert (retracted.status, retracted.retired_reason) == ("retired", "retracted by a person")
    assert [(each.action, each.by) for each in retracted.evidence] == [("corrected", "bob"), ("retracted", "eve")]
    for call in (machine.retract, lambda each, by: machine.update(each, content="Lives in Rome", by=by)):
        with pytest.raises(StaleLearning, match="retracted by a person") as stale:
            call(new.id, by="bob")
        assert stale.value.learning_id == new.id
    with pytest.raises(UnknownLearning):
        machine.retract(uuid7(), by="bob")
    assert machine.learnings(user_id="alex") == ()


def test_given_a_persons_correction_when_the_user_says_otherwise_later_then_the_user_has_the_last_word(
    machine: LearningMachine, app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    databases = app_db, dispatcher_db, everything_db
    _says(*databases, lambda w: field(w, "name", "Alice"))
    (said,) = machine.learnings(user_id="alice")
    corrected = machine.update(said.id, value="Alicia", by="bob")
    # Read again, as a replay or a late worker would: what was said before does not count any more.
    _says(*databases, lambda w: field(w, "name", "Alice"), occurred_at=datetime.now(UTC) - timedelta(hours=1))
    (live,) = machine.learnings(user_id="alice")
    assert live.id == corrected.id
    _says(*databases, lambda w: field(w, "name", "Ali"), occurred_at=datetime.now(UTC) + timedelta(seconds=1))
    (live,) = machine.learnings(user_id="alice")
    assert (live.data["value"], live.origin) == ("Ali", "extraction")


def test_given_a_learning_that_a_person_took_back_when_said_by_an_assistant_then_it_stays_gone(
    machine: LearningMachine, app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    databases = app_db, dispatcher_db, everything_db
    _says(*databases, lambda w: put(w, "Works at Netflix"))
    (said,) = machine.learnings(user_id="alice")
    machine.retract(said.id, by="bob")
    later = datetime.now(UTC) + timedelta(seconds=1)

    def as_assistant(window: Any) -> Any:
        of_user = citation(window)
        from dataclasses import replace

        return put(window, "Works at Netflix", citations=(replace(of_user, user_id=None),))

    _says(*databases, as_assistant, occurred_at=later)
    assert machine.learnings(user_id="alice") == ()
    _says(*databases, lambda w: put(w, "Works at Netflix"), occurred_at=later)
    assert [each.content for each in machine.learnings(user_id="alice")] == ["Works at Netflix"]


def test_given_a_message_dated_ahead_when_corrected_then_the_correction_counts(
    machine: LearningMachine, app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=5)
    _says(app_db, dispatcher_db, everything_db, lambda w: field(w, "name", "Alice"), occurred_at=ahead)
    (said,) = machine.learnings(user_id="alice")
    added = machine.add(field="name", value="Alina", user_id="alice", by="bob")
    assert (added.status, machine.get(said.id).replaced_by) == ("active", added.id)
    assert machine.update(added.id, value="Alicia", by="bob").status == "active"
    (live,) = machine.learnings(user_id="alice")
    assert machine.retract(live.id, by="bob").status == "retired"


def test_given_twenty_people_who_correct_one_learning_at_once_then_one_is_taken_and_the_others_are_told(
    machine: LearningMachine,
) -> None:
    old = machine.add("Lives in Berlin", user_id="alex", by="bob")

    def correct(number: int) -> Learning | StaleLearning:
        try:
            return machine.update(old.id, content=f"Lives in city {number}", by=f"person-{number}")
        except StaleLearning as stale:
            return stale

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(correct, range(20)))
    (new,) = [each for each in answers if isinstance(each, Learning)]
    assert all(str(new.id) in str(each) for each in answers if isinstance(each, StaleLearning))
    assert [each.id for each in machine.learnings(user_id="alex")] == [new.id]


def test_given_many_who_add_the_same_at_once_then_there_is_one_with_the_evidence_of_all(
    machine: LearningMachine,
) -> None:
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda n: machine.add("Is vegetarian", user_id="alex", by=f"p{n}"), range(16)))
    (learning,) = machine.learnings(user_id="alex")
    assert {each.id for each in added} == {learning.id}
    assert sorted(each.by or "" for each in learning.evidence) == sorted(f"p{n}" for n in range(16))
