"""What a session has shown before: agents may send new turns or their whole history, and nothing is learned twice.

`divide` is the rule; `session_message` is what it is applied to. Only what users and assistants said is compared: system,
developer and tool messages come and go between two sendings of one history.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.event import ConversationCompleted, History
from learning_schemas.marker import cut_recalled

_COMPARED = frozenset({"user", "assistant"})
ONE_TURN = 2  # messages that people may well say and hear again; a longer run that is all known is history sent again
_MARGIN = 50  # messages of the session beyond an event's length: an answer that was generated again, a late event
_WHOLE = 4_000


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as it is compared: its keyed hash, and where it stands."""

    key: bytes
    role: str
    index: int  # in its event
    event_id: UUID
    position: int = -1  # in the session, once it is known there
    by_id: bool = False


@dataclass(frozen=True, slots=True)
class Division:
    """Where an event's history ends: `known` compared messages are history; `superseded` positions were answered anew."""

    known: int
    superseded: tuple[int, ...] = ()


@dataclass(slots=True)
class SessionHistory:
    """What one session has shown, oldest first, as far back as was asked for."""

    shown: list[Shown] = field(default_factory=list)
    next_position: int = 0


def compared(event: ConversationCompleted, salt: bytes) -> list[Shown]:
    """The event's messages that count for the comparison."""
    found = []
    for index, message in enumerate(event.messages):
        if message.role not in _COMPARED:
            continue
        said = cut_recalled(message.content).strip()  # what memory put in differs from one sending to the next
        if not (said or message.id):
            continue
        by_id = message.id is not None
        body = f"id\x1f{message.id}" if by_id else f"{message.role}\x1f{message.name or ''}\x1f{said}"
        key = hashlib.blake2b(body.encode(), key=salt, digest_size=16).digest()
        found.append(Shown(key, message.role, index, event.id, by_id=by_id))
    return found


def divide(mode: History, incoming: Sequence[Shown], session: Sequence[Shown]) -> Division:
    """How many leading messages of an event are history.

    Message ids decide where given. Else a leading run that equals the tail of what was shown is history; a single turn
    that is nothing else is not, since the same words can be said twice. An answer generated again replaces the one before
    it. An event that was made before what it repeats was shown came late: all of it is history.
    """
    if mode == "delta" or not incoming or not session:
        return Division(0)
    if incoming[0].by_id:
        return Division(_followed(incoming, session))
    keys, chain = [message.key for message in incoming], [message.key for message in session]
    # As it arrived, and as it was said: events of one session can overtake each other.
    earlier = sorted(
        (message for message in session if message.event_id < incoming[0].event_id), key=lambda shown: shown.event_id
    )
    known = max(_tail(chain, keys), _tail([message.key for message in earlier], keys))
    if mode == "full":
        known = max(known, _leading(a == b for a, b in zip(keys, chain, strict=False)))
    if known and (known < len(keys) or mode == "full" or len(keys) > ONE_TURN):
        return Division(known)
    late_by = _run(chain, keys)
    if late_by is not None and incoming[0].event_id < min(
        message.event_id for message in session[late_by : late_by + len(keys)]
    ):
        return Division(len(keys))
    if known:
        return Division(0)  # the same words said twice, not an answer generated again
    before_answer = len(session) - _leading(message.role == "assistant" for message in reversed(session))
    again = _tail(chain[:before_answer], keys)
    if before_answer < len(session) and 0 < again < len(keys) and incoming[again].role == "assistant":
        return Division(again, tuple(message.position for message in session[before_answer:]))
    return Division(0)


def _leading(flags: Iterable[bool]) -> int:
    count = 0
    for flag in flags:
        if not flag:
            break
        count += 1
    return count


def _followed(incoming: Sequence[Shown], session: Sequence[Shown]) -> int:
    """How many leading messages are found by id; one without an id, where it comes later than the one before it did."""
    places = {message.key: place for place, message in enumerate(session)}
    known, place = 0, -1
    for message in incoming:
        if message.by_id:
            found = places.get(message.key)
        else:
            later = range(place + 1, len(session))
            found = next((at for at in later if session[at].key == message.key), None)
        if found is None:
            break
        known, place = known + 1, found
    return known


def _tail(chain: Sequence[bytes], keys: Sequence[bytes]) -> int:
    """The length of the longest run that ends `chain` and begins `keys`."""
    return _borders([*keys, None, *chain[-len(keys) :]])[-1] if chain else 0


def _run(chain: Sequence[bytes], keys: Sequence[bytes]) -> int | None:
    """Where `keys` stands in `chain` as one run, the last such place."""
    ends = [place for place, border in enumerate(_borders([*keys, None, *chain])) if border == len(keys)]
    return ends[-1] - 2 * len(keys) if ends else None


def _borders(row: Sequence[bytes | None]) -> list[int]:
    """For each place the length of the longest run that begins the row and ends there (Knuth, Morris and Pratt): linear,
    whatever somebody says two thousand times."""
    borders = [0] * len(row)
    for place in range(1, len(row)):
        border = borders[place - 1]
        while border and row[place] != row[border]:
            border = borders[border - 1]
        borders[place] = border + (row[place] == row[border])
    return borders


# For each session the last so many messages, and how many positions there are.
_LOAD = text("""
    SELECT s.tenant, s.scope, m.position, m.key, m.role, m.index, m.event_id, m.superseded
    FROM unnest(cast(:tenants AS text[]), cast(:scopes AS text[]), cast(:depths AS int[])) AS s (tenant, scope, depth)
    CROSS JOIN LATERAL (
        SELECT * FROM learning.session_message m
        WHERE m.tenant = s.tenant AND m.scope = s.scope
        ORDER BY m.position DESC LIMIT s.depth) AS m
    ORDER BY s.tenant, s.scope, m.position
""")

_ADD = text("""
    INSERT INTO learning.session_message (tenant, scope, position, key, event_id, index, role)
    SELECT tenant, scope, position, decode(key, 'hex'), event_id, index, role
    FROM json_to_recordset(cast(:rows AS json)) AS m (
        tenant text, scope text, position int, key text, event_id uuid, index int, role text)
""")

_SUPERSEDE = text("""
    UPDATE learning.session_message SET superseded = true
    WHERE tenant = :tenant AND scope = :scope AND position = ANY (:positions)
""")

SessionKey = tuple[str, str]
"""(tenant, session scope)."""


class Histories:
    """The sessions of one batch of events: loaded once, added to in memory, written once."""

    def __init__(self) -> None:
        self._sessions: dict[SessionKey, SessionHistory] = {}
        self._added: list[tuple[SessionKey, Shown]] = []
        self._superseded: dict[SessionKey, list[int]] = {}
        self._depths: dict[SessionKey, int] = {}

    def load(self, session: Session, wanted: Mapping[SessionKey, tuple[int, bool]]) -> None:
        """Read what these sessions have shown: (compared messages of the longest event, whether all of it is needed)."""
        keys = sorted(wanted)
        self._depths = {key: _WHOLE if wanted[key][1] else wanted[key][0] + _MARGIN for key in keys}
        rows = session.execute(
            _LOAD,
            {
                "tenants": [tenant for tenant, _ in keys],
                "scopes": [scope for _, scope in keys],
                "depths": [self._depths[key] for key in keys],
            },
        )
        self._sessions = {key: SessionHistory() for key in keys}
        for tenant, scope, position, key, role, index, event_id, superseded in rows:
            history = self._sessions[tenant, scope]
            history.next_position = position + 1
            if not superseded:
                history.shown.append(Shown(bytes(key), role, index, event_id, position))

    def take(self, key: SessionKey, mode: History, incoming: Sequence[Shown]) -> int:
        """Divide one event, remember what it shows anew, and return how many of its compared messages are history."""
        history = self._sessions[key]
        division = divide(mode, incoming, history.shown)
        if division.superseded:
            self._superseded.setdefault(key, []).extend(division.superseded)
            history.shown = [shown for shown in history.shown if shown.position not in division.superseded]
        for message in incoming[division.known :]:
            shown = Shown(message.key, message.role, message.index, message.event_id, history.next_position)
            history.shown.append(shown)
            history.next_position += 1
            self._added.append((key, shown))
        history.shown = history.shown[-self._depths[key] :]  # as far back as it would be loaded
        return division.known

    def write(self, session: Session) -> None:
        """Store what was taken."""
        if self._added:
            rows = [
                {
                    "tenant": tenant,
                    "scope": scope,
                    "position": shown.position,
                    "key": shown.key.hex(),
                    "event_id": shown.event_id,
                    "index": shown.index,
                    "role": shown.role,
                }
                for (tenant, scope), shown in self._added
            ]
            session.execute(_ADD, {"rows": to_json(rows).decode()})
        for (tenant, scope), positions in self._superseded.items():
            session.execute(_SUPERSEDE, {"tenant": tenant, "scope": scope, "positions": positions})
