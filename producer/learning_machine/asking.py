"""Questions to the memory: each is one transaction of the machine's tenant, from Python and from asyncio alike."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from sqlalchemy import exc
from sqlalchemy.orm import Session

from learning_machine.arguments import checked_id, checked_number
from learning_machine.drafting import redacted_json
from learning_machine.emitter import told
from learning_machine.foundation import Foundation
from learning_schemas.errors import InvalidArgument, MemoryUnavailable
from learning_schemas.limits import check_json
from learning_schemas.scope import GLOBAL_NAMESPACE
from learning_stores.place import Place, read_scopes, written_scope
from learning_stores.wording import Terms, Wording

T = TypeVar("T")

Question = Callable[[Session], T]
"""What is done in the transaction."""

_AWAY = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, psycopg.OperationalError, OSError)
_UNPREPARED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
)
"""What a database says that was not migrated."""


class Asking(Foundation):
    """The part of a machine that asks its database, and knows which of it is its own."""

    def _ask(self, question: Question[T]) -> T:
        with unavailable():
            return self._database.run(self.tenant, question)

    async def _aask(self, question: Question[T]) -> T:
        await self._loops.enter()
        with unavailable():
            return await self._database.arun(self.tenant, question)

    def _reads(self, stores: Iterable[str], user_id: str | None, session_id: str | None) -> list[tuple[str, str]]:
        """The places (store and scope) that these stores read for this user and session."""
        return [
            (name, scope)
            for name in stores
            for store in (self._store(name),)
            for scope in read_scopes(store.scope, store.namespaced, self.spec.stores[name], user_id, session_id)
        ]

    def _terms(self, store: str) -> Terms:
        return Terms(spec=self.spec.stores[store], own=True)

    def _written_place(self, name: str, user_id: str | None, session_id: str | None) -> Place:
        """Where a store writes. Raises `InvalidArgument` that names the id which this needs."""
        store, spec = self._store(name), self.spec.stores[name]
        scope = written_scope(store.scope, store.namespaced, spec, user_id, session_id)
        if scope is None:
            raise self._missing_id(name)
        namespace = (spec.namespace or GLOBAL_NAMESPACE) if store.namespaced else None
        return Place(
            tenant=self.tenant,
            store=name,
            scope=scope,
            namespace=namespace,
            user_id=user_id,
            session_id=session_id,
            language=self.spec.language,
        )

    def _missing_id(self, name: str) -> InvalidArgument:
        store = self._store(name)
        needed = "user_id" if store.namespaced or store.scope == "user" else "session_id"
        where = f'{name} in the namespace "user"' if store.namespaced else name
        return InvalidArgument(
            needed, f"is not given, and {where} needs it", f"Give the {needed} whose memory is meant"
        )

    def _wording(self, given: Mapping[str, Any]) -> Wording:
        """The arguments that say what is to be remembered, without their secrets."""
        kept = {}
        for name, value in given.items():
            if value is not None:
                try:
                    kept[name] = check_json(value)
                except ValueError as error:
                    raise InvalidArgument(name, str(error), "Give text, numbers, lists, and objects of these") from None
        return Wording(**redacted_json(kept, self._redact, {}))


@contextmanager
def unavailable() -> Iterator[None]:
    """Turn what Postgres, or the way to it, does wrong into `MemoryUnavailable`; a mistake of ours stays what it is."""
    try:
        yield
    except _AWAY as error:
        raise MemoryUnavailable(told(error)) from error
    except exc.ProgrammingError as error:
        if not isinstance(error.orig, _UNPREPARED):
            raise
        raise MemoryUnavailable(f"{told(error)} (`learning-machine migrate` prepares a database)") from error


def checked_ids(user_id: object, session_id: object) -> tuple[str | None, str | None]:
    """A user's and a session's id, each where it is given."""
    return (
        None if user_id is None else checked_id("user_id", user_id),
        None if session_id is None else checked_id("session_id", session_id),
    )


def checked_uuid(name: str, value: object) -> UUID:
    """A learning's id, also as text."""
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise InvalidArgument(
            name, "is no id of a learning", "`machine.learnings()` lists them, with their ids"
        ) from None


def checked_by(value: object) -> str:
    """Who says so."""
    try:
        return checked_id("by", value)
    except InvalidArgument as error:
        raise InvalidArgument("by", error.problem, "Say who changes it, such as by='support@acme.com'") from None


def checked_limit(value: object, most: int) -> int:
    """How many."""
    if isinstance(value, float):
        raise InvalidArgument("limit", "is not a whole number", f"Give 1 to {most}")
    return int(checked_number("limit", value, 1, most, f"Give 1 to {most}"))


_NOT_WORDING = frozenset({"self", "by", "learning_id", "store", "kind", "user_id", "session_id"})


def wording_in(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Of a method's arguments those that say what is to be remembered."""
    return {name: value for name, value in arguments.items() if name not in _NOT_WORDING}
