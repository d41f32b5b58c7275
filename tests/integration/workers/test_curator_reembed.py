"""The curator's `reembed`: what lacks a vector is put on the work list, and what served before goes once nobody needs it."""

from collections.abc import Iterator

import pytest

from embedding_doubles import vectors
from harness import Place, rows
from integration.stores.test_embeddings import RETIRED, change, embed, learn, on_list, vectors_of
from integration.workers.curating import Curating
from learning_stores.curator import reembed
from learning_stores.curator.runs import Run
from learning_stores.database import Database
from learning_stores.embedding_coverage import drop_model
from learning_stores.embeddings import begin, switch
from learning_stores.settings import ServiceSettings
from learning_workers.embedding import Embedder
from learning_workers.models import load_catalogue
from scripted_model import ScriptedModel

OLD, NEW = "old", "new"


@pytest.fixture
def curating(place: Place, everything_db: Database) -> Iterator[Curating]:
    curating = Curating(place, everything_db, embedding_model=NEW, embedding_base_url="http://127.0.0.1:9/v1")
    yield curating
    curating.close()


def read_with(db: Database, model: str, tenant: str = "default") -> None:
    db.run(tenant, begin, tenant, model, None)
    embed(db, model, *[row["id"] for row in lacking(db, model, tenant)], tenant=tenant)
    assert db.run(tenant, switch, tenant, model)


def lacking(db: Database, model: str, tenant: str) -> list[dict[str, object]]:
    from sqlalchemy import text

    with db.transaction(tenant) as session:
        found = session.execute(
            text(
                "SELECT id FROM learning.learning l WHERE status = 'active' AND NOT EXISTS ("
                "SELECT FROM learning.learning_embedding v WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.model = :m)"
            ),
            {"m": model},
        )
        return [dict(row._mapping) for row in found]


def emptied(curating: Curating) -> None:
    """What was on the work list was worked off, for the models that there were."""
    curating.change("DELETE FROM learning.embedding_due")


def grown_old(curating: Curating, model: str, days: int) -> None:
    curating.change(
        "UPDATE learning.embedding_model SET since = now() - :d * interval '1 day' WHERE model = :m", d=days, m=model
    )


def models(curating: Curating) -> dict[str, str]:
    found = rows(curating.db, "SELECT model, state FROM learning.embedding_model WHERE tenant = 'default'")
    return {row["model"]: row["state"] for row in found}


def run(curating: Curating, *, dry_run: bool = False) -> Run:
    done = curating.run("reembed", dry_run=dry_run)
    assert done.state == "done"
    return done


def test_given_another_model_that_serves_when_run_then_what_lacks_it_is_listed_embedded_switched_to_and_the_old_one_goes_later(
    curating: Curating, app_db: Database, everything_db: Database
) -> None:
    live = {learn(app_db, f"Likes {number}") for number in range(5)}
    ended = learn(app_db, "Liked tea")
    read_with(app_db, OLD)
    grown_old(curating, OLD, 100)
    change(app_db, ended, RETIRED)
    learn(app_db, "Acme", kind="alias")
    learn(app_db, "Elsewhere", tenant="globex")
    emptied(curating)

    whole = curating.everything()
    dry = run(curating, dry_run=True)
    assert (dry.looked_at >= 5, dry.report) == (True, {"put_on_the_list": 5})
    assert curating.everything() == whole

    first = run(curating)
    assert first.report == {"put_on_the_list": 5}
    assert on_list(everything_db) == live
    assert models(curating) == {OLD: "reading", NEW: "building"}
    assert run(curating).report == {}  # they are on the list already

    embed(app_db, NEW, *live)
    second = run(curating)
    assert second.report == {"reading": NEW}
    assert models(curating) == {OLD: "reading", NEW: "reading"}
    assert run(curating).report == {}  # agents may still name the old one
    grown_old(curating, NEW, 8)

    whole = curating.everything()
    assert run(curating, dry_run=True).report == {"dropped": OLD, "vectors_removed": 6}
    assert curating.everything() == whole
    third = run(curating)
    assert third.report == {"dropped": OLD, "vectors_removed": 6}
    assert {(model, learning) for _, model, learning in vectors_of(everything_db)} == {(NEW, each) for each in live}
    assert models(curating) == {NEW: "reading"}
    assert run(curating).changed == 0


def test_given_a_live_learning_without_its_vector_when_run_then_the_old_model_stays_until_it_has_one(
    curating: Curating, app_db: Database, everything_db: Database
) -> None:
    learn(app_db)
    read_with(app_db, OLD)
    grown_old(curating, OLD, 100)
    read_with(app_db, NEW)
    grown_old(curating, NEW, 30)
    late = learn(app_db, "Likes rye")
    emptied(curating)
    assert run(curating).report == {"put_on_the_list": 1}
    assert on_list(everything_db) == {late}
    assert models(curating) == {OLD: "reading", NEW: "reading"}
    embed(app_db, NEW, late)
    assert run(curating).report == {"dropped": OLD, "vectors_removed": 1}


def test_given_a_move_to_another_model_under_way_when_run_then_that_one_is_left_alone(
    curating: Curating, app_db: Database, everything_db: Database
) -> None:
    learn(app_db)
    read_with(app_db, NEW)
    grown_old(curating, NEW, 30)
    app_db.run("default", begin, "default", "newer", None)
    run(curating)
    assert models(curating) == {NEW: "reading", "newer": "building"}
    read = [row["id"] for row in lacking(app_db, "newer", "default")]
    embed(app_db, "newer", *read)
    assert app_db.run("default", switch, "default", "newer")
    run(curating)
    assert models(curating) == {NEW: "reading", "newer": "reading"}
    assert len(vectors_of(everything_db)) == 2


def test_given_steps_of_a_few_rows_and_vectors_that_a_drop_left_behind_when_run_then_all_of_them_are_reached(
    curating: Curating, app_db: Database, everything_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LEARNINGS_AT_ONCE", "VECTORS_AT_ONCE"):
        monkeypatch.setattr(reembed, name, 2)
    live = {learn(app_db, f"Likes {number}") for number in range(5)}
    read_with(app_db, OLD)
    app_db.run("default", drop_model, "default", OLD)  # and the command was ended here
    emptied(curating)
    done = run(curating)
    assert done.report == {"put_on_the_list": 5, "vectors_removed": 5}
    assert vectors_of(everything_db) == set()
    assert on_list(everything_db) == live


def test_given_a_tenant_with_nothing_or_no_model_that_serves_when_run_then_nothing_is_begun(
    curating: Curating, app_db: Database
) -> None:
    run(curating)
    assert models(curating) == {}
    learn(app_db)
    done = curating.run("reembed", embedding_model=" ")
    assert (done.state, done.report) == ("done", {"skipped": "no embedding model"})
    assert models(curating) == {}


def test_given_what_was_put_on_the_list_when_a_worker_embeds_then_it_has_its_vector_and_the_next_run_reads_with_it(
    curating: Curating, app_db: Database, everything_db: Database, scripted: ScriptedModel
) -> None:
    scripted.answer = vectors
    live = learn(app_db)
    read_with(app_db, OLD)
    emptied(curating)
    assert curating.run("reembed", embedding_base_url=scripted.url).report == {"put_on_the_list": 1}
    settings = ServiceSettings.load(
        database_url=curating.place.app_url, embedding_model=NEW, embedding_base_url=scripted.url
    )
    embedder = Embedder(app_db, load_catalogue(settings), settings)
    try:
        assert embedder.work("default").embedded == 1
    finally:
        embedder.close()
    assert ("default", NEW, live) in vectors_of(everything_db)
    assert on_list(everything_db) == set()
    assert curating.run("reembed", embedding_base_url=scripted.url).report == {"reading": NEW}
