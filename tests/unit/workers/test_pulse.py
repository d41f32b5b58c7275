"""Whether a process moves: what waits and does not move is told from what waits by intent, and from servers that are away."""

import threading

from learning_workers.pulse import HUNG_SECONDS, STILL_SECONDS, DispatcherPulse, Still, WorkerPulse


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def turning(clock: Clock) -> DispatcherPulse:
    pulse = DispatcherPulse(clock)
    for loop in ("intake", "pump"):
        pulse.turned(loop, well=True)
    return pulse


def test_given_loops_that_turn_and_nothing_that_waits_when_asked_then_it_is_alive() -> None:
    clock = Clock()
    pulse = turning(clock)
    pulse.looked({})
    clock.now += 3600
    for loop in ("intake", "pump"):
        pulse.turned(loop, well=True)
    pulse.looked({})
    assert pulse.live().ok


def test_given_a_loop_that_hangs_in_one_turn_when_asked_then_it_is_not_alive_and_the_loop_is_named() -> None:
    clock = Clock()
    pulse = turning(clock)
    clock.now += HUNG_SECONDS + 1
    pulse.turned("intake", well=True)
    assert not pulse.live().ok
    assert pulse.live().told.startswith("pump has been in one turn for 121 s")


def test_given_turns_that_fail_when_the_servers_are_away_then_it_is_alive_and_when_they_answer_it_is_not() -> None:
    clock = Clock()
    pulse = turning(clock)

    def fail(seconds: float, heads: dict[str, str] | None) -> None:
        for _ in range(int(seconds / 5)):
            clock.now += 5
            for loop in ("intake", "pump"):
                pulse.turned(loop, well=False)
            pulse.looked(heads)

    fail(600, None)
    assert pulse.live().ok
    assert "wait for a server" in pulse.live().told
    fail(STILL_SECONDS / 2, {})
    assert pulse.live().ok, "the servers are back for a moment only"
    fail(STILL_SECONDS, {})
    assert not pulse.live().ok
    assert "has failed" in pulse.live().told


def test_given_a_streams_first_entry_when_it_stays_the_same_for_too_long_then_it_is_not_alive() -> None:
    clock = Clock()
    pulse = turning(clock)
    for number in range(60):  # a backlog that moves, however long it is
        clock.now += 5
        for loop in ("intake", "pump"):
            pulse.turned(loop, well=True)
        pulse.looked({"3": f"{number}-0", "4": f"{number}-0"})
        assert pulse.live().ok
    for _ in range(14):
        clock.now += 5
        for loop in ("intake", "pump"):
            pulse.turned(loop, well=True)
        pulse.looked({"3": "59-0"})
    assert not pulse.live().ok
    assert "first entry of stream 3 has not been taken in for 70 s" in pulse.live().told
    pulse.looked({"3": "61-0"})
    assert pulse.live().ok


def test_given_values_that_come_and_go_when_looked_at_then_only_an_unbroken_sameness_counts() -> None:
    still = Still()
    still.see({"a": 1}, 0)
    still.see({}, 10)
    still.see({"a": 1}, 20)
    assert still.longest(25) == ("a", 5)


def working(clock: Clock) -> WorkerPulse:
    pulse = WorkerPulse(clock)
    pulse.threads, pulse.task_seconds = 2, 180.0
    return pulse


def test_given_an_idle_worker_when_asked_then_it_is_alive() -> None:
    clock = Clock()
    pulse = working(clock)
    for _ in range(100):
        clock.now += 5
        pulse.looked(0)
    assert pulse.live().ok
    assert pulse.live().told == "0 tasks running, of 2 at once"


def test_given_nudges_that_wait_when_no_task_begins_though_threads_are_free_then_it_is_not_alive() -> None:
    clock = Clock()
    pulse = working(clock)
    pulse.looked(3)
    assert pulse.live().ok
    for _ in range(13):
        clock.now += 5
        pulse.looked(3)
    assert not pulse.live().ok
    assert "nudges have waited for 65 s" in pulse.live().told

    pulse.began()
    pulse.looked(3)
    assert pulse.live().ok


def test_given_nudges_that_wait_when_tasks_begin_or_all_threads_are_busy_or_the_broker_is_away_then_it_is_alive() -> (
    None
):
    for what in ("begin", "busy", "away"):
        clock = Clock()
        pulse = working(clock)
        over = threading.Event()
        if what == "busy":
            busy(pulse, over, threads=2)
        for number in range(20):
            clock.now += 5
            if what == "begin":
                pulse.began()
                pulse.ended()
            pulse.looked(None if what == "away" and number % 5 == 0 else 3)
            assert pulse.live().ok, what
        over.set()


def busy(pulse: WorkerPulse, over: threading.Event, *, threads: int) -> None:
    """Begin so many tasks, each in a thread of its own, that last until `over`."""
    begun = threading.Barrier(threads + 1)

    def work() -> None:
        pulse.began()
        begun.wait(30)
        over.wait(30)
        pulse.ended()

    for _ in range(threads):
        threading.Thread(target=work, daemon=True).start()
    begun.wait(30)


def test_given_a_task_when_it_commits_now_and_then_it_is_alive_and_when_it_commits_nothing_for_long_it_is_not() -> None:
    clock = Clock()
    pulse = working(clock)
    pulse.began()
    for _ in range(10):
        clock.now += 170
        assert pulse.live().ok
        pulse.moved()
    clock.now += 181
    assert not pulse.live().ok
    assert "committed nothing for 181 s" in pulse.live().told
    pulse.ended()
    assert pulse.live().ok
