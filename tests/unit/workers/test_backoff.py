"""How long nothing is tried: bounded, longer each time, scattered."""

from learning_workers.backoff import LEAST_SECONDS, MAX_BACKOFF_SECONDS, backoff, spread

DRAWS = 2_000


def test_given_failures_in_a_row_when_drawn_often_then_the_whole_width_is_used_and_no_draw_is_beyond_the_ceiling() -> (
    None
):
    for failures, ceiling in (
        (0, 2.0),
        (1, 4.0),
        (4, 32.0),
        (8, 512.0),
        (9, MAX_BACKOFF_SECONDS),
        (10_000, MAX_BACKOFF_SECONDS),
    ):
        drawn = [backoff(failures, 2.0) for _ in range(DRAWS)]
        assert LEAST_SECONDS <= min(drawn) < max(ceiling * 0.1, LEAST_SECONDS + 0.1)
        assert ceiling * 0.9 < max(drawn) <= ceiling


def test_given_a_time_to_wait_when_spread_then_nobody_comes_sooner_and_not_all_at_once() -> None:
    for seconds, over, latest in ((0.1, 0.0, 1.1), (20.0, 0.0, 30.0), (900.0, 0.0, 960.0), (2.0, 500.0, 502.0)):
        drawn = [spread(seconds, over) for _ in range(DRAWS)]
        assert seconds <= min(drawn)
        assert max(drawn) <= latest
        assert max(drawn) - min(drawn) > 0.8 * (latest - seconds)
