"""Which statements of an insight are one, and which are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning_stores.insight_key import insight_key

PIN = "Always pin dependencies when building container images"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PIN, "always pin dependencies when building container images."),
        (PIN, "Always pin the dependencies when building a container image"),
        (PIN, "When building container images, always pin dependencies!"),
        (PIN, "You should always pin dependencies when building container images"),
        (PIN, "When building container images, you should always pin dependencies"),
        (PIN, "Tip: always pin dependencies when building container images"),
        (PIN, "Lesson learned: please always  pin\ndependencies \u2014 when building container images\u2026"),
        ("For large imports, use COPY", "Use COPY for large imports"),
        ("If a test is slow, then mark it", "Mark it if the test is slow"),
        ("Before a deploy, run the migrations", "Run migrations before deploys"),
        ("To find leaks, run valgrind", "run Valgrind to find leaks"),
        ("Instead of sleeping, wait for a condition", "Wait for conditions instead of sleeping"),
        ("Don't retry a POST", "Do not retry POSTs"),
        ("Don\u2019t retry a POST", "Don't retry a POST"),
        ("Dont retry a POST", "Don't retry a POST"),
        ("You shouldn't retry a POST", "We should not retry a POST"),
        ("You must not retry a POST", "Do not retry a POST"),
        ("It doesn't scale", "It does not scale"),
        ("Retries can't help here", "Retries cannot help here"),
        ("It's best to batch writes", "Batch writes"),
        ("Make sure to rotate keys", "Be sure to rotate the keys"),
        ("We learned that queries need an index", "A query needs an index"),
        ("A cache needs a limit", "Caches need limits"),
        ("Batches of 3 work", "A batch of three works"),
        ("Keep it under 1,000 rows", "Keep it under 1000 rows"),
        ("Wait 5ms", "Wait 5 ms"),
        ("Leave 20% free", "Leave 20 percent free"),
        ("Use a read-only replica", "Use read only replicas"),
        ("Read the user's own settings", "Read the user\u2019s own settings"),
        ('Call it "staging"', "Call it \u201cstaging\u201d"),
        ("Lint first; test after", "Lint first. Test after."),
        ("\uff30\uff49\uff4e versions", "Pin versions"),
        ("Nicht im Sommer ausrollen!", "nicht im Sommer ausrollen"),
    ],
)
def test_given_two_wordings_of_one_insight_when_keyed_then_they_are_equal(one: str, other: str) -> None:
    assert insight_key(one) == insight_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PIN, "Never pin dependencies when building container images"),
        (PIN, "Pin dependencies when building container images"),
        (PIN, "Always pin dependencies when not building container images"),
        ("Retry a POST", "Don't retry a POST"),
        ("Do not retry a POST", "Never retry a POST"),
        ("You should retry", "You should not retry"),
        ("You need to retry", "You don't need to retry"),
        ("Don't retry a POST", "You don't have to retry a POST"),
        ("It can fail", "It cannot fail"),
        ("Note that it works", "Not that it works"),
        ("Not just the tests matter", "Not the tests matter"),
        ("Use just one connection", "Use one connection"),
        ("Run migrations before the deploy", "Run migrations after the deploy"),
        ("Before the deploy, run migrations", "Before migrations, run the deploy"),
        ("Deploy unless tests fail", "Deploy if tests fail"),
        ("Use more workers", "Use less workers"),
        ("Deploy with a backup", "Deploy without a backup"),
        ("Enable the cache", "Disable the cache"),
        ("Allow root logins", "Deny root logins"),
        ("Use blocking calls", "Use non-blocking calls"),
        ("Use blocked calls", "Use blocking calls"),
        ("Retry failed jobs", "Retry failing jobs"),
        ("Redis is faster than Postgres for queues", "Postgres is faster than Redis for queues"),
        ("Use COPY, not INSERT", "Use INSERT, not COPY"),
        ("The worker calls the model", "The model calls the worker"),
        ("Use https", "Use http"),
        ("Use Windows paths", "Use window paths"),
        ("Use Python 3.11", "Use Python 3.12"),
        ("Use Python 3.11", "Use Python 311"),
        ("Wait 5 ms", "Wait 5 s"),
        ("Wait 5 ms", "Wait 50 ms"),
        ("Send 5 Mb", "Send 5 MB"),
        ("Cool it to 5 degrees", "Cool it to -5 degrees"),
        ("Keep .5 of it", "Keep 5 of it"),
        ("Up to 10\u00b2 rows", "Up to 102 rows"),
        ("Wait 2\u00bd hours", "Wait 21/2 hours"),
        ("Pay 5 $", "Pay 5 \u20ac"),
        ("Alert if load > 5", "Alert if load < 5"),
        ("Alert if load >= 5", "Alert if load > 5"),
        ("Alert if state = done", "Alert if state != done"),
        ("Alert if state != done", "Alert if state \u2261 done"),
        ("Skip it if !ready", "Skip it if ready"),
        ("Push with --force", "Push with force"),
        ("Follow plan A first", "Follow the plan first"),
        ("Commit the .env", "Commit the env"),
        ("Write it in C", "Write it in C++"),
        ("Write it in C++", "Write it in C#"),
        ("It was slow", "It is slow"),
        ("Meet at 10:30", "Meet at 10:45"),
        ("Use X. Not Y", "Use X not Y"),
        ("Im Sommer ausrollen", "Nicht im Sommer ausrollen"),
        ("\u5fc5\u305a\u56fa\u5b9a\u3059\u308b", "\u5fc5\u305a\u56fa\u5b9a\u3057\u306a\u3044"),
        ("\u0915\u093f", "\u0915\u0940"),
        ("\U0001f44d", "\U0001f44e"),
    ],
)
def test_given_two_insights_when_keyed_then_they_differ(one: str, other: str) -> None:
    assert insight_key(one) != insight_key(other)


def test_given_a_statement_when_keyed_again_then_the_key_is_the_same_and_32_hex_digits() -> None:
    # Keys lie in the database: a change of them parts the same insight in two.
    assert insight_key(PIN) == "f02707c876df68f9532ad08bfde90dce"


@pytest.mark.parametrize("empty", ["", " ", "...", "the", "\u2014"])
def test_given_nothing_but_punctuation_when_keyed_then_it_has_a_key_all_the_same(empty: str) -> None:
    assert len(insight_key(empty)) == 32


_WORDS = st.lists(
    st.sampled_from(["use", "never", "not", "redis", "before", "after", "with", "without", "5", "6"]), min_size=1
)


@given(_WORDS, _WORDS)
def test_given_words_that_no_rule_joins_when_keyed_then_only_the_same_words_in_the_same_order_are_equal(
    one: list[str], other: list[str]
) -> None:
    assert (insight_key(" ".join(one)) == insight_key(" ".join(other))) == (one == other)


@given(st.text(max_size=80))
def test_given_any_text_when_keyed_then_space_around_it_makes_no_difference(text: str) -> None:
    assert insight_key(f" {text}\n") == insight_key(text)


@given(st.lists(st.sampled_from(["Use", "Redis", "for", "queues", "never", "locks"]), min_size=1))
def test_given_words_without_numbers_when_keyed_then_case_makes_no_difference(words: list[str]) -> None:
    assert insight_key(" ".join(words).upper()) == insight_key(" ".join(words).lower())
