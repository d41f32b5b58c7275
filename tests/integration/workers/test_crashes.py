"""Workers that die over an event: the window is halved, then the event at fault dies alone and the others are extracted."""

import os
import signal
import sys
from typing import Any

import pytest
from sqlalchemy.exc import SQLAlchemyError

from harness import Processes, rows
from learning_stores.mailbox import CRASHES_ALONE, CRASHES_BEFORE_HALVING, Claim, claim, wait
from learning_workers import app as worker_app
from learning_workers.extraction import Extractor
from scripted_model import Answer, Asked, ScriptedModel, repeat

TEA, COFFEE, JAZZ, CHESS = "I love green tea.", "I love black coffee.", "I love old jazz.", "I love quick chess."


def said(asked: Asked) -> set[str]:
    return {line["text"] for line in asked.said if "earlier" not in line}


def crash(desk: Any) -> Claim:
    """A worker claims the mailbox and is never heard of again; its lease runs out."""
    mailbox = desk.mailbox()
    held = desk.app_db.run("default", claim, "default", mailbox["id"], "a worker that dies")
    assert isinstance(held, Claim)
    desk.over()
    return held


def test_given_claims_without_commit_when_counted_then_the_window_is_halved_down_to_one_event_and_that_one_dies(
    desk: Any,
) -> None:
    tea, coffee, jazz, chess = desk.say(TEA, COFFEE, JAZZ, CHESS)

    limits = [crash(desk).window_limit for _ in range(CRASHES_BEFORE_HALVING + 1 + CRASHES_ALONE)]
    report = desk.work()
    desk.work_off()

    assert limits == [None, None, 2, 1, 1, 1]
    assert report.dead == [(tea, "crashes")]
    assert desk.deliveries() == {
        tea: ("dead", "crashes", 1),
        coffee: ("extracted", None, 1),
        jazz: ("extracted", None, 1),
        chess: ("extracted", None, 1),
    }
    assert desk.memories() == {COFFEE, JAZZ, CHESS}


def test_given_pauses_between_crashes_when_counted_then_each_crash_counts_once_and_the_window_narrows_as_without(
    desk: Any,
) -> None:
    desk.say(TEA, COFFEE, JAZZ, CHESS)
    limits = []
    for _ in range(CRASHES_BEFORE_HALVING + 2):
        limits.append(crash(desk).window_limit)
        for _ in range(2):  # between two crashes the provider has no room, which is nobody's crash
            held = desk.app_db.run("default", claim, "default", desk.mailbox()["id"], "a worker that waits")
            assert isinstance(held, Claim)
            assert desk.app_db.run("default", wait, held, "provider", "rate limit", 0.0, 0)
            desk.over()

    assert limits == [None, None, 2, 1]


def test_given_crashes_before_a_commit_when_it_succeeds_then_the_count_begins_anew(desk: Any) -> None:
    desk.say(TEA, COFFEE)
    for _ in range(3):
        crash(desk)

    report = desk.work()
    [jazz] = desk.say(JAZZ)

    assert (report.outcome, report.windows) == ("extracted", 2)
    assert crash(desk).window_limit is None
    desk.work_off()
    assert desk.deliveries()[jazz] == ("extracted", None, 1)


WORK_ONCE = """
import sys
from learning_stores.database import Database
from learning_stores.registry import installed
from learning_stores.settings import ServiceSettings
from learning_stores.specs import SpecCache
from learning_workers.extraction import Extractor
from learning_workers.heartbeat import Heartbeat
from learning_workers.model_client import ModelClient
from learning_workers.models import load_catalogue

settings = ServiceSettings.load()
database = Database(settings.database())
catalogue = load_catalogue(settings)
client = ModelClient(catalogue.key, 30)
extractor = Extractor(
    installed()["user_profile"], database, SpecCache(), catalogue, client, Heartbeat(database), settings, "doomed"
)
extractor.work("default", int(sys.argv[1]))
"""


@pytest.mark.timeout(120)
def test_given_an_event_that_kills_its_worker_when_tried_again_and_again_then_it_dies_and_the_others_are_extracted(
    desk: Any, scripted: ScriptedModel, processes: Processes
) -> None:
    tea, coffee, jazz, chess = desk.say(TEA, COFFEE, JAZZ, CHESS)
    running: list[Any] = []

    def answer(asked: Asked) -> Answer:
        if COFFEE in said(asked):
            os.kill(running[-1].pid, signal.SIGKILL)
        return repeat(asked)

    scripted.answer = answer
    env = {
        "LEARNING_MODEL": "offline-rules-1",
        "LEARNING_MODEL_BASE_URL": scripted.url,
        "LEARNING_MODEL_API_KEY": "not-a-key",
    }
    endings = []
    while pending := rows(desk.everything_db, "SELECT id FROM learning.mailbox"):
        desk.over()
        running.append(processes.start("doomed", ["-c", WORK_ONCE, str(pending[0]["id"])], env))
        running[-1].wait(30)
        endings.append(running[-1].ending)
        assert len(endings) < 15, endings

    assert desk.deliveries() == {
        tea: ("extracted", None, 1),
        coffee: ("dead", "crashes", 1),
        jazz: ("extracted", None, 1),
        chess: ("extracted", None, 1),
    }
    assert desk.memories() == {TEA, JAZZ, CHESS}
    assert set(endings) == {"killed by SIGKILL", "exit code 0"}
    # Two with the whole window, one with half of it, some until coffee is alone, then three: not a worker more.
    assert endings.count("killed by SIGKILL") <= 8


def test_given_a_database_that_refuses_for_long_when_a_commit_fails_then_no_event_dies_of_it(desk: Any) -> None:
    [tea] = desk.say(TEA)
    desk.change("REVOKE INSERT ON learning.extraction FROM learning_app")
    try:
        for _ in range(8):
            with pytest.raises(SQLAlchemyError):
                desk.work()
            mailbox = desk.mailbox()
            assert (mailbox["wait_reason"], mailbox["wait_note"]) == ("retry", "InsufficientPrivilege")
            assert (mailbox["claims"], mailbox["owner"]) == (0, None)
            desk.over()
    finally:
        desk.change("GRANT INSERT ON learning.extraction TO learning_app")

    assert desk.deliveries() == {tea: ("pending", None, 0)}
    assert desk.work().outcome == "extracted"


def test_given_an_error_that_repeats_what_was_said_when_the_task_fails_then_its_message_is_not_in_the_exception(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.say("I live in Zanzibar.")
    extractor = desk.extractor()

    def broken(*_: Any) -> None:
        raise RuntimeError("cannot read 'I live in Zanzibar.'")

    monkeypatch.setattr(extractor.store.__class__, "operations", broken)

    class Process:
        extractors: dict[str, Extractor] = {"user_profile": extractor}  # noqa: RUF012 - lives as long as this test

    monkeypatch.setattr(worker_app, "_process", Process())

    with pytest.raises(worker_app.ExtractionFailed) as failed:
        worker_app._extract("user_profile", desk.mailbox()["id"], "default")

    assert "RuntimeError" in str(failed.value)
    assert f"test_crashes.py:{broken.__code__.co_firstlineno + 1}" in str(failed.value)
    assert "Zanzibar" not in repr(failed.value)
    assert failed.value.__cause__ is None
    assert sys.exc_info() == (None, None, None)
