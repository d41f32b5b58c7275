"""A mailbox that is released while intake inserts: no delivery is ever left waiting without one."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, text

from harness import event, turn
from integration.stores.steps import PROFILE_ONLY, SHARDS, extraction, incoming, take_in
from learning_stores import mailbox
from learning_stores.commit import commit
from learning_stores.database import Database
from learning_stores.event_log import accept
from learning_stores.mailbox import Claim
from learning_stores.specs import SpecCache
from learning_stores.window import load_window

ROUNDS = 1_000

_MAILBOX = text("SELECT id FROM learning.mailbox")
_CHECK = text("""
    SELECT (SELECT count(*) FROM learning.delivery d WHERE d.state = 'pending' AND NOT EXISTS (
                SELECT FROM learning.mailbox m WHERE m.tenant = d.tenant AND m.store = d.store AND m.scope = d.scope)),
           (SELECT id FROM learning.mailbox)
""")


def test_given_a_commit_and_an_intake_at_the_same_moment_when_it_happens_a_thousand_times_then_no_mail_is_forgotten(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    with everything_db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as checking:
        # The order of commits is what counts here, not whether the disk has them.
        name = checking.scalar(text("SELECT current_database()"))
        checking.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
        _race(app_db, dispatcher_db, checking)


def _race(app_db: Database, dispatcher_db: Database, checking: Connection) -> None:
    cache, chance = SpecCache(), random.Random(42)
    take_in(dispatcher_db, event(), spec=PROFILE_ONLY, cache=cache)
    spec_hash = PROFILE_ONLY.spec_hash()
    start = threading.Barrier(2)
    released = kept = bias = 0

    def take(number: int, late: int) -> None:
        batch = incoming(event(session_id=f"s{number}", spec=spec_hash, messages=turn(f"Fact {number}.")))
        start.wait()
        _hold_back(late)
        dispatcher_db.run(None, accept, batch, {}, cache, SHARDS)

    def work(held: Claim, late: int, keep: bool) -> bool:
        window = app_db.run("default", load_window, held, 6_000)
        assert window is not None
        start.wait()
        _hold_back(late)
        return app_db.run("default", commit, held, extraction(held, window), keep=keep).go_on

    with ThreadPoolExecutor(2) as pool:
        held: Claim | None = None
        for number in range(ROUNDS):
            held = held or _claim(app_db, checking)
            # Steered to where the two meet: whoever came second in the last round starts a little earlier in this one.
            ahead = bias + chance.randrange(-200, 200)
            committing = pool.submit(work, held, max(0, ahead), number % 2 == 0)
            taking = pool.submit(take, number, max(0, -ahead))
            taking.result()
            go_on = committing.result()
            forgotten, there = checking.execute(_CHECK).one()
            assert forgotten == 0, f"round {number}"
            if there == held.mailbox_id:
                kept, bias = kept + 1, bias - 20
            else:
                released, bias = released + 1, bias + 20
            held = held if go_on else None
    # Both ends of the race were met: intake before the release, and after it.
    assert released > ROUNDS / 10
    assert kept > ROUNDS / 10


_NEVER = threading.Event()


def _hold_back(microseconds: int) -> None:
    """Let the other one go ahead. Waiting, not spinning: a spinning thread would keep the interpreter to itself."""
    if microseconds:
        _NEVER.wait(microseconds / 1_000_000)


def _claim(app_db: Database, checking: Connection) -> Claim:
    number = checking.scalar(_MAILBOX)
    assert number is not None
    held: Any = app_db.run("default", mailbox.claim, "default", number, "worker")
    assert isinstance(held, Claim), held
    return held
