"""What is held about a user, table by table: statements of a sort key and a record as JSON, in the order of the key.

Every statement names the tenant; the policy of row-level security does, too. Of a learning that users share, the evidence of
this user alone is told.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import TextClause, text


@dataclass(frozen=True, kw_only=True)
class Section:
    """A kind of record. `rows` are read at a time; a statement without `:after` gives few, at once."""

    record: str
    statement: TextClause
    first: Any = ""
    rows: int = 200


_NIL = "00000000-0000-0000-0000-000000000000"

_SUBJECT = text("""
    SELECT subject AS key, to_jsonb(s) - 'tenant' - 'salt' AS record FROM learning.subject s
    WHERE tenant = :tenant AND subject = :subject AND subject > :after
""")

_FORGETTINGS = text("""
    SELECT id AS key, to_jsonb(f) - 'tenant' AS record FROM learning.forgetting f
    WHERE tenant = :tenant AND subject = :subject AND id > cast(:after AS uuid) ORDER BY id
""")

_FORGOTTEN_SESSIONS = text("""
    SELECT scope AS key, to_jsonb(f) - 'tenant' AS record FROM learning.forgotten_session f
    WHERE tenant = :tenant AND starts_with(scope, :sessions) AND scope > :after ORDER BY scope
""")

_SESSIONS = text("""
    SELECT scope AS key, jsonb_build_object(
               'session_id', replace(replace(split_part(scope, '/', 3), '%2F', '/'), '%25', '%'), 'messages_shown', count(*),
               'first_event_id', (array_agg(event_id ORDER BY position))[1],
               'last_event_id', (array_agg(event_id ORDER BY position DESC))[1]) AS record
    FROM learning.session_message
    WHERE tenant = :tenant AND starts_with(scope, :sessions) AND scope > :after GROUP BY scope ORDER BY scope
""")

_ENTITIES = text("""
    SELECT id AS key, to_jsonb(e) - 'tenant' - 'name_key' AS record FROM learning.entity e
    WHERE tenant = :tenant AND user_id = :user_id AND id > cast(:after AS uuid) ORDER BY id
""")

_LEARNINGS = text("""
    WITH chosen AS (
        SELECT id FROM learning.learning WHERE tenant = :tenant AND user_id = :user_id AND id > cast(:after AS uuid)
        UNION
        SELECT learning_id FROM learning.evidence
        WHERE tenant = :tenant AND subject = :subject AND learning_id > cast(:after AS uuid)
    )
    SELECT l.id AS key, jsonb_build_object(
        'id', l.id, 'store', l.store, 'kind', l.kind, 'namespace', l.namespace, 'user_id', l.user_id, 'session_id', l.session_id,
        'agent_id', l.agent_id, 'team_id', l.team_id, 'about', about.told, 'target', target.told, 'content', l.content,
        'content_key', l.content_key, 'data', l.data, 'language', l.language::text, 'status', l.status,
        'confidence', l.confidence, 'valid_from', l.valid_from, 'valid_to', l.valid_to, 'live_from', l.live_from,
        'retired_at', l.retired_at, 'retired_reason', l.retired_reason, 'retired_by', l.retired_by,
        'replaced_by', l.replaced_by, 'replaces', l.replaces, 'restores', l.restores)
        || jsonb_build_object('awaits', l.awaits, 'decided_by', l.decided_by, 'decided_at', l.decided_at, 'origin', l.origin,
        'made_by', l.made_by, 'recalled', coalesce(c.recalled, 0), 'last_recalled_at', c.last_recalled_at,
        'evidence', coalesce(said.evidence, '[]')) AS record
    FROM chosen
    JOIN learning.learning l ON l.tenant = :tenant AND l.id = chosen.id
    LEFT JOIN learning.recall_count c ON c.tenant = l.tenant AND c.learning_id = l.id
    LEFT JOIN LATERAL (
        SELECT jsonb_build_object('id', e.id, 'namespace', e.namespace, 'type', e.type, 'name', e.name) AS told
        FROM learning.entity e WHERE e.tenant = l.tenant AND e.id = l.about) AS about ON true
    LEFT JOIN LATERAL (
        SELECT jsonb_build_object('id', e.id, 'namespace', e.namespace, 'type', e.type, 'name', e.name) AS told
        FROM learning.entity e WHERE e.tenant = l.tenant AND e.id = l.target) AS target ON true
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object(
                   'origin', v.origin, 'source_id', v.extraction_id, 'event_id', v.event_id, 'message', v.message,
                   'quote', v.quote, 'user_id', v.user_id, 'occurred_at', v.occurred_at, 'added_at', v.added_at,
                   'withdrawn_at', v.withdrawn_at) ORDER BY v.occurred_at, v.added_at, v.id) AS evidence
        FROM learning.evidence v
        WHERE v.tenant = l.tenant AND v.learning_id = l.id
          AND (v.subject = :subject OR (v.subject IS NULL AND l.user_id = :user_id))) AS said
    ORDER BY l.id
""")

_EVENTS = text("""
    SELECT e.id AS key, to_jsonb(e) - 'tenant' - 'subject' - 'shard' - 'body_hash' || jsonb_build_object('deliveries', coalesce((
               SELECT jsonb_agg(to_jsonb(d) - 'tenant' - 'event_id' - 'subject' ORDER BY d.store)
               FROM learning.delivery d WHERE d.tenant = e.tenant AND d.event_id = e.id), '[]')) AS record
    FROM learning.conversation_event e
    WHERE e.tenant = :tenant AND e.subject = :subject AND e.id > cast(:after AS uuid) ORDER BY e.id
""")

# Of events that retention took. No index has their subject.
_DELIVERIES = text("""
    SELECT d.event_id || '/' || d.store AS key, to_jsonb(d) - 'tenant' - 'subject' AS record FROM learning.delivery d
    WHERE d.tenant = :tenant AND d.subject = :subject AND d.event_id || '/' || d.store > :after AND NOT EXISTS (
        SELECT FROM learning.conversation_event e WHERE e.tenant = d.tenant AND e.id = d.event_id)
    ORDER BY 1
""")

_MAILBOXES = text("""
    SELECT lpad(m.id::text, 20, '0') AS key, to_jsonb(m) - 'tenant' - 'subject' - 'id' - 'token' - 'owner' AS record
    FROM learning.mailbox m
    WHERE m.tenant = :tenant AND m.subject = :subject AND lpad(m.id::text, 20, '0') > :after ORDER BY 1
""")

_EXTRACTIONS = text("""
    SELECT id AS key, to_jsonb(x) - 'tenant' - 'subject' - 'token' AS record FROM learning.extraction x
    WHERE tenant = :tenant AND subject = :subject AND id > cast(:after AS uuid) ORDER BY id
""")

_CHANGES = text("""
    SELECT id AS key, to_jsonb(c) - 'tenant' - 'subject' AS record FROM learning.change c
    WHERE tenant = :tenant AND subject = :subject AND id > cast(:after AS uuid) ORDER BY id
""")

_CALLS = text("""
    SELECT id AS key, to_jsonb(m) - 'tenant' - 'subject' AS record FROM learning.model_call m
    WHERE tenant = :tenant AND subject = :subject AND subject <> '' AND id > cast(:after AS uuid) ORDER BY id
""")

_REJECTED = text("""
    SELECT lpad(r.id::text, 20, '0') AS key,
           to_jsonb(r) - 'tenant' - 'subject' - 'id' - 'body'
           || jsonb_build_object('body_base64', encode(r.body, 'base64')) AS record
    FROM learning.rejected_of(:subject) r WHERE r.tenant = :tenant AND lpad(r.id::text, 20, '0') > :after ORDER BY 1
""")

SECTIONS = (
    Section(record="subject", statement=_SUBJECT),
    Section(record="forgetting", statement=_FORGETTINGS, first=_NIL),
    Section(record="forgotten_session", statement=_FORGOTTEN_SESSIONS),
    Section(record="session", statement=_SESSIONS),
    Section(record="entity", statement=_ENTITIES, first=_NIL),
    Section(record="learning", statement=_LEARNINGS, first=_NIL),
    Section(record="event", statement=_EVENTS, first=_NIL, rows=20),
    Section(record="delivery", statement=_DELIVERIES),
    Section(record="mailbox", statement=_MAILBOXES),
    Section(record="extraction", statement=_EXTRACTIONS, first=_NIL),
    Section(record="change", statement=_CHANGES, first=_NIL),
    Section(record="model_call", statement=_CALLS, first=_NIL),
    Section(record="rejected_event", statement=_REJECTED, rows=20),
)
"""In the order of an export."""

LEFT_OUT = {
    "embeddings": "vectors computed from the learnings; another database computes its own",
    "message_hashes": "keyed hashes of what sessions have shown, of use to nobody without the key",
    "scope_statistics": "counts of words, computed from the learnings",
    "evidence_of_others": "of learnings that users share, what other users said",
    "not_taken_in": "events that are still in streams of Redis or in spool files of agents' hosts",
}
"""What is held and not exported, and why."""
