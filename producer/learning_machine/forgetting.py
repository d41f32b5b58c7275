"""The forgetting of a machine: a user, a session or an event goes, with everything that was learned from it."""

import asyncio
from uuid import UUID

from learning_machine.arguments import checked_id
from learning_machine.asking import Asking, checked_ids, unavailable
from learning_machine.forgetting_outside import WaysIn, remove_outside
from learning_schemas.errors import InvalidArgument
from learning_stores import forgetting
from learning_stores.database import Database
from learning_stores.forgetting_begin import reopen, target_of
from learning_stores.forgetting_receipt import ForgetReceipt


class Forgetting(Asking):
    """The part of a machine through which somebody is forgotten. It takes as long as there is to delete; every transaction is
    short, and one that was broken off is gone on with by asking again."""

    _ways_in: WaysIn

    def forget(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        event_id: UUID | str | None = None,
        close: bool = False,
        by: str | None = None,
    ) -> ForgetReceipt:
        """Forget a user, a session (of that user, or without one), or an event: what was said, and what was learned from it.

        What other people said stays. Events that were made before are refused whenever they arrive; with `close`, everything
        is, until `reopen`. The receipt says what was deleted, that a search found nothing, and what cannot be reached. Raises
        `InvalidArgument`, `MemoryUnavailable` (ask again: it goes on), `NotForgotten`.
        """
        user, session = checked_ids(user_id, session_id)
        event = None if event_id is None else checked_event(event_id)
        check_target(user, session, event, close)
        asked_by = None if by is None else checked_id("by", by)
        with unavailable(), Database(self._database.url.render_as_string(hide_password=False), pool_size=1) as database:
            target = database.run(self.tenant, target_of, self.tenant, user, session, event)
            return forgetting.forget(
                database,
                target,
                close=close,
                by=asked_by,
                outside=lambda scope: remove_outside(database, self._ways_in, scope),
            )

    async def aforget(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        event_id: UUID | str | None = None,
        close: bool = False,
        by: str | None = None,
    ) -> ForgetReceipt:
        """`forget` for asyncio, in a thread; cancelled, it goes on there until it is done."""
        return await asyncio.to_thread(
            self.forget, user_id=user_id, session_id=session_id, event_id=event_id, close=close, by=by
        )

    def reopen(self, user_id: str | None = None, *, session_id: str | None = None) -> bool:
        """Let a user, or a session, in again who was forgotten with `close`; False where they were not kept out."""
        user, session = checked_ids(user_id, session_id)
        check_target(user, session, None, False)
        return self._ask(lambda database: reopen(database, target_of(database, self.tenant, user, session, None)))

    async def areopen(self, user_id: str | None = None, *, session_id: str | None = None) -> bool:
        """`reopen` for asyncio."""
        user, session = checked_ids(user_id, session_id)
        check_target(user, session, None, False)
        return await self._aask(
            lambda database: reopen(database, target_of(database, self.tenant, user, session, None))
        )


def checked_event(value: object) -> UUID:
    """An event's id, also as text."""
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise InvalidArgument("event_id", "is no id of an event", "The receipt of emit has it") from None


def check_target(user_id: str | None, session_id: str | None, event_id: UUID | None, close: bool) -> None:
    """Raise `InvalidArgument` where it is not clear what is to be forgotten."""
    if not isinstance(close, bool):
        raise InvalidArgument("close", f"is {type(close).__name__}, not a bool", "Give True or False")
    if event_id is None and user_id is None and session_id is None:
        raise InvalidArgument("user_id", "is not given", "Say who, which session or which event is meant")
    if event_id is not None and (user_id is not None or session_id is not None):
        raise InvalidArgument("event_id", "is given beside other ids", "An event's id says which event it is")
    if event_id is not None and close:
        raise InvalidArgument("close", "is given for an event", "A user or a session can be kept out")
