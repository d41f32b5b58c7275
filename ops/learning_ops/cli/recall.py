"""`learning-machine recall`: what an agent's next prompt would be given."""

import os
from typing import Annotated, Any

import typer

from learning_ops.cli.option import Json, Tenant, examples, prose

_SECONDS = 5.0  # an agent has half a second; here somebody waits who sees why
_EMBEDDING_SECONDS = 3.0  # of these, for the query's embedding


def recall(
    user: Annotated[str | None, typer.Option("--user", "-u", help="The user's id.")] = None,
    query: Annotated[
        str | None, typer.Option("--query", "-q", help="What the user asks: what matters most to it comes first.")
    ] = None,
    session: Annotated[str | None, typer.Option("--session", "-s", help="The session's id.")] = None,
    tenant: Tenant = "default",
    namespace: Annotated[str, typer.Option(help="Whose entities and insights, besides the user's own.")] = "global",
    max_tokens: Annotated[int, typer.Option(help="How much of it.")] = 1_000,
    as_json: Json = False,
) -> None:
    """Show what is remembered of a user and of a session, as an agent gets it for its next prompt.

    The text is on stdout; which model it came from, how a query was matched, and what still waits is on stderr.
    """
    from learning_ops.cli.failure import Failed, WrongUsage, place_of
    from learning_ops.cli.output import print_json

    if user is None and session is None:
        raise WrongUsage("Say whose memory is meant: --user, --session, or both")
    from learning_machine import (
        CustomStoreConfig,
        EntityMemoryConfig,
        LearnedKnowledgeConfig,
        LearningMachine,
        RecallFailed,
    )
    from learning_stores.registry import installed
    from learning_stores.settings import AgentSettings

    # As an agent has it that has asked before: the first call of a process imports the SDK.
    os.environ.setdefault("LEARNING_EMBEDDING_DEADLINE", str(_EMBEDDING_SECONDS))
    try:
        own = [name for name in ("user",) if user is not None and name != namespace]
        shared: dict[str, Any] = {"namespace": namespace, "also_reads": own}
        custom = [
            CustomStoreConfig(store=store, **(shared if store.namespaced else {}))
            for name, store in installed().items()
            if name not in ("user_profile", "session_context", "entity_memory", "learned_knowledge")
        ]
        with LearningMachine(
            tenant=tenant,
            recall_tokens=max_tokens,
            recall_deadline=_SECONDS,
            user_profile=True,
            session_context=True,
            entity_memory=EntityMemoryConfig(namespace=namespace, also_reads=own),
            stores=custom,
            learned_knowledge=LearnedKnowledgeConfig(namespace=namespace, also_reads=own),
        ) as machine:
            result = machine.recall(query, user_id=user, session_id=session, on_error="raise")
    except RecallFailed as error:
        place = place_of(AgentSettings.load().database())
        raise Failed(f"Postgres at {place} (LEARNING_DATABASE_URL): {error.cause}") from None
    if as_json:
        print_json(_as_dict(result))
        return
    if result.context:
        typer.echo(result.context)
    else:
        typer.echo("Nothing is remembered, and nothing waits.", err=True)
    for note in _notes(result, AgentSettings.load().embedding_endpoint()):
        typer.echo(note, err=True)


def _as_dict(result: Any) -> dict[str, Any]:
    from dataclasses import asdict

    from learning_ops.cli.offline_note import is_offline

    shown = asdict(result)
    del shown["known"], shown["lost_fields"]  # this command knows no agent's schema
    return {**shown, "fields": result.fields, "memories": result.memories, "offline_rules": is_offline(result.models)}


def _matched(result: Any, endpoint: Any) -> list[str]:
    """How the query was matched; and where something embeds and did not count, where to look."""
    if result.matched_by is None:
        return []
    if result.matched_by == "text+vector":
        return [f"the query was matched by its words and by its embedding with {endpoint.name}"]
    why = "no embedding model is configured"
    if endpoint is not None:
        why = (
            f"{endpoint.name} did not embed it in time, or not all that this tenant remembers has its vectors "
            "(`learning-machine reembed --status`)"
        )
    return [f"the query was matched by its words alone: {why}"]


def _notes(result: Any, endpoint: Any) -> list[str]:
    from learning_ops.cli.offline_note import OFFLINE_NOTE, is_offline

    notes = [f"extracted by {', '.join(result.models)}"] if result.models else []
    if is_offline(result.models):
        notes.append(OFFLINE_NOTE)
    notes += _matched(result, endpoint)
    if result.pending:
        notes.append(
            f"{result.pending} events are not extracted yet: `learning-machine status` says what they wait for"
        )
    if result.omitted:
        notes.append(f"{result.omitted} learnings did not fit: --max-tokens gives more room")
    return notes


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        help=prose(recall),
        epilog=examples(
            "recall --user alex@example.com",
            "recall -u alex@example.com --query 'What plan am I on?'",
            "recall -u alex@example.com -s s1 --json",
        ),
    )(recall)
