"""Another tenant's ids, through every method of a machine and every tool: they give nothing, change nothing, tell nothing.

What a machine gains joins by itself: a public method, or a tool, without a line in the tables below fails a test.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from harness import Place, turn
from learning_machine import LearningMachine, Tool
from learning_stores.database import Database
from security.residents import SECRET, A, B, Ids, attempt, guessed, holdings, machine_for, untold

BY = "mallory@globex.com"

# How each method is called with what is known or guessed of another tenant. `machine` may be the asyncio twin.
CALLS: dict[str, Callable[[Any, Ids], object]] = {
    "add": lambda machine, ids: machine.add("Is here", user_id=ids.user, by=BY),
    "approve": lambda machine, ids: machine.approve(ids.proposal, by=BY),
    "edit": lambda machine, ids: machine.edit(ids.proposal, learning="Wait for nothing", by=BY),
    "emit": lambda machine, ids: machine.emit(turn("I am here."), user_id=ids.user, session_id=ids.session),
    "emit_event": lambda machine, ids: machine.emit_event(ids.event),
    "entity": lambda machine, ids: machine.entity(ids.entity, hops=3, user_id=ids.user),
    "export": lambda machine, ids: machine.export(ids.user).header["counts"],
    "forget": lambda machine, ids: machine.forget(event_id=ids.event.id, by=BY),
    "get": lambda machine, ids: machine.get(ids.memory),
    "history": lambda machine, ids: machine.history(ids.retired),
    "learnings": lambda machine, ids: machine.learnings(
        user_id=ids.user, session_id=ids.session, status="all", after=ids.insight
    ),
    "promote": lambda machine, ids: machine.promote(ids.insight, "wider", by=BY),
    "proposals": lambda machine, ids: machine.proposals(user_id=ids.user, after=ids.proposal),
    "recall": lambda machine, ids: machine.recall(
        f"{SECRET} {ids.entity}", user_id=ids.user, session_id=ids.session, deadline=20.0
    ),
    "reject": lambda machine, ids: machine.reject(ids.proposal, by=BY),
    "reopen": lambda machine, ids: machine.reopen(ids.user),
    "retract": lambda machine, ids: machine.retract(ids.fact, by=BY),
    "search": lambda machine, ids: machine.search(SECRET, user_id=ids.user, session_id=ids.session),
    "search_entities": lambda machine, ids: machine.search_entities(ids.entity, user_id=ids.user),
    "settle": lambda machine, ids: machine.settle(ids.receipt, timeout=0),
    "update": lambda machine, ids: machine.update(ids.memory, "Keeps nothing", by=BY),
}
# The same methods in other ways.
FURTHER: dict[str, Callable[[Any, Ids], object]] = {
    "recall, waiting": lambda machine, ids: machine.recall(user_id=ids.user, wait_for=ids.receipt, deadline=20.0),
    "recall, as of": lambda machine, ids: machine.recall(user_id=ids.user, as_of=ids.event.occurred_at, deadline=20.0),
    "get, a proposal": lambda machine, ids: machine.get(ids.proposal),
    "get, retired": lambda machine, ids: machine.get(ids.retired),
    "retract, retired": lambda machine, ids: machine.retract(ids.retired, by=BY),
    "update, a fact": lambda machine, ids: machine.update(ids.fact, "Digs here", by=BY),
    "learnings, shared": lambda machine, ids: machine.learnings(status="all"),
    "proposals, all": lambda machine, ids: machine.proposals(),
    "search_entities, all": lambda machine, ids: machine.search_entities(),
    "forget, a session": lambda machine, ids: machine.forget(user_id=ids.user, session_id=ids.session, by=BY),
    "forget, a user": lambda machine, ids: machine.forget(user_id=ids.user, close=True, by=BY),
    "reopen, what was closed here": lambda machine, ids: machine.reopen(ids.user),
    "settle, as if one's own": lambda machine, ids: machine.settle(
        ids.receipt.__class__(**{**ids.receipt.__dict__, "tenant": B}), timeout=0
    ),
}
NO_IDS = {
    "close": "takes nothing",
    "instructions": "takes nothing, and is the same text for everybody",
    "tools": "every tool that it gives is called below",
    "tenant": "whose memory it is",
    "for_tenant": "is how a program says whose memory it means: the boundary is whoever may call it (docs/security.md)",
}
NO_LEAKS = {  # what each tool is called with
    "update_profile": lambda ids: {"field": "name", "value": "Mallory"},
    "save_memory": lambda ids: {"content": "Likes tea"},
    "update_memory": lambda ids: {"memory": str(ids.memory), "content": "Keeps nothing"},
    "forget_memory": lambda ids: {"memory": str(ids.memory)},
    "remember_entity": lambda ids: {"name": f"{ids.entity} of ours", "type": "company", "aliases": []},
    "add_fact": lambda ids: {"entity": ids.entity, "fact": "Digs no more"},
    "add_event": lambda ids: {"entity": ids.entity, "event": "Closed", "date": None},
    "link_entities": lambda ids: {"source": ids.entity, "relation": "owns", "target": ids.entity},
    "search_entities": lambda ids: {"query": ids.entity},
    "forget_fact": lambda ids: {"entity": ids.entity, "fact": f"Digs at {SECRET}"},
    "search_learnings": lambda ids: {"query": f"{SECRET} tide"},
    "save_learning": lambda ids: {"title": "Tides", "learning": f"Of {ids.user}: wait for the tide"},
    "propose_learning": lambda ids: {"title": "Tides", "learning": f"Of {ids.user}: wait no more for the tide"},
}


class Awaited:
    """A machine by its asyncio twins: `machine.get(…)` is `await machine.aget(…)`."""

    def __init__(self, machine: LearningMachine) -> None:
        self._machine = machine

    def __getattr__(self, name: str) -> Callable[..., object]:
        twin = getattr(self._machine, f"a{name}")

        def call(*arguments: Any, **named: Any) -> object:
            async def awaited() -> object:
                async with machine_twin(self._machine):
                    return await twin(*arguments, **named)

            return asyncio.run(awaited())

        return call


class machine_twin:  # noqa: N801 - a context manager, used as a function
    """Gives back the loop's connections."""

    def __init__(self, machine: LearningMachine) -> None:
        self._machine = machine

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        await self._machine.aclose()


def public_methods() -> set[str]:
    """The public names of a machine."""
    return {name for name in dir(LearningMachine) if not name.startswith("_")}


def twin_of(name: str) -> str | None:
    """The method whose asyncio twin this is."""
    return name[1:] if name.startswith("a") and name[1:] in public_methods() else None


def test_given_every_public_method_then_this_test_knows_how_to_call_it() -> None:
    known = CALLS.keys() | NO_IDS.keys()
    assert {name for name in public_methods() if (twin_of(name) or name) not in known} == set()
    assert known - public_methods() == set()


@pytest.mark.parametrize("twin", [False, True], ids=["sync", "asyncio"])
def test_given_another_tenants_ids_when_every_method_is_called_then_nothing_is_given_changed_or_told(
    place: Place, everything_db: Database, acme: Ids, twin: bool
) -> None:
    before = holdings(everything_db, A)
    assert [table for table, (number, _) in before.items() if number == 0] == []
    nothing = guessed()
    with machine_for(place, B) as machine:
        asked: Any = Awaited(machine) if twin else machine
        for name, call in {**CALLS, **FURTHER}.items():
            of_acme, of_nothing = attempt(call, asked, acme), attempt(call, asked, nothing)
            assert SECRET not in _without_question(of_acme), name
            assert untold(of_acme, acme) == untold(of_nothing, nothing), name
    assert holdings(everything_db, A) == before


@pytest.mark.parametrize("mode", ["AGENTIC", "PROPOSE"])
def test_given_another_tenants_ids_when_every_tool_is_called_then_nothing_is_given_changed_or_told(
    place: Place, everything_db: Database, acme: Ids, mode: str
) -> None:
    before = holdings(everything_db, A)
    nothing = guessed()
    with machine_for(place, B, mode=mode) as machine:
        of_acme, of_nothing = _tools(machine, acme), _tools(machine, nothing)
        assert of_acme.keys() - NO_LEAKS.keys() == set()
        for name, tool in of_acme.items():
            known, unknown = tool(**NO_LEAKS[name](acme)), of_nothing[name](**NO_LEAKS[name](nothing))
            assert SECRET not in _without_question(known), name
            assert untold(known, acme) == untold(unknown, nothing), name
    assert holdings(everything_db, A) == before


def _tools(machine: LearningMachine, ids: Ids) -> Mapping[str, Tool]:
    return {tool.name: tool for tool in machine.tools(user_id=ids.user, session_id=ids.session)}


def _without_question(answer: object) -> str:
    """The answer, without the words that were asked with."""
    return repr(answer).replace(f"Digs at {SECRET}", "")


def test_given_a_machine_that_requires_a_tenant_then_every_method_asks_for_one(place: Place, acme: Ids) -> None:
    with place.machine(require_tenant=True, learned_knowledge=True, entity_memory=True, user_profile=True) as machine:
        for name, call in CALLS.items():
            told = attempt(call, machine, acme)
            assert isinstance(told, str), name
            assert told.startswith("TenantRequired"), (name, told)
        with pytest.raises(ValueError, match="requires a tenant"):
            machine.tools(user_id=acme.user)
