"""Forgetting: nothing of a user, a session or an event is left in any column, and nothing of anybody else's is missing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness import Place, event, rows, turn
from integration.stores.forgetting_scene import (
    ALL,
    Scene,
    entity,
    insight,
    later,
    memory,
    summary,
)
from integration.stores.steps import claim, incoming, take_in, window_of, work
from learning_machine import (
    EntityMemoryConfig,
    InvalidArgument,
    LearnedKnowledgeConfig,
    LearningMachine,
    SubjectClosed,
    UserProfileConfig,
)
from learning_schemas.ids import uuid7
from learning_stores.admission import Admission
from learning_stores.commit import Fenced
from learning_stores.database import Database
from learning_stores.embeddings import begin, record
from learning_stores.event_log import accept_directly
from learning_stores.specs import SpecCache
from learning_stores.unprepared import prepare

WORDS = ("gonzalo", "zorblax", "quuxington", "frobnitz", "wibblework", "snarkov", "blorple")
CORROBORATED = Admission(awaits="corroboration")


@pytest.fixture
def scene(place: Place, app_db: Database, dispatcher_db: Database, everything_db: Database) -> Scene:
    return Scene(place, app_db, dispatcher_db, everything_db)


@pytest.fixture
def machine(place: Place) -> Any:
    """All four stores, what is shared in "global"."""
    with place.machine(
        user_profile=UserProfileConfig(enable_agent_tools=True),
        session_context=True,
        entity_memory=EntityMemoryConfig(enable_agent_tools=True),
        learned_knowledge=LearnedKnowledgeConfig(mode="AGENTIC"),
    ) as machine:
        yield machine


def tool(machine: LearningMachine, user_id: str, tool_name: str, /, **arguments: Any) -> str:
    return str(
        next(each for each in machine.tools(user_id=user_id, session_id="s1") if each.name == tool_name)(**arguments)
    )


def kim(scene: Scene, machine: LearningMachine) -> set[str]:
    """Somebody else, whose memory is not to change; what is live of it."""
    scene.say("kim", "I live in Oslo and Acme Corp is a bank.")
    scene.learn("user_profile", "kim", memory("Lives in Oslo"))
    scene.learn("entity_memory", "kim", entity("Acme Corp", "Acme Corp is a bank"))
    scene.learn("learned_knowledge", "kim", insight("Oslo", "Bring a coat to Oslo."))
    scene.learn("session_context", "kim", summary("About Oslo"))
    machine.add("Likes rain", user_id="kim", by="support")
    return scene.contents()


def everything_of(scene: Scene, machine: LearningMachine, user: str = "gonzalo") -> list[str]:
    """A user of whom there is something in every table; the ids of their events."""
    events = []
    for number, session in enumerate(("s1", "s2", "s1")):
        said = scene.say(user, f"I am at zorblax in quuxington since {number} years, frobnitz.", session_id=session)
        events.append(str(said.id))
        scene.learn("user_profile", user, memory(f"Is at zorblax {number}"))
        scene.learn("session_context", user, summary(f"Talks of quuxington {number}"), session_id=session)
        scene.learn("entity_memory", user, entity("Zorblax", f"Zorblax is in quuxington {number}"), session_id=session)
        scene.learn(
            "learned_knowledge", user, insight("Frobnitz", f"Frobnitz before lunch {number}."), session_id=session
        )
    # Written by tools and people; retired history; proposals; promoted and corrected copies.
    tool(machine, user, "save_memory", content="Owns a wibblework")
    tool(machine, user, "remember_entity", name="Snarkov", type="person", description="A friend of gonzalo.")
    tool(
        machine,
        user,
        "save_learning",
        title="Blorple",
        learning="Blorple twice a day",
        context="gonzalo said",
        tags=["blorple"],
    )
    mine = machine.learnings(user_id=user, store="user_profile")
    machine.retract(mine[0].id, by="support")
    machine.update(mine[1].id, "Owns two wibbleworks", by="support")
    shared = [each for each in machine.learnings(store="learned_knowledge") if "rob" in each.content]
    machine.update(shared[0].id, title="Frobnitzing", learning="Frobnitz before dinner", by="editor")
    said = scene.say(user, "Snarkov says that blorple is best at night.")
    events.append(str(said.id))
    scene.learn("learned_knowledge", user, insight("Blorple", "Blorple at night."), admission=CORROBORATED)
    waiting = scene.say(user, "This waits: zorblax again.")
    events.append(str(waiting.id))
    unprepared = event(user_id=user, messages=turn("By the fallback: quuxington."))
    scene.app.run("default", accept_directly, incoming(unprepared)[0], ALL, SpecCache(), 8)
    events.append(str(unprepared.id))
    scene.app.run("default", _embed)
    return events


def _embed(session: Any) -> None:
    from sqlalchemy import text

    begin(session, "default", "m", 2)
    ids = session.scalars(text("SELECT id FROM learning.learning WHERE status = 'active'")).all()
    record(session, "default", "m", {each: [1.0, 0.5] for each in ids})


def test_given_a_user_in_every_table_when_forgotten_then_no_column_of_any_table_names_them_or_what_they_said(
    scene: Scene, machine: LearningMachine
) -> None:
    others = kim(scene, machine)
    events = everything_of(scene, machine)
    assert {
        "learning.content",
        "evidence.quote",
        "conversation_event.messages",
        "entity.name",
        "extraction.subject",
    } <= set(scene.traces(*WORDS))

    receipt = scene.forget("gonzalo", by="dpo@acme.com")

    assert scene.traces(*WORDS, *events) == {}
    assert scene.contents() == others
    assert set(receipt.found.values()) == {0}
    assert {
        "conversation_event",
        "delivery",
        "learning",
        "evidence",
        "learning_embedding",
        "entity",
        "extraction",
        "change",
    } <= set(receipt.counts)
    [job] = rows(scene.everything, "SELECT finished_at, asked_by, receipt FROM learning.forgetting")
    assert job["finished_at"] is not None
    assert job["asked_by"] == "dpo@acme.com"
    removed = rows(scene.everything, "SELECT reason, events, deliveries, dead FROM learning.removed_count")
    assert removed == [{"reason": "forgotten", "events": 6, "deliveries": 20, "dead": 0}]

    again = scene.forget("gonzalo")
    assert again.counts == {}
    assert scene.contents() == others


def test_given_knowledge_of_two_users_when_one_is_forgotten_then_it_stays_in_words_that_the_other_supports(
    scene: Scene,
) -> None:
    for user, title, learning, context in (
        ("gonzalo", "Zorblax", "Pin the dependencies", "at quuxington"),
        ("kim", "Pinning", "You should pin the dependencies.", None),
    ):
        scene.say(user, f"{learning} {context or ''}")
        scene.learn("learned_knowledge", user, insight(title, learning, context))
    scene.say("gonzalo", "Acme Corp is a bank, wibblework.")
    scene.learn("entity_memory", "gonzalo", entity("Acme Corp", "Is a bank", "Has a wibblework"))
    scene.say("kim", "Indeed Acme Corp is a bank and has 3 branches.")
    scene.learn("entity_memory", "kim", entity("Acme Corp", "Is a bank", "Has 3 branches", named=False))

    receipt = scene.forget("gonzalo")

    assert scene.contents() == {"Pin the dependencies", "Acme Corp", "Is a bank", "Has 3 branches"}
    assert scene.traces("gonzalo", "zorblax", "quuxington", "wibblework") == {}
    assert receipt.counts["reworded"] == 1
    [said] = rows(
        scene.everything,
        "SELECT data, user_id FROM learning.learning WHERE kind = 'insight' AND status = 'active'",
    )
    assert said["data"]["context"] is None
    assert said["data"]["tags"] == []
    subjects = rows(scene.everything, "SELECT DISTINCT subject FROM learning.evidence")
    assert subjects == [{"subject": "user/kim"}]
    assert rows(scene.everything, "SELECT name FROM learning.entity") == [{"name": "Acme Corp"}]


def test_given_an_entity_that_only_the_forgotten_user_called_so_then_it_has_the_name_that_others_use(
    scene: Scene,
) -> None:
    scene.say("gonzalo", "Zorblax, also called Acme, is a bank.")
    scene.learn("entity_memory", "gonzalo", entity("Zorblax", "Is a bank", aliases=["Acme"]))
    scene.say("kim", "Acme has 3 branches.")
    scene.learn("entity_memory", "kim", entity("Acme", "Has 3 branches", named=False))

    receipt = scene.forget("gonzalo")

    assert scene.contents() == {"Acme", "Has 3 branches"}
    assert rows(scene.everything, "SELECT name, name_key FROM learning.entity") == [
        {"name": "Acme", "name_key": "acme"}
    ]
    assert scene.traces("zorblax", "gonzalo") == {}
    assert receipt.counts["renamed"] == 1


def test_given_an_insight_that_two_users_made_live_when_one_is_forgotten_then_it_waits_for_a_second_one_again(
    scene: Scene,
) -> None:
    for user in ("gonzalo", "kim"):
        scene.say(user, "Retry the login test once.")
        scene.learn("learned_knowledge", user, insight("CI", "Retry the login test once."), admission=CORROBORATED)
    [_] = scene.contents()

    scene.forget("gonzalo")

    assert scene.contents() == set()
    [waiting] = rows(scene.everything, "SELECT awaits FROM learning.learning WHERE status = 'proposed'")
    assert waiting["awaits"] == "corroboration"
    assert scene.traces("gonzalo") == {}


def test_given_what_the_user_had_replaced_or_taken_back_when_forgotten_then_what_others_said_is_back(
    scene: Scene,
) -> None:
    scene.say("kim", "Acme Corp is in Oslo.")
    scene.learn(
        "entity_memory", "kim", lambda said: [*entity("Acme Corp")(said), *_property("Acme Corp", "city", "Oslo")(said)]
    )
    scene.say("gonzalo", "Acme Corp is in Zorblax.")
    scene.learn("entity_memory", "gonzalo", _property("Acme Corp", "city", "Zorblax"))
    assert "city: Zorblax" in scene.contents()

    receipt = scene.forget("gonzalo")

    assert scene.contents() == {"Acme Corp", "city: Oslo"}
    assert receipt.counts["restored"] == 1
    assert scene.traces("zorblax", "gonzalo") == {}


def _property(name: str, of: str, value: str) -> Any:
    from learning_stores.entity_statements import property_of
    from learning_stores.operations import EntityName

    return lambda citation: [property_of(EntityName(name, "company"), of, value, (citation,))]


def test_given_copies_that_people_promoted_approved_and_corrected_when_the_user_is_forgotten_then_they_go_too(
    scene: Scene, place: Place
) -> None:
    config = LearnedKnowledgeConfig(namespace="user", also_reads=("team-x", "global"))
    with place.machine(learned_knowledge=config) as machine:
        own = machine.add(title="Zorblax", learning="Retry zorblax once", user_id="gonzalo", by="gonzalo")
        team = machine.promote(own.id, "team-x", by="lead")
        corrected = machine.update(team.id, title="Quuxington", by="lead")
        machine.promote(corrected.id, "global", by="cto")
        own_words = machine.add(title="Oslo", learning="Bring a coat", user_id="kim", by="kim")
        machine.promote(own_words.id, "global", by="cto")

    scene.forget("gonzalo")

    assert scene.contents() == {"Oslo: Bring a coat"}
    assert scene.traces("zorblax", "quuxington", "gonzalo") == {}


def test_given_a_worker_that_has_read_the_words_when_its_user_is_forgotten_then_it_commits_nothing(
    scene: Scene,
) -> None:
    scene.say("gonzalo", "I like zorblax.")
    number = scene.mailbox("user_profile", "gonzalo")
    assert number is not None
    held = claim(scene.app, number)
    window = window_of(scene.app, held)

    scene.forget("gonzalo")

    with pytest.raises(Fenced):
        work(scene.app, held, *memory("Likes zorblax")(_cited(window)), window=window)
    assert scene.traces("zorblax", "gonzalo") == {}


def _cited(window: Any) -> Any:
    from integration.stores.forgetting_scene import cited

    return cited(window)


def test_given_a_worker_that_reads_another_session_when_one_is_forgotten_then_it_reads_again_without_it(
    scene: Scene,
) -> None:
    scene.say("gonzalo", "I like zorblax.", session_id="s1")
    scene.say("gonzalo", "I like Oslo.", session_id="s2")
    number = scene.mailbox("user_profile", "gonzalo")
    assert number is not None
    held = claim(scene.app, number)
    window = window_of(scene.app, held)

    scene.forget("gonzalo", session_id="s1")

    with pytest.raises(Fenced):
        work(scene.app, held, *memory("Likes Oslo and zorblax")(_cited(window)), window=window)
    scene.learn("user_profile", "gonzalo", memory("Likes Oslo"))
    assert scene.contents() == {"Likes Oslo"}
    assert scene.traces("zorblax") == {}


def test_given_two_sessions_of_a_user_when_one_is_forgotten_then_only_what_it_alone_said_goes(
    scene: Scene, machine: LearningMachine
) -> None:
    for session, place, more in (("s1", "zorblax", "Has a cat"), ("s2", "Oslo", "Has a cat")):
        said = scene.say("gonzalo", f"I was in {place} and have a cat.", session_id=session)
        scene.learn("session_context", "gonzalo", summary(f"About {place}"), session_id=session)
        scene.learn(
            "user_profile",
            "gonzalo",
            lambda citation, place=place, more=more: [*memory(f"Was in {place}")(citation), *memory(more)(citation)],
        )
        del said
    machine.add("Wears a blorple", user_id="gonzalo", session_id="s1", by="support")

    scene.forget("gonzalo", session_id="s1")

    assert scene.contents() == {"About Oslo", "Was in Oslo", "Has a cat"}
    assert scene.traces("zorblax", "blorple") == {}
    late = event(user_id="gonzalo", session_id="s1", messages=turn("About zorblax"))
    assert set(take_in(scene.dispatcher, late, spec=ALL).values()) == {"forgotten"}
    other = event(user_id="gonzalo", session_id="s2", messages=turn("About Oslo"))
    assert set(take_in(scene.dispatcher, other, spec=ALL).values()) == {"accepted"}


def test_given_an_event_when_forgotten_then_its_id_stays_known_and_the_session_is_as_before_it(scene: Scene) -> None:
    scene.say("gonzalo", "We talk of Oslo.")
    scene.learn("session_context", "gonzalo", summary("About Oslo"))
    scene.rest("gonzalo")
    said = scene.say("gonzalo", "I was in zorblax.", metadata={"of": "zorblax"})
    scene.learn("user_profile", "gonzalo", memory("Was in zorblax"))
    scene.learn("session_context", "gonzalo", summary("About Oslo and zorblax"))
    scene.rest("gonzalo")
    scene.say("gonzalo", "I also was in Rome.")
    scene.learn("session_context", "gonzalo", summary("About Oslo, zorblax and Rome"))
    scene.learn("user_profile", "gonzalo", memory("Was in Rome"))

    scene.forget(event_id=said.id)

    assert scene.traces("zorblax") == {}
    assert scene.contents() == {"About Oslo", "Was in Rome"}
    assert set(take_in(scene.dispatcher, said, spec=ALL).values()) == {"duplicate"}
    states = rows(
        scene.everything, "SELECT DISTINCT state, reason FROM learning.delivery WHERE event_id = :id", id=said.id
    )
    assert states == [{"state": "skipped", "reason": "forgotten"}]
    assert scene.forget(event_id=said.id).counts == {}


def test_given_an_event_that_nobody_knows_when_it_is_to_be_forgotten_then_it_is_said(scene: Scene) -> None:
    with pytest.raises(InvalidArgument, match="no event that is known"):
        scene.forget(event_id=uuid7())


def test_given_a_forgotten_user_when_events_come_then_old_ones_are_refused_and_later_ones_live(scene: Scene) -> None:
    scene.say("gonzalo", "I like zorblax.")
    old = event(user_id="gonzalo", messages=turn("I still like zorblax."))
    scene.forget("gonzalo")

    assert set(take_in(scene.dispatcher, old, spec=ALL).values()) == {"forgotten"}
    direct = scene.app.run("default", accept_directly, incoming(old)[0], ALL, SpecCache(), 8)
    assert direct == "forgotten"
    assert scene.traces("zorblax") == {}

    new = event(id=later(), user_id="gonzalo", messages=turn("I like Oslo."))
    assert set(take_in(scene.dispatcher, new, spec=ALL).values()) == {"accepted"}
    scene.learn("user_profile", "gonzalo", memory("Likes Oslo"))
    assert scene.contents() == {"Likes Oslo"}


def test_given_an_event_of_the_fallback_when_its_user_is_forgotten_then_nobody_makes_its_deliveries(
    scene: Scene,
) -> None:
    waits = event(user_id="gonzalo", messages=turn("I like zorblax."), producer=uuid7(), seq=1)
    scene.app.run("default", accept_directly, incoming(waits)[0].__class__(event=waits, via="postgres", body_bytes=1), ALL,
                  SpecCache(), 8)  # fmt: skip
    target_session = scene.app.run("default", _begin_only, "gonzalo")
    assert target_session is not None

    assert scene.dispatcher.run(None, prepare, SpecCache(), range(8)) == 0

    scene.forget("gonzalo")
    assert scene.traces("zorblax", "gonzalo") == {}
    [counted] = rows(scene.everything, "SELECT highest, received, refused FROM learning.producer_seq")
    assert counted == {"highest": 1, "received": 1, "refused": 0}
    [removed] = rows(scene.everything, "SELECT events, numbered FROM learning.removed_count")
    assert removed == {"events": 1, "numbered": 1}


def _begin_only(session: Any, user_id: str) -> Any:
    from learning_stores.forgetting_begin import begin as begin_forgetting
    from learning_stores.forgetting_begin import target_of

    return begin_forgetting(session, target_of(session, "default", user_id, None, None), close=False, by=None)


def test_given_a_history_sent_again_after_the_forgetting_then_the_old_words_are_neither_stored_nor_learned(
    scene: Scene,
) -> None:
    first = [*turn("I like zorblax.", "Good."), *turn("And quuxington.", "Fine.")]
    take_in(scene.dispatcher, event(user_id="gonzalo", messages=first), spec=ALL)
    scene.forget("gonzalo")

    again = event(id=later(), user_id="gonzalo", messages=[*first, *turn("And Oslo.", "Nice.")])
    take_in(scene.dispatcher, again, spec=ALL)

    assert scene.traces("zorblax", "quuxington") == {}
    [stored] = rows(scene.everything, "SELECT messages, shown_before FROM learning.conversation_event")
    assert [each["content"] for each in stored["messages"]] == ["", "", "", "", "And Oslo.", "Nice."]
    assert stored["shown_before"] == 4
    number = scene.mailbox("user_profile", "gonzalo")
    assert number is not None
    window = window_of(scene.app, claim(scene.app, number))
    assert [message.text for message in window.messages] == ["And Oslo.", "Nice."]

    same = event(id=later(), user_id="gonzalo", messages=first, history="full")
    take_in(scene.dispatcher, same, spec=ALL)
    assert scene.traces("zorblax", "quuxington") == {}
    states = rows(
        scene.everything, "SELECT DISTINCT state, reason FROM learning.delivery WHERE event_id = :id", id=same.id
    )
    assert states == [{"state": "skipped", "reason": "history"}]


def test_given_a_closed_user_then_nothing_is_accepted_or_written_until_reopened(
    scene: Scene, machine: LearningMachine
) -> None:
    receipt = machine.forget(user_id="gonzalo", close=True)
    assert receipt.closed

    new = event(id=later(), user_id="gonzalo", messages=turn("I like Oslo."))
    assert set(take_in(scene.dispatcher, new, spec=ALL).values()) == {"closed"}
    with pytest.raises(SubjectClosed):
        machine.add("Likes Oslo", user_id="gonzalo", by="support")

    assert machine.reopen("gonzalo")
    assert not machine.reopen("gonzalo")
    assert machine.add("Likes Oslo", user_id="gonzalo", by="support").status == "active"
    assert set(take_in(scene.dispatcher, new, spec=ALL).values()) == {"accepted"}


def test_given_a_write_after_the_beginning_when_the_deletion_goes_on_then_it_lives(
    scene: Scene, machine: LearningMachine
) -> None:
    machine.add("Likes zorblax", user_id="gonzalo", by="support")
    machine.add("Likes Oslo", user_id="gonzalo", by="support")

    def meanwhile(scope: Any) -> Any:
        from collections import Counter

        from learning_stores.forgetting import Outside

        machine.add("Likes Oslo", user_id="gonzalo", by="kim")  # equal to one that is to go: it gains evidence
        machine.add("Likes Rome", user_id="gonzalo", by="kim")
        return Outside(counts=Counter())

    scene.forget("gonzalo", outside=meanwhile)

    assert scene.contents() == {"Likes Oslo", "Likes Rome"}
    assert scene.traces("zorblax") == {}
    assert {each["by_whom"] for each in rows(scene.everything, "SELECT by_whom FROM learning.change")} == {"kim"}


def test_given_a_model_call_that_returns_after_the_forgetting_then_its_cost_is_kept_without_a_name(
    scene: Scene,
) -> None:
    from sqlalchemy import text

    scene.forget("gonzalo")

    def call(session: Any) -> None:
        session.execute(
            text("""
            INSERT INTO learning.model_call (tenant, id, extraction_id, store, purpose, subject, user_id, model_asked,
                prompt_name, prompt_version, outcome, events, cost_usd, seconds)
            VALUES ('default', gen_random_uuid(), gen_random_uuid(), 'user_profile', 'extract', 'user/gonzalo', 'gonzalo', 'm',
                'p', '1', 'ok', 1, 0.5, 3)""")
        )

    scene.app.run("default", call)

    assert scene.traces("gonzalo") == {}
    [kept] = rows(scene.everything, "SELECT subject, user_id, cost_usd FROM learning.model_call")
    assert (kept["subject"], kept["user_id"], float(kept["cost_usd"])) == ("", None, 0.5)


def test_given_a_session_without_a_user_when_forgotten_then_it_is_a_subject_of_its_own(scene: Scene) -> None:
    said = event(user_id=None, session_id="s1", messages=turn("About zorblax."))
    take_in(scene.dispatcher, said, spec=ALL)
    other = event(user_id="kim", session_id="s1", messages=turn("About Oslo."))
    take_in(scene.dispatcher, other, spec=ALL)

    receipt = scene.forget(session_id="s1")

    assert receipt.counts["conversation_event"] == 1
    assert scene.traces("zorblax", str(said.id)) == {}
    assert [row["user_id"] for row in rows(scene.everything, "SELECT user_id FROM learning.conversation_event")] == [
        "kim"
    ]


def test_given_another_tenants_user_of_that_name_when_one_is_forgotten_then_the_other_is_untouched(
    scene: Scene, place: Place
) -> None:
    with place.machine(user_profile=True) as machine:
        machine.add("Likes zorblax", user_id="gonzalo", by="support")
        machine.for_tenant("acme").add("Likes zorblax", user_id="gonzalo", by="support")
        machine.forget(user_id="gonzalo")
        assert machine.learnings(user_id="gonzalo") == ()
        assert len(machine.for_tenant("acme").learnings(user_id="gonzalo")) == 1


def test_given_deliveries_whose_event_retention_took_when_forgotten_then_they_go_and_are_counted(scene: Scene) -> None:
    from sqlalchemy import text

    scene.say("gonzalo", "I like zorblax.")
    scene.rest("gonzalo")
    with scene.everything.transaction() as session:
        session.execute(text("DELETE FROM learning.conversation_event"))

    receipt = scene.forget("gonzalo")

    assert receipt.counts["delivery"] == 4
    assert scene.traces("gonzalo") == {}


def test_given_dated_ahead_then_the_receipt_says_until_when_late_events_are_refused(scene: Scene) -> None:
    receipt = scene.forget("gonzalo")
    assert receipt.refused_before is not None
    assert timedelta(minutes=9) < receipt.refused_before - datetime.now(UTC) <= timedelta(minutes=10)


def test_given_a_replay_after_the_beginning_when_it_is_extracted_before_the_deletion_then_that_goes_too(
    scene: Scene,
) -> None:
    from collections import Counter

    from sqlalchemy import text

    from learning_stores.forgetting import Outside

    scene.say("gonzalo", "I like zorblax.")
    scene.rest("gonzalo")

    def meanwhile(_: Any) -> Outside:
        # What a replay does that does not look at the forgetting.
        with scene.everything.transaction() as session:
            session.execute(
                text("""UPDATE learning.delivery SET state = 'pending', settled_at = NULL, generation = generation + 1,
                        reason = NULL, replayed_at = now()""")
            )
            session.execute(
                text("""INSERT INTO learning.mailbox (tenant, store, scope, subject, user_id, session_id, due_at,
                            first_pending_at, last_event_at, debounce, max_wait)
                        SELECT tenant, store, scope, subject, 'gonzalo', 's1', now(), now(), now(), '0', '0'
                        FROM learning.delivery""")
            )
        scene.learn("user_profile", "gonzalo", memory("Likes zorblax"))
        return Outside(counts=Counter())

    scene.forget("gonzalo", outside=meanwhile)

    assert scene.traces("zorblax", "gonzalo") == {}
