"""Another tenant's rows by SQL, by Celery messages and by events: what a role may name, it may not have."""

import json
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from harness import Place, event, rows, turn
from integration.stores.steps import take_in
from integration.workers.conftest import Desk
from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import uuid7
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.database import Database
from learning_stores.status import trace
from learning_stores.window import load_window
from security.residents import SECRET, A, B, Ids, attempt, guessed, holdings, tenant_tables

_DENIED = ("permission denied", "row-level security")


def _tried(database: Database, tenant: str | None, statement: str, **values: Any) -> int | str:
    """How many rows a statement reaches, or why none."""
    try:
        with database.transaction(tenant) as session:
            done: Any = session.execute(text(statement), values)
            return len(done.all()) if done.returns_rows else int(done.rowcount)
    except DBAPIError as error:
        return str(error.orig)


def test_given_every_table_of_the_catalog_when_another_tenant_or_none_reads_and_writes_then_no_row_is_reached(
    app_db: Database, everything_db: Database, acme: Ids
) -> None:
    before = holdings(everything_db, A)
    for table in tenant_tables(everything_db):
        [row] = rows(
            everything_db, f"SELECT to_jsonb(t)::text AS row FROM learning.{table} t WHERE tenant = '{A}' LIMIT 1"
        )
        for tenant in (B, "", None):
            for statement in (
                f"SELECT FROM learning.{table} WHERE tenant = '{A}'",
                f"SELECT FROM learning.{table}",
                f"UPDATE learning.{table} SET tenant = tenant",
                f"UPDATE learning.{table} SET tenant = '{B}' WHERE tenant = '{A}'",
                f"DELETE FROM learning.{table}",
            ):
                reached = _tried(app_db, tenant, statement)
                assert reached == 0 or (isinstance(reached, str) and _DENIED[0] in reached), (table, tenant, reached)
            columns = ", ".join(f'"{each["name"]}"' for each in _columns(everything_db, table))
            reached = _tried(
                app_db,
                tenant,
                f"INSERT INTO learning.{table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} "
                f"FROM jsonb_populate_record(NULL::learning.{table}, cast(:row AS jsonb))",
                row=row["row"],
            )
            assert isinstance(reached, str), (table, tenant)
            assert any(word in reached for word in _DENIED), (table, tenant, reached)
    assert holdings(everything_db, A) == before


def _columns(database: Database, table: str) -> list[dict[str, Any]]:
    """Those that can be written."""
    return rows(
        database,
        "SELECT attname AS name FROM pg_attribute WHERE attrelid = cast(:table AS regclass) AND attnum > 0 "
        "AND NOT attisdropped AND attgenerated = ''",
        table=f"learning.{table}",
    )


def test_given_a_forged_message_that_names_another_tenants_mailbox_then_the_worker_finds_no_work(
    desk: Desk, everything_db: Database, acme: Ids
) -> None:
    before = holdings(everything_db, A)
    extractor = desk.extractor()
    for tenant in (B, "", "nirvana"):
        of_acme, of_nothing = extractor.work(tenant, acme.mailbox), extractor.work(tenant, guessed().mailbox)
        assert of_acme.as_result() == of_nothing.as_result() == {"outcome": "no_work", "reason": "gone"}
    assert holdings(everything_db, A) == before


def test_given_a_forged_claim_of_another_tenants_mailbox_then_no_window_is_read(
    app_db: Database, everything_db: Database, acme: Ids
) -> None:
    from learning_stores.mailbox import Claim

    [row] = rows(everything_db, "SELECT * FROM learning.mailbox WHERE id = :id", id=acme.mailbox)
    forged = Claim(
        mailbox_id=acme.mailbox, tenant=A, store="user_profile", scope=row["scope"], subject=row["subject"],
        user_id=acme.user, session_id=None, token=1, window_limit=None, crashes_alone=0, failures=0,
    )  # fmt: skip
    assert app_db.run(A, load_window, forged, 6_000) is not None
    assert app_db.run(B, load_window, forged, 6_000) is None


def test_given_another_tenants_event_id_when_it_is_used_again_then_both_are_accepted_and_neither_sees_the_other(
    app_db: Database, dispatcher_db: Database, everything_db: Database, acme: Ids
) -> None:
    before = holdings(everything_db, A)
    again = event(
        id=acme.event.id, tenant=B, user_id=acme.user, session_id=acme.session, messages=turn("I am new here.")
    )

    verdicts = take_in(dispatcher_db, again)

    assert dict(verdicts) == {(B, again.id): "accepted"}
    assert holdings(everything_db, A) == before
    seen = dispatcher_db.run(None, trace, again.id, B)
    assert seen.event is not None
    assert (seen.event["tenant"], seen.event["messages"]) == (B, 2)
    # Its whole history sent again under the other tenant is new there: what a session has shown is one tenant's too.
    copied = ConversationCompleted.make({**acme.event.model_dump(), "id": uuid7(), "tenant": B, "session_id": "other"})
    assert set(take_in(dispatcher_db, copied).values()) == {"accepted"}
    [row] = rows(everything_db, "SELECT shown_before FROM learning.conversation_event WHERE id = :id", id=copied.id)
    assert row["shown_before"] == 0
    with app_db.transaction(B) as session:
        assert session.scalar(text("SELECT count(*) FROM learning.conversation_event WHERE messages::text LIKE :it"), {
            "it": f"%{SECRET}%"
        }) == 1  # fmt: skip  # the one that globex sent itself


def test_given_another_tenants_spec_when_an_event_names_it_then_it_waits_until_its_own_tenant_has_it(
    dispatcher_db: Database, everything_db: Database, acme: Ids
) -> None:
    assert acme.event.spec is not None
    borrowed = event(tenant=B, spec=acme.event.spec)

    take_in(dispatcher_db, borrowed)

    [row] = rows(everything_db, "SELECT accepted_no FROM learning.conversation_event WHERE id = :id", id=borrowed.id)
    assert row["accepted_no"] is None
    found = "SELECT count(*) AS number FROM learning.delivery WHERE tenant = :tenant AND event_id = :id"
    assert rows(everything_db, found, tenant=B, id=borrowed.id) == [{"number": 0}]


def test_given_a_spec_that_one_tenant_registered_when_another_emits_with_it_then_the_spec_is_sent_along(
    place: Place,
) -> None:
    import redis

    from learning_schemas.scope import KNOWN_SPECS

    with place.machine(tenant=B) as machine, redis.Redis.from_url(place.redis_url) as client:
        client.sadd(KNOWN_SPECS, f"{A}/{machine.spec.spec_hash()}")
        machine.emit(turn("I am here."), user_id="u", session_id="s")
        [entry] = [fields for key in client.scan_iter("learning:events:*") for _, fields in client.xrange(key)]
    assert json.loads(entry[b"spec"]) == json.loads(machine.spec.to_json())


@pytest.mark.parametrize("namespace", [f"{A}/global", f"../{A}", "namespace/global", "user", "global"])
def test_given_a_namespace_that_looks_like_another_tenants_then_its_scope_is_ones_own(
    place: Place, everything_db: Database, acme: Ids, namespace: str
) -> None:
    before = holdings(everything_db, A)
    with place.machine(tenant=B, learned_knowledge=True, namespace=namespace) as machine:
        told = attempt(lambda: machine.search(SECRET, user_id=acme.user))
        assert told == ()
        (save,) = [tool for tool in machine.tools(user_id=acme.user) if tool.name == "save_learning"]
        assert save(title="Routes", learning="Ship by way of nowhere") == "Saved."
    assert holdings(everything_db, A) == before


def test_given_a_spec_name_of_another_tenants_machine_then_it_is_another_spec_of_ones_own(
    dispatcher_db: Database, everything_db: Database
) -> None:
    spec = MachineSpec(name="shared-name", stores={"user_profile": StoreSpec(scope="user", debounce=0)})
    take_in(dispatcher_db, event(tenant=A), spec=spec)
    other = spec.model_copy(update={"stores": {"user_profile": StoreSpec(scope="user", instructions="Tell me all.")}})
    take_in(dispatcher_db, event(tenant=B), spec=other)
    kept = rows(
        everything_db, "SELECT tenant, spec ->> 'name' AS name, hash FROM learning.machine_spec ORDER BY tenant"
    )
    assert [(row["tenant"], row["hash"]) for row in kept] == [(A, spec.spec_hash()), (B, other.spec_hash())]
