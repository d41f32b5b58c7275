"""Token figures are estimates with fixed rules."""

from learning_ops.offline.usage import PromptCache, Usage, cut_to, tokens


def test_given_a_text_when_counted_then_a_token_is_four_bytes_rounded_up() -> None:
    assert [tokens(text) for text in ("", "a", "abcd", "abcde", "éé", "東京")] == [0, 1, 1, 2, 1, 2]


def test_given_a_limit_when_a_text_is_cut_then_it_fits_and_no_character_is_halved() -> None:
    assert cut_to("東京東京", 1) == "東"
    assert tokens(cut_to("x" * 100, 3)) == 3


def test_given_instructions_seen_before_when_counted_then_the_longest_shared_prefix_is_cached_in_steps() -> None:
    cache = PromptCache()
    long = "s" * 4 * 2000

    assert cache.count(long, "in", "out") == Usage(prompt=2001, completion=1, cached=0, written=1920)
    assert cache.count(long, "in", "out").cached == 1920
    assert cache.count(long[: 4 * 1500] + "other", "in", "out").cached == 1408
    assert cache.count("t" + long, "in", "out").cached == 0


def test_given_short_instructions_when_repeated_then_nothing_is_cached() -> None:
    cache = PromptCache()

    cache.count("s" * 4 * 1023, "in", "out")

    assert cache.count("s" * 4 * 1023, "in", "out").cached == 0
    assert cache.count("s" * 4 * 1024, "in", "out") == Usage(prompt=1025, completion=1, cached=0, written=1024)
