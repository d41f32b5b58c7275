"""The entities of a machine: what is known of a named thing, and of what it is tied to."""

from functools import partial

from learning_machine.arguments import checked_number
from learning_machine.asking import Asking, Question, checked_ids, checked_limit
from learning_schemas.errors import InvalidArgument
from learning_schemas.results import Entity
from learning_stores import entity_lookup as lookup
from learning_stores.entity_names import MAX_NAME, MAX_TYPE

MAX_FOUND = 100
_MAX_QUERY = 1_000


class Entities(Asking):
    """The part of a machine that knows named things. It looks into the namespaces that the machine reads, and no others.

    Every method has a twin for asyncio. All raise `InvalidArgument` for bad input, and where the machine has no entity_memory,
    and `MemoryUnavailable` where Postgres is away.
    """

    def entity(
        self,
        name: str,
        type: str | None = None,  # noqa: A002 - the word of entities
        hops: int = 1,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
    ) -> Entity | None:
        """The entity that is called so, with what is known of it; `neighbours` are those up to `hops` (0 to 3) relationships away.

        None where nothing is called so. Raises `InvalidArgument` naming the types where the name means things of several.
        """
        return self._ask(self._entity(name, type, hops, user_id, session_id))

    async def aentity(
        self,
        name: str,
        type: str | None = None,  # noqa: A002 - as in `entity`
        hops: int = 1,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
    ) -> Entity | None:
        """`entity` for asyncio."""
        return await self._aask(self._entity(name, type, hops, user_id, session_id))

    def search_entities(
        self,
        query: str = "",
        type: str | None = None,  # noqa: A002 - the word of entities
        limit: int = 20,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
    ) -> tuple[Entity, ...]:
        """Entities by name or by what is said of them, best first; for an empty query all, newest first. `limit` 1 to 100."""
        return self._ask(self._search(query, type, limit, user_id, session_id))

    async def asearch_entities(
        self,
        query: str = "",
        type: str | None = None,  # noqa: A002 - as in `search_entities`
        limit: int = 20,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
    ) -> tuple[Entity, ...]:
        """`search_entities` for asyncio."""
        return await self._aask(self._search(query, type, limit, user_id, session_id))

    def _entity(
        self, name: object, kind: object, hops: object, user_id: object, session_id: object
    ) -> Question[Entity | None]:
        if isinstance(hops, float):
            raise InvalidArgument("hops", "is not a whole number", f"Give 0 to {lookup.MAX_HOPS}")
        return partial(
            lookup.entity,
            tenant=self.tenant,
            scopes=self._namespaces(user_id, session_id),
            name=_text("name", name, MAX_NAME),
            kind=None if kind is None else _text("type", kind, MAX_TYPE),
            hops=int(checked_number("hops", hops, 0, lookup.MAX_HOPS, f"Give 0 to {lookup.MAX_HOPS}")),
        )

    def _search(
        self, query: object, kind: object, limit: object, user_id: object, session_id: object
    ) -> Question[tuple[Entity, ...]]:
        return partial(
            lookup.search,
            tenant=self.tenant,
            scopes=self._namespaces(user_id, session_id),
            query="" if query == "" else _text("query", query, _MAX_QUERY),
            kind=None if kind is None else _text("type", kind, MAX_TYPE),
            limit=checked_limit(limit, MAX_FOUND),
        )

    def _namespaces(self, user_id: object, session_id: object) -> list[str]:
        """The scopes that are looked into. Raises `InvalidArgument` where there is none."""
        user, session = checked_ids(user_id, session_id)
        if lookup.STORE not in self._stores:
            raise InvalidArgument(lookup.STORE, "is not a store of this machine", "Make it with entity_memory=True")
        scopes = [scope for _, scope in self._reads([lookup.STORE], user, session)]
        if not scopes:
            raise self._missing_id(lookup.STORE)
        return scopes


def _text(name: str, value: object, most: int) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise InvalidArgument(name, "is no text", f"Give {name}='…'")
    if len(value) > most:
        raise InvalidArgument(name, f"has {len(value):,} characters", f"It may have {most:,}")
    return value
