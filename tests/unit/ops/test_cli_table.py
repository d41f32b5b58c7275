"""What is shown of data is what the data says: never markup."""

import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from learning_ops.cli.status_report import shown
from learning_ops.cli.table import PlainTable, console, plain
from learning_ops.cli.unprepared import why_no_deliveries

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ODD = "[/red]x :smile: [bold]y"


def printed(what: Any) -> str:
    into = io.StringIO()
    console(file=into, width=400).print(what)
    return into.getvalue()


def found(name: str) -> dict[str, Any]:
    """A status in which every text is `name`."""
    return {
        "at": NOW,
        "accepted": 7,
        "rejected": 1,
        "unprepared": {"events": 3, "set_aside": 1},
        "without_deliveries": [
            {"tenant": name, "set_aside": name, "unknown_spec": None, "events": 1, "oldest": NOW},
            {"tenant": name, "set_aside": None, "unknown_spec": "c" * 64, "events": 2, "oldest": NOW},
        ],
        "stores": [{"store": name, "accepted": 6, "settled": 3, "dead": 1, "pending": 2}],
        "settled": [{"store": name, "state": "extracted", "events": 3}, {"store": name, "state": "dead", "events": 1}],
        "findings": {
            "deliveries_without_mailbox": 0,
            "events_unprepared": 2,
            "events_set_aside": 0,
            "numbers_missing": 0,
        },
        "reconciled": [],
        "reembed": [],
        "embedding_waits": [],
        "backlog": [{"store": name, "reason": name, "events": 2, "mailboxes": 1, "oldest": NOW, "note": name}],
        "leases": [{"store": name, "owner": name, "lease_until": NOW, "claims": 1, "token": 2}],
        "shards": [{"shard": 0, "owner": name, "live": True}],
        "redis": {
            "streams": [{"entries": 1, "read_not_acknowledged": 0, "not_read": 1}],
            "queues": [{"queue": name, "nudges": 1}],
        },
        "last_rejected": [{"rejected_at": NOW, "tenant": name, "event_id": name, "reason": name}],
        "models": [{"model": name, "calls": 1, "last": NOW}],
        "budgets": [
            {
                "tenant": name,
                "set_for": name,
                "store": name,
                "usd_per_day": Decimal(5),
                "spent_usd": Decimal(1),
                "reserved_usd": Decimal(0),
                "waiting": 0,
                "state": "open",
            }
        ],
        "offline_rules": False,
    }


@pytest.mark.parametrize("odd", [ODD, "[/]", "[link=x]", "a\\[b]"])
def test_given_data_with_markup_when_status_is_shown_then_every_text_stands_there_as_it_is(odd: str) -> None:
    told = printed(shown(found(odd)))

    assert told.count(odd) == 17


def test_given_a_store_with_deliveries_when_status_is_shown_then_its_row_adds_up() -> None:
    told = printed(shown(found("user_profile")))

    (row,) = [line for line in told.splitlines() if "3 extracted" in line]
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == ["user_profile", "6", "3", "2", "1", "3 extracted"]
    assert "2 events without deliveries yet, 1 events set aside" in told
    assert "2 events unprepared: accepted over a minute ago and still without deliveries" in told
    assert "numbers missing" not in told


def test_given_redis_away_when_status_is_shown_then_its_error_stands_there_as_it_is() -> None:
    assert "Redis at [::1]:1" in printed(shown({**found("a"), "redis": {"error": "Redis at [::1]:1: refused"}}))


def test_given_control_characters_when_shown_then_the_terminal_gets_none() -> None:
    assert plain("a\x1b[31mb\x07c\nd\u202ee\x9b").plain == "a\ufffd[31mb\ufffdc\nd\ufffde\ufffd"
    assert plain("👩\u200d💻\u00a0é").plain == "👩\u200d💻\u00a0é"


def test_given_a_table_when_text_is_markup_then_title_columns_and_cells_are_not_read_as_such() -> None:
    table = PlainTable(ODD, f"{ODD}1")
    table.add_row(f"{ODD}2")
    assert printed(table).count(ODD) == 3


@pytest.mark.parametrize(
    ("set_aside", "unknown", "told"),
    [
        ("its history is too long", "c" * 64, "set aside: its history is too long"),
        (None, "c" * 64, "spec cccccccccccc… is not registered for this tenant; emit once from its machine"),
        (None, None, "it waits for its turn in intake"),
    ],
)
def test_given_an_event_without_deliveries_when_asked_why_then_the_reason_is_told(
    set_aside: str | None, unknown: str | None, told: str
) -> None:
    assert why_no_deliveries(set_aside, unknown).startswith(told)
