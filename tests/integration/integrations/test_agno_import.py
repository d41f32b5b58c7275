"""agno's own learnings, written by agno into a real database, come into a tenant; what has no equal is listed."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from agno.db.postgres import PostgresDb
from agno.learn import LearningMachine as AgnoMachine
from agno.learn.schemas import DecisionLog, SessionContext, UserProfile
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from harness import Place, rows
from learning_machine import EntityMemoryConfig, LearningMachine
from learning_stores.database import Database
from learning_stores.import_agno import SHARED_BY, read_agno
from learning_stores.import_agno_row import MAX_ROW_BYTES
from learning_stores.import_record import NotImported
from running_stack import run


@dataclass
class Customer(UserProfile):
    plan: str | None = None


@pytest.fixture
def agno_url(place: Place) -> Iterator[str]:
    """A database into which agno wrote of two users, a session, entities shared and not, and a decision."""
    url = make_url(place.superuser_url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    db = PostgresDb(db_url=url)
    machine: Any = AgnoMachine(
        db=db, user_profile=True, user_memory=True, session_context=True, entity_memory=True, decision_log=True
    )
    machine.user_profile_store.save("alice", Customer(user_id="alice", name="Alice Ng", plan="gold"))
    for memory in (
        "Is vegetarian",
        "Prefers window seats",
        "Her key is sk-proj-abcdefghijklmnopqrstuvwx0123456789ABCDEFGH",
    ):
        machine.user_memory_store.add_memory("alice", memory)
    machine.user_memory_store.add_memory("bob", "Plays chess")
    context = SessionContext(
        session_id="s1",
        user_id="alice",
        summary="They plan a trip.",
        goal="A trip",
        plan=["Book", "Pack"],
        progress=["Book"],
    )
    machine.session_context_store.save("s1", context, user_id="alice")
    machine.session_context_store.save("s9", SessionContext(session_id="s9", summary="Of nobody."))
    entities = machine.entity_memory_store
    entities.remember_about(
        "Acme Corp", "company", description="A customer", facts=["Uses PostgreSQL", "Is in Oslo"], aliases=["Acme"]
    )
    entities.remember_about("Bob Lee", "person", events=["Joined Acme in May"])
    entities.link_entities("Bob Lee", "works at", "Acme Corp")
    entities.forget("Acme Corp", "Is in Oslo")
    entities.remember_about("Rex", "dog", facts=["Barks at night"], user_id="alice", namespace="user")
    machine.decision_log_store.save(DecisionLog(id="d1", decision="Use Postgres", agent_id="a1"))
    yield url
    db.db_engine.dispose()


def machine_of(place: Place, **options: Any) -> LearningMachine:
    return place.machine(user_profile=True, session_context=True, entity_memory=True, **options)


def told(place: Place, *arguments: str) -> Any:
    return run("import", *arguments, cwd=place.directory, env={**place.env, "COLUMNS": "160"})


def test_given_what_agno_wrote_when_imported_by_command_then_it_is_in_our_stores_once_and_the_rest_is_listed(
    place: Place, agno_url: str, everything_db: Database
) -> None:
    with machine_of(place, tenant="other") as other:
        other.add("Is of another tenant", user_id="alice", by="ann")
    into = ("--from-agno", agno_url, "--tenant", "acme")
    everything = "SELECT count(*) AS n FROM learning.learning WHERE tenant = 'acme'"

    looked = told(place, *into, "--dry-run", "--json")
    assert looked.returncode == 0, looked.stderr
    planned = json.loads(looked.stdout)
    reasons = {each["what"]: each["why"] for each in planned["left"]}
    assert set(reasons) == {"session_context", "decision_log"}
    assert "it belongs to no user" in reasons["session_context"]
    assert "decisions have no store here" in looked.stderr
    assert rows(everything_db, everything) == [{"n": 0}]
    assert told(place, *into).returncode == 2  # nobody said yes

    done = told(place, *into, "--yes", "--by", "ann", "--json")
    assert done.returncode == 0, done.stderr
    count = rows(everything_db, everything)[0]["n"]
    brought = {name: number for name, number in json.loads(done.stdout).items() if name not in ("left", "entities")}
    assert sum(brought.values()) == sum(planned["learnings"].values())
    assert set(brought) <= {"added", "past", "confirmed"}
    assert count == brought["added"] + brought["past"]
    again = json.loads(told(place, *into, "--yes", "--json").stdout)
    assert again["known"] == sum(brought.values())
    assert "added" not in again
    assert rows(everything_db, everything)[0]["n"] == count

    with machine_of(place, tenant="acme") as machine:
        recalled = machine.recall("What does Acme use?", user_id="alice", session_id="s1")
        assert (recalled.fields["name"], recalled.fields["plan"]) == ("Alice Ng", "gold")
        assert {"Is vegetarian", "Prefers window seats"} <= set(recalled.memories)
        assert "sk-proj" not in "".join(recalled.memories)
        session = {
            each.kind: each.content
            for each in machine.learnings(store="session_context", user_id="alice", session_id="s1")
        }
        assert session == {
            "summary": "They plan a trip.", "goal": "A trip", "plan": "1. Book; 2. Pack", "progress": "1. Book",
        }  # fmt: skip
        assert [each.content for each in machine.learnings(store="user_profile", user_id="bob")] == ["Plays chess"]
        acme = machine.entity("Acme")
        assert acme is not None
        assert (acme.name, acme.type, acme.description, acme.facts) == (
            "Acme Corp",
            "company",
            "A customer",
            ("Uses PostgreSQL",),
        )
        bob = machine.entity("Bob Lee", hops=1)
        assert bob is not None
        assert any("works at" in each for each in bob.relationships)
        assert [event for event in bob.events if "Joined Acme" in event]
        past = machine.learnings(store="entity_memory", status="retired")
        assert [(each.content, each.retired_reason) for each in past] == [("Is in Oslo", "retracted")]
    with machine_of(place, tenant="other") as other:
        assert [each.content for each in other.learnings(user_id="alice")] == ["Is of another tenant"]


def test_given_a_users_own_entities_when_imported_then_only_that_user_reads_them(place: Place, agno_url: str) -> None:
    assert told(place, "--from-agno", agno_url, "--yes").returncode == 0

    with place.machine(entity_memory=EntityMemoryConfig(namespace="user")) as machine:
        assert machine.entity("Rex", user_id="alice") is not None
        assert machine.entity("Rex", user_id="bob") is None


def test_given_one_user_when_only_theirs_is_asked_for_then_nobody_elses_comes(
    place: Place, agno_url: str, everything_db: Database
) -> None:
    done = told(place, "--from-agno", agno_url, "--user", "bob", "--yes", "--json")

    assert json.loads(done.stdout)["added"] == 1
    assert rows(everything_db, "SELECT DISTINCT user_id FROM learning.learning") == [{"user_id": "bob"}]


def test_given_a_user_who_was_forgotten_here_when_imported_then_it_is_listed_and_the_others_come(
    place: Place, agno_url: str
) -> None:
    with machine_of(place) as machine:
        machine.forget(user_id="bob", by="ann", close=True)

        done = told(place, "--from-agno", agno_url, "--own-only", "--yes", "--json")

        assert done.returncode == 0, done.stderr
        assert "user bob" in [each["what"] for each in json.loads(done.stdout)["left"]]
        assert machine.learnings(store="user_profile", user_id="alice") != ()
        assert machine.search_entities("Acme") == ()


def test_given_a_row_that_changed_since_when_imported_again_then_what_changed_comes(
    place: Place, agno_url: str
) -> None:
    assert told(place, "--from-agno", agno_url, "--yes").returncode == 0
    db = PostgresDb(db_url=agno_url)
    machine: Any = AgnoMachine(db=db, user_memory=True)
    machine.user_memory_store.add_memory("bob", "Lives in Bergen")
    db.db_engine.dispose()

    done = json.loads(told(place, "--from-agno", agno_url, "--yes", "--json").stdout)

    assert done["added"] == 1


def test_given_parts_that_cannot_be_kept_when_read_then_each_is_listed_with_the_row_and_the_rest_comes(
    place: Place, agno_url: str
) -> None:
    db = PostgresDb(db_url=agno_url)
    facts: list[Any] = [{"id": "1", "content": ""}, "Has 40 people", {"id": "2", "content": "x" * 5_000}]
    ties = [{"entity_id": "nowhere", "relation": "owns", "direction": "outgoing"}, {"relation": "owns"}]
    content = {
        "entity_id": "beta",
        "entity_type": "company",
        "facts": facts,
        "relationships": ties,
        "archived_at": "2026-01-02T00:00:00",
    }
    db.upsert_learning(
        id="beta",
        learning_type="entity_memory",
        content=content,
        entity_id="beta",
        entity_type="company",
        namespace="team",
    )
    db.upsert_learning(id="bent", learning_type="user_memory", content={"memories": "Likes tea"}, user_id="alice")
    db.upsert_learning(id="odd", learning_type="mood", content={"mood": "good"}, user_id="alice")
    db.db_engine.dispose()

    found = read_agno(agno_url)

    of_beta = {each.what: each.why for each in found.left if each.row == "beta"}
    assert set(of_beta) == {"fact 1", "fact 3", "relationship 1", "relationship 2"}
    assert "content" in of_beta["fact 3"]
    assert [each.why for each in found.left if each.row == "odd"] == ["no store here is of this type"]
    assert [(each.what, each.why) for each in found.left if each.row == "bent"] == [("memories", "it is no list")]
    (shared,) = [each for each in found.users if each.shared]
    assert shared.user_id == SHARED_BY
    kept = [record for _, record in shared.records() if getattr(record, "content", "") == "Has 40 people"]
    assert [(record.status, record.namespace, str(record.retired_at)) for record in kept] == [  # type: ignore[union-attr]
        ("retired", "team", "2026-01-02 00:00:00+00:00")
    ]


WIDE = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(1_990))
"""Text that no index can hold: of many different characters of three bytes each."""
POISONED: list[tuple[str, str, str | None, str, str]] = [
    # id, type, user, content as JSON, and what is said of it
    (
        "long-id",
        "user_memory",
        "z" * 5_000,
        '{"memories": ["x"]}',
        "its user_id string should have at most 255 characters",
    ),
    ("unseen-id", "user_memory", "al\x1bice", '{"memories": ["x"]}', "its user_id has a control character"),
    ("spaced-id", "user_memory", " alice ", '{"memories": ["x"]}', "its user_id has space around it"),
    ("empty-id", "user_memory", "", '{"memories": ["x"]}', "it belongs to no user"),
    ("own-of-nobody", "entity_memory", "", '{"name": "Rex"}', "names no user"),
    ("number", "user_profile", "alice", f'{{"age": 1{"0" * 5_000}}}', "a number of more than 1,000 digits"),
    ("deep", "user_profile", "alice", f'{{"a": {"[" * 900}1{"]" * 900}}}', "is nested too deeply"),
    ("deeper", "user_profile", "alice", f'{{"a": {"[" * 3_000}1{"]" * 3_000}}}', "is nested too deeply"),
    ("deep-name", "entity_memory", "alice", f'{{"name": {"[" * 700}1{"]" * 700}}}', "is nested too deeply"),
    ("huge", "user_profile", "alice", f'{{"a": "{"x" * (MAX_ROW_BYTES + 1)}"}}', "larger than 8 MiB"),
    ("wide-field", "user_profile", "alice", f'{{"{WIDE}": "v"}}', "its name has more than 200 characters"),
    ("wide-property", "entity_memory", "alice", f'{{"properties": {{"{WIDE}": 1}}}}', "its name has more than 200"),
    ("\x1b[2Jleft\nout", "mood\x1b[31m", "alice", "{}", "no store here is of this type"),
]


def test_given_a_poisoned_table_when_imported_then_each_bad_row_is_listed_and_everything_else_comes(
    place: Place, agno_url: str, everything_db: Database
) -> None:
    sane = len(read_agno(agno_url).left)
    with psycopg.connect(agno_url.replace("+psycopg", "")) as connection:
        for name, kind, user, content, _ in POISONED:
            connection.execute(
                "INSERT INTO ai.agno_learnings (learning_id, learning_type, namespace, user_id, entity_id, entity_type,"
                " content, created_at) VALUES (%s, %s, 'user', %s, %s, 'thing', cast(%s AS jsonb), 1790000000)",
                (name, kind, user, name, content),
            )

    found = read_agno(agno_url)
    done = told(place, "--from-agno", agno_url, "--yes")

    reasons = {each.row: each.why for each in found.left}
    assert len(found.left) == sane + len(POISONED)
    for name, _, _, _, why in POISONED:
        assert why in reasons[name], name
    assert done.returncode == 0, done.stderr
    listed = [line for line in done.stderr.splitlines() if line.startswith("left out: row")]
    assert len(listed) == len(found.left)
    assert max(map(len, listed)) < 700
    assert "\x1b" not in done.stderr
    assert "insights (learned_knowledge)" in done.stderr
    with machine_of(place) as machine:
        assert {"Is vegetarian", "Prefers window seats"} <= set(machine.recall(user_id="alice").memories)
    users = {row["user_id"] for row in rows(everything_db, "SELECT DISTINCT user_id FROM learning.learning")}
    assert users <= {"alice", "bob", SHARED_BY, None}


def test_given_a_key_that_no_index_holds_when_planned_then_that_user_is_listed_and_nothing_is_left_half_done(
    place: Place, agno_url: str, everything_db: Database
) -> None:
    name = "\U0001f9ea" * 200
    with psycopg.connect(agno_url.replace("+psycopg", "")) as connection:
        connection.execute(
            "INSERT INTO ai.agno_learnings (learning_id, learning_type, user_id, session_id, content, created_at)"
            " VALUES ('far', 'session_context', %s, %s, jsonb_build_object(cast(%s AS text), 1, 'goal', 'A trip'), 1790000000)",
            ("\U0001f9ed" * 255, "\U0001f9ee" * 255, name),
        )

    done = told(place, "--from-agno", agno_url, "--yes")

    assert done.returncode == 0, done.stderr
    assert "takes more than 2,500 bytes" in done.stderr
    stored = rows(everything_db, "SELECT DISTINCT user_id AS id FROM learning.learning WHERE user_id IS NOT NULL")
    assert {row["id"] for row in stored} <= {"alice", "bob", SHARED_BY}


def test_given_a_server_that_is_silent_when_read_then_it_ends_and_says_so(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learning_stores.import_agno._CONNECT_SECONDS", 2)  # the least that Postgres' library takes
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(OperationalError, match="timeout expired"),
    ):
        read_agno(f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/x")


def test_given_a_table_that_somebody_holds_when_read_then_it_ends_and_says_so(
    place: Place, agno_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learning_stores.import_agno._CONNECT_SECONDS", 1)
    with psycopg.connect(agno_url.replace("+psycopg", "")) as connection:
        connection.execute("LOCK TABLE ai.agno_learnings")
        with pytest.raises(OperationalError, match="lock timeout"):
            read_agno(agno_url)


def test_given_a_database_without_agnos_table_when_imported_then_it_says_so(place: Place) -> None:
    for table in ("ai.agno_learnings", "", "a.b.c", 'x"; DROP TABLE y', "pg_class"):
        with pytest.raises(NotImported, match="--table names another"):
            read_agno(place.superuser_url, table)
    both = told(place, "file.jsonl", "--from-agno", place.superuser_url)
    assert (both.returncode, both.stderr.strip()) == (2, "give either a file or --from-agno")
