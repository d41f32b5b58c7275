"""Budgets: what has room, who waits, what a dead worker's reservation becomes, and two workers at the cap."""

import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.exc import ProgrammingError

from harness import event, rows
from integration.stores.steps import PROFILE_ONLY, claim, mailbox_id, take_in
from learning_schemas.ids import uuid7
from learning_stores import mailbox
from learning_stores.budgets import Budget, budgets_of, budgets_today, remove_budget, set_budget, spent_today
from learning_stores.database import Database
from learning_stores.reservations import Begun, Offer, OverBudget, Unpriced, release, reserve, sweep


def budget(usd: str, tenant: str = "default", store: str = "*", near: str = "0.8") -> Budget:
    return Budget(tenant=tenant, store=store, usd_per_day=Decimal(usd), near=Decimal(near))


def begun(tenant: str = "default", store: str = "user_profile", seconds: float = 60, **values: Any) -> Begun:
    given = {
        "id": uuid7(),
        "extraction_id": uuid7(),
        "purpose": "extract",
        "prompt_name": "p",
        "prompt_version": "1",
        **values,
    }
    return Begun(tenant=tenant, store=store, events=1, seconds=seconds, **given)


def offer(usd: str | None, model: str = "dear") -> Offer:
    return Offer(model=model, usd=None if usd is None else Decimal(usd))


def spend(database: Database, usd: str | None, ago: str = "0 s", estimated: str | None = None, **values: str) -> None:
    """A call that returned."""
    given = {"tenant": "default", "store": "user_profile", **values}
    with database.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO learning.model_call (tenant, id, extraction_id, store, purpose, subject, model_asked, prompt_name, "
            "prompt_version, outcome, events, seconds, cost_usd, estimated_usd, called_at) VALUES (%(tenant)s, gen_random_uuid(), "
            "gen_random_uuid(), %(store)s, 'extract', '', 'm', 'p', '1', 'ok', 1, 1, %(usd)s, %(estimated)s, "
            "clock_timestamp() - cast(%(ago)s AS interval))",
            {**given, "usd": usd, "estimated": estimated, "ago": ago},
        )


def under_way(everything_db: Database) -> list[dict[str, Any]]:
    return rows(everything_db, "SELECT * FROM learning.budget_reservation ORDER BY reserved_at")


def test_given_no_budget_when_a_call_is_begun_then_it_is_made_as_asked_and_stands_as_under_way(
    app_db: Database, everything_db: Database
) -> None:
    call = begun()
    assert app_db.run("default", reserve, call, offer(None), offer("0.1", "cheap")).model == "dear"

    [row] = under_way(everything_db)
    assert (row["id"], row["model_asked"], row["usd"]) == (call.id, "dear", None)
    app_db.run("default", release, "default", call.id)
    assert under_way(everything_db) == []


@pytest.mark.parametrize(
    ("own", "cap", "room"),
    [
        ([], "0.10", True),
        ([("default", "*", "0.05")], "1", False),
        ([("default", "user_profile", "0.05")], "1", False),
        ([("default", "session_context", "0.05")], "1", True),
        ([("acme", "*", "0.05")], "1", True),
        ([("default", "*", "1")], "0.05", True),  # the tenant's own counts before every tenant's
        ([("default", "user_profile", "1")], "0.05", False),  # but not before that of all stores
        ([("*", "user_profile", "0.05")], "1", False),
        ([("*", "user_profile", "0.05"), ("default", "user_profile", "1")], "1", True),
    ],
)
def test_given_budgets_of_tenants_and_stores_when_a_call_is_begun_then_it_needs_room_in_each_that_holds(
    app_db: Database, dispatcher_db: Database, own: list[tuple[str, str, str]], cap: str, room: bool
) -> None:
    dispatcher_db.run(None, set_budget, budget(cap, tenant="*"))
    for tenant, store, usd in own:
        dispatcher_db.run(None, set_budget, budget(usd, tenant, store))

    if room:
        assert app_db.run("default", reserve, begun(), offer("0.06")).model == "dear"
        return
    with pytest.raises(OverBudget):
        app_db.run("default", reserve, begun(), offer("0.06"))


def test_given_calls_of_today_and_before_when_summed_then_only_todays_count_by_cost_or_by_what_they_may_have_cost(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    dispatcher_db.run(None, set_budget, budget("1"))
    spend(everything_db, "0.2")
    spend(everything_db, None, estimated="0.1")
    spend(everything_db, None)  # a call that nobody billed
    spend(everything_db, "0.4", store="session_context")
    spend(everything_db, "9", ago="25 hours")
    spend(everything_db, "9", tenant="acme")
    app_db.run("default", reserve, begun(), offer("0.05"))

    found = app_db.run("default", spent_today, "default", "user_profile")

    assert (found["user_profile"].spent, found["user_profile"].reserved) == (Decimal("0.3"), Decimal("0.05"))
    assert (found["*"].spent, found["*"].reserved) == (Decimal("0.7"), Decimal("0.05"))


def test_given_a_cap_when_it_comes_near_then_the_cheaper_way_is_taken_and_at_it_the_day_must_turn(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    dispatcher_db.run(None, set_budget, budget("1"))

    def chosen() -> str:
        call = begun()
        found = app_db.run("default", reserve, call, offer("0.05"), offer("0.01", "cheap"))
        app_db.run("default", release, "default", call.id)
        return found.model

    assert chosen() == "dear"
    spend(everything_db, "0.7")
    assert chosen() == "dear"
    spend(everything_db, "0.06")
    assert chosen() == "cheap"
    spend(everything_db, "0.235")
    with pytest.raises(
        OverBudget, match=r"\$1 a day of tenant default, all stores: has no room until 00:00 UTC"
    ) as over:
        chosen()
    assert over.value.seconds is not None
    assert 0 < over.value.seconds <= 86_400
    assert under_way(everything_db) == []


def test_given_room_that_only_calls_under_way_take_up_when_begun_then_it_is_not_the_day_that_is_waited_for(
    app_db: Database, dispatcher_db: Database
) -> None:
    dispatcher_db.run(None, set_budget, budget("0.10"))
    call = begun()
    app_db.run("default", reserve, call, offer("0.08"))

    with pytest.raises(OverBudget, match="calls under way may use up what is left") as over:
        app_db.run("default", reserve, begun(), offer("0.08"))

    assert over.value.seconds is None
    app_db.run("default", release, "default", call.id)
    assert app_db.run("default", reserve, begun(), offer("0.08")).model == "dear"


def test_given_a_budget_and_a_model_without_a_price_when_begun_then_it_is_refused_and_says_what_to_do(
    app_db: Database, dispatcher_db: Database
) -> None:
    dispatcher_db.run(None, set_budget, budget("5"))

    with pytest.raises(
        Unpriced, match=r"the price of dear is not known, and a budget holds .* 0 where it costs nothing"
    ):
        app_db.run("default", reserve, begun(), offer(None), offer("0.01", "cheap"))


def test_given_a_cap_below_one_call_when_begun_then_the_note_says_so(app_db: Database, dispatcher_db: Database) -> None:
    dispatcher_db.run(None, set_budget, budget("0.01"))

    with pytest.raises(OverBudget, match=r"less than one call may cost \(\$0\.05\)"):
        app_db.run("default", reserve, begun(), offer("0.05"))


def test_given_many_workers_at_the_cap_when_they_begin_at_once_then_no_more_is_reserved_than_there_is_room_for(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    dispatcher_db.run(None, set_budget, budget("0.10"))
    at_once = threading.Barrier(8)

    def begin(_: int) -> bool:
        at_once.wait(10)
        try:
            app_db.run("default", reserve, begun(), offer("0.03"))
        except OverBudget:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(begin, range(8)))

    assert outcomes.count(True) == 3
    assert sum(row["usd"] for row in under_way(everything_db)) == Decimal("0.09")


def test_given_64_workers_with_calls_of_all_sizes_at_the_cap_when_they_begin_at_once_then_it_is_not_passed_by_a_whole_call(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    dispatcher_db.run(None, set_budget, budget("1.00"))
    spend(everything_db, "0.50")
    sizes = [Decimal(size) for size in ("0.2", "0.05", "0.01", "0.001")]
    at_once = threading.Barrier(64)

    def begin(number: int) -> None:
        at_once.wait(30)
        for turn in range(4):
            try:
                app_db.run("default", reserve, begun(), Offer(model="m", usd=sizes[(number + turn) % len(sizes)]))
            except OverBudget:
                continue

    with ThreadPoolExecutor(64) as threads:
        list(threads.map(begin, range(64)))

    reserved = sum(row["usd"] for row in under_way(everything_db))
    assert Decimal("0.5") - Decimal("0.2") < reserved <= Decimal("0.5") + max(sizes)


def test_given_a_lease_that_ended_when_another_call_is_begun_then_it_has_room_and_a_sweep_counts_the_first_as_lost(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(), spec=PROFILE_ONLY)
    held = claim(app_db, mailbox_id(everything_db))
    dispatcher_db.run(None, set_budget, budget("0.10"))
    call = begun(lease=(held.mailbox_id, held.token))
    app_db.run("default", reserve, call, offer("0.08"))
    with pytest.raises(OverBudget):
        app_db.run("default", reserve, begun(), offer("0.08"))

    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE learning.mailbox SET lease_until = now() - interval '1 s'")
    app_db.run("default", reserve, begun(), offer("0.08"))

    assert app_db.run("default", sweep, "default") == 1
    assert len(under_way(everything_db)) == 1
    [lost] = rows(everything_db, "SELECT * FROM learning.model_call")
    assert (lost["id"], lost["outcome"], lost["model_asked"], lost["cost_usd"]) == (call.id, "lost", "dear", None)
    assert (lost["subject"], lost["user_id"]) == ("", None)


def test_given_a_call_without_a_lease_when_its_time_is_over_then_a_sweep_counts_it_as_lost(
    app_db: Database, everything_db: Database
) -> None:
    app_db.run("default", reserve, begun(seconds=-1), offer("0.08"))
    app_db.run("acme", reserve, begun(tenant="acme"), offer("0.08"))
    assert rows(everything_db, "SELECT FROM learning.model_call") == []

    assert app_db.run("default", sweep, "default") == 1

    assert [row["outcome"] for row in rows(everything_db, "SELECT * FROM learning.model_call")] == ["lost"]


def test_given_mailboxes_that_wait_for_a_budget_when_it_is_raised_or_removed_then_they_are_ready_at_once(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    for tenant in ("acme", "globex"):
        take_in(dispatcher_db, event(tenant=tenant), spec=PROFILE_ONLY)

    def wait() -> None:
        for tenant in ("acme", "globex"):
            held = claim(app_db, mailbox_id(everything_db, tenant=tenant), tenant)
            app_db.run(tenant, mailbox.wait, held, "budget", "spent", 40_000, 0)

    def waiting() -> list[str]:
        found = rows(
            everything_db, "SELECT tenant FROM learning.mailbox WHERE ready_at > now() + interval '1 h' ORDER BY 1"
        )
        return [row["tenant"] for row in found]

    wait()
    assert waiting() == ["acme", "globex"]
    assert dispatcher_db.run(None, set_budget, budget("2", "acme", "session_context")) == 0
    assert dispatcher_db.run(None, set_budget, budget("2", "acme")) == 1
    assert waiting() == ["globex"]
    assert dispatcher_db.run(None, remove_budget, "*", "*") is None
    dispatcher_db.run(None, set_budget, budget("2", "*"))
    assert waiting() == []
    wait()
    assert dispatcher_db.run(None, remove_budget, "acme", "*") == 1
    assert waiting() == ["globex"]


def test_given_runs_of_the_curator_that_wait_for_a_budget_when_it_is_raised_then_they_are_due_and_others_wait_on(
    dispatcher_db: Database, everything_db: Database
) -> None:
    with everything_db.engine.begin() as connection:
        for tenant, error in (
            ("acme", "waits for budget: $1 a day"),
            ("acme", "waits for provider: 429"),
            ("globex", None),
        ):
            connection.exec_driver_sql(
                "INSERT INTO learning.curator_run (tenant, job, store, due_at, error) VALUES (%(t)s, 'deduplicate', "
                "'user_profile', now() + interval '1 h', %(e)s)", {"t": tenant, "e": error},
            )  # fmt: skip

    def due() -> list[str]:
        return [
            row["error"] for row in rows(everything_db, "SELECT error FROM learning.curator_run WHERE due_at <= now()")
        ]

    dispatcher_db.run(None, set_budget, budget("2", "globex"))
    dispatcher_db.run(None, set_budget, budget("2", "acme", "embedding"))
    assert due() == []
    dispatcher_db.run(None, set_budget, budget("2", "acme", "user_profile"))
    assert due() == ["waits for budget: $1 a day"]


def test_given_budgets_and_spending_when_looked_at_then_every_tenants_is_shown_for_each_that_has_none_of_its_own(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    dispatcher_db.run(None, set_budget, budget("1", "*"))
    dispatcher_db.run(None, set_budget, budget("2", "acme"))
    dispatcher_db.run(None, set_budget, budget("3", "*", "session_context"))
    spend(everything_db, "0.9", tenant="acme")
    spend(everything_db, "0.9", tenant="globex")
    spend(everything_db, "1.2", tenant="initech")
    app_db.run("globex", reserve, begun(tenant="globex"), offer("0.01"))

    found = [each.as_dict() for each in dispatcher_db.run(None, budgets_today)]

    shown = [(each["tenant"], each["store"], each["set_for"], each["spent_usd"], each["state"]) for each in found]
    assert shown == [
        ("initech", "*", "*", Decimal("1.2"), "spent"),
        ("globex", "*", "*", Decimal("0.9"), "near"),
        ("acme", "*", "acme", Decimal("0.9"), "open"),
        ("*", "session_context", "*", Decimal(0), "open"),  # nobody has spent of it
    ]
    assert {each["tenant"]: each["reserved_usd"] for each in found}["globex"] == Decimal("0.01")


def test_given_the_app_role_when_it_sets_a_budget_then_it_is_refused_and_it_reads_no_other_tenants(
    app_db: Database, dispatcher_db: Database
) -> None:
    dispatcher_db.run(None, set_budget, budget("1", "acme"))
    dispatcher_db.run(None, set_budget, budget("3", "*"))

    with pytest.raises(ProgrammingError, match="permission denied"):
        app_db.run("acme", set_budget, budget("100", "acme"))
    assert [each.usd_per_day for each in app_db.run("acme", budgets_of, "acme", "s")] == [Decimal(1)]
    assert [each.usd_per_day for each in app_db.run("globex", budgets_of, "acme", "s")] == [Decimal(3)]
