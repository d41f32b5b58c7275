"""What this process emitted lately: the part of the overlay that no server knows yet."""

import time
from collections import deque
from collections.abc import Set
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from learning_machine.lock import Lock
from learning_schemas.event import ConversationCompleted
from learning_schemas.results import UnprocessedMessage

KEPT_SECONDS = 600.0
KEPT_EVENTS = 256
KEPT_CHARACTERS = 2_000_000
ASKED_EVENTS = 32


class _Emitted(NamedTuple):
    """What the user said in an event, newest first; the rest of it is not kept."""

    event_id: UUID
    tenant: str
    user_id: str | None
    session_id: str | None
    occurred_at: datetime
    said: list[str]
    size: int
    at: float


class RecentEvents:
    """The last events of this process, until recall finds them in the event log, or they are ten minutes old."""

    def __init__(self) -> None:
        self._events: deque[_Emitted] = deque()
        self._characters = 0
        self._lock = Lock()

    def add(self, event: ConversationCompleted) -> None:
        """Remember an accepted event."""
        said = [m.content for m in reversed(event.messages) if m.role == "user" and m.content]
        if not said:
            return
        size = sum(map(len, said))
        emitted = _Emitted(
            event.id, event.tenant, event.user_id, event.session_id, event.occurred_at, said, size, time.monotonic()
        )
        with self._lock.mutex:
            self._events.append(emitted)
            self._characters += size
            while len(self._events) > KEPT_EVENTS or (self._characters > KEPT_CHARACTERS and len(self._events) > 1):
                self._characters -= self._events.popleft().size

    def of(self, tenant: str, user_id: str | None, session_id: str | None) -> tuple[UnprocessedMessage, ...]:
        """What this user, or this session, said in them, newest first."""
        oldest = time.monotonic() - KEPT_SECONDS
        found: list[UnprocessedMessage] = []
        asked = 0
        with self._lock.mutex:
            events = tuple(self._events)
        for event in reversed(events):
            if event.at < oldest or asked == ASKED_EVENTS:
                break
            same_user = user_id is not None and event.user_id == user_id
            same_session = session_id is not None and (event.user_id, event.session_id) == (user_id, session_id)
            if event.tenant == tenant and (same_user or same_session):
                asked += 1
                found += [
                    UnprocessedMessage(
                        event_id=event.event_id,
                        session_id=event.session_id,
                        content=content,
                        occurred_at=event.occurred_at,
                    )
                    for content in event.said
                ]
        return tuple(found)

    def forget(self, known: Set[UUID]) -> None:
        """Drop events that the event log has."""
        if known:
            with self._lock.mutex:
                kept = [emitted for emitted in self._events if emitted.event_id not in known]
                self._events = deque(kept)
                self._characters = sum(emitted.size for emitted in kept)
