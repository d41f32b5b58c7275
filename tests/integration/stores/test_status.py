"""What operators ask: the backlog by reason, and what happened to one event."""

from harness import event, rows, turn
from integration.stores.steps import BOTH_AT_ONCE, PROFILE_ONLY, claim, field, mailbox_id, take_in, window_of, work
from learning_schemas.ids import uuid7
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores import mailbox
from learning_stores.database import Database
from learning_stores.rejected import Rejection, reject
from learning_stores.status import status, trace


def test_given_mail_in_every_kind_of_wait_when_status_is_asked_then_each_has_its_reason(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    slow = MachineSpec(stores={"user_profile": StoreSpec(scope="user", debounce=100, max_wait=100)})
    for tenant, spec in (("due", PROFILE_ONLY), ("slow", slow), ("busy", PROFILE_ONLY), ("paused", PROFILE_ONLY)):
        take_in(dispatcher_db, event(tenant=tenant), spec=spec)
    claim(app_db, mailbox_id(everything_db, tenant="busy"), "busy")
    held = claim(app_db, mailbox_id(everything_db, tenant="paused"), "paused")
    app_db.run("paused", mailbox.wait, held, "provider", "429 of the provider", 60.0, 1)
    found = dispatcher_db.run(None, status)
    assert {row["reason"]: (row["events"], row["note"]) for row in found["backlog"]} == {
        "due": (1, None),
        "debounce": (1, None),
        "in work": (1, None),
        "provider": (1, "429 of the provider"),
    }
    assert all(row["oldest"] is not None for row in found["backlog"])
    assert [lease["owner"] for lease in found["leases"]] == ["worker"]
    assert (found["accepted"], found["rejected"]) == (4, 0)


def test_given_an_event_when_it_is_traced_with_or_without_its_tenant_then_its_path_is_told(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    told = event(tenant="acme")
    take_in(dispatcher_db, told, spec=BOTH_AT_ONCE)
    held = claim(app_db, mailbox_id(everything_db, tenant="acme"), "acme")
    window = window_of(app_db, held)
    work(app_db, held, field(window, "name", "Alex"), window=window)
    for tenant in ("acme", None):
        found = dispatcher_db.run(None, trace, told.id, tenant)
        assert found.event is not None
        assert found.event["tenant"] == "acme"
        by_store = {delivery["store"]: delivery for delivery in found.deliveries}
        assert (by_store["user_profile"]["state"], by_store["user_profile"]["model"]) == (
            "extracted",
            "offline-rules-1",
        )
        assert (by_store["session_context"]["state"], by_store["session_context"]["model"]) == ("pending", None)
        assert "I work at Netflix" not in str(found.as_dict())
    assert dispatcher_db.run(None, trace, told.id, "globex").event is None
    assert dispatcher_db.run(None, trace, uuid7(), None).event is None


def test_given_a_rejected_entry_when_it_is_traced_then_the_reason_is_told(
    dispatcher_db: Database, everything_db: Database
) -> None:
    event_id = uuid7()
    refused = Rejection(
        stream="learning:events:0",
        entry_id="1-0",
        tenant="acme",
        event_id=str(event_id),
        field="extra\x00field",
        reason="is\x00 wrong",
        body=b"{\x00",
    )
    dispatcher_db.run(None, reject, [refused, refused])
    dispatcher_db.run(None, reject, [refused])
    (kept,) = rows(everything_db, "SELECT field, body, body_bytes FROM learning.rejected_event")
    assert (kept["field"], bytes(kept["body"]), kept["body_bytes"]) == ("extra\ufffdfield", b"{\x00", 2)
    found = dispatcher_db.run(None, trace, event_id, None)
    assert found.rejected is not None
    assert found.rejected["reason"] == "is\ufffd wrong"
    assert len(dispatcher_db.run(None, status)["last_rejected"]) == 1


def test_given_settled_deliveries_when_status_is_asked_then_they_are_counted_by_state(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(), event(user_id=None, messages=turn("Hello.")), spec=BOTH_AT_ONCE)
    work(app_db, claim(app_db, mailbox_id(everything_db)))
    found = dispatcher_db.run(None, status)
    counted = {(row["store"], row["state"]): row["events"] for row in found["settled"]}
    assert counted == {("user_profile", "nothing_found"): 1, ("user_profile", "skipped"): 1}
    by_store = {row.pop("store"): row for row in found["stores"]}
    assert by_store == {
        "session_context": {"accepted": 2, "settled": 0, "dead": 0, "pending": 2},
        "user_profile": {"accepted": 2, "settled": 2, "dead": 0, "pending": 0},
    }


def test_given_events_without_deliveries_when_asked_then_an_unknown_spec_and_what_was_set_aside_are_told_apart(
    dispatcher_db: Database, everything_db: Database
) -> None:
    stranger, aside = event(spec="c" * 64), event(tenant="acme", spec="d" * 64)
    take_in(dispatcher_db, stranger, aside)
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE learning.conversation_event SET set_aside = 'its spec is broken' WHERE tenant = 'acme'"
        )
    found = dispatcher_db.run(None, status)
    told = {
        row["tenant"]: (row["set_aside"], row["unknown_spec"], row["events"]) for row in found["without_deliveries"]
    }
    assert told == {"default": (None, "c" * 64, 1), "acme": ("its spec is broken", "d" * 64, 1)}
    assert (found["unprepared"]["events"], found["unprepared"]["set_aside"]) == (2, 1)
    assert found["findings"]["events_set_aside"] == 1
    traced = [dispatcher_db.run(None, trace, each.id, each.tenant).event for each in (stranger, aside)]
    assert [each and (each["spec_registered"], each["set_aside"]) for each in traced] == [
        (False, None),
        (False, "its spec is broken"),
    ]
    known = event(tenant="globex")
    take_in(dispatcher_db, known, spec=PROFILE_ONLY)
    traced_known = dispatcher_db.run(None, trace, known.id, "globex").event
    assert traced_known is not None
    assert traced_known["spec_registered"] is True
