"""The library of a machine: what is remembered, page by page, and what became of each learning."""

from functools import partial
from typing import Literal
from uuid import UUID

from learning_machine.arguments import checked_choice
from learning_machine.asking import (
    Asking,
    Question,
    checked_ids,
    checked_limit,
    checked_uuid,
)
from learning_schemas.errors import InvalidArgument
from learning_schemas.results import Learning
from learning_schemas.scope import GLOBAL_NAMESPACE
from learning_stores import library

Status = Literal["active", "proposed", "retired", "all"]


class Library(Asking):
    """The part of a machine through which people read what is remembered.

    `learnings` shows what the machine reads for a user and session. A learning's id is enough for `get` and `history`, and for
    what changes or decides it: they work on any learning of the tenant in one of the machine's stores, whosoever it is. The
    tenant is the boundary. Every method has a twin for asyncio (`aget`, …). All raise `InvalidArgument` for bad input, and
    `MemoryUnavailable` where Postgres is away.
    """

    def learnings(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        store: str | None = None,
        kind: str | None = None,
        status: Status = "active",
        namespace: str | None = None,
        limit: int = 50,
        after: UUID | str | None = None,
    ) -> tuple[Learning, ...]:
        """What is remembered for this user and session, newest first; without them what namespaces hold that need none.

        `after` is the id of the last learning of the page before; `limit` 1 to 500. Of much evidence a page has the newest 50.
        """
        return self._ask(self._page(user_id, session_id, store, kind, status, namespace, limit, after))

    async def alearnings(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        store: str | None = None,
        kind: str | None = None,
        status: Status = "active",
        namespace: str | None = None,
        limit: int = 50,
        after: UUID | str | None = None,
    ) -> tuple[Learning, ...]:
        """`learnings` for asyncio."""
        return await self._aask(self._page(user_id, session_id, store, kind, status, namespace, limit, after))

    def get(self, learning_id: UUID | str) -> Learning:
        """One learning, live or not, with all its evidence. Raises `UnknownLearning`."""
        return self._ask(self._one(learning_id))

    async def aget(self, learning_id: UUID | str) -> Learning:
        """`get` for asyncio."""
        return await self._aask(self._one(learning_id))

    def history(self, learning_id: UUID | str) -> tuple[Learning, ...]:
        """A learning, what it took the place of and what took its place, oldest first. Raises `UnknownLearning`.

        The evidence says who changed what: its `action` and `by`. At most 200 learnings, the nearest.
        """
        return self._ask(self._chain(learning_id))

    async def ahistory(self, learning_id: UUID | str) -> tuple[Learning, ...]:
        """`history` for asyncio."""
        return await self._aask(self._chain(learning_id))

    def _page(
        self,
        user_id: object,
        session_id: object,
        store: str | None,
        kind: str | None,
        status: Status,
        namespace: str | None,
        limit: object,
        after: UUID | str | None,
    ) -> Question[tuple[Learning, ...]]:
        user, session = checked_ids(user_id, session_id)
        checked_choice("status", status, "active", "proposed", "retired", "all")
        if store is not None:
            self._store(store)
        places = self._reads([store] if store is not None else self._stores, user, session)
        if store is not None and not places:
            raise self._missing_id(store)
        if namespace is not None:
            self._check_namespace(namespace)
        selection = library.Selection(
            places=places,
            kind=None if kind is None else self._checked_kind(store, kind),
            status=None if status == "all" else status,
            namespace=namespace,
            after=None if after is None else checked_uuid("after", after),
        )
        most = checked_limit(limit, library.MAX_PAGE)
        return partial(library.page, tenant=self.tenant, selection=selection, limit=most)

    def _one(self, learning_id: object) -> Question[Learning]:
        named = checked_uuid("learning_id", learning_id)
        return partial(library.get, tenant=self.tenant, learning_id=named, stores=self._stores)

    def _chain(self, learning_id: object) -> Question[tuple[Learning, ...]]:
        named = checked_uuid("learning_id", learning_id)
        return partial(library.history, tenant=self.tenant, learning_id=named, stores=self._stores)

    def _checked_kind(self, store: str | None, kind: str) -> str:
        known = [each for name in ([store] if store else self._stores) for each in self._store(name).kinds]
        checked_choice("kind", kind, *dict.fromkeys(known))
        return kind

    def _check_namespace(self, namespace: str) -> None:
        read: dict[str, None] = {}
        for name, store in self._stores.items():
            if store.namespaced:
                spec = self.spec.stores[name]
                read |= dict.fromkeys((spec.namespace or GLOBAL_NAMESPACE, *(spec.also_reads or ())))
        if namespace not in read:
            remedy = f"It reads {', '.join(read)}" if read else "None of its stores shares what it learned"
            raise InvalidArgument("namespace", "is not one that this machine reads", remedy)
