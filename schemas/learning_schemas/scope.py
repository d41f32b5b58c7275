"""Who an event is about, and what an extraction must be serial over, as text keys.

A subject is `user/<user id>`, or `session/<session id>` where there is no user: the unit of forgetting. A scope is
`user/<user id>` or `session/<user id or nothing>/<session id>`: two users' "s1" are two sessions. Ids are
percent-encoded where they hold a slash or a percent sign, so that no two pairs of ids make one key. What is shared lies
under a namespace: `namespace/user/<user id>` for one user's own, `namespace/<name>` for any other.
"""

import hashlib
from functools import lru_cache
from typing import Literal

ScopeKind = Literal["user", "session"]

DEFAULT_SHARDS = 8

KNOWN_SPECS = "learning:specs"
"""The Redis set of `tenant/hash` that intake has registered, so that emit need not send the spec along."""


def _quoted(value: str) -> str:
    return value.replace("%", "%25").replace("/", "%2F") if "/" in value or "%" in value else value


def user_scope(user_id: str) -> str:
    """The scope of what is known of a user."""
    return f"user/{_quoted(user_id)}"


def session_scope(user_id: str | None, session_id: str) -> str:
    """The scope of what is known of a session: (user or none, session id)."""
    return f"session/{_quoted(user_id or '')}/{_quoted(session_id)}"


USER_NAMESPACE = "user"
GLOBAL_NAMESPACE = "global"


def namespace_scope(namespace: str, user_id: str | None) -> str | None:
    """The scope of what a namespace holds; None for the namespace "user" without a user: it fails closed."""
    if namespace == USER_NAMESPACE:
        return f"namespace/user/{_quoted(user_id)}" if user_id else None
    return f"namespace/{_quoted(namespace)}"


def scope_of(kind: ScopeKind, user_id: str | None, session_id: str | None) -> str | None:
    """The scope of that kind, or None where the id that it needs is missing."""
    if kind == "user":
        return user_scope(user_id) if user_id else None
    return session_scope(user_id, session_id) if session_id else None


def subject_of(user_id: str | None, session_id: str | None) -> str:
    """Whom an event is about. Raises ValueError where neither id is given."""
    if user_id:
        return user_scope(user_id)
    if session_id:
        return f"session/{_quoted(session_id)}"
    raise ValueError("an event needs a user_id or a session_id")


@lru_cache(maxsize=4096)
def shard_of(tenant: str, subject: str, shards: int = DEFAULT_SHARDS) -> int:
    """The stream that carries a subject's events: all of one subject go through one shard, so that they keep their order."""
    digest = hashlib.blake2b(f"{tenant}\x1f{subject}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards


def stream_name(shard: int) -> str:
    """The Redis stream of a shard."""
    return f"learning:events:{shard}"
