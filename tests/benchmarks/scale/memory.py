"""A tenant of many learnings, written fast: in many users' small scopes, or in one namespace that everybody reads."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from benchmarks.retrieval.dataset import Conversation
from learning_schemas.scope import session_scope, user_scope

TENANT = "default"
A_USER = 200
"""Learnings of one user, where the scopes are small."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the learnings lie: with their users, `A_USER` each, or all in the namespace `global`."""

    name: str
    store: str
    kind: str
    shared: bool

    def places(self, user: int) -> tuple[tuple[str, str], ...]:
        """The pairs of store and scope that a recall of the how many-th user reads."""
        own = user_scope(f"user-{user}")
        if self.shared:
            return (("user_profile", own), (self.store, "namespace/global"))
        return ((self.store, own), ("session_context", session_scope(f"user-{user}", "s1")))


SMALL = Layout(name=f"users of {A_USER}", store="user_profile", kind="memory", shared=False)
LARGE = Layout(name="one namespace", store="entity_memory", kind="fact", shared=True)

# What the rows of a true run have is here by these means:
#   learning.lexemes, all indexes        by Postgres, as for any row
#   evidence.conversation and .position  written; in a true run a trigger copies them from the message that is cited
#   embedding_due                        left empty, as it is when everything is embedded; recall does not read it
#   foreign keys                         hold, unchecked: evidence, extractions and entities are made for these learnings
# Triggers and foreign keys are off in this session alone: they would take most of the time. A learning says two sentences of the
# conversations and names one of 50,000 tickets, so that hardly two are alike and words are as rare and as common as in speech.
# A user's rows lie scattered over what is written at once, as when users speak in turns.
_BEGIN = (
    "SET session_replication_role = replica",
    "CREATE TABLE IF NOT EXISTS sentence (no integer PRIMARY KEY, said text NOT NULL)",
)
_NUMBERED = """
    WITH numbered AS (
        SELECT n, %(first)s / %(a_user)s + (n - %(first)s) %% greatest((%(last)s - %(first)s) / %(a_user)s, 1) AS u,
               (n - %(first)s) / greatest((%(last)s - %(first)s) / %(a_user)s, 1) AS k,
               (lpad(to_hex(1750000000000 + n * 10000), 12, '0') || '7' || substr(md5(n::text), 1, 19))::uuid AS id,
               md5('extraction ' || n / 5)::uuid AS made_by, to_timestamp(1750000000 + n * 10) AS at
        FROM generate_series(%(first)s::bigint, %(last)s::bigint - 1) AS n
    )
"""
_ENTITIES = """
    INSERT INTO learning.entity (tenant, id, namespace, type, name, name_key)
    SELECT %(tenant)s, md5('entity ' || e)::uuid, 'global', 'person', 'Person ' || e, 'person ' || e
    FROM generate_series(%(first)s / 20, (%(last)s - 1) / 20) AS e WHERE %(shared)s ON CONFLICT DO NOTHING
"""
_EXTRACTIONS = """
    INSERT INTO learning.extraction (tenant, id, store, subject, scope, token, spec_hash, model, prompt_name, prompt_version,
                                     events, messages, outcome, changes, dropped, started_at)
    SELECT %(tenant)s, md5('extraction ' || x)::uuid, %(store)s, 'user/any', 'user/any', 1, 'spec', 'model-' || x %% 2, 'prompt',
           '1', 1, 2, 'extracted', '{}', '{}', to_timestamp(1750000000 + x * 50)
    FROM generate_series(%(first)s / 5, (%(last)s - 1) / 5) AS x ON CONFLICT DO NOTHING
"""
_LEARNINGS = f"""
    {_NUMBERED}
    INSERT INTO learning.learning (tenant, id, store, kind, scope, user_id, namespace, about, content, content_key, status,
                                   valid_from, live_from, origin, made_by, confidence)
    SELECT %(tenant)s, n.id, %(store)s, %(kind)s,
           CASE WHEN %(shared)s THEN 'namespace/global' ELSE 'user/user-' || u END,
           CASE WHEN NOT %(shared)s THEN 'user-' || u END, CASE WHEN %(shared)s THEN 'global' END,
           CASE WHEN %(shared)s THEN md5('entity ' || n / 20)::uuid END,
           a.said || ' ' || b.said || ' Ticket K' || (hashint8extended(n, 3) & 1073741823) %% 50000, 'n' || n, 'active',
           n.at, n.at, 'extraction', n.made_by, 0.5
    FROM numbered n CROSS JOIN (SELECT count(*) AS many FROM sentence) AS s
    JOIN sentence a ON a.no = (hashint8extended(n, 1) & 1073741823) %% s.many
    JOIN sentence b ON b.no = (hashint8extended(n, 2) & 1073741823) %% s.many
    ORDER BY n
"""
# Of each session of a user twenty messages were learned from; in the namespace, twenty of each session.
_EVIDENCE = f"""
    {_NUMBERED}
    INSERT INTO learning.evidence (tenant, id, learning_id, origin, extraction_id, event_id, message, occurred_at, conversation,
                                   position)
    SELECT %(tenant)s, md5('evidence ' || n)::uuid, id, 'extraction', made_by, md5('event ' || n)::uuid, 0, at,
           hashtextextended(CASE WHEN %(shared)s THEN 'session/' || n / 20 ELSE 'session/' || u || '/' || k / 20 END, 0),
           2 * CASE WHEN %(shared)s THEN n %% 20 ELSE k %% 20 END
    FROM numbered
"""
_ANALYZE = "VACUUM ANALYZE learning.learning, learning.evidence, learning.entity, learning.extraction"


def begin(connection: psycopg.Connection, conversations: Sequence[Conversation]) -> None:
    """Make a superuser's connection, which commits by itself, ready to `add`."""
    said = {
        sentence
        for each in conversations
        for memory in (*each.turns, *each.observations)
        for sentence in re.split(r"(?<=[.!?])\s+", memory.text)
        if len(sentence) > 15
    }
    for statement in _BEGIN:
        connection.execute(statement.encode())
    with connection.cursor() as cursor, cursor.copy("COPY sentence FROM STDIN") as copy:
        for row in enumerate(sorted(said)):
            copy.write_row(row)
    connection.execute("ANALYZE sentence")


def add(connection: psycopg.Connection, layout: Layout, first: int, last: int) -> None:
    """Write the learnings numbered `first` to `last` - 1, later than all that are there; and vacuum, as the server would."""
    given = {
        "tenant": TENANT,
        "store": layout.store,
        "kind": layout.kind,
        "shared": layout.shared,
        "first": first,
        "last": last,
        "a_user": A_USER,
    }
    for statement in (_ENTITIES, _EXTRACTIONS, _LEARNINGS, _EVIDENCE):
        connection.execute(statement.encode(), given)
    connection.execute(_ANALYZE)
