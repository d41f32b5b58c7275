"""Undoing the last of any sequence of writes gives what was held before it; undoing all of them, in any order, leaves nothing."""

import uuid
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from harness import rows
from integration.stores.past import check
from integration.stores.test_apply_properties import CITATIONS, PUTS, _operations
from learning_schemas.ids import uuid7
from learning_stores.admission import AT_ONCE
from learning_stores.applying import apply
from learning_stores.database import Database
from learning_stores.operations import Confirm, Operation, Provenance, Retire
from learning_stores.place import Place
from learning_stores.withdrawal import Withdrawn, settle_withdrawn, withdraw_sources

STEPS = st.lists(
    st.tuples(
        st.lists(
            st.one_of(
                PUTS,
                st.tuples(PUTS, st.integers(0, 30)),
                st.tuples(st.sampled_from([Retire, Confirm]), st.integers(0, 30), CITATIONS),
            ),
            min_size=1,
            max_size=3,
        ),
        st.sampled_from(["tool", "extraction"]),
    ),
    min_size=1,
    max_size=6,
)

_HELD = """
    SELECT kind, about, target, content_key, content, data::text AS data FROM learning.learning
    WHERE tenant = :t AND status = 'active' ORDER BY 1, 2, 3, 4"""


def _write(session: Session, place: Place, operations: list[Operation], origin: Any) -> uuid.UUID:
    source = Provenance(place=place, made_by=uuid7(), origin=origin)
    apply(session, source, operations, AT_ONCE)
    return source.made_by


def _undo(session: Session, tenant: str, source: uuid.UUID) -> Withdrawn:
    touched = withdraw_sources(session, tenant, [source])
    return settle_withdrawn(session, tenant, touched, by=uuid7(), reason="undone", sources=[source])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, data=st.data())
def test_given_any_sequence_of_writes_when_the_last_are_undone_then_what_was_held_before_them_is_held_again(
    steps: list[Any], data: st.DataObject, app_db: Database, everything_db: Database
) -> None:
    tenant = uuid.uuid4().hex  # an empty place for each example
    place = Place(
        tenant=tenant, store="any", scope="namespace/global", user_id="alice", session_id="s1", namespace="global"
    )
    held: list[list[dict[str, Any]]] = [[]]
    made: list[uuid.UUID] = []
    for drawn, origin in steps:
        known = [
            row["id"]
            for row in rows(everything_db, "SELECT id FROM learning.learning WHERE tenant = :t ORDER BY id", t=tenant)
        ]
        operations = _operations(drawn, known)
        if operations:
            made.append(app_db.run(tenant, _write, place, operations, origin))
            held.append(rows(everything_db, _HELD, t=tenant))
    back = data.draw(st.integers(0, len(made)), label="how many are undone, the newest first")
    for _ in range(back):
        undone = app_db.run(tenant, _undo, tenant, made.pop())
        held.pop()
        check(everything_db)
        if undone.left:
            break  # what was known before had taken the place of something: that is left so
        assert rows(everything_db, _HELD, t=tenant) == held[-1]
    for source in data.draw(st.permutations(made), label="the rest, in any order"):
        app_db.run(tenant, _undo, tenant, source)
        check(everything_db)
    assert rows(everything_db, _HELD, t=tenant) == []
