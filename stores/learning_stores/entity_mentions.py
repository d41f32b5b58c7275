"""Which known entities a window mentions, and what is known of them.

Runs of one to six words of what was said are looked up among the aliases of the place that the extraction writes to; those
that the same session spoke of lately come along, so that "it" and "they" can be resolved.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.entity_names import UNSPACED
from learning_stores.grounding import content_key
from learning_stores.operations import LiveLearning
from learning_stores.store import Reading
from learning_stores.window import Window

MAX_WORDS = 6
"""Words of a name that is looked for."""
MAX_KEYS = 50_000
"""Runs of words that one window is looked through for."""
MAX_MENTIONED, MAX_LATELY = 50, 20
"""Entities that the window mentions, and others that the session spoke of."""
MAX_KNOWN = 300
"""Learnings of all of them, last learned first; of one entity at most 100."""

_WORD = re.compile(r"\w+[+#]*")
_LEADING = frozenset(".@#$")  # of ".NET", "@acme"
_GAP = re.compile(r"[^\w\n]{0,4}")  # between the words of one name
_UNSPACED_RUN = re.compile(f"[{UNSPACED}]+")
_MAX_CHARACTERS = 10  # of a name in a script without spaces

# Every row is reached by key from the one before, whatever Postgres takes a namespace to hold: OFFSET 0 keeps each look-up to
# itself. Left to choose, Postgres read all that the namespace holds once for each event of the session.
_KNOWN = text("""
    WITH mentioned AS (
        SELECT l.about AS id FROM string_to_table(cast(:keys AS text), ' ') AS w (key)
        CROSS JOIN LATERAL (
            SELECT l.about, l.content, l.live_from, l.store FROM learning.learning l
            WHERE l.tenant = :tenant AND l.scope = :scope AND l.kind = 'alias' AND l.status = 'active' AND l.content_key = w.key
            OFFSET 0) AS l
        WHERE l.store = :store
        GROUP BY l.about ORDER BY max(length(l.content)) DESC, max(l.live_from) DESC, l.about LIMIT :mentioned
    ),
    lately AS (
        SELECT l.about AS id
        FROM (
            SELECT e.id, e.accepted_no FROM learning.conversation_event e
            WHERE e.tenant = :tenant AND e.subject = :subject AND e.session_id = :session_id
            ORDER BY e.accepted_no DESC LIMIT 50) AS event
        CROSS JOIN LATERAL (
            SELECT v.learning_id, v.withdrawn_at FROM learning.evidence v
            WHERE v.tenant = :tenant AND v.event_id = event.id OFFSET 0) AS v
        CROSS JOIN LATERAL (
            SELECT l.about, l.store, l.scope, l.status FROM learning.learning l
            WHERE l.tenant = :tenant AND l.id = v.learning_id OFFSET 0) AS l
        WHERE v.withdrawn_at IS NULL AND l.store = :store AND l.scope = :scope AND l.status = 'active' AND l.about IS NOT NULL
          AND l.about NOT IN (SELECT id FROM mentioned)
        GROUP BY l.about ORDER BY max(event.accepted_no) DESC, l.about LIMIT :lately
    ),
    entity AS (
        SELECT id, 0 AS place FROM mentioned UNION ALL SELECT id, 1 FROM lately
    ),
    found AS (
        SELECT id, min(place) AS place FROM (
            SELECT l.id, entity.place FROM entity CROSS JOIN LATERAL (
                SELECT l.id FROM (
                    SELECT l.id, l.kind, l.live_from, l.store, l.scope FROM learning.learning l
                    WHERE l.tenant = :tenant AND l.about = entity.id AND l.status = 'active' OFFSET 0) AS l
                WHERE l.store = :store AND l.scope = :scope
                ORDER BY (l.kind = 'alias') DESC, l.live_from DESC, l.id DESC LIMIT 100) AS l
            UNION ALL
            SELECT l.id, entity.place FROM entity CROSS JOIN LATERAL (
                SELECT l.id FROM (
                    SELECT l.id, l.live_from, l.store, l.scope FROM learning.learning l
                    WHERE l.tenant = :tenant AND l.target = entity.id AND l.status = 'active' OFFSET 0) AS l
                WHERE l.store = :store AND l.scope = :scope
                ORDER BY l.live_from DESC, l.id DESC LIMIT 100) AS l) AS every
        GROUP BY id
    )
    SELECT l.id, l.kind, l.content, l.content_key, l.data, l.valid_from, l.origin, l.status, l.about, l.target,
           e.name AS entity, e.type AS entity_type, t.name AS target_name, t.type AS target_type
    FROM found
    CROSS JOIN LATERAL (SELECT * FROM learning.learning l WHERE l.tenant = :tenant AND l.id = found.id OFFSET 0) AS l
    CROSS JOIN LATERAL (SELECT * FROM learning.entity e WHERE e.tenant = :tenant AND e.id = l.about OFFSET 0) AS e
    LEFT JOIN LATERAL (SELECT * FROM learning.entity t WHERE t.tenant = :tenant AND t.id = l.target OFFSET 0) AS t ON true
    WHERE e.merged_into IS NULL
    ORDER BY found.place, (l.kind = 'alias') DESC, l.live_from DESC, l.id DESC
    LIMIT :limit
""")


def known_entities(session: Session, store: str, reading: Reading, window: Window) -> list[LiveLearning]:
    """What is known of the window's entities in the scope that is written to: names first, then what was learned last.

    A relationship's data also says the other end: `target`, `target_type`.
    """
    place = reading.place
    keys = mention_keys(part for message in window.messages for part in (message.text, message.name or ""))
    rows = session.execute(
        _KNOWN,
        {
            "tenant": place.tenant,
            "store": store,
            "scope": place.scope,
            "subject": place.subject,
            "session_id": place.session_id,
            "keys": " ".join(keys),  # one text: as an array, each of hundreds would be written, and weighed in the plan
            "mentioned": MAX_MENTIONED,
            "lately": MAX_LATELY,
            "limit": MAX_KNOWN,
        },
    )
    known = []
    for row in rows:
        values = dict(row._mapping)
        target = {"target": values.pop("target_name"), "target_type": values.pop("target_type")}
        if row.kind == "relationship" and row.target is not None:
            values["data"] = {**row.data, **target}
        known.append(LiveLearning(**values))
    return known


def mention_keys(texts: Iterable[str]) -> list[str]:
    """The content key of each run of words that could be a name, each once; short runs of every text come first."""
    said = list(texts)
    words = [(each, _words(each)) for each in said]
    runs = (run for length in range(1, MAX_WORDS + 1) for each, found in words for run in _runs(each, found, length))
    unspaced = (run for each in said for run in _unspaced(each))
    return list(dict.fromkeys(map(content_key, islice(dict.fromkeys((*runs, *unspaced)), MAX_KEYS))))


_Word = tuple[int, int, int]
"""Where a word starts and ends, and how many words from it on may be one name: those between which little stands."""


def _words(said: str) -> list[_Word]:
    found: list[_Word] = []
    begins, reach = -1, 0
    for word in reversed(list(_WORD.finditer(said))):
        start, end = word.span()
        reach = reach + 1 if _GAP.fullmatch(said, end, begins) and begins >= 0 else 1
        begins = start
        found.append((start, end, reach))
    return found[::-1]


def _runs(said: str, words: Sequence[_Word], length: int) -> Iterator[str]:
    """Runs of so many words, with what stands between them: "Acme, Inc", "AT&T"."""
    for (start, _, reach), (_, end, _) in zip(words, words[length - 1 :], strict=False):
        if reach >= length:
            yield said[start:end]
            if said[max(start - 1, 0)] in _LEADING:
                yield said[start - 1 : end]


def _unspaced(said: str) -> Iterator[str]:
    """Parts of what is written without spaces: where a name ends there, nothing shows."""
    for run in _UNSPACED_RUN.findall(said):
        for first in range(len(run)):
            for last in range(first + 2, min(len(run), first + _MAX_CHARACTERS) + 1):
                yield run[first:last]
