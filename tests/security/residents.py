"""Two tenants: acme, of whom every table holds something, and globex, who tries to get at it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from sqlalchemy import text

from harness import Place, event, rows, turn
from integration.stores.steps import claim, put, take_in, window_of, work
from learning_machine import (
    EntityMemoryConfig,
    LearnedKnowledgeConfig,
    LearningMachine,
    SessionContextConfig,
    UserProfileConfig,
)
from learning_schemas.errors import InvalidArgument, LearningMachineError
from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import uuid7
from learning_schemas.results import Receipt
from learning_stores.database import Database

A, B = "acme-4e1b", "globex"
SECRET = "zanzibar"
"""A word that stands in everything that acme knows, and in nothing of globex's."""


def machine_for(place: Place, tenant: str, *, mode: str = "AGENTIC") -> LearningMachine:
    """A machine with all four stores and all tools."""
    return place.machine(
        tenant=tenant,
        user_profile=UserProfileConfig(enable_agent_tools=True, debounce=0),
        session_context=SessionContextConfig(debounce=0),
        entity_memory=EntityMemoryConfig(enable_agent_tools=True, also_reads=["user"]),
        learned_knowledge=LearnedKnowledgeConfig(mode=mode, also_reads=["user"]),
    )


@dataclass(frozen=True, kw_only=True)
class Ids:
    """What globex knows or guesses of acme: each is the name of something that acme has, or of nothing at all."""

    memory: UUID
    insight: UUID
    proposal: UUID
    retired: UUID
    fact: UUID
    user: str
    session: str
    entity: str
    event: ConversationCompleted
    receipt: Receipt
    tenant: str
    mailbox: int
    extraction: UUID
    run: UUID


def guessed() -> Ids:
    """Ids of nothing, of the same forms."""
    return Ids(
        memory=uuid7(), insight=uuid7(), proposal=uuid7(), retired=uuid7(), fact=uuid7(), user="nobody-7f3a", session="none-7f3a",
        entity="Nowhere Ltd", event=event(tenant="nirvana"), receipt=_receipt("nirvana", uuid7()), tenant="nirvana",
        mailbox=987_654_321, extraction=uuid7(), run=uuid7(),
    )  # fmt: skip


def settled_in(place: Place, app_db: Database, dispatcher_db: Database, everything_db: Database) -> Ids:
    """Fill every table for acme; what globex may know of it."""
    user, session, entity = "ada-4e1b", "visit-4e1b", "Orion Mining"
    with machine_for(place, A) as machine:
        memory = machine.add(f"Keeps her key at {SECRET}", user_id=user, by="ann")
        gone = machine.add(f"Lived in {SECRET}", user_id=user, by="ann")
        machine.retract(gone.id, by="ann")
        fact = machine.add(f"Digs at {SECRET}", entity=entity, type="company", by="ann")
        insight = machine.add(title="Routes", learning=f"Ship by way of {SECRET}", by="ann")
        spec = machine.spec
    with machine_for(place, A, mode="PROPOSE") as machine:
        tools = {tool.name: tool for tool in machine.tools(user_id=user, session_id=session)}
        assert tools["propose_learning"](title="Tides", learning=f"At {SECRET} wait for the tide").startswith(
            "Proposed"
        )
        (proposal,) = machine.proposals()
    said = event(
        tenant=A, user_id=user, session_id=session, messages=turn(f"I work at {SECRET} harbour."), spec=spec.spec_hash()
    )
    later = event(tenant=A, user_id=user, session_id=session, messages=turn(f"I live in {SECRET}."))
    take_in(dispatcher_db, said, spec=spec)
    mailboxes = "SELECT id, store FROM learning.mailbox WHERE tenant = :tenant ORDER BY id"
    [number] = [row["id"] for row in rows(everything_db, mailboxes, tenant=A) if row["store"] == "user_profile"]
    held = claim(app_db, number, A)
    window = window_of(app_db, held)
    quote = f"I work at {SECRET} harbour."
    work(app_db, held, put(window, f"Works at {SECRET} harbour", citations=(_cited(window, quote),)), window=window)
    take_in(dispatcher_db, later, spec=spec)  # stays pending
    [number] = [row["id"] for row in rows(everything_db, mailboxes, tenant=A) if row["store"] == "user_profile"]
    _fill(everything_db)
    [extraction] = [row["id"] for row in rows(everything_db, "SELECT id FROM learning.extraction")]
    [run] = [row["id"] for row in rows(everything_db, "SELECT id FROM learning.curator_run WHERE tenant = :t", t=A)]
    return Ids(
        memory=memory.id, insight=insight.id, proposal=proposal.id, retired=gone.id, fact=fact.id, user=user, session=session,
        entity=entity, event=said, receipt=_receipt(A, said.id), tenant=A, mailbox=number, extraction=extraction,
        run=run,
    )  # fmt: skip


def tenant_tables(database: Database) -> list[str]:
    """Every table with a tenant, by the catalog: a new one joins by itself."""
    query = """
        SELECT c.relname AS name FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant'
        WHERE n.nspname = 'learning' AND c.relkind IN ('r', 'p') ORDER BY 1"""
    return [str(row["name"]) for row in rows(database, query)]


def holdings(database: Database, tenant: str) -> Mapping[str, tuple[int, str]]:
    """Of each table the number of a tenant's rows, and a checksum over all that stands in them."""
    found = {}
    for table in tenant_tables(database):
        query = (
            "SELECT count(*) AS number, md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) AS sum "
            f"FROM learning.{table} t WHERE tenant = :tenant"
        )
        [row] = rows(database, query, tenant=tenant)
        found[table] = (row["number"], row["sum"])
    return found


def untold(answer: object, ids: Ids) -> str:
    """An answer as text, with what is random in any of them taken out: the ids that were asked with, others, and times."""
    told = f"{type(answer).__name__}: {answer!r}" if not isinstance(answer, str) else answer
    for field in fields(ids):
        if isinstance(value := getattr(ids, field.name), str | UUID):
            told = told.replace(str(value), f"<{field.name}>")
    told = told.replace(str(ids.event.id), "<event>").replace(str(ids.receipt.event_id), "<event>")
    told = re.sub(
        r"<(?:memory|insight|proposal|retired|fact|event|extraction|run)>|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "<id>",
        told,
    )
    told = re.sub(r"datetime\.datetime\([^()]*(?:\([^()]*\))?[^()]*\)", "<time>", told)
    told = re.sub(r"'seq': \d+|seq=\d+", "seq", told)
    return re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?UTC|Z|\+00:00)?", "<time>", told)


def attempt(call: Any, *arguments: Any) -> object:
    """What a call answers, or the error that it raises where that is one of ours."""
    try:
        return call(*arguments)
    except (LearningMachineError, InvalidArgument, TimeoutError) as error:
        return f"{type(error).__name__}: {error}"


def _receipt(tenant: str, event_id: UUID) -> Receipt:
    return Receipt(
        event_id=event_id, tenant=tenant, user_id="ada-4e1b", session_id="visit-4e1b", via="stream", producer=uuid7(), seq=1
    )  # fmt: skip


def _cited(window: Any, quote: str) -> Any:
    from integration.stores.steps import citation

    return citation(window, quote=quote)


# What no write above leaves behind, by table.
_REST = {
    "curator_run": "(tenant, job, due_at) SELECT t, 'prune', now()",
    "budget": "(tenant, store, usd_per_day) SELECT t, '*', 100",
    "budget_reservation": "(tenant, id, extraction_id, store, purpose, model_asked, prompt_name, prompt_version, events, "
    "expires_at) SELECT t, gen_random_uuid(), gen_random_uuid(), 's', 'p', 'm', 'p', '1', 1, now()",
    "scope_statistics": "(tenant, store, scope, rows, mean_words, common) SELECT t, 's', 's', 1, 1, '{}'",
    "embedding_model": "(tenant, model, state) SELECT t, 'm', 'building'",
    "embedding_refused": "(tenant, learning_id, model, reason) SELECT t, l, 'm', 'r'",
    "model_call": "(tenant, id, extraction_id, store, purpose, subject, model_asked, prompt_name, prompt_version, outcome, events, "
    "seconds) SELECT t, gen_random_uuid(), gen_random_uuid(), 's', 'p', 's', 'm', 'p', '1', 'ok', 1, 1",
    "learning_embedding": "(tenant, learning_id, model, embedding) SELECT t, l, 'm', '[1]'::public.vector",
    "forgetting": "(tenant, id, subject) SELECT t, gen_random_uuid(), 'user/other'",
    "forgotten_session": "(tenant, scope, forgotten_at) SELECT t, 's', now()",
    "removed_count": "(tenant, day, reason) SELECT t, now(), 'forgotten'",
    "rejected_event": "(stream, entry_id, tenant, event_id, field, reason, body, body_bytes, subject) "
    "SELECT 'learning:events:0', '1-1', t, l::text, 'user_id', 'is none', 'x', 1, 'user/ada-4e1b'",
    "verdict": "(tenant, job, a, b, verdict) SELECT t, 'deduplicate', l, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid, 'same'",
    "recall_count": "(tenant, learning_id, recalled, last_recalled_at) SELECT t, l, 1, now()",
}


def _fill(database: Database) -> None:
    empty = [table for table, (number, _) in holdings(database, A).items() if number == 0]
    with database.engine.begin() as connection:
        for table in empty:
            if table in _REST:
                source = (
                    f"FROM (SELECT tenant AS t, id AS l FROM learning.learning WHERE tenant = '{A}' LIMIT 1) AS one"
                )
                connection.execute(text(f"INSERT INTO learning.{table} {_REST[table]} {source}"))
