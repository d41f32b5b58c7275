"""What is held about a user leaves whole, and comes into another database under the rules of every write."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic_core import to_json

from harness import Place, event, new_place, rows, turn
from integration.stores.steps import BOTH_AT_ONCE, claim, field, put, take_in, window_of, work
from learning_machine import (
    EntityMemoryConfig,
    InvalidArgument,
    LearnedKnowledgeConfig,
    LearningMachine,
    UserProfileConfig,
)
from learning_schemas.errors import SubjectClosed
from learning_stores.database import Database
from learning_stores.export import export
from learning_stores.forgetting import forget
from learning_stores.forgetting_target import Target
from learning_stores.import_file import ExportFile
from learning_stores.import_record import NotImported
from learning_stores.importing import Import, plan, run_import
from learning_stores.rejected import Rejection, reject

BY = "support@acme.com"
ALICE = Target(kind="subject", tenant="default", subject="user/alice", user_id="alice", session_id=None)


@pytest.fixture
def elsewhere(servers: tuple[str, str], template: str) -> Iterator[Place]:
    """Another database, empty."""
    with new_place(servers, template) as place:
        yield place


@pytest.fixture
def elsewhere_db(elsewhere: Place) -> Iterator[Database]:
    with Database(elsewhere.app_url) as database:
        yield database


@pytest.fixture
def elsewhere_everything(elsewhere: Place) -> Iterator[Database]:
    with Database(elsewhere.superuser_url) as database:
        yield database


def machine_of(place: Place) -> LearningMachine:
    return place.machine(
        user_profile=UserProfileConfig(mode="AGENTIC"),
        session_context=True,
        entity_memory=EntityMemoryConfig(mode="AGENTIC", namespace="user"),
        learned_knowledge=LearnedKnowledgeConfig(mode="PROPOSE"),
    )


@pytest.fixture
def alice(place: Place, app_db: Database, dispatcher_db: Database, everything_db: Database) -> None:
    """A user with everything: an extraction, corrections, a retraction, a session, entities, an insight that is proposed and one
    that another user supports, a model call, and somebody else beside them."""
    take_in(dispatcher_db, event(), event(user_id="bob", messages=turn("I work at Acme.")), spec=BOTH_AT_ONCE)
    scope = "SELECT id FROM learning.mailbox WHERE store = :store AND user_id = 'alice'"
    for store in ("user_profile", "session_context"):
        (box,) = rows(everything_db, scope, store=store)
        held = claim(app_db, box["id"])
        window = window_of(app_db, held)
        if store == "user_profile":
            said = (field(window, "name", "Alex"), put(window, "Works at Netflix"))
        else:
            said = (put(window, "They spoke about work.", kind="summary", key="summary"),)
        work(app_db, held, *said, window=window)
    with machine_of(place) as machine:
        machine.add(field="name", value="Alice", user_id="alice", by=BY)
        gone = machine.add("Likes tea", user_id="alice", by=BY)
        machine.retract(gone.id, by=BY)
        machine.add("Likes coffee", user_id="bob", by=BY)
        machine.add("Uses PostgreSQL", entity="Acme Corp", type="company", user_id="alice", by=BY)
        machine.add(
            relation="CTO of",
            entity="Bob",
            type="person",
            target="Acme Corp",
            target_type="company",
            user_id="alice",
            by=BY,
        )
        (propose,) = [each for each in machine.tools(user_id="alice") if each.name == "propose_learning"]
        propose(title="Egress", learning="Check egress costs first.", context=None, tags=["cloud"])
        for user in ("alice", "bob"):
            machine.add(
                title="CI", learning="Retry the login test once.", tags=["ci"], user_id=user, by=f"{user}@acme.com"
            )
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO learning.model_call (tenant, id, extraction_id, store, purpose, subject, user_id, model_asked, "
            "prompt_name, prompt_version, outcome, events, cost_usd, seconds) "
            "SELECT 'default', gen_random_uuid(), gen_random_uuid(), 's', 'p', "
            "'user/' || u, u, 'm', 'p', '1', 'ok', 1, 0.00125, 1 FROM unnest(ARRAY['alice', 'bob']) AS u"
        )
    refused = Rejection(
        stream="s",
        entry_id="1-0",
        tenant="default",
        event_id=None,
        field="f",
        reason="r",
        body=b"I said",
        subject="user/alice",
    )
    dispatcher_db.run(None, reject, [refused])


def of_type(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in records if each["record"] == kind]


def saved(directory: Path, database: Database, user_id: str = "alice", tenant: str = "default") -> ExportFile:
    path = directory / "export.jsonl"
    path.write_bytes(b"".join(export(database, tenant, user_id).lines()))
    return ExportFile(path)


def wanted(source: ExportFile, **values: Any) -> Import:
    return Import(**{"source": source, "tenant": "default", "user_id": source.user_id, **values})


def learned(records: list[dict[str, Any]]) -> list[str]:
    """Learnings without what another database makes anew: ids, when a live one began to be held there, who wrote it down."""
    anew = {
        "id",
        "made_by",
        "retired_by",
        "replaced_by",
        "replaces",
        "restores",
        "origin",
        "recalled",
        "last_recalled_at",
    }
    found = []
    for each in of_type(records, "learning"):
        kept = {name: value for name, value in each.items() if name not in anew}
        if kept["status"] != "retired":
            del kept["live_from"]
        for end in ("about", "target"):
            kept[end] = kept[end] and {name: kept[end][name] for name in ("namespace", "type", "name")}
        if kept["target"]:
            kept["content_key"] = kept["content_key"].rpartition(":")[0]
        kept["evidence"] = sorted(
            json.dumps({name: said[name] for name in ("event_id", "message", "quote", "user_id", "occurred_at")})
            for said in kept["evidence"]
        )
        found.append(json.dumps(kept, sort_keys=True))
    return sorted(found)


@pytest.mark.usefixtures("alice")
def test_given_a_user_with_everything_when_exported_then_it_is_all_there_and_nobody_elses(app_db: Database) -> None:
    header, *records = list(export(app_db, "default", "alice"))
    assert (header["format"], header["version"], header["tenant"], header["user_id"]) == (
        "learning-machine-export",
        1,
        "default",
        "alice",
    )
    assert header["counts"] == {kind: len(of_type(records, kind)) for kind in header["counts"]}
    assert {
        "subject",
        "session",
        "entity",
        "learning",
        "event",
        "extraction",
        "change",
        "model_call",
        "rejected_event",
    } <= {kind for kind, count in header["counts"].items() if count}
    assert "embeddings" in header["left_out"]
    (told,) = of_type(records, "event")
    assert told["messages"][0]["content"] == "I work at Netflix."
    assert {each["state"] for each in told["deliveries"]} == {"extracted"}
    by_content = {each["content"]: each for each in of_type(records, "learning")}
    assert by_content["name: Alex"]["status"] == "retired"
    assert by_content["name: Alex"]["replaced_by"] == by_content["name: Alice"]["id"]
    netflix = by_content["Works at Netflix"]
    assert [(said["quote"], said["event_id"]) for said in netflix["evidence"]] == [("I work at Netflix.", told["id"])]
    assert netflix["made_by"] in {each["id"] for each in of_type(records, "extraction")}
    shared = next(each for content, each in by_content.items() if "login test" in content)
    assert [said["user_id"] for said in shared["evidence"]] == [None]
    assert {each["by_whom"] for each in of_type(records, "change")} >= {BY, "alice@acme.com"}
    assert of_type(records, "session") == [
        {**of_type(records, "session")[0], "session_id": "s1", "messages_shown": 2, "first_event_id": told["id"]}
    ]
    assert of_type(records, "model_call")[0]["cost_usd"] == 0.00125
    assert {each["name"] for each in of_type(records, "entity")} == {
        "Bob",
        "Acme Corp",
    }
    assert b"bob" not in b"".join(to_json(each) for each in records).replace(b'"Bob"', b"")
    assert "Acme." not in json.dumps(records)


@pytest.mark.usefixtures("alice")
def test_given_time_for_no_more_than_a_page_when_exported_then_it_is_the_same_from_several_moments(
    app_db: Database,
) -> None:
    whole = list(export(app_db, "default", "alice"))
    pieces = list(export(app_db, "default", "alice", seconds=0.0))
    assert len(whole[0]["moments"]) == 1
    assert len(pieces[0]["moments"]) > 5
    assert pieces[1:] == whole[1:]
    assert pieces[0]["counts"] == whole[0]["counts"]


@pytest.mark.usefixtures("alice")
def test_given_another_tenant_when_it_exports_the_same_user_then_the_file_is_empty_and_says_so(
    app_db: Database,
) -> None:
    header, *records = list(export(app_db, "acme", "alice"))
    assert records == []
    assert set(header["counts"].values()) == {0}


@pytest.mark.usefixtures("alice")
def test_given_a_machine_when_it_exports_then_both_ways_give_the_same_and_a_wrong_user_is_told_at_once(
    place: Place,
) -> None:
    async def all_of_it(machine: LearningMachine) -> list[dict[str, Any]]:
        found = [record async for record in await machine.aexport("alice")]
        await machine.aclose()
        return found

    with machine_of(place) as machine:
        first = list(machine.export("alice"))
        assert first[1:] == asyncio.run(all_of_it(machine))[1:]
        assert len(list(machine.for_tenant("acme").export("alice"))) == 1
        with pytest.raises(InvalidArgument, match="user_id"):
            machine.export("")


@pytest.mark.usefixtures("alice")
def test_given_an_export_when_imported_into_an_empty_database_and_exported_there_then_the_learnings_are_equal(
    tmp_path: Path, app_db: Database, elsewhere_db: Database, elsewhere_everything: Database
) -> None:
    source = saved(tmp_path, app_db)
    planned = plan(elsewhere_db, wanted(source))
    assert (planned.known, planned.entities, planned.learnings["proposed"]) == (0, 2, 1)
    assert rows(elsewhere_everything, "SELECT 1 FROM learning.learning") == []

    done = run_import(elsewhere_db, wanted(source, by="ann"))

    assert done["past"] == planned.learnings["retired"] == 2
    assert done["added"] == planned.learnings["active"]
    here, there = list(export(app_db, "default", "alice")), list(export(elsewhere_db, "default", "alice"))
    assert learned(there) == learned(here)
    assert {each["origin"] for each in of_type(there, "learning")} == {"import"}
    assert {each["by_whom"] for each in of_type(there, "change")} == {"ann"}
    names = {each["id"]: each["content"] for each in of_type(there, "learning")}
    followed = {
        each["content"]: names[each["replaced_by"]] for each in of_type(there, "learning") if each["replaced_by"]
    }
    assert followed == {"name: Alex": "name: Alice"}

    tables = (
        "SELECT (SELECT count(*) FROM learning.learning) l, (SELECT count(*) FROM learning.evidence) e, "
        "(SELECT count(*) FROM learning.change) c, (SELECT count(*) FROM learning.entity) n"
    )
    before = rows(elsewhere_everything, tables)
    again = run_import(elsewhere_db, wanted(source))
    assert rows(elsewhere_everything, tables) == before
    assert again["known"] == planned.learnings.total()
    assert set(again) == {"known", "entities"}
    assert plan(elsewhere_db, wanted(source)).known == planned.learnings.total()


@pytest.mark.usefixtures("alice")
def test_given_another_user_and_tenant_when_imported_then_it_is_theirs_alone_and_shared_things_stay_where_asked(
    tmp_path: Path, app_db: Database, everything_db: Database
) -> None:
    source = saved(tmp_path, app_db)
    run_import(app_db, wanted(source, tenant="acme", user_id="carol", shared=False))
    found = rows(
        everything_db,
        "SELECT DISTINCT user_id, namespace FROM learning.learning WHERE tenant = 'acme' ORDER BY 2",
    )
    assert found == [{"user_id": "carol", "namespace": "user"}, {"user_id": "carol", "namespace": None}]
    told = rows(
        everything_db, "SELECT DISTINCT subject, user_id FROM learning.evidence WHERE tenant = 'acme' ORDER BY 2"
    )
    assert told == [{"subject": "user/carol", "user_id": "carol"}, {"subject": "user/carol", "user_id": None}]
    forget(app_db, Target(kind="subject", tenant="acme", subject="user/carol", user_id="carol", session_id=None))
    assert rows(everything_db, "SELECT 1 FROM learning.learning WHERE tenant = 'acme'") == []


@pytest.mark.usefixtures("alice")
def test_given_something_newer_here_when_imported_then_it_stays_and_the_older_is_its_history(
    tmp_path: Path, app_db: Database, elsewhere: Place, elsewhere_db: Database
) -> None:
    source = saved(tmp_path, app_db)
    with machine_of(elsewhere) as machine:
        machine.add(field="name", value="Alicia", user_id="alice", by=BY)
        taken_back = machine.add("Works at Netflix", user_id="alice", by=BY)
        machine.retract(taken_back.id, by=BY)
        done = run_import(elsewhere_db, wanted(source))
        live = {each.content for each in machine.learnings(user_id="alice", store="user_profile")}
        assert live == {"name: Alicia"}
        assert done["history"] == 2
        run_import(elsewhere_db, wanted(source))
        assert {each.content for each in machine.learnings(user_id="alice", store="user_profile")} == live


@pytest.mark.usefixtures("alice")
def test_given_a_user_who_is_closed_or_forgotten_meanwhile_when_imported_then_nothing_more_comes_in(
    tmp_path: Path, app_db: Database, elsewhere_db: Database, elsewhere_everything: Database
) -> None:
    source = saved(tmp_path, app_db)

    class Meanwhile:
        name, user_id = source.name, source.user_id

        def records(self) -> Iterator[Any]:
            for place, found in enumerate(source.records()):
                if place == 4:
                    forget(elsewhere_db, ALICE)
                yield found

    with pytest.raises(NotImported, match="was forgotten while"):
        run_import(elsewhere_db, Import(source=Meanwhile(), tenant="default", user_id="alice"))
    assert rows(elsewhere_everything, "SELECT 1 FROM learning.learning WHERE user_id = 'alice'") == []
    forget(elsewhere_db, ALICE, close=True)
    for attempt in (plan, run_import):
        with pytest.raises(SubjectClosed):
            attempt(elsewhere_db, wanted(source))


def _learning(**values: Any) -> dict[str, Any]:
    moment = "2026-01-01T00:00:00+00:00"
    return {
        "record": "learning", "id": str(UUID(int=1)), "store": "user_profile", "kind": "memory", "content": "Likes tea",
        "content_key": "likes tea", "status": "active", "valid_from": moment, "live_from": moment, "origin": "human", **values,
    }  # fmt: skip


_ACME = {"namespace": "global", "type": "company", "name": "Acme"}
_SHARED = {"store": "learned_knowledge", "kind": "insight", "namespace": "global"}
_ENTITY = {"store": "entity_memory", "kind": "fact", "namespace": "global", "about": _ACME}


@pytest.mark.parametrize(
    ("wrong", "where", "why"),
    [
        ({"content": "x" * 4_001}, "line 2, content", "at most 4000"),
        ({"content": "a\x00b"}, "line 2, content", "NUL"),
        ({"status": "retired"}, "line 2", "retired_at"),
        ({"valid_from": "yesterday"}, "line 2, valid_from", "datetime"),
        ({"valid_from": "2026-01-01T00:00:00"}, "line 2, valid_from", "no time zone"),
        ({"evidence": [{"quote": "x"}]}, r"line 2, evidence\[0\].occurred_at", "is missing"),
        ({"id": "7"}, "line 2, id", "UUID"),
        ({"store": "no_such_store"}, "line 2, store", "not installed here"),
        ({"language": "klingon"}, "line 2, language", "text search configuration"),
        ({"confidence": 2}, "line 2, confidence", "less than or equal to 1"),
        ({"valid_from": "2999-01-01T00:00:00Z"}, "line 2, valid_from", "more than a day ahead"),
        ({"live_from": "9999-12-31T23:59:59-12:00"}, "line 2, live_from", "more than a day ahead"),
        ({"evidence": [{"occurred_at": "2999-01-01T00:00:00Z"}]}, r"line 2, evidence\[0\].occurred_at", "a day ahead"),
        ({"kind": "nonsense"}, "line 2, kind", "none of user_profile: there are field, memory"),
        ({"namespace": "global"}, "line 2, namespace", "learnings of user_profile do not"),
        ({"kind": "field", "data": {}}, "line 2, data.name", "is missing"),
        ({"kind": "field", "data": {"name": ["x"], "value": 1}}, "line 2, data.name", "string"),
        ({"store": "session_context", "kind": "summary"}, "line 2, session_id", "belong to a session"),
        ({**_SHARED, "namespace": None}, "line 2, namespace", "learnings of learned_knowledge do"),
        ({**_SHARED, "data": {}}, "line 2, data.title", "is missing"),
        ({**_SHARED, "data": {"title": "t", "learning": "l", "fields": 5}}, "line 2, data.fields", "not an object"),
        ({**_ENTITY, "about": None}, "line 2, about", "is about an entity"),
        ({**_ENTITY, "kind": "property"}, "line 2, data.name", "is missing"),
        ({**_ENTITY, "kind": "relationship"}, "line 2, target", "for a relationship"),
        ({**_ENTITY, "kind": "relationship", "target": _ACME}, "line 2, data.relation", "is missing"),
    ],
)
def test_given_a_record_that_is_wrong_when_planned_then_line_and_field_are_named(
    tmp_path: Path, app_db: Database, wrong: dict[str, Any], where: str, why: str
) -> None:
    path = tmp_path / "wrong.jsonl"
    header = {
        "record": "header", "format": "learning-machine-export", "version": 1, "tenant": "t", "user_id": "u",
        "counts": {"learning": 1},
    }  # fmt: skip
    path.write_bytes(to_json(header) + b"\n" + json.dumps(_learning(**wrong)).encode() + b"\n")
    with pytest.raises(NotImported, match=f"^{where}.*: .*{why}"):
        plan(app_db, wanted(ExportFile(path)))


@pytest.mark.usefixtures("alice")
def test_given_a_file_that_is_cut_off_or_none_of_ours_when_read_then_it_is_refused(
    tmp_path: Path, app_db: Database
) -> None:
    source = saved(tmp_path, app_db)
    path = tmp_path / "export.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for body, problem in (
        (b"".join(lines[:-1]), "the file is not whole"),
        (whole[:-9], "is no JSON"),
        (whole + lines[-1], "the file is not whole"),
        (lines[0] + b"[1]\n", "says which record it is"),
    ):
        path.write_bytes(body)
        with pytest.raises(NotImported, match=problem):
            plan(app_db, wanted(source))
    for body in (b"", b"{}\n", b"hello\n", lines[0].replace(b'"version":1', b'"version":2')):
        path.write_bytes(body)
        with pytest.raises(NotImported, match="line 1"):
            ExportFile(path)
    with pytest.raises(NotImported, match="No such file"):
        ExportFile(tmp_path / "nowhere")


@pytest.mark.usefixtures("alice")
def test_given_two_imports_of_one_file_at_once_then_each_learning_comes_once(
    tmp_path: Path, app_db: Database, elsewhere_db: Database
) -> None:
    source = saved(tmp_path, app_db)
    planned = plan(elsewhere_db, wanted(source)).learnings.total()
    with ThreadPoolExecutor(2) as pool:
        both = [done.result() for done in [pool.submit(run_import, elsewhere_db, wanted(source)) for _ in range(2)]]
    assert sum(done["known"] for done in both) == planned
    assert learned(list(export(elsewhere_db, "default", "alice"))) == learned(list(export(app_db, "default", "alice")))
