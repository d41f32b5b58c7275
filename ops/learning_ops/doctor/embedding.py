"""Which share of the live learnings has a vector of the model that embeds now, and what keeps the others from theirs."""

import time
from collections.abc import Iterator

from learning_ops.doctor.deployment import Deployment, rows
from learning_ops.doctor.finding import Finding, counted, error, note, ok, warning
from learning_stores.embedding_coverage import coverage
from learning_stores.embedding_tenants import every_tenant, unfinished_moves, waiting_models
from learning_stores.embeddings import tenants_to_move

LOOK_SECONDS = 8.0
"""How long tenants are counted; a deployment with many is told by those that were."""
SOON = "5 minutes"
"""How long a learning may wait for its vector where somebody embeds."""

_OVERDUE = f"""
    SELECT count(*) AS learnings, count(DISTINCT tenant) AS tenants, extract(epoch FROM now() - min(ready_at)) AS seconds
    FROM learning.embedding_due WHERE ready_at < now() - interval '{SOON}'
"""  # noqa: S608 - the part is a constant


def coverage_of_tenants(deployment: Deployment) -> Iterator[Finding]:
    """Over as many tenants as there is time for, as the app; what waits, over all of them, as the dispatcher."""
    endpoint = deployment.settings.embedding_endpoint()
    if endpoint is None:
        yield ok("no embedding model is set: recall goes by words")
        return
    with deployment.postgres() as session:
        moving = tenants_to_move(session, endpoint.name)
        unfinished = [each for each in unfinished_moves(session, endpoint.name) if each.model != endpoint.name]
        waiting, [overdue] = waiting_models(session), rows(session, _OVERDUE)
        tenants = every_tenant(session)
    if moving:
        yield warning(
            f"the memory of {counted(moving, 'tenant')} has no complete vectors of {endpoint.name}: recall goes by words there",
            _command(endpoint.model, endpoint.dimensions),
        )
    for move in unfinished:
        yield warning(
            f"the move to {move.model} is not complete in {counted(move.tenants, 'tenant')}, which {move.reading} is read with",
            "`learning-machine reembed --status` says how to go on with it and how to give it up",
        )
    for each in waiting:
        yield warning(
            f"embedding with {each.model} waits in {counted(each.tenants, 'tenant')} ({each.note})",
            "`learning-machine reembed --status` says until when; put right what the note names",
        )
    if overdue.learnings and not waiting:
        yield error(
            f"{counted(overdue.learnings, 'learning')} of {counted(overdue.tenants, 'tenant')} wait for their vector, the first "
            f"of them for {overdue.seconds / 60:.0f} minutes",
            "celery -A learning_workers.app worker -Q learning.embed -P threads -c 4 -E",
        )
    yield from _share(deployment, endpoint.name, tenants)


def _share(deployment: Deployment, model: str, tenants: list[str]) -> Iterator[Finding]:
    until = time.monotonic() + LOOK_SECONDS
    live = embedded = refused = looked_at = 0
    for tenant in tenants:
        if looked_at and time.monotonic() > until:
            break
        with deployment.postgres("app", tenant) as session:
            for each in coverage(session, tenant):
                if each.model == model:
                    live, embedded, refused = live + each.live, embedded + each.embedded, refused + each.refused
        looked_at += 1
    among = (
        ""
        if looked_at == len(tenants)
        else f" (of {looked_at:,} tenants of {len(tenants):,}, as far as there was time)"
    )
    if refused:
        yield note(
            f"{model} refused the text of {counted(refused, 'learning')}{among}: they are found by words alone",
            f"`learning-machine reembed {model.partition('@')[0]}` tries them again",
        )
    if not live:
        yield ok(f"nothing is embedded with {model} yet{among}")
        return
    told = f"{embedded:,} of {live:,} live learnings ({embedded / live:.1%}) have a vector of {model}{among}"
    # What was learned a moment ago gets its vector in the next: what waits longer than that is told above.
    yield ok(told) if embedded + refused >= live else note(told, "wait some seconds; what stays is named above")


def _command(model: str, dimensions: int | None) -> str:
    return f"learning-machine reembed {model}" + (f" --dimensions {dimensions}" if dimensions else "")
