"""The job `consolidate`: what becomes one statement, what is refused or left, and that undo and forgetting take it apart."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from harness import Place, rows
from integration.stores.past import Past, at, says
from integration.stores.steps import field, put
from integration.workers.curating import Curating
from learning_schemas.spec import StoreSpec
from learning_stores.correction import update
from learning_stores.curator.judging import Inquiry, Verdicts
from learning_stores.database import Database
from learning_stores.forgetting import forget
from learning_stores.forgetting_begin import target_of
from learning_stores.undo import of_run
from learning_stores.wording import Terms, Wording
from learning_workers.curator import JOBS

GREEN, BLACK, MILK = "Drinks green tea", "Drinks black tea at breakfast", "Drinks tea with oat milk"
ALL = "Drinks green tea, black tea at breakfast, and tea with oat milk"
SCOPE = "user/alice"


class ClusterJudge:
    """A judge that says of each cluster what the test says of its statements, and keeps what it was asked."""

    def __init__(self, says: Callable[[list[str]], str | None]) -> None:
        self.says = says
        self.inquiries: list[Inquiry] = []

    @property
    def asked(self) -> list[list[str]]:
        """The statements of each cluster, in order."""
        return [each["statements"] for inquiry in self.inquiries for each in _clusters(inquiry)]

    def ask(self, inquiry: Inquiry) -> Verdicts:
        """Answer each cluster."""
        self.inquiries.append(inquiry)
        told = [{"cluster": each["id"], "statement": self.says(each["statements"])} for each in _clusters(inquiry)]
        answer = inquiry.answer.model_validate({"clusters": told})
        assert inquiry.check(answer) is None
        return Verdicts(answer=answer, calls=1, cost_usd=Decimal("0.001"))


def _clusters(inquiry: Inquiry) -> list[dict[str, Any]]:
    inside = inquiry.data.split("<clusters>\n", 1)[1].split("\n</clusters>", 1)[0]
    return [json.loads(line) for line in inside.split("\n")]


@pytest.fixture
def curating(place: Place, everything_db: Database) -> Iterator[Curating]:
    curating = Curating(place, everything_db, curator_spread=0, curator_consolidate_above=2)
    yield curating
    curating.close()


@pytest.fixture
def past(app_db: Database, dispatcher_db: Database, everything_db: Database) -> Past:
    return Past(app_db, dispatcher_db, everything_db)


def undo_run(past: Past, run: Any) -> list[Any]:
    return [past.undo(each.id) for each in past.app_db.run("default", of_run, "default", run.id)]


def held(past: Past) -> list[dict[str, Any]]:
    """What is live, with its evidence, without ids."""
    return rows(
        past.everything_db,
        """
        SELECT l.scope, l.kind, l.content, l.content_key, l.data, l.confidence, l.valid_from, l.valid_to, l.origin, l.made_by, (
            SELECT jsonb_agg(jsonb_build_array(v.origin, v.extraction_id, v.event_id, v.message, v.quote, v.user_id, v.subject,
                                               v.occurred_at, v.added_at) ORDER BY v.added_at, v.id)
            FROM learning.evidence v WHERE v.learning_id = l.id AND v.withdrawn_at IS NULL) AS evidence
        FROM learning.learning l WHERE l.status <> 'retired' ORDER BY l.scope, l.content
        """,
    )


def test_given_too_many_memories_when_related_ones_are_one_statement_then_it_has_all_their_evidence_and_undo_restores_them(
    past: Past, curating: Curating
) -> None:
    made = [past.hear(says(each), occurred_at=at(minute)) for minute, each in enumerate((GREEN, BLACK, MILK))]
    past.hear(lambda w: [*says("Plays the violin", "Lives in Bern")(w), field(w, "name", "Alex")], occurred_at=at(5))
    past.hear(says(GREEN, BLACK), user_id="bob")  # not more than two
    before, whole = held(past), curating.everything()
    judge = curating.judge = ClusterJudge(lambda statements: ALL)
    dry = curating.run("consolidate", "user_profile", dry_run=True)
    assert (dry.changed, dry.report, judge.inquiries) == (0, {"candidates": 1}, [])
    assert curating.everything() == whole

    done = curating.run("consolidate", "user_profile")
    assert done.report == {"asked": 1, "consolidated": 1, "evidence_copied": 3}
    assert (done.state, done.looked_at, done.changed, done.model_calls) == ("done", 5, 3, 1)
    assert judge.asked == [[GREEN, BLACK, MILK]]
    assert (judge.inquiries[0].subject, judge.inquiries[0].user_id) == (SCOPE, "alice")
    assert past.live() == sorted([ALL, "Plays the violin", "Lives in Bern", "name: Alex", GREEN, BLACK])
    new = past.row(ALL)
    assert (new["origin"], new["kind"], new["valid_from"]) == ("curator", "memory", at(2))
    assert new["confidence"] == pytest.approx(0.9)
    cited = rows(past.everything_db, "SELECT * FROM learning.evidence WHERE learning_id = :i", i=new["id"])
    assert {row["extraction_id"] for row in cited if row["copied_by"]} == set(made)
    assert [row["origin"] for row in cited if not row["copied_by"]] == ["curator"]
    gone = rows(past.everything_db, "SELECT * FROM learning.learning WHERE replaced_by = :i", i=new["id"])
    assert {row["retired_reason"] for row in gone} == {"consolidated"}
    assert rows(past.everything_db, "SELECT FROM learning.mailbox") == []
    past.check()
    assert curating.run("consolidate", "user_profile").changed == 0

    (undone,) = undo_run(past, done)
    assert len(undone.withdrawn.restored) == 3
    assert held(past) == before
    past.check()
    assert curating.run("consolidate", "user_profile").changed == 0  # what an undo took apart stays apart
    assert judge.asked == [[GREEN, BLACK, MILK]]


@pytest.mark.parametrize(
    "statement",
    [
        "Drinks green tea, black tea at breakfast at 7, and tea with oat milk",
        "Drinks Sencha, black tea at breakfast, and tea with oat milk",
        "Never drinks green tea, black tea at breakfast, or tea with oat milk",
        f"{ALL}, which is what many people who drink tea with milk do all day long, as far as anybody can tell in this place",
        "My key is sk-proj-Zk3Jx8Qp1Lm5Nw7Rt9Yb2Vc4Xd6Fg8Hj0Ka1Sb3Dc5Ee7: drinks green tea and black tea with oat milk",
        BLACK,
    ],
)
def test_given_a_statement_that_adds_or_drops_a_particular_when_answered_then_it_is_refused_and_not_asked_for_again(
    past: Past, curating: Curating, statement: str
) -> None:
    past.hear(says(GREEN, BLACK, MILK))
    judge = curating.judge = ClusterJudge(lambda statements: statement)
    whole = held(past)
    done = curating.run("consolidate", "user_profile")
    assert (done.changed, done.report) == (0, {"asked": 1, "refused": 1})
    assert held(past) == whole
    assert rows(past.everything_db, "SELECT FROM learning.change WHERE origin = 'curator'") == []
    assert curating.run("consolidate", "user_profile").report == {}
    assert len(judge.inquiries) == 1


def test_given_a_cluster_without_one_statement_when_answered_then_all_stay(past: Past, curating: Curating) -> None:
    past.hear(says(GREEN, BLACK, MILK))
    curating.judge = ClusterJudge(lambda statements: None)
    done = curating.run("consolidate", "user_profile")
    assert (done.changed, done.report) == (0, {"asked": 1, "none": 1})
    assert past.live() == sorted([GREEN, BLACK, MILK])
    assert curating.run("consolidate", "user_profile").report == {}


def test_given_what_a_person_stated_or_the_statement_is_known_already_when_consolidated_then_neither_is_touched(
    past: Past, curating: Curating
) -> None:
    past.hear(says(GREEN, BLACK, "Drinks tea from cups"))
    terms = Terms(spec=StoreSpec(scope="user"))
    past.app_db.run(
        "default",
        update,
        "default",
        past.row("Drinks tea from cups")["id"],
        Wording(content=MILK),
        lambda _: terms,
        by="ops",
    )
    judge = curating.judge = ClusterJudge(lambda statements: "Drinks green tea and black tea at breakfast")
    past.hear(says("Drinks green tea and black tea at breakfast"), occurred_at=at(0))
    done = curating.run("consolidate", "user_profile")
    assert all(MILK not in asked for asked in judge.asked)
    assert (done.changed, done.report) == (0, {"asked": 1, "refused": 1})
    assert past.row(MILK)["status"] == "active"


def test_given_a_worker_that_has_the_mailbox_when_consolidated_then_its_user_is_left_for_the_next_run(
    past: Past, curating: Curating
) -> None:
    past.hear(says(GREEN, BLACK, MILK))
    curating.judge = ClusterJudge(lambda statements: ALL)
    curating.change(
        "INSERT INTO learning.mailbox (tenant, store, scope, subject, user_id, due_at, first_pending_at, last_event_at, debounce, "
        "max_wait, owner, token, lease_until) VALUES ('default', 'user_profile', :s, :s, 'alice', now(), now(), now(), "
        "interval '0', interval '1 d', 'worker', 1, now() + interval '1 h')", s=SCOPE,
    )  # fmt: skip  # one statement
    assert curating.run("consolidate", "user_profile").report == {"asked": 1, "busy": 1}
    curating.change("UPDATE learning.mailbox SET lease_until = now() - interval '1 s'")
    assert curating.run("consolidate", "user_profile").changed == 3


def test_given_a_source_that_changed_while_the_judge_answered_when_written_then_that_cluster_is_left(
    past: Past, curating: Curating
) -> None:
    past.hear(says(GREEN, BLACK, MILK))

    def late(statements: list[str]) -> str:
        past.hear(lambda w: [field(w, "name", "Alex")])
        curating.change(
            "UPDATE learning.learning SET status = 'retired', retired_at = now() WHERE content = :c", c=MILK
        )
        return ALL

    curating.judge = ClusterJudge(late)
    assert curating.run("consolidate", "user_profile").report == {"asked": 1, "gone": 1}
    assert past.live("memory") == sorted([GREEN, BLACK])


def test_given_a_process_that_ends_between_answer_and_commit_when_another_goes_on_then_it_is_done_once(
    past: Past, curating: Curating, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.hear(says(GREEN, BLACK, MILK))
    judge = curating.judge = ClusterJudge(lambda statements: ALL)

    def killed(*given: Any) -> None:
        raise SystemExit  # as the process ends: nothing of ours runs that could write

    curator = curating.curator()
    run = curator.ask("consolidate", "default", "user_profile", by="test", dry_run=False)
    with monkeypatch.context() as patched:
        patched.setattr("learning_stores.curator.consolidate.retire", killed)
        with pytest.raises(SystemExit):
            curator.drive(run)
    assert past.live() == sorted([GREEN, BLACK, MILK])
    curating.change("UPDATE learning.curator_run SET lease_until = now() - interval '1 s'")
    done = curating.curator(owner="there").work("default", run.id)
    assert done is not None
    assert (done.state, done.changed, done.report["consolidated"], len(judge.inquiries)) == ("done", 3, 1, 2)
    assert past.live() == [ALL]
    past.check()


def test_given_a_source_whose_words_are_taken_back_when_undone_then_the_statement_goes_and_the_others_come_back(
    past: Past, curating: Curating
) -> None:
    made = [past.hear(says(each), occurred_at=at(minute)) for minute, each in enumerate((GREEN, BLACK, MILK))]
    curating.judge = ClusterJudge(lambda statements: ALL)
    done = curating.run("consolidate", "user_profile")
    past.undo(made[1])
    assert past.live() == sorted([GREEN, MILK])
    past.check()
    undo_run(past, done)
    assert past.live() == sorted([GREEN, MILK])
    past.check()


def test_given_a_statement_of_several_when_one_event_is_forgotten_then_nothing_of_it_is_left_and_the_others_come_back(
    past: Past, curating: Curating
) -> None:
    for minute, each in enumerate((GREEN, BLACK, MILK)):
        past.hear(says(each), occurred_at=at(minute))
    (cited,) = rows(
        past.everything_db,
        "SELECT v.event_id FROM learning.evidence v JOIN learning.learning l ON l.id = v.learning_id WHERE l.content = :c", c=BLACK,
    )  # fmt: skip  # one statement
    curating.judge = ClusterJudge(lambda statements: ALL)
    curating.run("consolidate", "user_profile")
    target = past.app_db.run("default", target_of, "default", "alice", None, cited["event_id"])
    forget(past.app_db, target)
    left = rows(past.everything_db, "SELECT content FROM learning.learning")
    assert all("breakfast" not in row["content"] for row in left)
    assert past.live() == sorted([GREEN, MILK])
    past.check()


def test_given_a_statement_of_several_when_one_of_them_is_extracted_again_otherwise_then_each_stands_as_it_was_said_last(
    past: Past, curating: Curating
) -> None:
    made = [past.hear(says(each), occurred_at=at(minute)) for minute, each in enumerate((GREEN, BLACK, MILK))]
    curating.judge = ClusterJudge(lambda statements: ALL)
    done = curating.run("consolidate", "user_profile")
    past.replay(extraction_id=made[1])
    past.extract(says("Drinks black tea at lunch"))
    assert past.live() == sorted([GREEN, MILK, "Drinks black tea at lunch"])
    past.check()
    undo_run(past, done)
    assert past.live() == sorted([GREEN, MILK, "Drinks black tea at lunch"])
    past.check()


def test_given_a_statement_of_several_when_newer_words_replace_it_then_undo_leaves_the_chain_and_tells_it(
    past: Past, curating: Curating
) -> None:
    for minute, each in enumerate((GREEN, BLACK, MILK)):
        past.hear(says(each), occurred_at=at(minute))
    curating.judge = ClusterJudge(lambda statements: ALL)
    done = curating.run("consolidate", "user_profile")
    made = past.row(ALL)["id"]
    newer = past.hear(lambda w: [put(w, "Drinks no tea any more", replaces=made)], occurred_at=at(9))
    (undone,) = undo_run(past, done)
    assert past.live() == ["Drinks no tea any more"]
    assert {chain.replaced_by for chain in undone.withdrawn.left} == {past.row("Drinks no tea any more")["id"]}
    past.check()
    past.undo(newer)
    assert past.live() == sorted([GREEN, BLACK, MILK])
    past.check()


def test_given_several_users_with_too_much_when_consolidated_then_they_are_asked_about_in_one_call_and_written_one_by_one(
    past: Past, curating: Curating
) -> None:
    for user in ("ann", "ben", "cleo"):
        past.hear(says(GREEN, BLACK, MILK), user_id=user)
    judge = curating.judge = ClusterJudge(lambda statements: ALL)
    done = curating.run("consolidate", "user_profile")
    assert (done.changed, done.model_calls, done.report["consolidated"]) == (9, 1, 3)
    assert (judge.inquiries[0].cases, judge.inquiries[0].subject) == (3, "")
    changes = rows(past.everything_db, "SELECT scope FROM learning.change WHERE action = 'consolidate' ORDER BY 1")
    assert [change["scope"] for change in changes] == ["user/ann", "user/ben", "user/cleo"]
    past.check()


def test_given_the_jobs_when_listed_then_consolidate_and_resolve_entities_have_a_schedule(curating: Curating) -> None:
    schedule = curating.curator().schedule()
    assert {"consolidate", "resolve-entities"} <= JOBS.keys()
    assert schedule["consolidate"] is not None
    assert schedule["resolve-entities"] is not None
