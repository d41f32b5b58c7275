"""A past that can be changed: conversations that were extracted one by one, and what is held now."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from harness import event, rows, turn
from integration.stores.steps import PROFILE_ONLY, claim, extraction, mailbox_id, put, take_in, window_of
from learning_schemas.event import ConversationCompleted
from learning_schemas.spec import MachineSpec
from learning_stores.commit import commit
from learning_stores.database import Database
from learning_stores.operations import Operation
from learning_stores.place import Place
from learning_stores.replay import Replayed, replay_box
from learning_stores.replay_selection import Choice, boxes
from learning_stores.undo import Undone, named, undo
from learning_stores.window import Window

Says = Callable[[Window], Sequence[Operation]]


def says(*contents: str, **values: Any) -> Says:
    """Memories that the window's first message supports."""
    return lambda window: [put(window, content, **values) for content in contents]


class Past:
    """One tenant's events, extractions and learnings of a store."""

    def __init__(self, app_db: Database, dispatcher_db: Database, everything_db: Database) -> None:
        self.app_db, self.dispatcher_db, self.everything_db = app_db, dispatcher_db, everything_db

    def accept(self, *events: ConversationCompleted, spec: MachineSpec = PROFILE_ONLY) -> list[UUID]:
        """Take events in."""
        take_in(self.dispatcher_db, *events, spec=spec)
        return [each.id for each in events]

    def hear(self, says: Says = lambda _: (), *, spec: MachineSpec = PROFILE_ONLY, **values: Any) -> UUID:
        """Take one event in, extract it with what else is pending; the extraction."""
        self.accept(event(**values), spec=spec)
        return self.extract(says, store=next(iter(spec.stores)))

    def extract(self, says: Says = lambda _: (), store: str = "user_profile", **values: Any) -> UUID:
        """Commit what a model says about the next window of the store's one mailbox."""
        held = claim(self.app_db, mailbox_id(self.everything_db, store))
        window = window_of(self.app_db, held)
        work = extraction(held, window, says(window), **values)
        self.app_db.run("default", commit, held, work, keep=False)
        return work.id

    def undo(self, source: UUID) -> Undone:
        """Undo one extraction or change."""
        (found,) = self.app_db.run("default", named, "default", [source])
        return self.app_db.run("default", undo, "default", found, by="ops")

    def replay(self, **choice: Any) -> list[Replayed]:
        """Replay what is chosen."""
        chosen = Choice(**choice)
        found = self.app_db.run("default", boxes, "default", chosen)
        return [self.app_db.run("default", replay_box, box, chosen, by="ops") for box in found]

    def live(self, kind: str | None = None) -> list[str]:
        """What is held."""
        query = (
            "SELECT content FROM learning.learning WHERE status = 'active' AND (cast(:k AS text) IS NULL OR kind = :k)"
        )
        return sorted(row["content"] for row in rows(self.everything_db, query, k=kind))

    def row(self, content: str) -> dict[str, Any]:
        """The newest row of this content."""
        query = "SELECT * FROM learning.learning WHERE content = :c ORDER BY id DESC LIMIT 1"
        (found,) = rows(self.everything_db, query, c=content)
        return found

    def deliveries(self) -> list[tuple[str, str | None, int]]:
        """State, reason and generation of each, in order of acceptance."""
        query = "SELECT state, reason, generation FROM learning.delivery ORDER BY accepted_no, store"
        return [(row["state"], row["reason"], row["generation"]) for row in rows(self.everything_db, query)]

    def check(self) -> None:
        """What always holds."""
        check(self.everything_db)


SOUND = {
    "live without evidence": """
        SELECT l.id FROM learning.learning l WHERE l.status <> 'retired' AND NOT EXISTS (
            SELECT FROM learning.evidence v WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL)""",
    "two live rows of one key": """
        SELECT tenant, scope, store, kind, about, content_key, status FROM learning.learning WHERE status <> 'retired'
        GROUP BY 1, 2, 3, 4, 5, 6, 7 HAVING count(*) > 1""",
    "live rows of one key at one moment": """
        SELECT a.id, b.id FROM learning.learning a
        JOIN learning.learning b ON a.tenant = b.tenant AND a.store = b.store AND a.scope = b.scope AND a.kind = b.kind
         AND a.content_key = b.content_key AND a.about IS NOT DISTINCT FROM b.about AND a.id < b.id
        WHERE a.status <> 'proposed' AND b.status <> 'proposed'
          AND tstzrange(a.live_from, a.retired_at) && tstzrange(b.live_from, b.retired_at)""",
    "evidence of what is undone": """
        SELECT v.id FROM learning.evidence v JOIN learning.extraction x ON x.tenant = v.tenant AND x.id = v.extraction_id
        WHERE v.withdrawn_at IS NULL AND x.undone_at IS NOT NULL""",
    "evidence of an earlier generation": """
        SELECT v.id FROM learning.evidence v
        JOIN learning.learning l ON l.tenant = v.tenant AND l.id = v.learning_id
        JOIN learning.delivery d ON d.tenant = v.tenant AND d.event_id = v.event_id AND d.store = l.store
        WHERE v.withdrawn_at IS NULL AND v.origin = 'extraction' AND d.replayed_at > v.added_at
          AND d.state IN ('extracted', 'nothing_found')""",
    "evidence of one event by two extractions": """
        SELECT v.event_id, l.store FROM learning.evidence v
        JOIN learning.learning l ON l.tenant = v.tenant AND l.id = v.learning_id
        WHERE v.withdrawn_at IS NULL AND v.origin = 'extraction' AND v.event_id IS NOT NULL
        GROUP BY 1, 2 HAVING count(DISTINCT v.extraction_id) > 1""",
    "pending without mailbox": """
        SELECT d.event_id FROM learning.delivery d WHERE d.state = 'pending' AND NOT EXISTS (
            SELECT FROM learning.mailbox m WHERE m.tenant = d.tenant AND m.store = d.store AND m.scope = d.scope)""",
    "mailbox with nothing pending": """
        SELECT m.id FROM learning.mailbox m WHERE m.lease_until IS NULL AND NOT EXISTS (
            SELECT FROM learning.delivery d
            WHERE d.tenant = m.tenant AND d.store = m.store AND d.scope = m.scope AND d.state = 'pending')""",
    "settled by what is not there": """
        SELECT d.event_id FROM learning.delivery d WHERE d.extraction_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM learning.extraction x WHERE x.tenant = d.tenant AND x.id = d.extraction_id)""",
}


def check(everything_db: Database) -> None:
    """What holds after any replay and any undo."""
    broken = {what: found for what, query in SOUND.items() if (found := rows(everything_db, query))}
    assert not broken


_BEGAN = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=2)


def at(minute: int) -> datetime:
    """A moment of two hours ago: the same however often it is asked for."""
    return _BEGAN + timedelta(minutes=minute)


def said(words: str) -> list[dict[str, str]]:
    """A turn."""
    return turn(words)


def place(store: str = "user_profile") -> Place:
    """Where alice's learnings are."""
    return Place(tenant="default", store=store, scope="user/alice", user_id="alice")
