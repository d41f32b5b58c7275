"""Looking for what is to be forgotten, table by table: before, to say what will be touched; after, to show that nothing is left."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.forgetting_target import Scope

_SUBJECT = {
    "conversation_event": "conversation_event x WHERE x.tenant = :tenant AND x.subject = :subject AND x.accepted_at < :at",
    "delivery": """delivery x WHERE x.tenant = :tenant AND x.event_id IN (
        SELECT e.id FROM learning.conversation_event e
        WHERE e.tenant = :tenant AND e.subject = :subject AND e.accepted_at < :at)""",
    "extraction": "extraction x WHERE x.tenant = :tenant AND x.subject = :subject AND x.committed_at < :at",
    "change": "change x WHERE x.tenant = :tenant AND x.subject = :subject AND x.changed_at < :at",
    "model_call": """model_call x WHERE x.tenant = :tenant AND x.subject = :subject AND x.subject <> '' AND x.called_at < :at""",
    "entity": """entity x WHERE x.tenant = :tenant AND x.user_id = :user_id AND x.created_at < :at
        AND NOT EXISTS (SELECT FROM learning.learning l WHERE l.tenant = x.tenant AND l.about = x.id)
        AND NOT EXISTS (SELECT FROM learning.learning l WHERE l.tenant = x.tenant AND l.target = x.id)
        AND NOT EXISTS (SELECT FROM learning.entity o WHERE o.tenant = x.tenant AND o.merged_into = x.id)""",
}
_SESSION = {
    "conversation_event": """conversation_event x
        WHERE x.tenant = :tenant AND x.subject = :subject AND x.session_id = :session_id AND x.accepted_at < :at""",
    "delivery": """delivery x WHERE x.tenant = :tenant AND x.event_id IN (
        SELECT e.id FROM learning.conversation_event e
        WHERE e.tenant = :tenant AND e.subject = :subject AND e.session_id = :session_id AND e.accepted_at < :at)""",
    "extraction": """extraction x
        WHERE x.tenant = :tenant AND x.subject = :subject AND x.scope = :scope AND x.committed_at < :at""",
    "change": """change x
        WHERE x.tenant = :tenant AND x.subject = :subject AND x.session_id = :session_id AND x.changed_at < :at""",
}
_EVENT = {
    "conversation_event": """conversation_event x
        WHERE x.tenant = :tenant AND x.id = :event_id
          AND (x.forgotten_at IS NULL OR x.messages <> '[]' OR x.metadata IS NOT NULL)""",
    "delivery": """delivery x
        WHERE x.tenant = :tenant AND x.event_id = :event_id AND (x.state <> 'skipped' OR x.reason <> 'forgotten')""",
}
_TABLES = {"subject": _SUBJECT, "session": _SESSION, "event": _EVENT}

_WORDS = text("""
    SELECT count(*) FROM learning.learning l
    WHERE l.tenant = :tenant AND l.content = ANY (:contents) AND NOT EXISTS (
        SELECT FROM learning.evidence v WHERE v.tenant = l.tenant AND v.learning_id = l.id)
""")


def look_for(session: Session, scope: Scope) -> Counter[str]:
    """How many rows hold something of it, by table."""
    found = Counter[str]()
    tables = {
        **_TABLES[scope.target.kind],
        "evidence": f"evidence v WHERE v.tenant = :tenant AND {scope.said}",
        "learning": f"learning l WHERE l.tenant = :tenant AND {scope.unsupported}",
    }
    for name, which in tables.items():
        found[name] = session.scalar(text(f"SELECT count(*) FROM learning.{which}"), scope.values) or 0  # noqa: S608 - our own words
    return found


def look_for_words(session: Session, scope: Scope, contents: Sequence[str]) -> int:
    """How many learnings have one of these contents and nobody's evidence."""
    if not contents:
        return 0
    values = {"tenant": scope.target.tenant, "contents": list(contents)}
    return int(session.scalar(_WORDS, values) or 0)
