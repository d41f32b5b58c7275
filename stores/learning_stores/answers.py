"""What a tool answers about its write: short, and true."""

from sqlalchemy import text

from learning_stores.tooling import Calling
from learning_stores.writing import Written

PROPOSED = "Proposed: a person decides before it is used."
FULL = "Not saved: this memory is full. What is no longer so has to be forgotten first."

_STATUS = text("SELECT status FROM learning.learning WHERE tenant = :tenant AND id = :id")


def stated(calling: Calling, written: Written) -> str:
    """What became of one statement."""
    changes = written.changes
    if changes["added"]:
        return "Saved."
    if changes["updated"] or (changes["confirmed"] and changes["retired"]):
        return "Updated."
    if changes["proposed"]:
        return PROPOSED
    if changes["held back"]:
        return "Already known; what it should replace stays: a person has to decide this."
    if changes["confirmed"]:
        (learning_id,) = written.learning_ids
        status = calling.session.scalar(_STATUS, {"tenant": calling.place.tenant, "id": learning_id})
        return f"Already {'known' if status == 'active' else 'proposed'}; noted again."
    if changes["scope full"]:
        return FULL
    if changes["outranked"]:
        return "Not saved: a person has corrected this."
    return "Not saved: something newer is known."


def forgotten(written: Written) -> str:
    """What became of one retraction."""
    changes = written.changes
    if changes["retired"]:
        return "Forgotten."
    if changes["already gone"]:
        return "It is forgotten already."
    if changes["held back"]:
        return "Not forgotten: a person has to decide this."
    if changes["outranked"]:
        return "Not forgotten: a person has said so."
    return "Not forgotten: something newer is known."
