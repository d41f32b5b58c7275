"""The curator's jobs on what is remembered: prune, deduplicate, statistics; what undo restores and a dry run leaves alone."""

from collections.abc import Iterator
from typing import Any

import pytest

from harness import Place, event, rows
from integration.stores.past import Past, at, says
from integration.stores.steps import PROFILE_ONLY, claim, field, mailbox_id, put
from integration.workers.curating import Curating
from learning_schemas.spec import MachineSpec, Prune, StoreSpec
from learning_stores.admission import AT_ONCE
from learning_stores.correction import update
from learning_stores.curator import prune as prune_job
from learning_stores.database import Database
from learning_stores.grounding import content_key
from learning_stores.operations import Citation, Put
from learning_stores.place import Place as LearningPlace
from learning_stores.undo import of_run
from learning_stores.wording import Terms, Wording
from learning_stores.writing import write


@pytest.fixture
def curating(place: Place, everything_db: Database) -> Iterator[Curating]:
    curating = Curating(place, everything_db)
    yield curating
    curating.close()


@pytest.fixture
def past(app_db: Database, dispatcher_db: Database, everything_db: Database) -> Past:
    return Past(app_db, dispatcher_db, everything_db)


def policy(**values: Any) -> MachineSpec:
    return MachineSpec(stores={"user_profile": StoreSpec(scope="user", debounce=0, prune=Prune.model_validate(values))})


def aged(curating: Curating, days: int, *contents: str) -> None:
    """Let these have been learned and said so many days ago."""
    curating.change(
        "UPDATE learning.learning SET live_from = now() - :d * interval '1 day', "
        "valid_from = now() - :d * interval '1 day' WHERE content = ANY (:c)",
        d=days, c=list(contents),
    )  # fmt: skip
    curating.change(
        "UPDATE learning.evidence v SET added_at = now() - :d * interval '1 day', occurred_at = now() - :d * interval '1 day' "
        "FROM learning.learning l WHERE l.id = v.learning_id AND l.content = ANY (:c)",
        d=days, c=list(contents),
    )  # fmt: skip


def reword(past: Past, content: str, words: str) -> None:
    """Let a person correct a learning."""
    terms = Terms(spec=StoreSpec(scope="user"))
    learning = past.row(content)["id"]
    past.app_db.run("default", update, "default", learning, Wording(content=words), lambda store: terms, by="ops")


def undo_run(past: Past, run: Any) -> list[Any]:
    found = past.app_db.run("default", of_run, "default", run.id)
    return [past.undo(each.id) for each in found]


def test_given_a_policy_by_age_when_pruned_then_the_old_go_and_what_was_said_again_or_by_a_person_stays_and_undo_restores(
    past: Past, curating: Curating
) -> None:
    spec = policy(max_age_days=30)
    past.hear(
        lambda window: [
            *says("Likes tea", "Likes rye", "Likes jazz", "Likes art")(window),
            field(window, "name", "Alex"),
        ],
        spec=spec,
    )
    old = "Likes tea", "Likes rye", "Likes jazz", "Likes art", "name: Alex"
    aged(curating, 40, *old)
    past.hear(says("Likes rye", "Likes fish"), spec=spec)
    reword(past, "Likes art", "Likes modern art")
    aged(curating, 40, "Likes modern art")
    before = past.live()

    whole = curating.everything()
    dry = curating.run("prune", "user_profile", dry_run=True)
    assert (dry.changed, dry.report) == (2, {"pruned: age": 2})
    assert curating.everything() == whole

    done = curating.run("prune", "user_profile")
    assert (done.state, done.looked_at, done.changed, done.report) == ("done", 6, 2, {"pruned: age": 2})
    assert past.live() == sorted(set(before) - {"Likes tea", "Likes jazz"})
    tea = past.row("Likes tea")
    assert (tea["retired_reason"], tea["valid_to"], tea["replaced_by"]) == ("pruned: age", None, None)
    (change,) = rows(past.everything_db, "SELECT id, action, by_whom FROM learning.change WHERE origin = 'curator'")
    assert (change["action"], change["by_whom"]) == ("prune", str(done.id))
    assert tea["retired_by"] == change["id"]
    past.check()

    (undone,) = undo_run(past, done)
    assert len(undone.withdrawn.restored) == 2
    assert past.live() == before
    past.check()
    assert undo_run(past, done) == []
    # What an undo brought back is not pruned again.
    aged(curating, 40, "Likes tea")
    assert curating.run("prune", "user_profile").changed == 0


def test_given_each_rule_when_pruned_then_each_ends_its_own_and_nobody_elses(past: Past, curating: Curating) -> None:
    past.hear(
        says("Sure", "Unsure", "Recalled", "Forgotten", "Over"), spec=policy(min_confidence=0.7, never_recalled_days=60)
    )
    past.hear(says("Elsewhere"), user_id="bob", spec=policy(min_confidence=0.7, never_recalled_days=60))
    curating.change("UPDATE learning.learning SET confidence = 0.6 WHERE content = 'Unsure'")
    curating.change("UPDATE learning.learning SET valid_to = now() - interval '1 day', valid_from = now() - interval '2 days' "
                    "WHERE content = 'Over'")  # fmt: skip
    aged(curating, 90, "Recalled", "Forgotten")
    for content, days in (("Recalled", 10), ("Forgotten", 61)):
        curating.change(
            "INSERT INTO learning.recall_count SELECT tenant, id, 1, now() - :d * interval '1 day' FROM learning.learning "
            "WHERE content = :c", c=content, d=days,
        )  # fmt: skip

    done = curating.run("prune", "user_profile")
    assert done.report == {"pruned: confidence": 1, "pruned: never recalled": 1, "expired": 1}
    assert past.live() == ["Elsewhere", "Recalled", "Sure"]
    for _ in range(3):
        undo_run(past, done)
    assert len(past.live()) == 6


def test_given_more_than_the_count_when_pruned_in_small_units_then_those_used_last_stay_in_every_scope(
    past: Past, curating: Curating, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = policy(max_count=3)
    for user in ("alice", "bob"):
        past.hear(
            lambda w: [*says(*(f"Fact {n}" for n in range(9)))(w), field(w, "name", "x")], user_id=user, spec=spec
        )
    for number in range(9):
        aged(curating, 100 - number, f"Fact {number}")
    curating.change(
        "INSERT INTO learning.recall_count SELECT tenant, id, 5, now() FROM learning.learning WHERE content = 'Fact 0'"
    )
    for name, most in (("AT_ONCE", 2), ("FOUND_AT_ONCE", 4)):
        monkeypatch.setattr(prune_job, name, most)
    smaller = str(prune_job._FIND).replace("[1:20000]", "[1:4]")
    monkeypatch.setattr(prune_job, "_FIND", prune_job.text(smaller))

    done = curating.run("prune", "user_profile")
    assert (done.looked_at, done.changed, done.report) == (20, 12, {"pruned: count": 12})
    live = rows(
        past.everything_db, "SELECT scope, content FROM learning.learning WHERE status = 'active' AND kind = 'memory'"
    )
    kept = {"Fact 0", "Fact 7", "Fact 8"}
    assert {(row["scope"], row["content"]) for row in live} == {
        (scope, content) for scope in ("user/alice", "user/bob") for content in kept
    }
    assert curating.run("prune", "user_profile").changed == 0
    assert len(undo_run(past, done)) == 6  # three units of each user
    assert len(past.live("memory")) == 18


def test_given_a_worker_that_has_the_mailbox_when_pruned_then_its_user_is_left_to_it_and_the_next_run_goes_on(
    past: Past, curating: Curating
) -> None:
    spec = policy(max_count=1)
    past.hear(says("Likes tea", "Likes rye"), spec=spec)
    past.accept(event(), spec=spec)
    held = claim(past.app_db, mailbox_id(past.everything_db))
    assert curating.run("prune", "user_profile").report == {"busy": 1}
    assert len(past.live()) == 2
    curating.change("UPDATE learning.mailbox SET lease_until = now() - interval '1 s'")
    assert curating.run("prune", "user_profile").changed == 1
    # The worker's window was read before: its commit is refused, and the mailbox is anybody's.
    (box,) = rows(past.everything_db, "SELECT token, lease_until, owner FROM learning.mailbox")
    assert box["token"] != held.token
    assert (box["lease_until"], box["owner"]) == (None, None)


def test_given_no_policy_when_pruned_then_nothing_ends(past: Past, curating: Curating) -> None:
    past.hear(says("Likes tea"), spec=PROFILE_ONLY)
    aged(curating, 4000, "Likes tea")
    done = curating.run("prune", "user_profile")
    assert (done.looked_at, done.changed) == (1, 0)
    assert past.live() == ["Likes tea"]


ALONE = {"skipped": "no model"}
WRITTEN_DIFFERENTLY = ('Likes "green" tea, and rye', "likes green tea and rye.", "Likes green tea; and  RYE!")


def test_given_equal_statements_when_deduplicated_then_one_stays_with_all_evidence_and_undo_takes_them_apart(
    past: Past, curating: Curating
) -> None:
    made = [past.hear(says(words), occurred_at=at(minute)) for minute, words in enumerate(WRITTEN_DIFFERENTLY)]
    past.hear(says("Paid 5", "Paid -5", "Paid 3.5", "Paid 35", "C", "C#"))
    past.hear(says(*WRITTEN_DIFFERENTLY[:1]), user_id="bob")
    before = past.live()
    evidence = "SELECT learning_id, extraction_id FROM learning.evidence WHERE withdrawn_at IS NULL ORDER BY 1, 2"
    stood = rows(past.everything_db, evidence)
    whole = curating.everything()
    assert curating.run("deduplicate", "user_profile", dry_run=True).changed == 2
    assert curating.everything() == whole

    done = curating.run("deduplicate", "user_profile")
    assert (done.looked_at, done.changed, done.report) == (10, 2, {"merged": 2, "evidence_copied": 2, **ALONE})
    assert past.live() == sorted(set(before) - set(WRITTEN_DIFFERENTLY[1:]) | {WRITTEN_DIFFERENTLY[2]} - set() | {
        WRITTEN_DIFFERENTLY[0]})  # bob's own  # fmt: skip
    stays = past.row(WRITTEN_DIFFERENTLY[2])
    cited = rows(
        past.everything_db, "SELECT extraction_id FROM learning.evidence WHERE learning_id = :i", i=stays["id"]
    )
    assert {row["extraction_id"] for row in cited} == set(made)
    assert past.row(WRITTEN_DIFFERENTLY[1])["replaced_by"] == stays["id"]
    past.check()
    assert curating.run("deduplicate", "user_profile").changed == 0

    (undone,) = undo_run(past, done)
    assert len(undone.withdrawn.restored) == 2
    assert past.live() == before
    cited = rows(
        past.everything_db, "SELECT extraction_id FROM learning.evidence WHERE learning_id = :i", i=stays["id"]
    )
    assert [row["extraction_id"] for row in cited] == [made[2]]
    assert (
        len(rows(past.everything_db, evidence)) == len(stood) + 2
    )  # of the two rows that came back, which keep their own
    past.check()
    assert curating.run("deduplicate", "user_profile").changed == 0  # what an undo took apart stays apart


def test_given_a_merge_when_an_extraction_behind_it_is_undone_first_then_each_statement_stands_on_what_is_left(
    past: Past, curating: Curating
) -> None:
    first, second = (
        past.hear(says("Likes tea, a lot"), occurred_at=at(0)),
        past.hear(says("Likes tea a lot"), occurred_at=at(1)),
    )
    done = curating.run("deduplicate", "user_profile")
    assert past.live() == ["Likes tea a lot"]
    past.undo(second)
    assert past.live() == ["Likes tea a lot"]  # on the copy of the first one's evidence
    past.check()
    undo_run(past, done)
    assert past.live() == ["Likes tea, a lot"]
    past.check()
    past.undo(first)
    assert past.live() == []
    past.check()


def test_given_a_merge_whose_survivor_was_replaced_since_when_undone_then_the_chain_is_told_and_left(
    past: Past, curating: Curating
) -> None:
    past.hear(says("Likes tea, a lot"), occurred_at=at(0))
    past.hear(says("Likes tea a lot"), occurred_at=at(1))
    done = curating.run("deduplicate", "user_profile")
    stays = past.row("Likes tea a lot")["id"]
    past.hear(lambda w: [put(w, "Likes coffee now", replaces=stays)], occurred_at=at(2))
    (undone,) = undo_run(past, done)
    assert past.live() == ["Likes coffee now"]
    (left,) = undone.withdrawn.left
    assert left.replaced_by == past.row("Likes coffee now")["id"]
    past.check()


def test_given_fields_of_a_profile_that_differ_only_in_case_when_deduplicated_then_each_stays(
    past: Past, curating: Curating
) -> None:
    past.hear(lambda w: [field(w, "city", "Oslo"), *says("Likes tea, a lot")(w)], occurred_at=at(0))
    past.hear(lambda w: [field(w, "City", "Oslo"), *says("Likes tea a lot")(w)], occurred_at=at(1))
    done = curating.run("deduplicate", "user_profile")
    assert (done.changed, done.report) == (1, {"merged": 1, "evidence_copied": 1, **ALONE})
    assert past.live() == ["City: Oslo", "Likes tea a lot", "city: Oslo"]


def test_given_what_a_person_wrote_when_deduplicated_then_it_is_what_stays(past: Past, curating: Curating) -> None:
    past.hear(says("Likes tea"), occurred_at=at(0))
    reword(past, "Likes tea", "Likes tea, a lot")
    past.hear(says("Likes tea a lot"))
    assert len(past.live()) == 2
    curating.run("deduplicate", "user_profile")
    assert past.live() == ["Likes tea, a lot"]


def test_given_a_large_scope_when_statistics_run_then_they_are_kept_and_dropped_once_it_is_small(
    past: Past, curating: Curating, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.hear(says("Likes tea", "Likes rye", "Likes jazz"))
    monkeypatch.setattr("learning_stores.ranking.LARGE_SCOPE", 2)
    done = curating.run("statistics")
    assert (done.state, done.report) == ("done", {"counted": 1, "dropped": 0})
    (kept,) = rows(past.everything_db, "SELECT rows, common FROM learning.scope_statistics")
    assert kept["rows"] == 3
    assert kept["common"]["like"] == 3
    monkeypatch.setattr("learning_stores.ranking.LARGE_SCOPE", 20_000)
    assert curating.run("statistics").report == {"dropped": 1}
    assert rows(past.everything_db, "SELECT FROM learning.scope_statistics") == []


def test_given_a_shared_namespace_when_pruned_and_deduplicated_then_it_is_nobodys_and_undo_restores_it(
    past: Past, curating: Curating
) -> None:
    shared = LearningPlace(
        tenant="default", store="learned_knowledge", scope="namespace/global", user_id="alice", namespace="global"
    )
    spec = MachineSpec(
        stores={"learned_knowledge": StoreSpec(mode="AGENTIC", scope="session", prune=Prune(max_count=2))}
    )
    past.accept(event(), spec=spec)
    curating.change("DELETE FROM learning.mailbox")
    for words in ("Ask first, then act", "Ask first then act", "Cache the answer", "Log the cause"):
        said = Put(
            kind="insight", content=words, content_key=content_key(words), citations=(Citation(occurred_at=at(0)),)
        )
        past.app_db.run("default", write, shared, [said], AT_ONCE, origin="tool", action="save_learning")
    merged = curating.run("deduplicate", "learned_knowledge")
    assert (merged.looked_at, merged.report) == (4, {"merged": 1, "evidence_copied": 1, **ALONE})
    pruned = curating.run("prune", "learned_knowledge")
    assert (pruned.looked_at, pruned.report) == (3, {"pruned: count": 1})
    change, *_ = rows(past.everything_db, "SELECT subject, scope FROM learning.change WHERE action = 'prune'")
    assert change == {"subject": None, "scope": "namespace/global"}
    assert rows(past.everything_db, "SELECT FROM learning.mailbox") == []
    for run in (pruned, merged):
        undo_run(past, run)
    assert len(past.live()) == 4
    past.check()


def test_given_somebody_who_was_forgotten_for_good_when_pruned_then_they_are_passed_over(
    past: Past, curating: Curating
) -> None:
    past.hear(says("Likes tea", "Likes rye"), spec=policy(max_count=1))
    curating.change("UPDATE learning.subject SET closed_at = now()")
    done = curating.run("prune", "user_profile")
    assert (done.state, done.changed) == ("done", 0)
