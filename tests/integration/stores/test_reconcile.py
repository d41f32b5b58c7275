"""What was accepted against what became of it."""

from structlog.testing import capture_logs

from harness import Place, event, rows
from integration.stores.steps import BOTH_AT_ONCE, claim, mailbox_id, take_in, work
from learning_schemas.ids import uuid7
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.database import Database
from learning_stores.reconcile import FINDINGS, findings, reconcile
from learning_stores.registry import installed
from learning_stores.settings import ServiceSettings
from learning_workers.curator import Curator

NOTHING = {"mailboxes_reopened": 0, "events_without_delivery": 0, **dict.fromkeys(FINDINGS, 0)}


def test_given_a_system_that_adds_up_when_reconciled_then_nothing_is_found(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    agentic = MachineSpec(stores={"user_profile": StoreSpec(mode="AGENTIC", scope="user")})
    producer = uuid7()
    take_in(dispatcher_db, event(producer=producer, seq=1))
    take_in(dispatcher_db, event(tenant="acme", producer=producer, seq=2), spec=BOTH_AT_ONCE)
    take_in(dispatcher_db, event(tenant="globex"), spec=agentic)
    work(app_db, claim(app_db, mailbox_id(everything_db, tenant="acme"), "acme"))
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE learning.producer_seq SET last_seen = now() - interval '2 minutes'")
    assert dispatcher_db.run(None, reconcile).counts == NOTHING


def test_given_pending_mail_without_a_mailbox_when_reconciled_then_the_mailbox_is_there_again_and_due(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(), event(session_id="s2"), spec=BOTH_AT_ONCE)
    kept = "SELECT tenant, store, scope, subject, user_id, session_id FROM learning.mailbox ORDER BY store, scope"
    before = rows(everything_db, kept)
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM learning.mailbox")
    assert dispatcher_db.run(None, findings)["deliveries_without_mailbox"] == 4
    assert rows(everything_db, kept) == []
    assert dispatcher_db.run(None, reconcile).counts == {**NOTHING, "mailboxes_reopened": 3}
    assert rows(everything_db, kept) == before
    work(app_db, claim(app_db, mailbox_id(everything_db)))
    assert dispatcher_db.run(None, reconcile).counts == NOTHING


def test_given_an_event_that_lacks_one_of_its_deliveries_when_reconciled_then_it_is_counted(
    dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event())  # of the default spec, which is registered nowhere
    take_in(dispatcher_db, event(tenant="acme"), spec=BOTH_AT_ONCE)
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM learning.delivery WHERE store = 'session_context'")
    assert dispatcher_db.run(None, reconcile).counts["events_without_delivery"] == 2


def test_given_a_number_that_never_arrived_when_a_minute_has_passed_then_it_is_missed(
    dispatcher_db: Database, everything_db: Database
) -> None:
    producer = uuid7()
    take_in(dispatcher_db, event(producer=producer, seq=1), event(producer=producer, seq=4, session_id="s2"))
    assert dispatcher_db.run(None, reconcile).counts["numbers_missing"] == 0
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE learning.producer_seq SET last_seen = now() - interval '2 minutes'")
    assert dispatcher_db.run(None, reconcile).counts["numbers_missing"] == 2


def test_given_an_event_whose_spec_never_came_when_a_minute_has_passed_then_it_is_counted(
    dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(spec="0" * 64))
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE learning.conversation_event SET accepted_at = now() - interval '2 minutes'")
    assert dispatcher_db.run(None, reconcile).counts["events_unprepared"] == 1
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE learning.conversation_event SET set_aside = 'its history is too long'")
    found = dispatcher_db.run(None, findings)
    assert (found["events_unprepared"], found["events_set_aside"]) == (0, 1)


def test_given_something_that_does_not_add_up_when_the_curator_reconciles_then_its_log_has_the_counts(
    place: Place, dispatcher_db: Database, everything_db: Database
) -> None:
    settings = ServiceSettings.load(database_url=place.app_url, dispatcher_database_url=place.dispatcher_url)
    curator = Curator(settings, installed(), "here")
    with capture_logs() as quiet:
        assert curator.drive(curator.ask("reconcile", "", "", by="ops", dry_run=False)).report == {}
    take_in(dispatcher_db, event(), spec=BOTH_AT_ONCE)
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM learning.mailbox")
    with capture_logs() as told:
        done = curator.drive(curator.ask("reconcile", "", "", by="ops", dry_run=False))
    curator.close()

    assert done.report == {"mailboxes_reopened": 2}
    assert [line["event"] for line in quiet if line["log_level"] == "warning"] == []
    (warned,) = [line for line in told if line["log_level"] == "warning"]
    assert (warned["event"], warned["mailboxes_reopened"]) == ("reconcile found", 2)
