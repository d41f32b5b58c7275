"""Where learnings are kept and read: a store's scope for a user, a session or a namespace."""

from collections.abc import Sequence
from dataclasses import dataclass

from learning_schemas.scope import (
    GLOBAL_NAMESPACE,
    USER_NAMESPACE,
    ScopeKind,
    namespace_scope,
    scope_of,
    subject_of,
)
from learning_schemas.spec import StoreSpec


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a write goes, and in whose conversation it was made.

    `scope` is the key under which the learnings lie; `user_id` and `session_id` say who was there. A learning that is
    shared (a namespace other than "user") belongs to no user: only its evidence does.
    """

    tenant: str
    store: str
    scope: str
    user_id: str | None = None
    session_id: str | None = None
    namespace: str | None = None
    agent_id: str | None = None
    team_id: str | None = None
    language: str | None = None  # how its words are stemmed; None: english

    @property
    def subject(self) -> str | None:
        """Whom what is written is about, for forgetting; None where neither a user nor a session is named."""
        return subject_of(self.user_id, self.session_id) if self.user_id or self.session_id else None

    @property
    def owner(self) -> tuple[str | None, str | None]:
        """The user and the session that the learnings belong to."""
        if self.namespace is None:
            return self.user_id, self.session_id if self.scope.startswith("session/") else None
        return (self.user_id if self.namespace == USER_NAMESPACE else None), None


def written_scope(
    kind: ScopeKind, namespaced: bool, spec: StoreSpec, user_id: str | None, session_id: str | None
) -> str | None:
    """The scope that a store of this configuration writes to; None where the id that it needs is missing."""
    if namespaced:
        return namespace_scope(spec.namespace or GLOBAL_NAMESPACE, user_id)
    return scope_of(kind, user_id, session_id)


def read_scopes(
    kind: ScopeKind, namespaced: bool, spec: StoreSpec, user_id: str | None, session_id: str | None
) -> Sequence[str]:
    """The scopes that it reads; none where the id that it needs is missing."""
    if not namespaced:
        scope = scope_of(kind, user_id, session_id)
        return [scope] if scope is not None else []
    scopes = (namespace_scope(name, user_id) for name in namespaces_read(spec))
    return [scope for scope in scopes if scope is not None]


def namespaces_read(spec: StoreSpec) -> Sequence[str]:
    """The namespaces that a store of this configuration reads, where it is one that has namespaces: its own first."""
    return list(dict.fromkeys((spec.namespace or GLOBAL_NAMESPACE, *(spec.also_reads or ()))))
