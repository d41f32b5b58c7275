"""Scopes, subjects and shards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning_schemas.scope import scope_of, session_scope, shard_of, stream_name, subject_of, user_scope

some_id = st.one_of(st.text(alphabet="a/%25F", min_size=1, max_size=6), st.text(min_size=1, max_size=20))
pair = st.tuples(st.none() | some_id, some_id)


@given(pair, pair)
def test_given_two_pairs_of_ids_then_their_session_scopes_are_equal_only_where_they_are(
    one: tuple[str | None, str], other: tuple[str | None, str]
) -> None:
    assert (session_scope(*one) == session_scope(*other)) == (one == other)


@given(some_id, some_id)
def test_given_two_users_then_their_scopes_are_equal_only_where_they_are(one: str, other: str) -> None:
    assert (user_scope(one) == user_scope(other)) == (one == other)


@given(st.tuples(st.none() | some_id, st.none() | some_id), st.tuples(st.none() | some_id, st.none() | some_id))
def test_given_two_events_then_their_subjects_are_equal_only_where_user_or_userless_session_are(
    one: tuple[str | None, str | None], other: tuple[str | None, str | None]
) -> None:
    if one == (None, None) or other == (None, None):
        return
    about = [("user", user) if user else ("session", session) for user, session in (one, other)]
    assert (subject_of(*one) == subject_of(*other)) == (about[0] == about[1])


def test_given_neither_id_then_there_is_no_subject() -> None:
    with pytest.raises(ValueError, match="user_id or a session_id"):
        subject_of(None, None)


def test_given_a_missing_id_then_there_is_no_scope_of_its_kind() -> None:
    assert scope_of("user", None, "s") is None
    assert scope_of("session", "u", None) is None
    assert scope_of("session", "u", "s") == "session/u/s"
    assert scope_of("session", None, "s") == "session//s"
    assert scope_of("user", "u/1%", None) == "user/u%2F1%25"


@pytest.mark.parametrize(
    ("tenant", "subject", "shard"),
    [("default", "user/alice", 5), ("acme", "user/alice", 3), ("default", "session/s1", 3)],
)
def test_given_a_subject_then_its_shard_never_changes(tenant: str, subject: str, shard: int) -> None:
    assert shard_of(tenant, subject) == shard
    assert stream_name(shard) == f"learning:events:{shard}"


def test_given_many_subjects_then_every_shard_has_some() -> None:
    assert {shard_of("default", f"user/{n}") for n in range(200)} == set(range(8))
    assert {shard_of("default", f"user/{n}", 3) for n in range(200)} == set(range(3))
