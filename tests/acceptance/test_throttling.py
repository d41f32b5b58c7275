"""A throttled provider makes a queue, not a storm: two workers, many mailboxes, and the calls that the provider sees."""

import json
from datetime import datetime
from typing import Any

import pytest

from harness import eventually, turn
from learning_machine import UserProfileConfig
from learning_ops.offline.server import Faults

NOW: dict[str, Any] = {"user_profile": UserProfileConfig(debounce=0), "session_context": False}
MAILBOXES = 60
OUTAGE_SECONDS = 10.0
THREADS = 4


def asked(system: Any) -> list[dict[str, Any]]:
    """The requests that the provider saw."""
    lines = (system.place.directory / "model.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def states(system: Any) -> dict[tuple[str, int], int]:
    found = system.rows("SELECT state, attempts, count(*) FROM learning.delivery GROUP BY 1, 2")
    return {(row["state"], row["attempts"]): row["count"] for row in found}


def waiting(system: Any, note: str) -> int:
    """Mailboxes that wait for the provider, with a note like this."""
    query = "SELECT count(*) FROM learning.mailbox WHERE wait_reason = 'provider' AND wait_note LIKE :note"
    return int(system.rows(query, note=note)[0]["count"])


def assert_each_once(system: Any, count: int) -> None:
    assert states(system) == {("extracted", 1): count}
    extractions = system.rows("SELECT user_id, count(*) FROM learning.extraction GROUP BY 1")
    assert [row["count"] for row in extractions] == [1] * count
    memories = system.rows("SELECT user_id, count(*) FROM learning.learning WHERE kind = 'memory' GROUP BY 1")
    assert [row["count"] for row in memories] == [1] * count


@pytest.mark.timeout(240)
def test_given_429_for_a_while_when_sixty_mailboxes_are_due_then_few_calls_are_made_and_all_is_extracted_once_afterwards(
    own_system: Any,
) -> None:
    system = own_system
    system.model.faults = Faults(rate_429=1.0, retry_after=1.0)
    system.processes.dispatcher()
    for name in ("first", "second"):
        system.processes.worker("user_profile", threads=THREADS, name=name)
    with system.place.machine(**NOW) as machine:
        for number in range(MAILBOXES):
            machine.emit(turn("I work at Netflix."), user_id=f"user{number}", session_id="s1")
        # Not all at one moment: some are just being told that they wait on.
        eventually(lambda: waiting(system, "HTTP 429%") >= MAILBOXES * 2 // 3, "most mailboxes wait")
        began = datetime.fromisoformat(asked(system)[0]["at"])

        def outage_is_long_enough() -> bool:
            return (datetime.now(began.tzinfo) - began).total_seconds() > OUTAGE_SECONDS

        eventually(outage_is_long_enough, "the outage lasts", every=0.2)
        during = len(asked(system))
        assert states(system) == {("pending", 0): MAILBOXES}

        system.model.faults = Faults()
        eventually(lambda: states(system).get(("extracted", 1)) == MAILBOXES, "all is extracted", timeout=120)

    # All threads at once at first; then one at a time, after 1 s, 2 s, 4 s, … Without the pause it would be a call a second
    # and mailbox.
    assert during <= 2 * THREADS + 8
    assert_each_once(system, MAILBOXES)
    assert len(asked(system)) == during + MAILBOXES + sum(line["fault"] == "429" for line in asked(system)[during:])
    assert system.rows("SELECT count(*) FROM learning.mailbox") == [{"count": 0}]


@pytest.mark.timeout(300)
def test_given_requests_a_minute_when_two_workers_have_more_to_do_then_they_keep_the_limit_together(
    own_system: Any,
) -> None:
    system, limit, mailboxes = own_system, 15, 20
    models = system.place.directory / "models.toml"
    models.write_text(
        '[models."offline-rules-1"]\nbase_url = ""\napi = "responses"\nkey_variable = "NO_KEY"\n'
        f"max_output_tokens = 500\nrequests_per_minute = {limit}\n"
    )
    system.processes.dispatcher()
    for name in ("first", "second"):
        system.processes.worker("user_profile", name=name, env={"LEARNING_MODELS_FILE": str(models)})
    note = f"rate limit: {limit} requests a minute of offline-rules-1"
    with system.place.machine(**NOW) as machine:
        for number in range(mailboxes):
            machine.emit(turn("I work at Netflix."), user_id=f"user{number}", session_id="s1")
        eventually(lambda: states(system).get(("extracted", 1)) == limit, "the minute's calls are made")
        eventually(lambda: waiting(system, note) == mailboxes - limit, "the others wait, and say for what")
        assert len(asked(system)) == limit

        system.redis.delete(*system.redis.keys("learning:limits:*"))  # as after a minute
        system.change("UPDATE learning.mailbox SET not_before = now()")
        eventually(lambda: states(system).get(("extracted", 1)) == mailboxes, "the others follow", timeout=150)

    assert_each_once(system, mailboxes)
    assert len(asked(system)) == mailboxes
