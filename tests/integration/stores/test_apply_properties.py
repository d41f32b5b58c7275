"""What holds after any sequence of operations, by whomever, in whatever order of what was said."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import rows
from learning_schemas.ids import uuid7
from learning_stores.admission import AT_ONCE, Admission
from learning_stores.applying import apply
from learning_stores.database import Database
from learning_stores.grounding import content_key
from learning_stores.operations import Citation, Confirm, EntityName, Operation, Provenance, Put, Retire
from learning_stores.place import Place
from learning_stores.writing import write

START = datetime(2026, 1, 1, tzinfo=UTC)

NAMES = st.sampled_from(["Acme", "ACME", "Acme Corp", "Bob", "Carol"])
ENTITIES = st.builds(EntityName, NAMES, st.sampled_from(["company", "person"]))
WORDS = st.sampled_from(["tea", "Tea.", "coffee", "chess", "not chess"])


def _citation(hours: int, by_user: bool) -> tuple[Citation, ...]:
    said_at = START + timedelta(hours=hours)
    return (
        Citation(event_id=uuid7(), message=0, quote="x", user_id="alice" if by_user else None, occurred_at=said_at),
    )


CITATIONS = st.builds(_citation, st.integers(0, 20), st.booleans())


def _field(name: str, value: str, citations: tuple[Citation, ...]) -> Put:
    data = {"name": name, "value": value}
    return Put(kind="field", content=f"{name}: {value}", content_key=name, data=data, citations=citations)


def _statement(kind: str, content: str, about: EntityName | None, citations: tuple[Citation, ...]) -> Put:
    key = content_key(content)
    return Put(kind=kind, content=content, content_key=key, about=about, citations=citations, equal_by_key=True)


def _edge(source: EntityName, relation: str, target: EntityName, citations: tuple[Citation, ...]) -> Put:
    return Put(
        kind="relationship",
        content=f"{source.name}: {relation} {target.name}",
        content_key=content_key(relation),
        about=source,
        target=target,
        citations=citations,
        equal_by_key=True,
    )


PUTS = st.one_of(
    st.builds(_field, st.sampled_from(["plan", "city"]), WORDS, CITATIONS),
    st.builds(_statement, st.just("memory"), WORDS, st.none(), CITATIONS),
    st.builds(_statement, st.just("fact"), WORDS, ENTITIES, CITATIONS),
    st.builds(_statement, st.just("alias"), NAMES, ENTITIES, CITATIONS),
    st.builds(_edge, ENTITIES, st.sampled_from(["works for", "owns"]), ENTITIES, CITATIONS),
)
# A number stands for a learning that is there by then, live or not.
STEPS = st.lists(
    st.tuples(
        st.lists(
            st.one_of(
                PUTS,
                st.tuples(PUTS, st.integers(0, 30)),
                st.tuples(st.sampled_from([Retire, Confirm]), st.integers(0, 30), CITATIONS),
            ),
            min_size=1,
            max_size=4,
        ),
        st.sampled_from(["tool", "human", "extraction"]),
        st.sampled_from([AT_ONCE, AT_ONCE, Admission(awaits="approval"), Admission(awaits="corroboration")]),
        st.sampled_from(["alice", "bob"]),
    ),
    min_size=1,
    max_size=6,
)


def _operations(drawn: list[Any], known: list[uuid.UUID]) -> list[Operation]:
    """The drawn operations, with the numbers in them as ids of learnings."""
    found: list[Operation] = []
    for one in drawn:
        if isinstance(one, Put):
            found.append(one)
        elif len(one) == 2:
            put, number = one
            replaces = known[number % len(known)] if known else None
            found.append(Put(**{**put.__dict__, "replaces": replaces}))
        elif known:
            kind, number, citations = one
            found.append(kind(learning_id=known[number % len(known)], citations=citations))
    return found


_LIVE = """
    SELECT id FROM learning.learning
    WHERE tenant = :tenant AND status <> 'proposed' AND live_from <= :at AND (retired_at IS NULL OR retired_at > :at)"""


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_given_any_sequence_of_writes_when_done_then_every_invariant_holds_and_as_of_agrees_with_the_journal(
    steps: list[Any], app_db: Database, everything_db: Database
) -> None:
    tenant = uuid.uuid4().hex  # an empty place for each example
    journal: list[tuple[datetime, set[uuid.UUID]]] = []
    known: list[uuid.UUID] = []
    for drawn, origin, admission, user in steps:
        place = Place(
            tenant=tenant, store="any", scope="namespace/global", user_id=user, session_id="s1", namespace="global"
        )
        operations = _operations(drawn, known)
        if operations:
            if origin == "extraction":
                source = Provenance(place=place, made_by=uuid7())
                changes = app_db.run(tenant, apply, source, operations, admission).changes
            else:
                written = app_db.run(tenant, write, place, operations, admission, origin=origin, action="tried")
                changes = written.changes
            assert sum(changes.values()) >= len(operations)
        everything = rows(everything_db, "SELECT * FROM learning.learning WHERE tenant = :t ORDER BY id", t=tenant)
        known = [row["id"] for row in everything]
        (clock,) = rows(everything_db, "SELECT clock_timestamp() AS at")
        journal.append((clock["at"], {row["id"] for row in everything if row["status"] == "active"}))
        _check(everything, everything_db, tenant)
    for at, live in journal:
        assert {row["id"] for row in rows(everything_db, _LIVE, tenant=tenant, at=at)} == live


def _check(everything: list[dict[str, Any]], everything_db: Database, tenant: str) -> None:
    undecided = [row for row in everything if row["status"] != "retired"]
    keys = [(row["status"], row["kind"], row["about"], row["content_key"]) for row in undecided]
    assert len(keys) == len(set(keys))  # no second live field, fact or edge
    assert not [row for row in undecided if row["retired_at"] or row["retired_reason"] or row["replaced_by"]]
    assert all((row["awaits"] is not None) == (row["status"] == "proposed") for row in everything)
    ids = {row["id"] for row in everything}
    assert all(row["replaced_by"] in ids for row in everything if row["replaced_by"])
    ended = [row for row in everything if row["status"] == "retired"]
    assert all(row["retired_by"] and row["retired_reason"] and row["live_from"] <= row["retired_at"] for row in ended)
    assert all(row["valid_to"] is None or row["valid_from"] <= row["valid_to"] for row in everything)
    entities = {row["id"] for row in rows(everything_db, "SELECT id FROM learning.entity WHERE tenant = :t", t=tenant)}
    edges = [row for row in everything if row["kind"] == "relationship"]
    assert all(row["about"] in entities and row["target"] in entities for row in edges)  # no edge dangles
    cited = rows(everything_db, "SELECT DISTINCT learning_id AS id FROM learning.evidence WHERE tenant = :t", t=tenant)
    assert {row["id"] for row in cited} == ids
