"""What was spent: by whatever is asked, with what is not known said and never counted as nothing."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from learning_stores.database import Database
from learning_stores.spending import GROUPINGS, Spending, spending

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

_CALL = """
    INSERT INTO learning.model_call (tenant, id, extraction_id, store, purpose, subject, user_id, model_asked, model, prompt_name,
        prompt_version, outcome, events, tokens_input, tokens_cached, tokens_output, cost_usd, seconds, called_at)
    VALUES (%(tenant)s, gen_random_uuid(), gen_random_uuid(), %(store)s, %(purpose)s, '', %(user_id)s, %(model)s, %(served)s, 'p',
        '1', %(outcome)s, %(events)s, %(input)s, %(cached)s, %(output)s, %(cost)s, 1, %(at)s)
"""


@pytest.fixture
def calls(everything_db: Database) -> Any:
    def call(**values: Any) -> None:
        given = {
            "tenant": "default", "store": "user_profile", "purpose": "extract", "user_id": "alice", "model": "m", "served": "m",
            "outcome": "ok", "events": 1, "input": 1000, "cached": 400, "output": 100, "cost": "0.01", "at": NOW, **values,
        }  # fmt: skip
        with everything_db.engine.begin() as connection:
            connection.exec_driver_sql(_CALL, given)

    call()
    call(events=5, cost="0.03", user_id="bob", at=NOW + timedelta(hours=13))
    call(tenant="acme", store="session_context", model="own", served="own", cost=None, events=3)
    call(outcome="timeout", served=None, input=None, cached=None, output=None, cost=None)
    call(
        purpose="embedding", store="embedding", user_id=None, model="e", served="e", events=20, cached=None, output=None,
        cost="0.002",
    )  # fmt: skip
    call(at=NOW - timedelta(days=9), cost="7")
    return call


def priced(model: str, tokens: int, tier: str | None) -> Decimal | None:
    part = Decimal("0.5") if tier == "flex" else Decimal(1)
    return Decimal("0.000001") * tokens * part if model == "m" else None


def look(database: Database, by: Any = "store", tenant: str | None = None) -> Spending:
    with database.snapshot() as session:
        return spending(session, by, NOW - timedelta(days=1), NOW + timedelta(days=1), tenant, priced)


def test_given_calls_when_summed_then_known_costs_are_added_and_the_unknown_are_counted_beside_them(
    calls: Any, dispatcher_db: Database
) -> None:
    found = look(dispatcher_db)

    shown = {row.key: (row.calls, row.cost_usd, row.unpriced_calls, row.untold_calls) for row in found.rows}
    assert shown == {
        "user_profile": (3, Decimal("0.04"), 0, 1),
        "embedding": (1, Decimal("0.002"), 0, 0),
        "session_context": (1, None, 1, 0),
    }
    assert [row.key for row in found.rows] == ["user_profile", "embedding", "session_context"]
    assert (found.total.calls, found.total.cost_usd, found.total.events) == (5, Decimal("0.042"), 9)
    assert (found.total.tokens_input, found.total.tokens_cached, found.total.tokens_output) == (4000, 1200, 300)
    assert (found.unpriced_models, found.untold_outcomes) == ({"own": 1}, {"timeout": 1})


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("tenant", {"default", "acme"}),
        ("store", {"user_profile", "session_context", "embedding"}),
        ("model", {"m", "own", "e"}),
        ("user", {"alice", "bob", None}),
        ("purpose", {"extract", "embedding"}),
        ("day", {"2026-11-20", "2026-11-21"}),
    ],
)
def test_given_a_grouping_when_summed_then_its_rows_add_up_to_the_whole(
    calls: Any, dispatcher_db: Database, by: str, keys: set[str | None]
) -> None:
    assert by in GROUPINGS
    found = look(dispatcher_db, by)

    assert {row.key for row in found.rows} == keys
    for name in ("calls", "events", "tokens_input", "tokens_output", "unpriced_calls", "untold_calls"):
        assert sum(getattr(row, name) for row in found.rows) == getattr(found.total, name)
    assert sum((row.cost_usd or Decimal(0)) for row in found.rows) == found.total.cost_usd
    if by == "day":
        assert [row.key for row in found.rows] == sorted(keys, key=str)


def test_given_events_read_together_and_cached_tokens_when_summed_then_savings_are_estimates_and_say_what_they_lack(
    calls: Any, dispatcher_db: Database
) -> None:
    found = look(dispatcher_db)

    # Of m: 6 events in 2 calls, at $0.02 a call; of own: 2 calls saved, and nobody knows at what price.
    assert (found.coalescing.count, found.coalescing.usd, found.coalescing.unpriced) == (6, Decimal("0.08"), 2)
    assert (found.cached_prefixes.count, found.cached_prefixes.unpriced) == (1200, 400)
    assert found.cached_prefixes.usd == Decimal("0.0008")
    told = found.as_dict()
    assert [told["saved"][name]["estimate"] for name in ("coalescing", "cached_prefixes")] == [True, True]
    assert told["query_embeddings"] == "not recorded"


def test_given_users_of_one_name_in_two_tenants_when_summed_by_user_then_they_are_two(
    calls: Any, dispatcher_db: Database
) -> None:
    calls(tenant="globex", user_id="alice", cost="0.5")

    found = look(dispatcher_db, "user")

    shown = [(row.tenant, row.key, row.cost_usd) for row in found.rows]
    assert shown == [
        ("globex", "alice", Decimal("0.5")),
        ("default", "bob", Decimal("0.03")),
        ("default", "alice", Decimal("0.01")),
        (None, None, Decimal("0.002")),
        ("acme", "alice", None),
    ]


def test_given_calls_at_the_flex_tier_when_summed_then_their_cached_tokens_saved_less(
    calls: Any, dispatcher_db: Database, everything_db: Database
) -> None:
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE learning.model_call SET service_tier = 'flex' WHERE user_id = 'bob'")

    assert look(dispatcher_db).cached_prefixes.usd == Decimal("0.0006")


def test_given_a_tenant_when_summed_then_it_is_its_own_alone_and_none_is_no_cost_at_all(
    calls: Any, app_db: Database, dispatcher_db: Database
) -> None:
    found = look(dispatcher_db, tenant="acme")
    assert (found.total.calls, found.total.cost_usd, found.total.unpriced_calls) == (1, None, 1)
    assert (found.coalescing.usd, found.cached_prefixes.usd) == (None, None)

    nobody = look(dispatcher_db, tenant="nobody")
    assert (nobody.rows, nobody.total.calls, nobody.total.cost_usd) == ([], 0, None)
    with app_db.snapshot("acme") as session:  # row-level security: one tenant sees its own
        assert spending(session, "store", NOW - timedelta(days=99), NOW, None, priced).total.calls == 0
        assert spending(session, "store", NOW, NOW + timedelta(1), None, priced).total.calls == 1


@pytest.mark.parametrize("tenant", ["acme", None])
def test_given_a_month_when_summed_then_the_rows_are_found_by_an_index_on_their_time(
    dispatcher_db: Database, everything_db: Database, tenant: str | None
) -> None:
    from sqlalchemy import text

    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO learning.model_call (tenant, id, extraction_id, store, purpose, subject, model_asked, prompt_name, "
            "prompt_version, outcome, events, seconds, called_at) SELECT 't' || n %% 20, gen_random_uuid(), gen_random_uuid(), "
            "'s', 'extract', '', 'm', 'p', '1', 'ok', 1, 1, timestamptz '2020-01-01' + n * interval '2 minutes' "
            "FROM generate_series(1, 100000) AS n"
        )
    with everything_db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE learning.model_call")
    one = "" if tenant is None else "AND tenant = 't1'"
    with dispatcher_db.transaction() as session:
        plan = session.scalars(
            text(f"EXPLAIN SELECT sum(cost_usd) FROM learning.model_call WHERE called_at >= '2020-05-10' {one}")
        )
        assert "model_call_day" in (told := "\n".join(plan)) or "model_call_spending" in told
