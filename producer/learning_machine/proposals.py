"""The proposals of a machine: what waits for a person's word, and giving it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from learning_machine.asking import (
    Asking,
    Question,
    checked_by,
    checked_ids,
    checked_limit,
    checked_uuid,
    wording_in,
)
from learning_schemas.errors import InvalidArgument
from learning_schemas.results import Learning
from learning_stores import library
from learning_stores import proposals as decisions
from learning_stores.grounding import storable

MAX_REASON = 500
"""Characters."""


class Proposals(Asking):
    """The part of a machine through which people decide what is remembered.

    Whoever decides sees what waits of every user: `proposals` without a `user_id` is the queue of the tenant in the machine's
    stores. A proposal is decided once; who decided and when stays on it. Every method has a twin for asyncio. All raise
    `InvalidArgument` for bad input, and `MemoryUnavailable` where Postgres is away.
    """

    def proposals(
        self,
        *,
        store: str | None = None,
        user_id: str | None = None,
        session_id: str | None = None,
        limit: int = 50,
        after: UUID | str | None = None,
    ) -> tuple[Learning, ...]:
        """What waits, for approval or for a second user (`awaits`), newest first; of one user where that is given.

        `after` is the id of the last proposal of the page before; `limit` 1 to 500.
        """
        return self._ask(self._queue(store, user_id, session_id, limit, after))

    async def aproposals(
        self,
        *,
        store: str | None = None,
        user_id: str | None = None,
        session_id: str | None = None,
        limit: int = 50,
        after: UUID | str | None = None,
    ) -> tuple[Learning, ...]:
        """`proposals` for asyncio."""
        return await self._aask(self._queue(store, user_id, session_id, limit, after))

    def approve(self, learning_id: UUID | str, *, by: str) -> Learning:
        """Make a proposal live, from now on: the learning that holds it, which is another where an equal one is live already.

        Raises `UnknownLearning`, and `StaleLearning`, which names who decided it before.
        """
        return self._ask(self._approval(learning_id, by))

    async def aapprove(self, learning_id: UUID | str, *, by: str) -> Learning:
        """`approve` for asyncio."""
        return await self._aask(self._approval(learning_id, by))

    def edit(
        self,
        learning_id: UUID | str,
        content: str | None = None,
        *,
        by: str,
        value: Any = None,
        title: str | None = None,
        learning: str | None = None,
        context: str | None = None,
        tags: Sequence[str] | None = None,
        relation: str | None = None,
        date: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Learning:
        """Approve a proposal in other words: the learning that is live. What is not given stays, as in `update`.

        The proposal is kept, retired as "edited". Raises `UnknownLearning`, and `StaleLearning`, which names who decided it.
        """
        return self._ask(self._edition(learning_id, by, wording_in(locals())))

    async def aedit(
        self,
        learning_id: UUID | str,
        content: str | None = None,
        *,
        by: str,
        value: Any = None,
        title: str | None = None,
        learning: str | None = None,
        context: str | None = None,
        tags: Sequence[str] | None = None,
        relation: str | None = None,
        date: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Learning:
        """`edit` for asyncio."""
        return await self._aask(self._edition(learning_id, by, wording_in(locals())))

    def reject(self, learning_id: UUID | str, *, by: str, reason: str | None = None) -> Learning:
        """End a proposal that is not to be: the same, retired as "rejected". The reason is kept as the quote of its evidence.

        Raises `UnknownLearning`, and `StaleLearning`, which names who decided it before.
        """
        return self._ask(self._rejection(learning_id, by, reason))

    async def areject(self, learning_id: UUID | str, *, by: str, reason: str | None = None) -> Learning:
        """`reject` for asyncio."""
        return await self._aask(self._rejection(learning_id, by, reason))

    def _queue(
        self, store: str | None, user_id: object, session_id: object, limit: object, after: UUID | str | None
    ) -> Question[tuple[Learning, ...]]:
        user, session = checked_ids(user_id, session_id)
        stores = list(self._stores) if store is None else [self._store(store).name]
        selection = library.Selection(
            status="proposed",
            stores=stores,
            places=None if user is None and session is None else self._reads(stores, user, session),
            after=None if after is None else checked_uuid("after", after),
        )
        most = checked_limit(limit, library.MAX_PAGE)
        return partial(library.page, tenant=self.tenant, selection=selection, limit=most)

    def _approval(self, learning_id: object, by: object) -> Question[Learning]:
        named = checked_uuid("learning_id", learning_id)
        return partial(decisions.approve, tenant=self.tenant, learning_id=named, by=checked_by(by), stores=self._stores)

    def _edition(self, learning_id: object, by: object, given: Mapping[str, Any]) -> Question[Learning]:
        return partial(
            decisions.edit,
            tenant=self.tenant,
            learning_id=checked_uuid("learning_id", learning_id),
            said=self._wording(given),
            terms_of=self._terms,
            by=checked_by(by),
            stores=self._stores,
        )

    def _rejection(self, learning_id: object, by: object, reason: object) -> Question[Learning]:
        named = checked_uuid("learning_id", learning_id)
        return partial(
            decisions.reject,
            tenant=self.tenant,
            learning_id=named,
            by=checked_by(by),
            reason=None if reason is None else self._checked_reason(reason),
            stores=self._stores,
        )

    def _checked_reason(self, reason: object) -> str:
        if not isinstance(reason, str) or not (told := " ".join(storable(reason).split())):
            raise InvalidArgument("reason", "is no text", "Say why in a few words, or leave it out")
        if len(told) > MAX_REASON:
            raise InvalidArgument("reason", f"has {len(told):,} characters", f"It may have {MAX_REASON}")
        return self._redact(told)[0]
