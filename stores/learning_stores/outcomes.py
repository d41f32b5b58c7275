"""What became of each statement of one write, for an answer that says so of each."""

from collections.abc import Sequence
from typing import Literal

from sqlalchemy import text

from learning_schemas.marker import defused
from learning_stores.operations import Put
from learning_stores.tooling import Calling
from learning_stores.writing import Written

Outcome = Literal["added", "changed", "known", "proposed", "waiting", "full", "refused"]

_TOLD: dict[Outcome, str] = {
    "added": "Added",
    "changed": "Changed to",
    "known": "Already known",
    "proposed": "Proposed; a person decides before it is used",
    "waiting": "Proposed before; a person decides",
    "full": "Not added; this memory is full",
    "refused": "Not changed; something newer is known, or a person's correction",
}

_ROWS = text("""
    SELECT l.id, l.status, l.made_by = :change AS is_new,
           EXISTS (SELECT FROM learning.learning p
                   WHERE p.tenant = l.tenant AND p.retired_by = :change AND p.replaced_by = l.id) AS replaces
    FROM learning.learning l WHERE l.tenant = :tenant AND l.id = ANY (:ids)
""")


def outcomes(calling: Calling, written: Written) -> list[Outcome]:
    """What became of each operation of a write, in its order."""
    ids = [each for each in written.learning_ids if each is not None]
    values = {"tenant": calling.place.tenant, "change": written.change_id, "ids": ids}
    rows = {row.id: row for row in calling.session.execute(_ROWS, values)}

    def outcome(row: object) -> Outcome:
        status, is_new = getattr(row, "status", None), getattr(row, "is_new", False)
        if status == "active":
            return ("changed" if getattr(row, "replaces", False) else "added") if is_new else "known"
        if status == "proposed":
            return "proposed" if is_new else "waiting"
        return "full" if row is None and written.changes["scope full"] else "refused"

    return [outcome(rows.get(each)) for each in written.learning_ids]


def outcomes_told(about: str, puts: Sequence[Put], results: Sequence[Outcome]) -> str:
    """An answer: what was added, what was known, what waits, what was not changed."""
    parts = []
    for outcome, heading in _TOLD.items():
        said = [
            f"the name {put.content}" if put.kind == "alias" else put.content
            for put, result in zip(puts, results, strict=True)
            if result == outcome
        ]
        if said:
            parts.append(f"{heading}: {'; '.join(said).rstrip(' .')}.")
    return defused(" ".join([f"{about}.", *parts]))
