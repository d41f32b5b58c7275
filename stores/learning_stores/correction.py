"""What people change in what is remembered: they add, correct and retract, each in one transaction, under their name.

Nothing is changed in place: a correction is a new row, and the old one says that it was corrected and by which. What a person
says counts until the user says otherwise.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.errors import StaleLearning
from learning_schemas.ids import uuid7
from learning_schemas.results import Learning
from learning_stores import learning_rows as rows
from learning_stores.admission import AT_ONCE
from learning_stores.attempts import attempted
from learning_stores.entities import resolve
from learning_stores.library import Kept, fate, get, kept
from learning_stores.operations import Citation, Confirm, LiveLearning, Provenance, Put, Retire
from learning_stores.place import Place
from learning_stores.row_locks import Key, lock
from learning_stores.store import LearningStore
from learning_stores.wording import Terms, Wording, kind_of, restated, stated
from learning_stores.writing import Written, lock_subject, write

TermsOf = Callable[[str], Terms]
"""A store's configuration, by its name."""

_NOW = text("SELECT clock_timestamp()")

# The row that took the place of one that was retired before that row was there, and the change that did it. There is no moment
# between the two; what never was live stays so.
_FOLLOWED = text("""
    UPDATE learning.learning l
    SET replaced_by = n.id, retired_by = :change, retired_at = greatest(l.retired_at, n.live_from),
        live_from = CASE WHEN l.live_from = l.retired_at THEN greatest(l.retired_at, n.live_from) ELSE l.live_from END
    FROM learning.learning n
    WHERE l.tenant = :tenant AND l.id = :id AND n.tenant = :tenant AND n.id = :successor
""")


@dataclass(frozen=True, kw_only=True)
class Held:
    """A learning whose row is locked, its place, and the live rows that a new statement would meet."""

    kept: Kept
    place: Place
    row: LiveLearning
    rivals: Sequence[LiveLearning]
    now: datetime

    @property
    def learning(self) -> Learning:
        """The learning."""
        return self.kept.learning

    def citation(self, quote: str | None = None) -> Citation:
        """A person's word, now."""
        # Events may be dated some minutes ahead.
        return Citation(occurred_at=max(self.now, self.learning.valid_from), quote=quote)


def add(
    session: Session,
    place: Place,
    store: LearningStore,
    terms: Terms,
    said: Wording,
    *,
    by: str,
    kind: str | None = None,
) -> Learning:
    """Remember what a person states; an equal learning gains evidence, another of its key is replaced. Raises `InvalidArgument`."""
    meant = kind_of(store, kind, said)

    def work(at: datetime) -> Learning:
        operations = stated(store, meant, terms, said, (Citation(occurred_at=at),))
        written = write(session, place, operations, AT_ONCE, origin="human", action="added", by=by)
        return get(session, place.tenant, holder(written))

    attempt = session.begin_nested()
    made = work(_now(session))
    if made.status == "active" or made.valid_to is None:
        attempt.commit()
        return made
    # What it takes the place of is dated some minutes ahead, as an event may be: a person's word comes after it.
    attempt.rollback()
    return work(made.valid_to)


def update(
    session: Session,
    tenant: str,
    learning_id: UUID,
    said: Wording,
    terms_of: TermsOf,
    *,
    by: str,
    stores: Collection[str] | None = None,
) -> Learning:
    """Correct a learning: the new one. Raises `UnknownLearning`, `StaleLearning` where it is not live, `InvalidArgument`."""

    def work() -> Learning:
        held, put = hold_to_reword(session, tenant, learning_id, said, terms_of, stores, status="active")
        if held.row.content == put.content and held.row.data == put.data:
            said_again = Confirm(learning_id=learning_id, citations=put.citations)
            write(session, held.place, [said_again], AT_ONCE, origin="human", action="corrected", by=by)
            return get(session, tenant, learning_id)
        successor, _ = succeed(session, held, put, action="corrected", reason="corrected", by=by)
        return get(session, tenant, successor)

    return attempted(session, work)


def retract(
    session: Session, tenant: str, learning_id: UUID, *, by: str, stores: Collection[str] | None = None
) -> Learning:
    """Take a learning back: the same, as it is now. Raises `UnknownLearning`, `StaleLearning` where it is not live."""

    def work() -> Learning:
        held = hold(session, tenant, kept(session, tenant, learning_id, stores), status="active")
        taken_back = Retire(learning_id=learning_id, citations=(held.citation(),), reason="retracted by a person")
        write(session, held.place, [taken_back], AT_ONCE, origin="human", action="retracted", by=by)
        return get(session, tenant, learning_id)

    return attempted(session, work)


def hold(
    session: Session,
    tenant: str,
    found: Kept,
    *,
    status: str,
    meets: Key | None = None,
    names: Sequence[Put] = (),
    also: Sequence[UUID] = (),
) -> Held:
    """Lock a learning of that status: its subject first, then entities, then rows by id. Raises `StaleLearning`.

    With `meets`, also the live and proposed rows of that key; with `also`, those rows as far as they are not retired.
    """
    learning = found.learning
    place = Place(
        tenant=tenant,
        store=learning.store,
        scope=found.scope,
        user_id=learning.user_id,
        session_id=learning.session_id,
        namespace=learning.namespace,
        agent_id=learning.agent_id,
        team_id=found.team_id,
    )
    lock_subject(session, place)
    resolve(session, place, names)
    keys = [] if meets is None else [meets]
    locked = {row.id: row for row in lock(session, place, [learning.id, *also], keys)}
    row = locked.pop(learning.id, None)
    if row is None or row.status != status:
        raise StaleLearning(learning.id, fate(get(session, tenant, learning.id)))
    return Held(kept=found, place=place, row=row, rivals=list(locked.values()), now=_now(session))


def succeed(session: Session, held: Held, put: Put, *, action: str, reason: str, by: str) -> tuple[UUID, Provenance]:
    """Retire a held learning and state its successor: the row of that, and the change."""
    before = Provenance(place=held.place, made_by=uuid7(), origin="human")
    # First, so that a mere change of case or of punctuation is no confirmation of what it corrects.
    rows.retire(session, before, held.row, reason, held.now, put.citations[0].occurred_at, None)
    written = write(session, held.place, [put], AT_ONCE, origin="human", action=action, by=by)
    successor = holder(written)
    values = {"tenant": held.place.tenant, "id": held.learning.id, "successor": successor}
    session.execute(_FOLLOWED, {**values, "change": written.change_id})
    return successor, replace(before, made_by=written.change_id)


def hold_to_reword(
    session: Session,
    tenant: str,
    learning_id: UUID,
    said: Wording,
    terms_of: TermsOf,
    stores: Collection[str] | None,
    *,
    status: str,
) -> tuple[Held, Put]:
    """Lock a learning, and what its new wording would meet; and that wording."""
    found = kept(session, tenant, learning_id, stores)
    put = restated(found, terms_of(found.learning.store), said, ())
    suffix = "" if found.target is None else f":{found.target}"  # a relationship is one for each other end
    meets = Key(put.kind, found.about, f"{put.content_key}{suffix}")
    also = [] if found.learning.replaces is None else [found.learning.replaces]
    held = hold(session, tenant, found, status=status, meets=meets, names=[put], also=also)
    return held, replace(put, citations=(held.citation(),))


def holder(written: Written) -> UUID:
    """The row that holds the last operation's statement."""
    found = written.learning_ids[-1]
    assert found is not None  # a person's word, of now, is neither outranked nor out of date
    return found


def _now(session: Session) -> datetime:
    now = session.scalar(_NOW)
    assert isinstance(now, datetime)
    return now
