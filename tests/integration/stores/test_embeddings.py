"""The work list of embeddings, what is written, and when a tenant can be read with a model."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from harness import rows
from learning_schemas.ids import uuid7
from learning_stores.database import Database
from learning_stores.embedding_coverage import (
    coverage,
    drop_model,
    drop_vectors,
    due,
    lacking,
    missing_index,
    remaining,
    try_refused_again,
)
from learning_stores.embedding_tenants import every_tenant, walk
from learning_stores.embeddings import (
    DimensionsDiffer,
    begin,
    models_of,
    pause,
    record,
    settle,
    switch,
    switch_first,
    take,
)

_LEARN = text("""
    INSERT INTO learning.learning (tenant, id, store, kind, scope, content, content_key, data, about, status, awaits, valid_from,
                                   live_from, origin)
    VALUES (:tenant, :id, 'user_profile', :kind, 'user/alice', :content, :id, '{}', :about, :status,
            CASE WHEN :status = 'proposed' THEN 'approval' END, now(), clock_timestamp(), 'tool')
""")


def learn(
    db: Database,
    content: str = "Is vegetarian",
    *,
    tenant: str = "default",
    kind: str = "memory",
    status: str = "active",
    about: UUID | None = None,
) -> UUID:
    """A learning; its id."""
    given = {"tenant": tenant, "id": uuid7(), "kind": kind, "content": content, "about": about, "status": status}
    with db.transaction(tenant) as session:
        session.execute(_LEARN, given)
    return UUID(str(given["id"]))


def change(db: Database, learning_id: UUID, assignments: str, tenant: str = "default") -> None:
    with db.transaction(tenant) as session:
        session.execute(text(f"UPDATE learning.learning SET {assignments} WHERE id = :id"), {"id": learning_id})


RETIRED = "status = 'retired', awaits = NULL, retired_at = clock_timestamp()"


def on_list(everything_db: Database) -> set[UUID]:
    return {row["learning_id"] for row in rows(everything_db, "SELECT learning_id FROM learning.embedding_due")}


def embed(db: Database, model: str, *ids: UUID, tenant: str = "default", dimensions: int = 3) -> int:
    vectors = {each: [1.0, 0.5] + [0.0] * (dimensions - 2) for each in ids}
    return db.run(tenant, record, tenant, model, vectors)


def vectors_of(everything_db: Database) -> set[tuple[str, str, UUID]]:
    found = rows(everything_db, "SELECT tenant, model, learning_id FROM learning.learning_embedding")
    return {(row["tenant"], row["model"], row["learning_id"]) for row in found}


def test_given_learnings_when_they_begin_and_end_then_the_work_list_holds_those_that_recall_may_show(
    app_db: Database, everything_db: Database
) -> None:
    memory, proposal = learn(app_db), learn(app_db, "Likes tea", status="proposed")
    learn(app_db, "Acme", kind="alias")
    assert on_list(everything_db) == {memory}

    change(app_db, proposal, "status = 'active', awaits = NULL")
    change(app_db, memory, "confidence = 0.5")
    assert on_list(everything_db) == {memory, proposal}

    change(app_db, memory, RETIRED)
    assert on_list(everything_db) == {proposal}

    with app_db.transaction("default") as session:
        session.execute(text("DELETE FROM learning.learning WHERE id = :id"), {"id": proposal})
    assert on_list(everything_db) == set()


def test_given_a_learning_about_an_entity_when_taken_then_its_text_is_what_recall_shows(app_db: Database) -> None:
    entity = uuid7()
    with app_db.transaction("default") as session:
        session.execute(
            text(
                "INSERT INTO learning.entity (tenant, id, namespace, type, name, name_key) "
                "VALUES ('default', :id, 'global', 'company', 'Acme Corp', 'acme corp')"
            ),
            {"id": entity},
        )
    learn(app_db, "Is in Berlin", kind="fact", about=entity)
    learn(app_db, "Acme Corp: supplier of Initech", kind="relationship", about=entity)

    _, found = app_db.run("default", take, "default", 10, 60)

    assert {row.text for row in found} == {"Acme Corp (company): Is in Berlin", "Acme Corp: supplier of Initech"}


def test_given_rows_when_taken_recorded_and_settled_then_each_step_may_be_done_twice_and_nothing_remains(
    app_db: Database, everything_db: Database
) -> None:
    first, second = learn(app_db), learn(app_db, "Likes tea")
    app_db.run("default", begin, "default", "m", None)

    ids, found = app_db.run("default", take, "default", 10, 60)
    assert set(ids) == {first, second}
    assert all(row.missing == ("m",) and not row.waits for row in found)
    assert app_db.run("default", take, "default", 10, 60) == ([], []), "somebody has them"

    assert embed(app_db, "m", first) == 1
    assert embed(app_db, "m", first, second) == 1
    for _ in range(2):
        app_db.run("default", settle, "default", ids, 0)
    assert on_list(everything_db) == set()
    [model] = rows(everything_db, "SELECT * FROM learning.embedding_model")
    assert (model["dimensions"], model["state"]) == (3, "building")
    assert {row["dimensions"] for row in rows(everything_db, "SELECT dimensions FROM learning.learning_embedding")} == {
        3
    }


def test_given_a_worker_that_died_when_its_time_is_over_then_its_rows_are_ready_again(
    app_db: Database, everything_db: Database
) -> None:
    learning = learn(app_db)
    app_db.run("default", begin, "default", "m", None)

    taken, _ = app_db.run("default", take, "default", 10, 0)

    assert taken == [learning]
    assert app_db.run("default", take, "default", 10, 60)[0] == [learning]


def test_given_two_workers_at_once_when_they_take_then_no_row_is_taken_by_both(app_db: Database) -> None:
    made = {learn(app_db, f"Fact {number}") for number in range(40)}
    app_db.run("default", begin, "default", "m", None)

    with ThreadPoolExecutor(4) as pool:
        taken = [
            each
            for ids, _ in pool.map(lambda _: app_db.run("default", take, "default", 10, 60), range(4))
            for each in ids
        ]

    assert len(taken) == len(set(taken))
    assert set(taken) <= made


def test_given_a_backlog_when_rows_are_taken_then_what_was_learned_last_comes_first(app_db: Database) -> None:
    made = [learn(app_db, f"Fact {number}") for number in range(5)]

    assert set(app_db.run("default", take, "default", 2, 60)[0]) == set(made[-2:])


def test_given_a_learning_that_ended_meanwhile_when_recorded_then_it_is_left_out(
    app_db: Database, everything_db: Database
) -> None:
    gone, kept = learn(app_db), learn(app_db, "Likes tea")
    app_db.run("default", begin, "default", "m", None)
    ids, _ = app_db.run("default", take, "default", 10, 60)
    change(app_db, gone, RETIRED)

    assert embed(app_db, "m", gone, kept) == 1
    app_db.run("default", settle, "default", ids, 0)

    assert vectors_of(everything_db) == {("default", "m", kept)}
    assert on_list(everything_db) == set()


def test_given_vectors_of_other_dimensions_when_recorded_then_none_is_written(
    app_db: Database, everything_db: Database
) -> None:
    first, second = learn(app_db), learn(app_db, "Likes tea")
    app_db.run("default", begin, "default", "m", None)
    embed(app_db, "m", first)

    with pytest.raises(DimensionsDiffer, match="3 dimensions, and now 4"):
        embed(app_db, "m", second, dimensions=4)

    assert vectors_of(everything_db) == {("default", "m", first)}


def test_given_a_model_that_was_taken_from_the_tenant_when_recorded_then_nothing_is_written(
    app_db: Database, everything_db: Database
) -> None:
    learning = learn(app_db)

    assert embed(app_db, "m", learning) == 0
    assert vectors_of(everything_db) == set()


def test_given_a_paused_model_when_taken_then_it_is_not_missing_and_its_row_waits_as_long(
    app_db: Database, everything_db: Database
) -> None:
    learning = learn(app_db)
    for model in ("a", "b"):
        app_db.run("default", begin, "default", model, None)
    app_db.run("default", pause, "default", "b", 600, "HTTP 429")

    ids, [row] = app_db.run("default", take, "default", 10, 60)
    assert (row.missing, row.waits) == (("a",), True)
    embed(app_db, "a", learning)
    app_db.run("default", settle, "default", ids, 1)

    assert app_db.run("default", take, "default", 10, 60) == ([], [])
    [waiting] = rows(
        everything_db, "SELECT ready_at > now() + interval '9 minutes' AS long FROM learning.embedding_due"
    )
    assert waiting["long"]
    assert [(each.model, each.failures, each.waits) for each in app_db.run("default", models_of, "default")] == [
        ("a", 0, False),
        ("b", 1, True),
    ]
    embed(app_db, "b", learning)
    assert not any(each.waits or each.failures for each in app_db.run("default", models_of, "default"))


def test_given_a_text_that_is_refused_when_settled_then_it_is_off_the_list_counted_and_tried_again_on_request(
    app_db: Database, everything_db: Database
) -> None:
    good, bad = learn(app_db), learn(app_db, "Likes tea")
    app_db.run("default", begin, "default", "m", None)
    ids, _ = app_db.run("default", take, "default", 10, 60)
    app_db.run("default", record, "default", "m", {good: [1.0, 2.0]}, {bad: "HTTP 400"})
    app_db.run("default", settle, "default", ids, 0)

    assert on_list(everything_db) == set()
    assert app_db.run("default", switch_first, "default") == "m"
    [found] = app_db.run("default", coverage, "default")
    assert (found.live, found.embedded, found.refused, found.state) == (2, 1, 1, "reading")
    assert app_db.run("default", lacking, "default", "m", None, 10) == []

    app_db.run("default", try_refused_again, "default", "m")
    assert [row.learning_id for row in app_db.run("default", lacking, "default", "m", None, 10)] == [bad]


def test_given_a_live_learning_without_a_vector_when_switching_then_the_model_is_not_read_with_yet(
    app_db: Database,
) -> None:
    first, second = learn(app_db), learn(app_db, "Likes tea")
    app_db.run("default", begin, "default", "m", None)
    embed(app_db, "m", first)
    assert not app_db.run("default", switch, "default", "m")

    embed(app_db, "m", second)
    assert app_db.run("default", switch, "default", "m")
    assert not app_db.run("default", switch, "default", "m"), "it is read with already"


def test_given_a_list_that_misses_a_learning_when_the_only_model_would_be_switched_then_it_is_put_back(
    app_db: Database, everything_db: Database
) -> None:
    learning = learn(app_db)
    app_db.run("default", begin, "default", "m", None)
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM learning.embedding_due")

    assert app_db.run("default", switch_first, "default") is None
    assert on_list(everything_db) == {learning}


def test_given_a_second_model_that_was_given_up_when_the_first_is_complete_then_it_is_read_with_and_the_second_is_not(
    app_db: Database, everything_db: Database
) -> None:
    first, second = learn(app_db), learn(app_db, "Likes tea")
    app_db.run("default", begin, "default", "z-first", None)
    app_db.run("default", begin, "default", "a-second", None)
    embed(app_db, "z-first", first)
    embed(app_db, "a-second", first, second)
    assert app_db.run("default", switch_first, "default") is None, "one lacks it"

    embed(app_db, "z-first", second)
    third = learn(app_db, "Likes cocoa")
    assert app_db.run("default", switch_first, "default") is None, "what was just learned lacks it"
    embed(app_db, "z-first", third)

    assert app_db.run("default", switch_first, "default") == "z-first"
    assert app_db.run("default", switch_first, "default") is None
    assert on_list(everything_db) == {first, second, third}, "the second model lacks one of them still"
    states = rows(everything_db, "SELECT model, state FROM learning.embedding_model ORDER BY model")
    assert [tuple(row.values()) for row in states] == [("a-second", "building"), ("z-first", "reading")]


def test_given_two_models_when_one_is_dropped_then_its_vectors_go_in_batches_and_the_other_stays(
    app_db: Database, everything_db: Database
) -> None:
    made = [learn(app_db, f"Fact {number}") for number in range(5)]
    for model in ("old", "new"):
        app_db.run("default", begin, "default", model, None)
        embed(app_db, model, *made)

    app_db.run("default", drop_model, "default", "old")
    after, batches = None, 0
    while after := app_db.run("default", drop_vectors, "default", "old", after, 2):
        batches += 1

    assert batches == 3
    assert vectors_of(everything_db) == {("default", "new", each) for each in made}


def test_given_two_tenants_when_one_is_worked_on_then_the_other_is_untouched_and_both_are_found(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    made = {tenant: learn(app_db, tenant=tenant) for tenant in ("acme", "globex", "initech")}
    app_db.run("acme", begin, "acme", "m", None)
    ids, _ = app_db.run("acme", take, "acme", 10, 60)
    assert ids == [made["acme"]]
    assert app_db.run("acme", record, "acme", "m", {each: [1.0, 0.0] for each in made.values()}) == 1

    found = {each.tenant: (each.ready, each.taken) for each in dispatcher_db.run(None, walk)}
    assert found == {"acme": (False, True), "globex": (True, False), "initech": (True, False)}
    app_db.run("acme", settle, "acme", ids, 0)
    app_db.run("globex", begin, "globex", "m", None)
    app_db.run("globex", pause, "globex", "m", 60, "HTTP 500")
    assert [(each.tenant, each.ready) for each in dispatcher_db.run(None, walk)] == [
        ("globex", False),
        ("initech", True),
    ]
    assert [each.tenant for each in dispatcher_db.run(None, walk, "globex")] == ["initech"]
    assert [each.tenant for each in dispatcher_db.run(None, walk, "", 1)] == ["globex"]
    assert dispatcher_db.run(None, every_tenant) == ["acme", "globex", "initech"]
    assert vectors_of(everything_db) == {("acme", "m", made["acme"])}


def test_given_texts_when_what_remains_is_counted_then_it_is_their_bytes_and_paging_meets_each_once(
    app_db: Database,
) -> None:
    made = [learn(app_db, f"Fact {number}") for number in range(5)]
    app_db.run("default", begin, "default", "m", None)
    embed(app_db, "m", made[2])

    left: Any = app_db.run("default", remaining, "default", "m")
    assert (left.learnings, left.text_bytes) == (4, 4 * len("Fact 0"))
    assert app_db.run("default", due, "default") == 5
    met: list[UUID] = []
    while page := app_db.run("default", lacking, "default", "m", met[-1] if met else None, 3):
        met += [row.learning_id for row in page]
    assert met == [each for each in made if each != made[2]]


def test_given_a_model_without_an_index_when_it_is_asked_for_then_the_statement_makes_it(
    app_db: Database, everything_db: Database
) -> None:
    learning = learn(app_db)
    app_db.run("default", begin, "default", "it's m", None)
    embed(app_db, "it's m", learning)

    statement = app_db.run("default", missing_index, "it's m", 3)

    assert statement is not None
    with everything_db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(statement)
    assert app_db.run("default", missing_index, "it's m", 3) is None
    assert app_db.run("default", missing_index, "text-embedding-3-small", 1536) is None
    assert app_db.run("default", missing_index, "huge", 4001) is None
