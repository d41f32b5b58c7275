"""One set of operations on its way into the tables: what each comes to beside what is live, proposed or ended.

`applying` says the rules in short, takes the locks and reads what is there; here they are carried out, operation by operation.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from learning_schemas.ids import uuid7
from learning_stores import ended
from learning_stores import learning_rows as rows
from learning_stores.admission import CORROBORATING_USERS, Admission, confidence_of
from learning_stores.entities import Resolved
from learning_stores.grounding import content_key
from learning_stores.operations import Confirm, LiveLearning, Operation, Provenance, Put, Retire
from learning_stores.pending_rows import PendingRows
from learning_stores.replay_known import Passed
from learning_stores.room import room
from learning_stores.row_locks import Key, key_of, successor


class Application:
    """One set of operations on its way into the tables."""

    def __init__(
        self,
        session: Session,
        source: Provenance,
        admission: Admission,
        now: datetime,
        found: Sequence[LiveLearning],
        gone: dict[Key, ended.Gone],
        entities: Resolved,
        passed: Sequence[Passed],
    ) -> None:
        self.session = session
        self.source = source
        self.admission = admission
        self.now = now
        self.entities = entities
        self.gone = gone
        self.passed = passed
        self.pending = PendingRows(session, source)
        self.changes: Counter[str] = Counter()
        self.room: int | None = None  # how many more learnings the scope may hold, once it was counted
        self.by_id = {learning.id: learning for learning in found}
        self.live = {key_of(each): each for each in found if each.status == "active"}
        self.proposed = {key_of(each): each for each in found if each.status == "proposed"}

    def put(self, operation: Put, key: Key) -> UUID | None:
        """State something. Returns the row that holds it."""
        confidence = confidence_of(operation, self.source.origin)
        said_at = max(citation.occurred_at for citation in operation.citations)
        new = rows.New(
            operation=operation,
            key=key,
            target=None if operation.target is None else self.entities[operation.target],
            confidence=confidence,
            said_at=said_at,
            now=self.now,
        )
        same_key, target = self.live.get(key), self._target(operation.replaces)
        if same_key is not None and _says_the_same(same_key, operation):
            self._cite(same_key.id, operation)
            self.changes["confirmed"] += 1
            if target is not None and target.id != same_key.id and self._may_replace(target, operation, said_at):
                # What should take the target's place is known already: one of the two is enough.
                if self._may_retract(target, operation):
                    self._end(target, "superseded", said_at, same_key.id)
                    self.changes["retired"] += 1
                else:
                    self.changes["held back"] += 1
            return same_key.id
        awaits = self.admission.of(confidence)
        if awaits is not None:
            return self._propose(new, awaits, same_key or target)
        return self._state(new, same_key or target)

    def _state(self, new: rows.New, replaced: LiveLearning | None) -> UUID | None:
        """Make it live, if nothing newer or stronger stands against it; else it is history."""
        operation = new.operation
        if replaced is not None and replaced.status == "active" and _says_the_same(replaced, operation):
            self._cite(replaced.id, operation)
            self.changes["confirmed"] += 1
            return replaced.id
        if replaced is not None and not self._may_replace(replaced, operation, new.said_at):
            return self._enter_history(new, replaced.valid_from, replaced.id)
        if replaced is None and (gone := self._outlived(new)) is not None:
            return self._enter_history(new, gone.valid_to, None)
        if replaced is None and (since := self._passed(new)) is not None:
            return self._enter_history(new, since.valid_to, since.replaced_by)
        if replaced is None and self._is_full():
            return None
        learning_id = uuid7()
        proposal = self.proposed.get(new.key)
        stated = proposal is not None and _says_the_same(proposal, operation)
        if replaced is not None:
            self._end(replaced, "superseded", new.said_at, learning_id)
        self.pending.add(new, learning_id)
        self._remember(new, learning_id, "active")
        self._cite(learning_id, operation)
        if proposal is not None and stated:
            self.pending.flush()
            rows.copy_evidence(self.session, self.source.place.tenant, proposal.id, learning_id)
            self._end(proposal, "superseded", new.said_at, learning_id)
        self.changes["added" if replaced is None else "updated"] += 1
        return learning_id

    def _propose(self, new: rows.New, awaits: str, replaced: LiveLearning | None) -> UUID | None:
        """Write it as a proposal, or as more evidence for one; live once enough users stand behind it."""
        operation, proposal = new.operation, self.proposed.get(new.key)
        if proposal is not None and _says_the_same(proposal, operation):
            self._cite(proposal.id, operation)
            if (live := self._corroborated(proposal, awaits, replaced, new)) is not None:
                return live
            self.changes["confirmed"] += 1
            return proposal.id
        if replaced is not None and not self._may_replace(replaced, operation, new.said_at):
            self.changes["outranked" if replaced.origin == "human" else "history"] += 1
            return None
        if self._outlived(new) is not None:
            self.changes["history"] += 1
            return None
        if proposal is None and self._is_full():
            return None
        learning_id = uuid7()
        if proposal is not None:
            self._end(proposal, "superseded", new.said_at, learning_id)
        self.pending.add(new, learning_id, awaits=awaits, replaces=None if replaced is None else replaced.id)
        self._remember(new, learning_id, "proposed")
        self._cite(learning_id, operation)
        self.changes["proposed"] += 1
        return learning_id

    def _corroborated(
        self, proposal: LiveLearning, awaits: str, replaced: LiveLearning | None, new: rows.New
    ) -> UUID | None:
        """The row that is live now, because enough distinct users' conversations support the statement; None: none is."""
        if awaits != "corroboration":
            return None
        self.pending.flush()
        if rows.supporting_users(self.session, self.source.place.tenant, proposal.id) < CORROBORATING_USERS:
            return None
        if replaced is not None and replaced.id != proposal.id:
            if not self._may_replace(replaced, new.operation, new.said_at):
                return None
            self._end(replaced, "superseded", new.said_at, proposal.id)
        self.changes["added" if replaced is None else "updated"] += 1
        core = new.operation.core
        if core is None or _in_same_words(proposal, new.operation):
            rows.activate(self.session, self.source.place.tenant, proposal.id, self.now)
            self.proposed.pop(new.key, None)
            self._remember(new, proposal.id, "active")
            return proposal.id
        # What only one of the two said has the support of one: the statement alone goes live.
        learning_id = uuid7()
        self.pending.add(replace(new, operation=core), learning_id)
        self.pending.flush()
        rows.mark_corroborated(self.session, self.source.place.tenant, learning_id, self.now)
        rows.copy_evidence(self.session, self.source.place.tenant, proposal.id, learning_id)
        self._end(proposal, "superseded", new.said_at, learning_id)
        self._remember(replace(new, operation=core), learning_id, "active")
        return learning_id

    def retire(self, operation: Retire) -> UUID | None:
        """Take something back, unless it was said again later, a person said it, or others stand behind it."""
        target = self._target(operation.learning_id)
        said_at = max(citation.occurred_at for citation in operation.citations)
        if target is None:
            self.pending.flush()
            if ended.take_back_again(self.session, self.source, operation.learning_id, said_at):
                self._cite(operation.learning_id, operation)
                self.changes["confirmed"] += 1
                return operation.learning_id
            self.changes["already gone"] += 1
        elif said_at < target.valid_from:
            self.changes["late"] += 1
        elif not self._overrules(target, operation):
            self.changes["outranked"] += 1
        elif not self._may_retract(target, operation):
            self.changes["held back"] += 1
        else:
            self._cite(target.id, operation)
            self._end(target, operation.reason, said_at, None)
            self.changes["retired"] += 1
            return target.id
        return None

    def confirm(self, operation: Confirm) -> UUID | None:
        """Add evidence to what is known."""
        target = self._target(operation.learning_id)
        if target is None:
            self.changes["already gone"] += 1
            return None
        self._cite(target.id, operation)
        self.changes["confirmed"] += 1
        return target.id

    def _is_full(self) -> bool:
        """Whether one row more would be too many, which is then counted; what a person writes or imports always has room."""
        if self.source.origin not in ("extraction", "tool"):
            return False
        if self.room is None:
            self.pending.flush()
            self.room = room(self.session, self.source.place)
        self.room -= 1
        if self.room < 0:
            self.changes["scope full"] += 1
        return self.room < 0

    def _may_retract(self, target: LiveLearning, operation: Operation) -> bool:
        """Behind approval a person retracts; behind corroboration whoever alone stands behind it."""
        awaits = self.admission.of(confidence_of(operation, self.source.origin))
        if awaits != "corroboration":
            return awaits is None
        self.pending.flush()
        return not rows.supported_by_others(
            self.session, self.source.place.tenant, target.id, self.source.place.subject
        )

    def _overrules(self, target: LiveLearning, operation: Operation) -> bool:
        """A person's word gives way to a person, to the agent that acts for the user, and to the user's own words."""
        if target.origin != "human" or self.source.origin != "extraction":
            return True
        return any(citation.user_id is not None for citation in operation.citations)

    def _may_replace(self, replaced: LiveLearning, operation: Put, said_at: datetime) -> bool:
        return said_at >= replaced.valid_from and self._overrules(replaced, operation)

    def _outlived(self, new: rows.New) -> ended.Gone | None:
        """The retirement of an equal statement that what is said now does not come after."""
        gone = self.gone.get(new.key)
        if gone is None or (gone.by_person and self.source.origin in ("human", "tool", "import")):
            return gone if gone is not None and new.said_at < gone.valid_to else None
        own_words = any(citation.user_id is not None for citation in new.operation.citations)
        if new.said_at < gone.valid_to or (gone.by_person and not own_words):
            return gone
        return None

    def _passed(self, new: rows.New) -> Passed | None:
        """What the same words had stated before, and what took its place since."""
        operation = new.operation
        return next((each for each in self.passed if each.was(operation.kind, operation.citations)), None)

    def _enter_history(self, new: rows.New, valid_to: datetime, replaced_by: UUID | None) -> UUID:
        self.pending.flush()
        learning_id = ended.lapsed(self.session, self.source.place, new)
        if learning_id is None:
            learning_id = uuid7()
            self.pending.add(new, learning_id, valid_to=valid_to, replaced_by=replaced_by)
        self._cite(learning_id, new.operation)
        self.changes["history"] += 1
        return learning_id

    def _target(self, learning_id: UUID | None) -> LiveLearning | None:
        """The learning meant: itself while it is live, else the one that took its place since it was read."""
        if learning_id is None:
            return None
        if (here := self.by_id.get(learning_id)) is not None:
            return here
        self.pending.flush()
        found = successor(self.session, self.source.place, learning_id)
        return None if found is None else self.by_id.get(found.id, found)

    def _cite(self, learning_id: UUID, operation: Operation) -> None:
        self.pending.cite(learning_id, operation.citations)

    def _end(self, learning: LiveLearning, reason: str, said_at: datetime, replaced_by: UUID | None) -> None:
        if learning.id in self.pending:
            self.pending.flush()
        rows.retire(self.session, self.source, learning, reason, self.now, said_at, replaced_by)
        self.by_id.pop(learning.id, None)
        kept = self.live if learning.status == "active" else self.proposed
        if (held := kept.get(key_of(learning))) is not None and held.id == learning.id:
            del kept[key_of(learning)]

    def _remember(self, new: rows.New, learning_id: UUID, status: str) -> None:
        learning = new.as_learning(learning_id, self.source.origin, status)
        self.by_id[learning_id] = learning
        (self.live if status == "active" else self.proposed)[new.key] = learning


def _in_same_words(learning: LiveLearning, operation: Put) -> bool:
    return learning.data == operation.data and content_key(learning.content) == content_key(operation.content)


def _says_the_same(learning: LiveLearning, operation: Put) -> bool:
    if (
        operation.equal_by_key
        and learning.kind == operation.kind
        and learning.content_key.startswith(operation.content_key)
    ):
        return True
    return _in_same_words(learning, operation)
