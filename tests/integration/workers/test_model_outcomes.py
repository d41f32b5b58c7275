"""What becomes of events for everything that a model can do instead of answering."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis

from harness import event, rows
from learning_ops.offline.server import Faults, OfflineModel
from learning_ops.process import free_port
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.status import status, trace
from learning_workers.gate import BRIEF_SECONDS
from scripted_model import Answer, Asked, ScriptedModel, patch, profile, repeat

TEA, COFFEE, JAZZ = "I love green tea.", "I love black coffee.", "I love old jazz."


def said(asked: Asked) -> set[str]:
    return {line["text"] for line in asked.said if "earlier" not in line}


def answering(answers: dict[str, Answer]) -> Callable[[Asked], Answer]:
    """A model that answers in its own way wherever one of these sentences is new."""

    def answer(asked: Asked) -> Answer:
        return next((answers[text] for text in said(asked) if text in answers), None) or repeat(asked)

    return answer


def test_given_429_with_retry_after_when_a_mailbox_is_worked_on_then_it_waits_as_long_and_recovers(
    offline_desk: Any, model: OfflineModel
) -> None:
    [event_id] = offline_desk.say(TEA)
    model.faults = Faults(rate_429=1.0, retry_after=120.0)

    report = offline_desk.work()

    assert (report.outcome, report.reason) == ("waiting", "provider")
    [waits] = rows(
        offline_desk.everything_db,
        "SELECT *, extract(epoch FROM not_before - now()) AS seconds, ready_at > now() AS paused FROM learning.mailbox",
    )
    assert 110 < waits["seconds"] <= 180, "not sooner, and up to half as long again, so that not all come back at once"
    assert (waits["wait_reason"], waits["failures"], waits["claims"], waits["owner"]) == ("provider", 1, 0, None)
    assert waits["paused"]
    assert offline_desk.deliveries() == {event_id: ("pending", None, 0)}
    assert offline_desk.calls() == ["rate_limited"]

    again = offline_desk.work()  # a nudge that comes meanwhile
    assert (again.outcome, again.reason) == ("waiting", "provider")
    assert offline_desk.calls() == ["rate_limited"]

    model.faults = Faults()
    offline_desk.over()
    assert offline_desk.work().outcome == "extracted"
    assert offline_desk.deliveries() == {event_id: ("extracted", None, 1)}


@pytest.mark.parametrize(
    ("faults", "outcome", "settings"),
    [
        (Faults(rate_500=1.0), "server_error", {}),
        (Faults(rate_timeout=1.0), "timeout", {"model_deadline": 1}),
    ],
)
def test_given_a_provider_that_fails_for_long_when_tried_again_and_again_then_no_attempt_is_used_up(
    offline_desk: Any,
    model: OfflineModel,
    faults: Faults,
    outcome: str,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [event_id] = offline_desk.say(TEA)
    model.faults = faults
    extractor = offline_desk.extractor(**settings)
    waits = []

    def at_the_ceiling(low: float, high: float) -> float:
        return high

    monkeypatch.setattr("learning_workers.backoff.random.uniform", at_the_ceiling)
    for _ in range(3):
        assert offline_desk.work(extractor).outcome == "waiting"
        [row] = rows(offline_desk.everything_db, "SELECT not_before - now() AS wait FROM learning.mailbox")
        waits.append(row["wait"].total_seconds())
        assert offline_desk.deliveries() == {event_id: ("pending", None, 0)}
        offline_desk.over()

    assert offline_desk.calls() == [outcome] * 3
    assert offline_desk.mailbox()["failures"] == 3
    assert all(ceiling / 2 < wait <= ceiling for wait, ceiling in zip(waits, (2, 4, 8), strict=True))
    model.faults = Faults()
    assert offline_desk.work(extractor).outcome == "extracted"


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "40"}, 35, 60),
        ({"Retry-After-Ms": "40000", "Retry-After": "1"}, 35, 60),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, 890, 960),
        ({"Retry-After": "1e12"}, 890, 960),
    ],
    ids=["seconds", "milliseconds", "a date far away", "absurd"],
)
@pytest.mark.parametrize("code", [429, 503])
def test_given_retry_after_when_a_mailbox_is_worked_on_then_it_and_the_others_of_the_model_wait_as_long_and_no_longer(
    desk: Any, scripted: ScriptedModel, code: int, headers: dict[str, str], least: float, most: float
) -> None:
    events = desk.take_in(*(event(user_id=user) for user in ("alice", "bob", "carol")))
    scripted.answer = lambda _: Answer(status=code, headers=headers)
    extractor = desk.extractor()

    boxes = rows(desk.everything_db, "SELECT id, tenant FROM learning.mailbox ORDER BY id")
    reports = [extractor.work(box["tenant"], box["id"]) for box in boxes]

    assert [(report.outcome, report.reason, report.model_calls) for report in reports] == [
        ("waiting", "provider", 1),
        ("waiting", "provider", 0),
        ("waiting", "provider", 0),
    ]
    assert len(scripted.asked) == 1
    query = "SELECT extract(epoch FROM not_before - now()) AS seconds, wait_note FROM learning.mailbox ORDER BY id"
    waits = rows(desk.everything_db, query)
    assert all(least < row["seconds"] <= most for row in waits)
    assert waits[0]["wait_note"].startswith(f"HTTP {code}")
    assert waits[1]["wait_note"] == f"{waits[0]['wait_note']}; offline-rules-1 is left alone meanwhile"
    assert desk.deliveries() == dict.fromkeys(events, ("pending", None, 0))

    scripted.answer = repeat
    for box in boxes:
        desk.over()
        assert extractor.work(box["tenant"], box["id"]).outcome == "extracted"
    assert desk.deliveries() == dict.fromkeys(events, ("extracted", None, 1))


def test_given_no_room_in_the_models_limit_when_worked_on_then_the_mailbox_waits_with_that_reason_and_nobody_is_asked(
    desk: Any, scripted: ScriptedModel
) -> None:
    events = desk.take_in(*(event(user_id=user) for user in ("alice", "bob")))
    extractor = desk.extractor(models_file=desk.limits(requests_per_minute=1))

    first, second = rows(desk.everything_db, "SELECT id, tenant FROM learning.mailbox ORDER BY id")
    assert extractor.work(first["tenant"], first["id"]).outcome == "extracted"
    report = extractor.work(second["tenant"], second["id"])

    note = "rate limit: 1 requests a minute of offline-rules-1"
    assert (report.outcome, report.reason, report.wait, report.model_calls) == ("waiting", "provider", note, 0)
    mailbox = desk.mailbox()
    assert (mailbox["wait_reason"], mailbox["wait_note"], mailbox["failures"]) == ("provider", note, 0)
    assert desk.deliveries() == {events[0]: ("extracted", None, 1), events[1]: ("pending", None, 0)}
    assert len(scripted.asked) == 1
    shown = desk.dispatcher_db.run(None, status)["backlog"]
    assert [(row["reason"], row["note"]) for row in shown] == [("provider", note)]


def test_given_nonsense_and_a_narrow_limit_when_asked_again_then_the_mailbox_is_not_given_back_in_between(
    desk: Any, scripted: ScriptedModel
) -> None:
    desk.say(TEA, COFFEE)
    extractor = desk.extractor(models_file=desk.limits(requests_per_minute=1))

    def room() -> None:
        with redis.Redis.from_url(desk.place.redis_url) as client:
            client.delete(*client.keys("learning:limits:*"))

    later = threading.Timer(BRIEF_SECONDS + 1, room)

    def answer(asked: Asked) -> Answer:
        if asked.number > 1:
            return repeat(asked)
        # Room comes later than a first question would wait for it.
        later.start()
        return Answer(text="not json")

    scripted.answer = answer
    report = desk.work(extractor)
    later.join()

    assert (report.outcome, report.events, report.model_calls, report.dead) == ("extracted", 2, 2, [])
    assert desk.calls() == ["invalid_output", "ok"]


def test_given_nobody_at_the_models_address_when_worked_on_then_the_mailbox_waits_for_the_provider(desk: Any) -> None:
    [event_id] = desk.say(TEA)

    report = desk.work(desk.extractor(model_base_url=f"http://127.0.0.1:{free_port()}/v1"))

    assert (report.outcome, report.reason) == ("waiting", "provider")
    assert desk.calls() == ["unreachable"]
    assert desk.deliveries() == {event_id: ("pending", None, 0)}
    desk.over()
    assert desk.work().outcome == "extracted"


def test_given_a_model_that_is_in_no_file_when_worked_on_then_the_mailbox_waits_with_that_reason(desk: Any) -> None:
    spec = MachineSpec(model="no-such-model", stores={"user_profile": StoreSpec(scope="user", debounce=0)})
    [event_id] = desk.say(TEA, spec=spec)

    report = desk.work()

    assert (report.outcome, report.reason) == ("waiting", "unknown model")
    assert desk.mailbox()["wait_reason"] == "unknown model"
    assert "no-such-model" in desk.mailbox()["wait_note"]
    assert desk.deliveries() == {event_id: ("pending", None, 0)}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(text="certainly! here is your patch"), "invalid_output"),
        (Answer(text='{"fields": {}}'), "invalid_output"),
        (Answer(text=None, refusal=True), "refused"),
        (Answer(status=400, text="content_policy_violation"), "refused"),
    ],
    ids=["prose", "another form", "refusal", "policy"],
)
def test_given_one_event_that_the_model_cannot_answer_when_worked_on_then_it_dies_and_the_others_are_extracted(
    desk: Any, scripted: ScriptedModel, answer: Answer, reason: str
) -> None:
    tea, coffee, jazz = desk.say(TEA, COFFEE, JAZZ)
    scripted.answer = answering({COFFEE: answer})

    report = desk.work()

    assert [dead for dead, _ in report.dead] == [coffee]
    assert desk.deliveries() == {
        tea: ("extracted", None, 1),
        coffee: ("dead", reason, 1),
        jazz: ("extracted", None, 1),
    }
    assert desk.memories() == {TEA, JAZZ}
    # What was asked of it in vain is in its trace, and not in that of the others.
    outcomes = {each: desk.dispatcher_db.run(None, trace, each, "default").model_calls for each in (tea, coffee, jazz)}
    assert [(call["outcome"], call["committed"]) for call in outcomes[coffee]] == [(reason, False)] * 4
    for each in (tea, jazz):
        assert [(call["outcome"], call["committed"]) for call in outcomes[each]] == [("ok", True)]
    # All three, once more with the mistake, then one by one, the one at fault twice again.
    assert [said(asked) for asked in scripted.asked] == [{TEA, COFFEE, JAZZ}] * 2 + [{TEA}, {COFFEE}, {COFFEE}, {JAZZ}]
    assert "could not be used" in scripted.asked[1].data
    assert "could not be used" not in scripted.asked[2].data


def test_given_garbage_once_when_asked_again_then_all_is_extracted_and_nothing_dies(
    desk: Any, scripted: ScriptedModel
) -> None:
    desk.say(TEA, COFFEE)
    scripted.answer = lambda asked: Answer(text="not json") if asked.number == 1 else repeat(asked)

    report = desk.work()

    assert (report.outcome, report.events, report.model_calls, report.dead) == ("extracted", 2, 2, [])
    assert desk.calls() == ["invalid_output", "ok"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(raw=b"{}"),
        Answer(raw=b"[]"),
        Answer(raw=b'"ok"'),
        Answer(raw=b"<html>sign in</html>", headers={"Content-Type": "text/html"}),
        Answer(raw=b"not json"),
        Answer(raw=b'{"object": "response", "output": null, "usage": {"input_tokens": "many"}}'),
        Answer(raw=b'{"object": "response", "output": [{"type": "message"}], "status": "completed"}'),
    ],
    ids=["empty", "list", "string", "html", "prose", "nulls", "half a message"],
)
def test_given_a_200_that_is_no_response_object_when_worked_on_then_the_mailbox_waits_and_nothing_dies(
    desk: Any, scripted: ScriptedModel, answer: Answer
) -> None:
    [event_id] = desk.say(TEA)
    scripted.answer = lambda _: answer

    report = desk.work()

    assert (report.outcome, report.reason) == ("waiting", "provider")
    assert desk.calls() == ["server_error"]
    assert desk.deliveries() == {event_id: ("pending", None, 0)}


def test_given_answers_that_are_cut_off_when_worked_on_then_the_window_is_halved_until_they_fit(
    desk: Any, scripted: ScriptedModel
) -> None:
    sentences = [f"I love the number {number}." for number in range(8)]
    desk.say(*sentences)
    scripted.answer = lambda asked: Answer(text="{", cut_off=True) if len(said(asked)) > 2 else repeat(asked)

    report = desk.work()

    assert report.outcome == "extracted"
    assert desk.memories() == set(sentences)
    assert [len(said(asked)) for asked in scripted.asked] == [8, 4, 2, 2, 2, 2]


def test_given_one_event_whose_answer_is_cut_off_when_worked_on_then_it_is_read_in_parts_without_asking_in_vain(
    desk: Any, scripted: ScriptedModel
) -> None:
    sentences = [f"I love the number {number}." for number in range(8)]
    [event_id] = desk.take_in(event(messages=[{"role": "user", "content": sentence} for sentence in sentences]))
    scripted.answer = lambda asked: Answer(text="{", cut_off=True) if len(said(asked)) > 2 else repeat(asked)

    report = desk.work()

    assert report.dead == []
    assert desk.memories() == set(sentences)
    assert desk.deliveries()[event_id][0] == "extracted"
    assert len(scripted.asked) <= 8


def test_given_an_answer_that_is_always_cut_off_when_worked_on_then_the_event_dies_and_the_next_is_extracted(
    desk: Any, scripted: ScriptedModel
) -> None:
    coffee, tea = desk.say(COFFEE, TEA)
    scripted.answer = answering({COFFEE: Answer(text="{", cut_off=True)})

    desk.work()

    assert desk.deliveries() == {coffee: ("dead", "cut_off", 1), tea: ("extracted", None, 1)}


def test_given_a_cut_off_event_before_a_long_message_when_worked_on_then_the_long_message_is_read_whole(
    desk: Any, scripted: ScriptedModel
) -> None:
    numbers = [f"I love the number {number}." for number in range(8)]
    long = " ".join(["I like to talk for a long time."] * 60) + " I love the very end."
    desk.take_in(
        event(messages=[{"role": "user", "content": sentence} for sentence in numbers]),
        event(messages=[{"role": "user", "content": long}]),
    )
    scripted.answer = lambda asked: (
        Answer(text="{", cut_off=True) if len(said(asked) & set(numbers)) > 1 else repeat(asked)
    )

    desk.work_off()

    assert long in desk.memories()


def test_given_a_statement_that_postgres_refuses_when_committed_then_its_event_dies_and_the_others_are_extracted(
    desk: Any,
) -> None:
    desk.change(f"ALTER TABLE learning.learning ADD CHECK (content <> '{COFFEE}')")
    tea, coffee, jazz = desk.say(TEA, COFFEE, JAZZ)

    desk.work()

    assert desk.deliveries() == {
        tea: ("extracted", None, 1),
        coffee: ("dead", "invalid_output", 1),
        jazz: ("extracted", None, 1),
    }
    assert desk.memories() == {TEA, JAZZ}
    [dead] = rows(desk.everything_db, "SELECT error FROM learning.delivery WHERE state = 'dead'")
    assert dead["error"] == "the database refuses it (CheckViolation)"


def test_given_an_equal_row_that_became_live_first_when_committed_then_it_is_committed_again_and_nothing_dies(
    desk: Any, scripted: ScriptedModel
) -> None:
    desk.change("CREATE SEQUENCE learning.clashes")
    desk.change("GRANT USAGE ON SEQUENCE learning.clashes TO learning_app")
    desk.change(
        "CREATE FUNCTION learning.clash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF nextval('learning.clashes') = 1 THEN RAISE unique_violation; END IF; RETURN NEW; END $$"
    )
    desk.change(
        "CREATE TRIGGER clash BEFORE INSERT ON learning.learning FOR EACH ROW EXECUTE FUNCTION learning.clash()"
    )
    [tea] = desk.say(TEA)

    report = desk.work()

    assert (report.outcome, report.model_calls) == ("extracted", 1)
    assert desk.deliveries() == {tea: ("extracted", None, 1)}
    assert desk.memories() == {TEA}


def test_given_a_nul_in_an_answer_when_committed_then_nothing_is_stuck(desk: Any, scripted: ScriptedModel) -> None:
    [hello] = desk.say("Hello, I am Alice Adams.")
    scripted.answer = lambda asked: profile(asked, name=("Ali\x00ce", "I am Alice Adams"))

    desk.work()

    assert desk.deliveries()[hello][0] != "pending"


def test_given_operations_that_cite_what_nobody_said_when_worked_on_then_they_are_dropped_and_counted(
    desk: Any, scripted: ScriptedModel
) -> None:
    [event_id] = desk.say(TEA)

    def answer(asked: Asked) -> Answer:
        return patch(
            fields={"name": None, "preferred_name": None},
            add=[
                {"content": "Loves tea", "message": "m1", "quote": "I love the sea"},
                {"content": "Loves tea", "message": "m9", "quote": "I love green tea."},
                {"content": "Loves tea", "message": "m1", "quote": "tea"},
            ],
            update=[{"learning": "k7", "content": "Loves tea", "message": "m1", "quote": "I love green tea."}],
            retract=[{"learning": "k1", "message": "m1", "quote": "I love green tea."}],
        )

    scripted.answer = answer
    report = desk.work()

    assert report.outcome == "nothing_found"
    assert report.dropped == {"quote not in the message": 2, "unknown message": 1, "unknown learning": 2}
    assert desk.memories() == set()
    assert desk.deliveries()[event_id][0] == "nothing_found"
