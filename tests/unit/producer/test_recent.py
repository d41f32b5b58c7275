"""The overlay from this process: the right user's and session's words, for as long as they are needed."""

import pytest

from harness import event
from learning_machine import recent
from learning_machine.recent import RecentEvents


def said(events: RecentEvents, tenant: str, user: str | None, session: str | None) -> list[str]:
    return [message.content for message in events.of(tenant, user, session)]


@pytest.fixture
def events() -> RecentEvents:
    events = RecentEvents()
    events.add(event(tenant="a", user_id="u", session_id="1", messages=[{"role": "user", "content": "a/u/1"}]))
    events.add(event(tenant="a", user_id="u", session_id="2", messages=[{"role": "user", "content": "a/u/2"}]))
    events.add(event(tenant="a", user_id="v", session_id="1", messages=[{"role": "user", "content": "a/v/1"}]))
    events.add(event(tenant="a", user_id=None, session_id="1", messages=[{"role": "user", "content": "a/-/1"}]))
    events.add(event(tenant="b", user_id="u", session_id="1", messages=[{"role": "user", "content": "b/u/1"}]))
    return events


@pytest.mark.parametrize(
    ("tenant", "user", "session", "expected"),
    [
        ("a", "u", "1", ["a/u/2", "a/u/1"]),
        ("a", "u", None, ["a/u/2", "a/u/1"]),
        ("a", "v", "2", ["a/v/1"]),
        ("a", None, "1", ["a/-/1"]),
        ("a", None, "2", []),
        ("b", "u", "9", ["b/u/1"]),
        ("b", "v", "1", []),
        ("c", "u", "1", []),
        ("a", None, None, []),
    ],
)
def test_given_events_of_several_tenants_users_and_sessions_then_each_sees_only_its_own(
    events: RecentEvents, tenant: str, user: str | None, session: str | None, expected: list[str]
) -> None:
    assert said(events, tenant, user, session) == expected


def test_given_an_event_then_only_what_the_user_said_is_kept_newest_first() -> None:
    events = RecentEvents()
    events.add(
        event(
            messages=[
                {"role": "system", "content": "rules"},
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": "answer"},
                {"role": "user", "content": "two"},
                {"role": "tool", "content": "found"},
            ]
        )
    )

    assert said(events, "default", "alice", "s1") == ["two", "one"]


def test_given_an_event_that_the_log_has_then_it_is_forgotten_and_the_others_stay() -> None:
    events = RecentEvents()
    first, second = event(), event()
    events.add(first)
    events.add(second)

    events.forget({first.id})

    assert [message.event_id for message in events.of("default", "alice", None)] == [second.id]


def test_given_an_old_event_then_it_is_no_longer_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    events = RecentEvents()
    events.add(event())
    now = recent.time.monotonic()
    monkeypatch.setattr(recent.time, "monotonic", lambda: now + recent.KEPT_SECONDS + 1)

    assert events.of("default", "alice", None) == ()


def test_given_more_events_or_more_text_than_are_kept_then_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "KEPT_EVENTS", 3)
    monkeypatch.setattr(recent, "KEPT_CHARACTERS", 10)
    events = RecentEvents()
    for text in ("1", "2", "3", "4"):
        events.add(event(messages=[{"role": "user", "content": text}]))
    assert said(events, "default", "alice", None) == ["4", "3", "2"]

    events.add(event(messages=[{"role": "user", "content": "x" * 9}]))
    assert said(events, "default", "alice", None) == ["x" * 9, "4"]

    events.add(event(messages=[{"role": "user", "content": "y" * 50}]))
    assert said(events, "default", "alice", None) == ["y" * 50]
