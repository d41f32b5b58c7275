"""Applying operations to the learnings of a place, under the rules that all of them share, whoever asks.

An equal statement gains evidence instead of a second row; a new value retires the old one; evidence older than a live row,
or than the retirement of an equal one, never supersedes it but enters as history; what a person corrected gives way to the
user's own later words, not to an assistant's. What must wait for approval or a second user is written as a proposal, beside
what is live.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores import ended
from learning_stores.admission import AT_ONCE, Admission
from learning_stores.application import Application
from learning_stores.entities import Resolved, resolve
from learning_stores.learning_rows import Raced
from learning_stores.operations import Operation, Provenance, Put, Retire
from learning_stores.replay_known import Passed
from learning_stores.row_locks import Key, lock

__all__ = ["Applied", "Raced", "apply"]

_NOW = text("SELECT clock_timestamp()")


@dataclass(frozen=True, kw_only=True)
class Applied:
    """How many rows changed how, and for each operation the row that holds what it states (None where none does)."""

    changes: Counter[str]
    learning_ids: tuple[UUID | None, ...]


def apply(
    session: Session,
    source: Provenance,
    operations: Sequence[Operation],
    admission: Admission = AT_ONCE,
    passed: Sequence[Passed] = (),
) -> Applied:
    """Run grounded operations. The caller holds the subject, and the mailbox where there is one. Raises `Raced`.

    `passed` is what the same words had stated before they were extracted again, and what was replaced since.

    `changes` counts `added`, `updated`, `confirmed`, `retired`, `proposed`, `history` (older than what is known), `outranked`
    (by a person's correction), `late` and `already gone` (retractions), `held back` (retractions that a person has to make),
    `scope full` (what an extraction or a tool would add beyond what a scope may hold).
    """
    entities = resolve(session, source.place, operations)
    keys = [_key(operation, entities) if isinstance(operation, Put) else None for operation in operations]
    put_keys = [key for key in keys if key is not None]
    wanted = [operation.learning_id for operation in operations if not isinstance(operation, Put)]
    wanted += [each.replaces for each in operations if isinstance(each, Put) and each.replaces is not None]
    found = lock(session, source.place, wanted, put_keys)
    now = session.scalar(_NOW)  # after the locks: a row that they waited for was live until here
    assert now is not None
    gone = ended.gone(session, source.place, put_keys)
    application = Application(session, source, admission, now, found, gone, entities, passed)
    ids = []
    for operation, key in zip(operations, keys, strict=True):
        if isinstance(operation, Put):
            assert key is not None
            ids.append(application.put(operation, key))
        elif isinstance(operation, Retire):
            ids.append(application.retire(operation))
        else:
            ids.append(application.confirm(operation))
    application.pending.flush()
    return Applied(changes=application.changes, learning_ids=tuple(ids))


def _key(operation: Put, entities: Resolved) -> Key:
    about = None if operation.about is None else entities[operation.about]
    # A relationship is one for each other end.
    suffix = "" if operation.target is None else f":{entities[operation.target]}"
    return Key(operation.kind, about, operation.content_key + suffix)
