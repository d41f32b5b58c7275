"""What waits for a person or for a second user is not brought about by a way round: a restatement, a retraction, another rule."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from harness import rows
from learning_schemas.ids import uuid7
from learning_stores.admission import AT_ONCE, Admission
from learning_stores.applying import apply
from learning_stores.database import Database
from learning_stores.grounding import content_key
from learning_stores.operations import Citation, EntityName, Operation, Provenance, Put, Retire
from learning_stores.place import Place

APPROVED, CORROBORATED = Admission(awaits="approval"), Admission(awaits="corroboration")
ACME = EntityName("Acme", "company")


def _cited(user_id: str | None) -> tuple[Citation, ...]:
    return (Citation(event_id=uuid7(), message=0, quote="said", user_id=user_id, occurred_at=datetime.now(UTC)),)


def _fact(content: str, user_id: str | None, replaces: UUID | None = None) -> Put:
    return Put(
        kind="fact",
        content=content,
        content_key=content_key(content),
        citations=_cited(user_id),
        about=ACME,
        replaces=replaces,
    )


def _apply(
    app_db: Database, user_id: str, *operations: Operation, admission: Admission = AT_ONCE, **where: Any
) -> Counter[str]:
    shared = {"store": "entity_memory", "scope": "namespace/global", "namespace": "global", **where}
    place = Place(tenant="default", user_id=user_id, session_id="s1", **shared)
    source = Provenance(place=place, made_by=uuid7())
    return app_db.run("default", lambda session: apply(session, source, operations, admission).changes)


def _facts(everything_db: Database) -> dict[str, tuple[str, UUID]]:
    found = rows(everything_db, "SELECT id, content, status FROM learning.learning WHERE kind = 'fact'")
    return {row["content"]: (row["status"], row["id"]) for row in found}


@pytest.mark.parametrize("admission", [APPROVED, CORROBORATED])
def test_given_what_others_said_when_one_user_restates_something_known_in_its_place_then_it_stays(
    app_db: Database, everything_db: Database, admission: Admission
) -> None:
    for user_id in ("alice", "bob"):
        _apply(app_db, user_id, _fact("Acme pays on time", user_id), _fact("Acme is in Berlin", user_id))
    _, paid = _facts(everything_db)["Acme pays on time"]

    changes = _apply(app_db, "mallory", _fact("Acme is in Berlin", "mallory", replaces=paid), admission=admission)

    assert changes == {"confirmed": 1, "held back": 1}
    assert _facts(everything_db)["Acme pays on time"] == ("active", paid)


def test_given_a_proposal_that_awaits_a_person_when_a_second_user_supports_it_then_it_still_waits(
    app_db: Database, everything_db: Database
) -> None:
    _apply(app_db, "alice", _fact("Acme is insolvent", "alice"), admission=APPROVED)
    changes = _apply(app_db, "bob", _fact("Acme is insolvent", "bob"), admission=CORROBORATED)
    assert changes == {"confirmed": 1}
    assert _facts(everything_db)["Acme is insolvent"][0] == "proposed"


@pytest.mark.parametrize(("said_by", "status"), [(None, "active"), ("alice", "retired")])
def test_given_approval_below_a_confidence_when_something_is_taken_back_then_only_by_words_that_reach_it(
    app_db: Database, everything_db: Database, said_by: str | None, status: str
) -> None:
    _apply(app_db, "alice", _fact("Acme pays on time", "alice"))
    _, paid = _facts(everything_db)["Acme pays on time"]
    retraction = Retire(learning_id=paid, citations=_cited(said_by))
    _apply(app_db, "alice", retraction, admission=Admission(confidence_below=0.8))
    assert _facts(everything_db)["Acme pays on time"][0] == status


def test_given_a_store_without_namespaces_when_it_tells_of_an_entity_then_that_is_its_users_own(
    app_db: Database, everything_db: Database
) -> None:
    _apply(app_db, "alice", _fact("Acme hired me", "alice"), store="diary", scope="user/alice", namespace=None)
    [entity] = rows(everything_db, "SELECT namespace, user_id, name FROM learning.entity")
    assert entity == {"namespace": "user", "user_id": "alice", "name": "Acme"}
