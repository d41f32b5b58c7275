"""What this process emitted lately: the part of the overlay that no server knows yet."""

import threading
import time
from collections import deque
from collections.abc import Set
from dataclasses import dataclass
from uuid import UUID

from learning_schemas.event import ConversationCompleted
from learning_schemas.results import UnprocessedMessage

KEPT_SECONDS = 600.0
KEPT_EVENTS = 256
ASKED_EVENTS = 32


@dataclass(frozen=True, slots=True)
class _Emitted:
    event: ConversationCompleted
    at: float


class RecentEvents:
    """The last events of this process, until recall finds them in the event log, or they are ten minutes old."""

    def __init__(self) -> None:
        self._events: deque[_Emitted] = deque(maxlen=KEPT_EVENTS)
        self._lock = threading.Lock()

    def add(self, event: ConversationCompleted) -> None:
        """Remember an accepted event."""
        with self._lock:
            self._events.append(_Emitted(event, time.monotonic()))

    def of(self, tenant: str, user_id: str | None, session_id: str | None) -> tuple[UnprocessedMessage, ...]:
        """What this user, or this session, said in them, newest first."""
        oldest = time.monotonic() - KEPT_SECONDS
        found: list[UnprocessedMessage] = []
        asked = 0
        with self._lock:
            for emitted in reversed(self._events):
                event = emitted.event
                if emitted.at < oldest or asked == ASKED_EVENTS:
                    break
                same_user = user_id is not None and event.user_id == user_id
                same_session = session_id is not None and (event.user_id, event.session_id) == (user_id, session_id)
                if event.tenant == tenant and (same_user or same_session):
                    asked += 1
                    found += [
                        UnprocessedMessage(
                            event_id=event.id,
                            session_id=event.session_id,
                            content=message.content,
                            occurred_at=event.occurred_at,
                        )
                        for message in reversed(event.messages)
                        if message.role == "user" and message.content
                    ]
        return tuple(found)

    def forget(self, known: Set[UUID]) -> None:
        """Drop events that the event log has."""
        if known:
            with self._lock:
                kept = [emitted for emitted in self._events if emitted.event.id not in known]
                self._events.clear()
                self._events.extend(kept)
