"""The job `resolve-entities`: what becomes one, what stays two, and that undo restores both as they were."""

from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import text

from harness import Place, eventually, rows
from integration.stores.past import Past, at
from integration.workers.curating import Curating, PairJudge
from learning_stores import entity_lookup
from learning_stores import entity_statements as say
from learning_stores.admission import AT_ONCE, Admission
from learning_stores.curator.judging import Inquiry, JudgeFailed, Verdicts
from learning_stores.database import Database
from learning_stores.embeddings import begin, record, switch
from learning_stores.forgetting import forget
from learning_stores.forgetting_begin import target_of
from learning_stores.operations import Citation, EntityName, Operation
from learning_stores.place import Place as Where
from learning_stores.undo import of_run
from learning_stores.writing import Written, write

STORE = "entity_memory"
HERE = Where(
    tenant="default", store=STORE, scope="namespace/global", namespace="global", user_id="alice", session_id="s1"
)
CORP, ACME, WRITTEN = (EntityName(name, "company") for name in ("Acme Corp", "Acme", "ACME-Corp"))
BOB, BERLIN = EntityName("Bob", "person"), EntityName("Berlin", "place")

EDGES_BROKEN = """
    SELECT l.id FROM learning.learning l
    LEFT JOIN learning.entity a ON a.tenant = l.tenant AND a.id = l.about
    LEFT JOIN learning.entity t ON t.tenant = l.tenant AND t.id = l.target
    WHERE l.status <> 'retired' AND (l.about = l.target OR a.merged_into IS NOT NULL OR t.merged_into IS NOT NULL
        OR (l.target IS NOT NULL AND right(l.content_key, 36) <> l.target::text))
"""


@pytest.fixture
def curating(place: Place, everything_db: Database) -> Iterator[Curating]:
    curating = Curating(place, everything_db, curator_spread=0)
    yield curating
    curating.close()


class Register:
    """Entities of one namespace, said by tools and people; and what is held of them."""

    def __init__(self, past: Past) -> None:
        self.past, self.db = past, past.everything_db
        self.minute = 0

    def write(self, *operations: Operation, origin: Any = "tool", admission: Admission = AT_ONCE) -> Written:
        """Say this of them."""
        written: Written = self.past.app_db.run(
            "default", write, HERE, operations, admission, origin=origin, action="add_fact", by=None
        )
        return written

    def cited(self) -> tuple[Citation, ...]:
        """A tool's call, a minute later than the last."""
        self.minute += 1
        return (Citation(occurred_at=at(self.minute)),)

    def call(self, entity: EntityName, *aliases: str) -> None:
        """Register an entity under its names."""
        self.write(*(say.alias_of(entity, name, self.cited()) for name in (entity.name, *aliases)))

    def fact(self, entity: EntityName, *contents: str, origin: Any = "tool") -> None:
        """State facts of it."""
        for content in contents:
            self.write(say.fact_of(entity, content, self.cited()), origin=origin)

    def tie(self, source: EntityName, relation: str, target: EntityName) -> None:
        """State a relationship."""
        self.write(say.relationship_of(source, relation, target, self.cited()))

    def held(self) -> list[dict[str, Any]]:
        """Every live or proposed learning as it says itself, with its evidence; by what is about whom, without its id."""
        return rows(
            self.db,
            """
            SELECT l.store, l.scope, l.kind, l.about, l.target, l.content, l.content_key, l.data, l.status, l.confidence,
                   l.valid_from, l.valid_to, l.origin, l.made_by, l.decided_by, (
                       SELECT jsonb_agg(jsonb_build_array(v.origin, v.extraction_id, v.event_id, v.message, v.quote, v.user_id,
                                                          v.subject, v.occurred_at, v.added_at) ORDER BY v.added_at, v.id)
                       FROM learning.evidence v
                       WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL) AS evidence
            FROM learning.learning l WHERE l.status <> 'retired' ORDER BY l.kind, l.about, l.content_key, l.content
            """,
        )

    def live(self) -> set[str]:
        """The names of entities that stand for themselves."""
        return {row["name"] for row in rows(self.db, "SELECT name FROM learning.entity WHERE merged_into IS NULL")}

    def known(self, name: str) -> Any:
        """What is known of an entity by one of its names."""
        return self.past.app_db.run("default", entity_lookup.entity, "default", None, name, None, 1)

    def undo(self, run: Any) -> list[Any]:
        """Undo a run."""
        return [self.past.undo(each.id) for each in self.past.app_db.run("default", of_run, "default", run.id)]

    def waiting(self) -> int:
        """How many wait for a lock."""
        query = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return len(rows(self.db, query))

    def check(self) -> None:
        """What always holds."""
        self.past.check()
        assert rows(self.db, EDGES_BROKEN) == []


@pytest.fixture
def register(app_db: Database, dispatcher_db: Database, everything_db: Database) -> Register:
    return Register(Past(app_db, dispatcher_db, everything_db))


def same(*names: str) -> PairJudge:
    """Says that these are one, and all others two."""
    return PairJudge(lambda pair: "same" if {pair["a"]["name"], pair["b"]["name"]} <= set(names) else "different")


def two_companies(register: Register) -> None:
    """One company under two names, with facts, ties both ways and a value in one place of each."""
    register.call(CORP, "Acme Corporation")
    register.call(ACME)
    register.call(BOB)
    register.call(BERLIN)
    register.fact(CORP, "Uses PostgreSQL", "Sells anvils", "Has a canteen", "Exports rockets", "Owns a quarry")
    register.fact(ACME, "uses postgresql.", "Ships by rail")
    register.write(say.property_of(CORP, "industry", "retail", register.cited()))
    register.write(say.property_of(ACME, "industry", "logistics", register.cited()))
    register.write(say.description_of(ACME, "A maker of anvils", register.cited()))
    register.tie(BOB, "works for", CORP)
    register.tie(BOB, "works for", ACME)
    register.tie(BOB, "invested in", ACME)
    register.tie(ACME, "based in", BERLIN)


def test_given_one_company_under_two_names_when_judged_the_same_then_all_is_said_of_one_and_undo_restores_both(
    register: Register, curating: Curating
) -> None:
    two_companies(register)
    before, entities = register.held(), rows(register.db, "SELECT * FROM learning.entity ORDER BY id")
    whole = curating.everything()
    judge = curating.judge = same("Acme Corp", "Acme")
    dry = curating.run("resolve-entities", STORE, dry_run=True)
    assert (dry.changed, dry.report, judge.inquiries) == (0, {"candidates": 1}, [])
    assert curating.everything() == whole

    done = curating.run("resolve-entities", STORE)
    assert done.report == {
        "asked": 1, "merged": 1, "learnings moved": 8, "learnings merged": 2, "displaced": 1, "evidence_copied": 10,
    }  # fmt: skip  # one count an entry
    assert (done.state, done.looked_at, done.changed, done.model_calls) == ("done", 4, 1, 1)
    (pair,) = judge.asked
    assert (pair["type"], {pair["a"]["name"], pair["b"]["name"]}) == ("company", {"Acme Corp", "Acme"})
    assert "A maker of anvils" in str(pair)
    assert register.live() == {"Acme Corp", "Bob", "Berlin"}
    register.check()
    acme = register.known("Acme")
    assert (acme.name, acme.aliases) == ("Acme Corp", ("Acme Corporation", "Acme"))
    assert set(acme.facts) == {
        "uses postgresql.",
        "Sells anvils",
        "Has a canteen",
        "Exports rockets",
        "Owns a quarry",
        "Ships by rail",
    }
    assert (acme.properties, acme.description) == ({"industry": "logistics"}, "A maker of anvils")
    assert sorted(acme.relationships) == ["Bob: invested in Acme", "Bob: works for Acme", "based in Berlin"]
    assert register.known("Bob").relationships == ("works for Acme Corp", "invested in Acme Corp")
    assert curating.run("resolve-entities", STORE).changed == 0

    (undone,) = register.undo(done)
    assert len(undone.withdrawn.restored) == 11
    assert register.held() == before
    assert rows(register.db, "SELECT * FROM learning.entity ORDER BY id") == entities
    register.check()
    # What an undo took apart is two from then on.
    assert curating.run("resolve-entities", STORE).report == {}
    assert len(judge.inquiries) == 1


def test_given_names_that_differ_only_in_their_writing_when_resolved_then_they_are_one_without_a_question(
    register: Register, curating: Curating
) -> None:
    register.call(CORP)
    register.call(WRITTEN)
    register.call(EntityName("Acme-Corp", "product"))
    register.fact(WRITTEN, "Sells anvils", "Ships by rail")
    before = register.held()
    whole = curating.everything()
    dry = curating.run("resolve-entities", STORE, dry_run=True)
    assert (dry.changed, dry.report["merged"]) == (1, 1)
    assert curating.everything() == whole
    done = curating.run("resolve-entities", STORE)  # there is no model
    assert (done.changed, done.model_calls) == (1, 0)
    assert done.report == {"merged": 1, "learnings moved": 1, "evidence_copied": 1}
    assert register.live() == {"ACME-Corp", "Acme-Corp"}  # the one of which more is known; and another type's
    register.check()
    register.undo(done)
    assert register.held() == before
    register.check()


def test_given_two_that_are_different_or_unsure_when_judged_then_both_stay_and_are_asked_about_again_only_once_changed(
    register: Register, curating: Curating
) -> None:
    register.call(CORP)
    register.call(ACME)
    verdict = "different"
    judge = curating.judge = PairJudge(lambda pair: verdict)
    assert curating.run("resolve-entities", STORE).report == {"asked": 1, "different": 1}
    assert curating.run("resolve-entities", STORE).report == {}
    register.fact(CORP, "Sells anvils")
    assert curating.run("resolve-entities", STORE).report == {}  # a fact does not make two of one
    register.write(say.description_of(ACME, "A band from Bern", register.cited()))
    verdict = "unsure"
    assert curating.run("resolve-entities", STORE).report == {"asked": 1, "unsure": 1}
    assert curating.run("resolve-entities", STORE).report == {}
    register.fact(CORP, "Plays in Bern")
    assert curating.run("resolve-entities", STORE).report == {"asked": 1, "unsure": 1}
    assert (register.live(), len(judge.inquiries)) == ({"Acme Corp", "Acme"}, 3)
    register.check()


def test_given_no_answer_or_no_model_when_resolved_then_names_that_are_near_are_left(
    register: Register, curating: Curating
) -> None:
    register.call(CORP)
    register.call(ACME)
    assert curating.run("resolve-entities", STORE).report == {"skipped": "no model"}

    class Nonsense:
        def ask(self, inquiry: Inquiry) -> Verdicts:
            raise JudgeFailed("no use", calls=2)

    curating.judge = Nonsense()
    done = curating.run("resolve-entities", STORE)
    assert (done.report, done.model_calls) == ({"asked": 1, "unanswered": 1}, 2)
    assert register.live() == {"Acme Corp", "Acme"}
    assert rows(register.db, "SELECT FROM learning.verdict") == []


def test_given_a_tie_a_proposal_or_another_stores_words_when_resolved_then_the_two_stay_two(
    register: Register, curating: Curating
) -> None:
    for number in (1, 2, 3):
        register.call(EntityName(f"Acme Corp {number}", "company"))
        register.call(EntityName(f"Acme-Corp {number}", "company"))
    tied, proposed, elsewhere = (EntityName(f"Acme-Corp {number}", "company") for number in (1, 2, 3))
    register.tie(tied, "subsidiary of", EntityName("Acme Corp 1", "company"))
    register.write(
        say.fact_of(proposed, "Sells anvils", register.cited()), origin="tool", admission=Admission(awaits="approval")
    )
    register.fact(EntityName("Acme Corp 2", "company"), "Ships by rail", "Owns a quarry")
    register.fact(elsewhere, "Sells rockets")
    curating.change("UPDATE learning.learning SET store = 'diary' WHERE content = 'Sells rockets'")
    register.fact(EntityName("Acme Corp 3", "company"), "Mines ore", "Owns a ship")
    before = register.held()
    done = curating.run("resolve-entities", STORE)
    # Of the second and third pair the one that cannot become the other is what the other becomes.
    assert (done.changed, done.report["merged"]) == (2, 2)
    assert register.live() == {"Acme Corp 1", "Acme-Corp 1", "Acme-Corp 2", "Acme-Corp 3"}
    register.check()
    register.undo(done)
    assert register.held() == before


def test_given_what_a_person_stated_when_two_become_one_then_it_stays_and_outranks_what_is_newer(
    register: Register, curating: Curating
) -> None:
    register.call(CORP)
    register.call(WRITTEN)
    register.write(say.description_of(WRITTEN, "What Ann says", register.cited()), origin="human")
    register.write(say.description_of(CORP, "What a tool says later", register.cited()))
    register.fact(CORP, "Sells anvils", "Mines ore")
    before = register.held()
    done = curating.run("resolve-entities", STORE)
    (described,) = rows(register.db, "SELECT * FROM learning.learning WHERE kind = 'description' AND status = 'active'")
    assert (described["content"], described["origin"]) == ("What Ann says", "human")
    register.undo(done)
    assert register.held() == before


def test_given_names_that_were_merged_when_said_again_then_they_mean_the_one_that_stays_and_undo_leaves_it_there(
    register: Register, curating: Curating
) -> None:
    register.call(CORP)
    register.call(ACME)
    register.fact(CORP, "Sells anvils")
    curating.judge = same("Acme Corp", "Acme")
    done = curating.run("resolve-entities", STORE)
    register.call(ACME)
    register.fact(ACME, "Owns a quarry")
    assert register.live() == {"Acme Corp"}
    assert set(register.known("Acme Corp").facts) == {"Sells anvils", "Owns a quarry"}
    register.check()
    register.undo(done)
    assert register.live() == {"Acme Corp", "Acme"}
    assert "Owns a quarry" in register.known("Acme Corp").facts  # it was said of the one that both were then
    register.check()


def test_given_an_older_replacement_when_undone_after_a_merge_then_what_comes_back_is_said_of_the_one_that_stays(
    register: Register, curating: Curating
) -> None:
    register.call(CORP)
    register.call(ACME)
    register.fact(CORP, "Sells anvils", "Owns a quarry")
    register.write(say.property_of(ACME, "industry", "retail", register.cited()))
    replaced = register.write(say.property_of(ACME, "industry", "logistics", register.cited()))
    curating.judge = same("Acme Corp", "Acme")
    curating.run("resolve-entities", STORE)
    before = [row for row in register.held() if row["content"] != "industry: logistics"]
    merged = curating.runs("resolve-entities")[0]
    register.past.undo(replaced.change_id)
    assert register.known("Acme").properties == {"industry": "retail"}
    register.check()
    (change,) = rows(register.db, "SELECT id FROM learning.change WHERE by_whom = :r", r=str(merged["id"]))
    register.past.undo(change["id"])
    assert register.known("Acme").properties == {"industry": "retail"}
    assert register.known("Acme Corp").properties == {}
    assert len(register.held()) == len(before) + 1
    register.check()


def test_given_three_names_of_which_two_are_known_for_two_when_each_is_the_third_then_only_one_of_them_joins_it(
    register: Register, curating: Curating
) -> None:
    for name in ("Bob", "Bob Smith", "Bob Jones"):
        register.call(EntityName(name, "person"))
    curating.judge = PairJudge(lambda pair: "same" if "Bob" in (pair["a"]["name"], pair["b"]["name"]) else "different")
    register.tie(EntityName("Bob Smith", "person"), "colleague of", EntityName("Bob Jones", "person"))
    done = curating.run("resolve-entities", STORE)
    assert (done.report["merged"], done.report["kept apart"]) == (1, 1)
    assert len(register.live()) == 2
    register.check()
    register.undo(done)
    assert len(register.live()) == 3


def test_given_a_process_that_ends_between_answer_and_commit_when_another_goes_on_then_it_is_done_once(
    register: Register, curating: Curating, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_companies(register)
    before = register.held()
    judge = curating.judge = same("Acme Corp", "Acme")
    curator = curating.curator()
    run = curator.ask("resolve-entities", "default", STORE, by="test", dry_run=False)
    with monkeypatch.context() as patched:
        patched.setattr("learning_stores.curator.entity_merging.retire", _ended)
        with pytest.raises(SystemExit):
            curator.drive(run)
    assert register.held() == before
    assert register.live() >= {"Acme Corp", "Acme"}
    curating.change("UPDATE learning.curator_run SET lease_until = now() - interval '1 s'")
    done = curating.curator(owner="there").work("default", run.id)
    assert done is not None
    assert (done.state, done.changed, len(judge.inquiries)) == ("done", 1, 2)
    register.check()
    register.undo(done)
    assert register.held() == before


def _ended(*given: Any) -> None:
    raise SystemExit  # as the process ends: nothing of ours runs that could write


def test_given_a_writer_of_the_same_entity_when_it_is_merged_meanwhile_then_what_it_says_is_said_of_the_one_that_stays(
    register: Register, curating: Curating
) -> None:
    register.call(CORP)
    register.call(ACME)
    register.fact(CORP, "Sells anvils", "Owns a quarry")
    curating.judge = same("Acme Corp", "Acme")
    for number, hold_first in enumerate((True, False)):
        before = register.live()
        assert before == {"Acme Corp", "Acme"}
        done: list[Any] = []
        merging = Thread(target=lambda done=done: done.append(curating.run("resolve-entities", STORE)))
        writing = Thread(target=lambda number=number: register.fact(ACME, f"Opened shop {number}"))
        with register.db.engine.connect() as connection:
            # Both wait for the lock on the entity; whoever comes first has it first.
            connection.execute(text("SELECT 1 FROM learning.entity WHERE name = 'Acme' FOR UPDATE"))
            order = (merging, writing) if hold_first else (writing, merging)
            for waiting, thread in enumerate(order, 1):
                thread.start()
                eventually(lambda waiting=waiting: register.waiting() == waiting, "it waits for the entity")
            connection.rollback()
        for thread in order:
            thread.join(30)
        assert f"Opened shop {number}" in register.known("Acme").facts
        register.check()
        assert register.live() == {"Acme Corp"}
        assert done[0].report["merged"] == 1
        curating.change("DELETE FROM learning.verdict")
        register.undo(done[0])
        curating.change("UPDATE learning.change SET action = 'as if it had not been' WHERE origin = 'curator'")


def test_given_a_wrong_merge_whose_survivor_was_merged_since_when_only_the_wrong_one_is_undone_then_nothing_of_it_stays(
    register: Register, curating: Curating
) -> None:
    globex, large = EntityName("Acmee", "company"), EntityName("Acme Corporation", "company")
    for name, facts in (
        (globex, ("Mines ore",)),
        (ACME, ("Sells anvils", "Ships by rail")),
        (large, tuple("ABCDEFGH")),
    ):
        register.call(name)
        register.fact(name, *facts)
    register.fact(ACME, "Owns a ship")
    register.fact(globex, "Owns a ship")
    before = register.held()
    curating.judge = same("Acmee", "Acme")
    wrong = curating.run("resolve-entities", STORE)
    curating.judge = same("Acme", "Acme Corporation")
    curating.change("DELETE FROM learning.verdict")
    right = curating.run("resolve-entities", STORE)
    assert register.live() == {"Acme Corporation"}
    assert len(register.known("Acmee").facts) == 12
    register.undo(wrong)
    assert register.live() == {"Acme Corporation", "Acmee"}
    assert set(register.known("Acmee").facts) == {"Mines ore", "Owns a ship"}
    assert set(register.known("Acme").facts) == {*"ABCDEFGH", "Sells anvils", "Ships by rail", "Owns a ship"}
    register.check()
    register.undo(right)
    assert register.held() == before
    register.check()


def test_given_two_that_became_one_when_whoever_spoke_of_them_is_forgotten_then_nothing_is_left_of_either(
    register: Register, curating: Curating
) -> None:
    two_companies(register)
    curating.judge = same("Acme Corp", "Acme")
    done = curating.run("resolve-entities", STORE)
    target = register.past.app_db.run("default", target_of, "default", "alice", None, None)
    forget(register.past.app_db, target)
    assert rows(register.db, "SELECT content FROM learning.learning") == []
    assert rows(register.db, "SELECT name FROM learning.entity") == []
    assert rows(register.db, "SELECT FROM learning.verdict") == []
    register.undo(done)
    assert register.held() == []
    register.check()


def test_given_names_that_are_not_near_when_their_descriptions_have_near_vectors_then_the_judge_is_asked(
    register: Register, curating: Curating
) -> None:
    toothless, other, second = (EntityName(name, "company") for name in ("The Anvil People", "Globex", "Globex 2"))
    vectors = {}
    for name, vector in ((ACME, [1.0, 0.0]), (toothless, [0.9, 0.1]), (other, [0.0, 1.0]), (second, [0.0, 1.0])):
        register.call(name)
        written = register.write(say.description_of(name, f"What is known of {name.name}", register.cited()))
        vectors[written.learning_ids[-1]] = vector
    in_app = register.past.app_db.run
    in_app("default", begin, "default", "m", None)
    in_app("default", record, "default", "m", {learning: vector for learning, vector in vectors.items() if learning})
    assert in_app("default", switch, "default", "m")
    judge = curating.judge = same("Acme", "The Anvil People")
    assert curating.run("resolve-entities", STORE).report["merged"] == 1
    assert {frozenset((pair["a"]["name"], pair["b"]["name"])) for pair in judge.asked} == {
        frozenset(("Acme", "The Anvil People"))
    }
    register.check()
