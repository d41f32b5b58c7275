"""Deliveries that died, and events that could not be accepted."""

from collections.abc import Iterator

from learning_ops.doctor.deployment import Deployment, rows
from learning_ops.doctor.finding import Finding, counted, note, ok, warning

_DEAD = """
    SELECT store, coalesce(reason, 'unknown') AS reason, count(*) AS deliveries
    FROM learning.delivery WHERE state = 'dead' GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""
_REJECTED = "SELECT count(*) FROM learning.rejected_event WHERE rejected_at > now() - interval '1 day'"


def dead(deployment: Deployment) -> Iterator[Finding]:
    """By store and reason."""
    with deployment.postgres() as session:
        found, [[rejected]] = rows(session, _DEAD), rows(session, _REJECTED)
    for row in found:
        only = f"--store {row.store} --reason {row.reason}"
        yield warning(
            f"{counted(row.deliveries, 'delivery')} to {row.store} died ({row.reason})",
            f"`learning-machine dead list {only}`; then `learning-machine dead replay`, or `dead discard`, with {only}",
        )
    if rejected:
        yield note(
            f"{counted(rejected, 'event')} could not be accepted in the last day",
            "`learning-machine dead list --rejected` says which and why",
        )
    if not found:
        yield ok("no delivery is dead")
