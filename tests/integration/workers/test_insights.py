"""Insights from conversations: shared once two users' words stand behind them, confirmed when said again, never about one."""

from typing import Any

from harness import event, rows
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.insight_key import insight_key

ALWAYS = MachineSpec(stores={"learned_knowledge": StoreSpec(scope="session", debounce=0)})
PIN = "Lesson learned: always pin dependencies when building container images."
AGAIN = "When building a container image, always pin the dependencies."
OPPOSITE = "Lesson learned: never pin dependencies when building container images."


def _said(desk: Any, user_id: str, text: str, spec: MachineSpec = ALWAYS) -> None:
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": "I see."}]
    desk.take_in(event(user_id=user_id, session_id=f"of-{user_id}", messages=messages), spec=spec)
    desk.work_off(desk.extractor("learned_knowledge"))


def _insights(desk: Any) -> list[tuple[str, str | None, str, int]]:
    found = rows(
        desk.everything_db,
        "SELECT status, awaits, data ->> 'learning' AS learning,"
        " (SELECT count(*) FROM learning.evidence e WHERE e.learning_id = l.id) AS evidence"
        " FROM learning.learning l WHERE kind = 'insight' AND status <> 'retired' ORDER BY id",
    )
    return [(row["status"], row["awaits"], row["learning"], row["evidence"]) for row in found]


LEARNED = "Always pin dependencies when building container images"


def test_given_an_insight_when_a_second_user_says_nearly_the_same_then_it_is_live_and_a_third_confirms_it(
    offline_desk: Any,
) -> None:
    _said(offline_desk, "alice", PIN)
    assert _insights(offline_desk) == [("proposed", "corroboration", LEARNED, 1)]
    _said(offline_desk, "alice", f"Tip: {AGAIN}")
    assert [(status, awaits) for status, awaits, _, _ in _insights(offline_desk)] == [("proposed", "corroboration")]

    _said(offline_desk, "bob", AGAIN)
    [(status, _, learning, evidence)] = _insights(offline_desk)
    assert (status, insight_key(learning), evidence) == ("active", insight_key(LEARNED), 3)

    _said(offline_desk, "carol", PIN)
    [(status, _, _, evidence)] = _insights(offline_desk)
    assert (status, evidence) == ("active", 4)


def test_given_a_live_insight_when_its_opposite_is_said_then_it_stays_and_the_opposite_waits_beside_it(
    offline_desk: Any,
) -> None:
    for user_id, text in (("alice", PIN), ("bob", PIN), ("carol", OPPOSITE)):
        _said(offline_desk, user_id, text)

    assert [(status, learning) for status, _, learning, _ in _insights(offline_desk)] == [
        ("active", LEARNED),
        ("proposed", "Never pin dependencies when building container images"),
    ]


def test_given_a_namespace_of_the_users_own_when_an_insight_is_said_then_it_is_live_at_once_for_that_user(
    offline_desk: Any,
) -> None:
    own = MachineSpec(stores={"learned_knowledge": StoreSpec(scope="session", debounce=0, namespace="user")})
    _said(offline_desk, "alice", PIN, own)

    assert _insights(offline_desk) == [("active", None, LEARNED, 1)]
    [row] = rows(offline_desk.everything_db, "SELECT scope, user_id FROM learning.learning WHERE kind = 'insight'")
    assert row == {"scope": "namespace/user/alice", "user_id": "alice"}


def test_given_talk_about_oneself_when_read_then_nothing_is_shared(offline_desk: Any) -> None:
    _said(offline_desk, "alice", "Lesson learned: I should never drink coffee after lunch. I'm allergic to nuts.")

    assert _insights(offline_desk) == []
