"""Importing what another database remembered of a user, through the rules that every write keeps. As the app role.

What is live there becomes a statement here: an equal one gains evidence, an older one is replaced, against a newer one it is
history. What was proposed is proposed. What was retired enters as history, with its own times and what took its place. Each
learning comes in a transaction of its own, under a change whose id follows from tenant, user, source and the learning's id
there: so the same file brings nothing the second time, and an import that broke off is gone on with.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.errors import SubjectClosed
from learning_schemas.scope import USER_NAMESPACE, namespace_scope, scope_of, subject_of
from learning_stores import learning_rows as rows
from learning_stores.admission import AT_ONCE, Admission
from learning_stores.applying import apply
from learning_stores.attempts import attempted
from learning_stores.database import Database
from learning_stores.entities import resolve
from learning_stores.import_record import ImportedEntity, ImportedLearning, ImportSource, NotImported
from learning_stores.import_shape import misfit
from learning_stores.operations import Citation, EntityName, Provenance, Put
from learning_stores.place import Place
from learning_stores.registry import installed
from learning_stores.subjects import hold_subjects

_IDS = UUID("5b1f6a0e-3a0d-5d0e-9c4e-6d2f8b7c1a90")

# Of two imports of one learning at once the second waits for the first, and then finds it done.
_CHANGE = text("""
    INSERT INTO learning.change (tenant, id, origin, action, by_whom, store, scope, subject, user_id, session_id, agent_id)
    VALUES (:tenant, :id, 'import', :action, :by_whom, :store, :scope, :subject, :user_id, :session_id, :agent_id)
    ON CONFLICT (tenant, id) DO NOTHING RETURNING id
""")

_KNOWN = text("SELECT id FROM learning.change WHERE tenant = :tenant AND id = ANY (:ids)")

# What the rules of a write do not say of a row that was just made.
_AS_IT_WAS = text("""
    UPDATE learning.learning SET confidence = :confidence, decided_by = :decided_by, decided_at = :decided_at
    WHERE tenant = :tenant AND id = :id AND made_by = :made_by
""")

_PAST = text("""
    INSERT INTO learning.learning (tenant, id, store, kind, scope, user_id, session_id, namespace, agent_id, team_id, about, target,
        content, content_key, data, language, status, confidence, valid_from, valid_to, live_from, retired_at, retired_reason,
        retired_by, decided_by, decided_at, origin, made_by)
    VALUES (:tenant, :id, :store, :kind, :scope, :user_id, :session_id, :namespace, :agent_id, :team_id, :about, :target,
        :content, :content_key, cast(:data AS jsonb), cast(:language AS regconfig), 'retired', :confidence, :valid_from, :valid_to,
        :live_from, :retired_at, :retired_reason, :made_by, :decided_by, :decided_at, 'import', :made_by)
    ON CONFLICT (tenant, id) DO NOTHING
""")

# The row that an import made of a learning, or the one that it confirmed.
_HOLDERS = text("""
    SELECT DISTINCT ON (v.extraction_id) v.extraction_id AS change, v.learning_id AS id FROM learning.evidence v
    WHERE v.tenant = :tenant AND v.extraction_id = ANY (:changes) ORDER BY v.extraction_id, v.added_at, v.id
""")

_FOLLOWED = text("""
    UPDATE learning.learning SET replaced_by = :successor
    WHERE tenant = :tenant AND id = :id AND replaced_by IS NULL AND id <> cast(:successor AS uuid) AND origin = 'import'
      AND EXISTS (SELECT FROM learning.learning n WHERE n.tenant = :tenant AND n.id = :successor)
""")

_LANGUAGE = text("SELECT cfgname FROM pg_catalog.pg_ts_config")

_LINKED_AT_ONCE = 200
_MAX_INDEXED = 2_500
"""Bytes of tenant, scope and key together: they are the key of an index, which holds 2,704 with what stands beside them."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """Where an import goes: a tenant, the user as they are named there, who asks for it, and whether what is shared comes too."""

    source: ImportSource
    tenant: str
    user_id: str
    by: str | None = None
    shared: bool = True


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an import would bring: how many records of each kind, and how many learnings are here by an earlier import."""

    learnings: Counter[str]
    entities: int
    known: int


def plan(database: Database, wanted: Import) -> Plan:
    """Read all of it, check each record, and count; changes nothing. Raises `NotImported`, `SubjectClosed`."""
    database.run(wanted.tenant, _generation, wanted)
    languages = set(database.run(wanted.tenant, lambda session: list(session.scalars(_LANGUAGE))))
    stores = installed()
    learnings, entities, known = Counter[str](), 0, 0
    waiting: list[UUID] = []
    for where, record in wanted.source.records():
        if isinstance(record, ImportedEntity):
            entities += 1
            continue
        if _left_out(wanted, record):
            learnings["shared, left out"] += 1
            continue
        if record.store not in stores:
            there = ", ".join(stores)
            raise NotImported(
                f"{where}, store", f"is not installed here: there are {there}. LEARNING_STORES names stores of your own"
            )
        if (wrong := misfit(record, stores[record.store])) is not None:
            raise NotImported(f"{where}, {wrong[0]}", wrong[1])
        if record.language is not None and record.language not in languages:
            raise NotImported(f"{where}, language", "is not a text search configuration of this database")
        place = _place(wanted, record)
        if len(f"{place.tenant}{place.scope}{record.content_key}".encode()) > _MAX_INDEXED:
            raise NotImported(
                f"{where}, content_key",
                f"takes more than {_MAX_INDEXED:,} bytes with tenant, user, session and namespace",
            )
        learnings[record.status] += 1
        waiting.append(_change_id(wanted, record.id))
        if len(waiting) >= _LINKED_AT_ONCE:
            known += _count_known(database, wanted, waiting)
            waiting = []
    return Plan(learnings=learnings, entities=entities, known=known + _count_known(database, wanted, waiting))


def run_import(database: Database, wanted: Import) -> Counter[str]:
    """Bring it in; what was planned before. How many learnings did what: `added`, `updated`, `confirmed`, `history`, …, `known`.

    Raises `NotImported`, `SubjectClosed`; what was imported until then stays, and asking again goes on from there.
    """
    generation = database.run(wanted.tenant, _generation, wanted)
    done = Counter[str]()
    # What is live comes first: what it took the place of is its past, and nothing that it would have to come after.
    for past in (False, True):
        for _, record in wanted.source.records():
            if isinstance(record, ImportedEntity):
                done["entities"] += 0 if past else database.run(wanted.tenant, _entity, wanted, generation, record)
            elif (record.status == "retired") == past and not _left_out(wanted, record):
                done += database.run(wanted.tenant, _learning, wanted, generation, record)
    pairs: list[tuple[UUID, UUID]] = []
    for _, record in wanted.source.records():
        if isinstance(record, ImportedLearning) and record.status == "retired" and record.replaced_by is not None:
            pairs.append((record.id, record.replaced_by))
        if len(pairs) >= _LINKED_AT_ONCE:
            database.run(wanted.tenant, _link, wanted, generation, pairs)
            pairs = []
    database.run(wanted.tenant, _link, wanted, generation, pairs)
    return +done


def _left_out(wanted: Import, record: ImportedLearning) -> bool:
    return not wanted.shared and record.namespace not in (None, USER_NAMESPACE)


def _count_known(database: Database, wanted: Import, ids: Sequence[UUID]) -> int:
    values = {"tenant": wanted.tenant, "ids": list(ids)}
    return len(database.run(wanted.tenant, lambda session: session.scalars(_KNOWN, values).all()))


def _generation(session: Session, wanted: Import) -> int:
    """Hold the user, who may not be closed; how often they were forgotten."""
    key = wanted.tenant, subject_of(wanted.user_id, None)
    subject = hold_subjects(session, {key: (wanted.user_id, None)})[key]
    if subject.closed:
        raise SubjectClosed(wanted.user_id)
    return subject.generation


def _held(session: Session, wanted: Import, generation: int) -> None:
    if _generation(session, wanted) != generation:
        raise NotImported(
            f"user {wanted.user_id}", "was forgotten while the import ran: it ends here, and brings nothing more"
        )


def _change_id(wanted: Import, learning_id: UUID) -> UUID:
    source = wanted.source
    return uuid5(_IDS, "\x1f".join((wanted.tenant, wanted.user_id, source.name, source.user_id, str(learning_id))))


def _place(wanted: Import, record: ImportedLearning) -> Place:
    if record.namespace is not None:
        scope = namespace_scope(record.namespace, wanted.user_id)
    else:
        scope = scope_of("session" if record.session_id else "user", wanted.user_id, record.session_id)
    assert scope is not None  # there is a user
    return Place(
        tenant=wanted.tenant,
        store=record.store,
        scope=scope,
        user_id=wanted.user_id,
        session_id=record.session_id,
        namespace=record.namespace,
        agent_id=record.agent_id,
        team_id=record.team_id,
        language=record.language,
    )


def _entity(session: Session, wanted: Import, generation: int, record: ImportedEntity) -> int:
    """Have the entity here, by its name; nothing is said of it."""
    _held(session, wanted, generation)
    scope = namespace_scope(record.namespace, wanted.user_id)
    assert scope is not None  # there is a user
    named = {"user_id": wanted.user_id, "namespace": record.namespace}
    place = Place(tenant=wanted.tenant, store="entity_memory", scope=scope, **named)
    name = EntityName(record.name, record.type)
    resolve(session, place, [Put(kind="fact", content=record.name, content_key="", citations=(), about=name)])
    return 1


def _learning(session: Session, wanted: Import, generation: int, record: ImportedLearning) -> Counter[str]:
    """Bring one learning in, under its change; `known` where that is here."""
    _held(session, wanted, generation)
    place = _place(wanted, record)
    source = Provenance(place=place, made_by=_change_id(wanted, record.id), origin="import")
    values = {
        "tenant": place.tenant,
        "id": source.made_by,
        "action": f"imported, by origin {record.origin}",
        "by_whom": wanted.by,
        "store": place.store,
        "scope": place.scope,
        "subject": place.subject,
        "user_id": place.user_id,
        "session_id": place.session_id,
        "agent_id": place.agent_id,
    }
    if session.scalar(_CHANGE, values) is None:
        return Counter(known=1)
    bring = _past if record.status == "retired" else _state
    return attempted(session, lambda: bring(session, source, record))


def _state(session: Session, source: Provenance, record: ImportedLearning) -> Counter[str]:
    """State what was live or proposed, dated as it was; its later evidence is added to the row that holds it."""
    said = _citations(source, record)
    before = tuple(each for each in said if each.occurred_at <= record.valid_from)
    if not before or max(each.occurred_at for each in before) < record.valid_from:
        before = (*before, Citation(occurred_at=record.valid_from))
    put = Put(
        kind=record.kind,
        content=record.content,
        content_key=_own_key(record),
        citations=before,
        data=record.data,
        about=_name(record.about),
        target=_name(record.target),
    )
    admission = AT_ONCE if record.awaits is None else Admission(awaits=record.awaits)
    applied = apply(session, source, [put], admission)
    (holder,) = applied.learning_ids
    if holder is not None:
        if later := [each for each in said if each not in before]:
            rows.cite(session, source, [(holder, each) for each in later])
        decided = {"decided_by": record.decided_by, "decided_at": record.decided_at}
        own = {"tenant": source.place.tenant, "id": holder, "made_by": source.made_by}
        session.execute(_AS_IT_WAS, {**own, **decided, "confidence": record.confidence})
    return applied.changes


def _past(session: Session, source: Provenance, record: ImportedLearning) -> Counter[str]:
    """Enter what was retired as it was: its own times, its reason. A person's or a tool's end is this import's here."""
    place, about, target = source.place, _name(record.about), _name(record.target)
    put = Put(kind=record.kind, content=record.content, content_key="", citations=(), about=about, target=target)
    entities = resolve(session, place, [put])
    target_id = None if target is None else entities[target]
    user_id, session_id = place.owner
    session.execute(
        _PAST,
        {
            "tenant": place.tenant,
            "id": source.made_by,
            "store": place.store,
            "kind": record.kind,
            "scope": place.scope,
            "user_id": user_id,
            "session_id": session_id,
            "namespace": place.namespace,
            "agent_id": place.agent_id,
            "team_id": place.team_id,
            "about": None if about is None else entities[about],
            "target": target_id,
            "content": record.content,
            "content_key": _own_key(record) if target_id is None else f"{_own_key(record)}:{target_id}",
            "data": to_json(record.data).decode(),
            "language": place.language or "english",
            "confidence": record.confidence,
            "valid_from": record.valid_from,
            "valid_to": record.valid_to,
            "live_from": record.live_from,
            "retired_at": record.retired_at,
            "retired_reason": record.retired_reason,
            "decided_by": record.decided_by,
            "decided_at": record.decided_at,
            "made_by": source.made_by,
        },
    )
    said = _citations(source, record) or [Citation(occurred_at=record.valid_from)]
    rows.cite(session, source, [(source.made_by, each) for each in said])
    return Counter(past=1)


def _link(session: Session, wanted: Import, generation: int, pairs: Collection[tuple[UUID, UUID]]) -> None:
    """Say of past learnings which ones took their place, where both are here."""
    if not pairs:
        return
    _held(session, wanted, generation)
    changes = {of: _change_id(wanted, of) for pair in pairs for of in pair}
    found = session.execute(_HOLDERS, {"tenant": wanted.tenant, "changes": list(changes.values())})
    holders: dict[UUID, UUID] = {row.change: row.id for row in found}
    links = sorted(
        (changes[of], holders[changes[successor]]) for of, successor in pairs if changes[successor] in holders
    )
    if links:
        columns = [{"tenant": wanted.tenant, "id": of, "successor": successor} for of, successor in links]
        session.execute(_FOLLOWED, columns)


def _citations(source: Provenance, record: ImportedLearning) -> list[Citation]:
    """Its evidence that counts, each once; whose words they are is this user, where it is the one who was exported."""
    found = {
        Citation(
            event_id=each.event_id,
            message=each.message,
            quote=each.quote,
            user_id=None if each.user_id is None else source.place.user_id,
            occurred_at=each.occurred_at,
        ): None
        for each in record.evidence
        if each.withdrawn_at is None
    }
    return list(found)


def _name(entity: ImportedEntity | None) -> EntityName | None:
    return None if entity is None else EntityName(entity.name, entity.type)


def _own_key(record: ImportedLearning) -> str:
    """Its key without the other end of a relationship, whose id is another one here."""
    return record.content_key.rpartition(":")[0] if record.target is not None else record.content_key
