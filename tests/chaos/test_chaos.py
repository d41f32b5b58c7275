"""The short form of `make chaos`, and that its comparison would not have been silent had something gone wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.orm import Session

from chaos.comparison import Finding, compare, read
from chaos.ground import Ground
from chaos.journal import Broke, Said, read_journal
from chaos.load import Load
from chaos.report import Report
from chaos.run import Form, run
from chaos.schedule import TARGETS, schedule
from learning_stores.database import Database

SHORT = Form(
    load=Load(seed=7, events=320, sessions=40, producers=2, rate=16.0),
    seconds=20.0,
    times=1,
    longest=3.0,
    drain_seconds=120,
)

pytestmark = pytest.mark.timeout(400)


class Ended:
    """The short run, and its database as it was left, which a test may doctor in a transaction that is rolled back."""

    def __init__(self) -> None:
        self.report: Report | None = None
        self.doctored: dict[str, list[Finding]] = {}

    def look(self, system: Ground) -> None:
        """Doctor it in each way, one after the other, and compare each time."""
        said, broke = read_journal(system.journals)
        with system.database() as database:
            for name, statement in DOCTORED.items():
                with _rolled_back(database) as session:
                    changed: Any = session.execute(text(statement))
                    # Nothing to doctor is another test's finding: what the run itself came to is not hidden by it.
                    self.doctored[name] = compare(said, broke, read(session)) if changed.rowcount else []


DOCTORED = {
    "a memory is gone": """
        UPDATE learning.learning SET status = 'retired', retired_at = clock_timestamp() WHERE id = (
            SELECT id FROM learning.learning WHERE kind = 'memory' AND status = 'active' ORDER BY id LIMIT 1)
    """,
    "a memory is there twice": """
        INSERT INTO learning.learning (tenant, id, store, kind, scope, user_id, content, content_key, data, status, valid_from,
                                       live_from, origin)
        SELECT tenant, gen_random_uuid(), store, kind, scope, user_id, content, content_key || ' again', data, status, valid_from,
               live_from, origin
        FROM learning.learning WHERE kind = 'memory' AND status = 'active' ORDER BY id LIMIT 1
    """,
    "an event is gone": """
        DELETE FROM learning.conversation_event WHERE id = (SELECT id FROM learning.conversation_event ORDER BY id LIMIT 1)
    """,
    "two events of a session change places": """
        WITH two AS (
            SELECT id, accepted_no, lead(id) OVER w AS next_id, lead(accepted_no) OVER w AS next_no
            FROM learning.conversation_event WINDOW w AS (PARTITION BY session_id ORDER BY accepted_no)),
        one AS (SELECT * FROM two WHERE next_id IS NOT NULL ORDER BY id LIMIT 1)
        UPDATE learning.conversation_event e SET accepted_no = CASE WHEN e.id = one.id THEN one.next_no ELSE one.accepted_no END
        FROM one WHERE e.id IN (one.id, one.next_id)
    """,
    "a delivery is dead": """
        UPDATE learning.delivery SET state = 'dead', reason = 'doctored' WHERE event_id = (
            SELECT event_id FROM learning.delivery ORDER BY event_id LIMIT 1)
    """,
    "a delivery was settled by another extraction": """
        UPDATE learning.delivery d SET extraction_id = (
            SELECT x.id FROM learning.extraction x WHERE x.store = d.store AND x.id <> d.extraction_id ORDER BY x.id LIMIT 1)
        WHERE d.event_id = (SELECT event_id FROM learning.delivery ORDER BY event_id LIMIT 1)
    """,
    "an earlier employer holds": """
        UPDATE learning.learning SET data = jsonb_set(data, '{value}', '"Earlier"') WHERE id = (
            SELECT id FROM learning.learning WHERE kind = 'field' AND status = 'active' ORDER BY id LIMIT 1)
    """,
    "a number is missing in the ledger": """
        UPDATE learning.producer_seq SET received = received - 1 WHERE producer = (
            SELECT producer FROM learning.producer_seq ORDER BY producer LIMIT 1)
    """,
}
SORTS = {
    "a memory is gone": "lost",
    "a memory is there twice": "doubled",
    "an event is gone": "lost",
    "two events of a session change places": "out of order",
    "a delivery is dead": "lost",
    "a delivery was settled by another extraction": "doubled",
    "an earlier employer holds": "out of order",
    "a number is missing in the ledger": "lost",
}


@contextmanager
def _rolled_back(database: Database) -> Iterator[Session]:
    with Session(database.engine) as session:
        yield session
        session.rollback()


@pytest.fixture(scope="module")
def ended() -> Ended:
    """One run for all tests of this module."""
    ended = Ended()
    ended.report = run(SHORT, look=ended.look)
    return ended


def test_given_every_fault_under_load_when_all_is_over_then_nothing_is_lost_doubled_or_out_of_order(
    ended: Ended,
) -> None:
    report = ended.report
    assert report is not None
    console = Console(width=140)
    report.show(console)

    assert [f"{finding.sort}: {finding.told}" for finding in report.findings] == []
    assert {fault.kind for fault in report.applied} == set(TARGETS)
    assert len(report.said) >= SHORT.load.events
    assert report.drained is not None


@pytest.mark.parametrize("how", DOCTORED)
def test_given_a_run_when_its_database_is_doctored_then_the_comparison_says_so(ended: Ended, how: str) -> None:
    assert SORTS[how] in {finding.sort for finding in ended.doctored[how]}


def test_given_a_seed_when_a_schedule_is_drawn_twice_then_it_is_the_same_and_no_target_has_two_faults_at_a_time() -> (
    None
):
    load = Load(seed=3)
    drawn = schedule(load, seconds=100, times=6)

    assert drawn == schedule(load, seconds=100, times=6)
    assert drawn != schedule(Load(seed=4), seconds=100, times=6)
    for target in {fault.target for fault in drawn}:
        mine = [fault for fault in drawn if fault.target == target]
        assert all(before.at + before.seconds < after.at for before, after in pairwise(mine))
    assert {(fault.kind, fault.target) for fault in drawn} == {
        (kind, target) for kind, targets in TARGETS.items() for target in targets
    }


def test_given_a_load_when_its_lanes_are_drawn_then_every_event_is_emitted_once_in_the_order_of_its_session() -> None:
    load = Load(events=503, sessions=50)
    drawn = [list(load.lane(producer, lane)) for producer in range(load.producers) for lane in range(load.lanes)]
    events = [pair for lane in drawn for pair in lane]

    assert len(set(events)) == len(events) == load.events
    for lane in drawn:
        for session in {session for session, _ in lane}:
            positions = [position for of, position in lane if of == session]
            assert positions == list(range(load.length(session)))
    words = {load.word(session, position) for session, position in events}
    assert len(words) == load.events


def test_given_an_emit_that_raised_something_else_when_compared_then_it_is_found() -> None:
    from chaos.comparison import Snapshot

    empty = Snapshot(
        events=[], deliveries=[], learnings=[], evidence=[], extractions=[], producers=[], rejected=[], mailboxes=[]
    )
    nothing: list[Said] = []

    assert compare(nothing, [], empty) == []
    [found] = compare(nothing, [Broke(session=1, position=2, error="KeyError: 'x'")], empty)
    assert "KeyError" in found.told
