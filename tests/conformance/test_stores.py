"""Every store keeps what every store has to keep: the built-in ones, and the one of the cookbook."""

from collections.abc import Mapping
from typing import Any

import pytest

from decision_log import DecisionLogStore
from harness import Place
from learning_machine import (
    CustomStoreConfig,
    EntityMemoryConfig,
    LearnedKnowledgeConfig,
    SessionContextConfig,
    UserProfileConfig,
)
from learning_ops.addresses import Addresses
from learning_ops.conformance import Said, StoreCase, StoreConformance, known_as
from learning_stores.registry import installed


class _OnTheTestsServers(StoreConformance):
    """The suite against the servers that all tests share."""

    @pytest.fixture
    def database(self, place: Place) -> Addresses:
        """The test's own database."""
        return Addresses(
            database_url=place.app_url,
            dispatcher_database_url=place.dispatcher_url,
            owner_database_url=place.owner_url,
            redis_url=place.redis_url,
        )


def cited(message: str, quote: str, **more: Any) -> dict[str, Any]:
    return {"message": message, "quote": quote, **more}


def profile(*, fields: Mapping[str, Any] | None = None, **lists: Any) -> dict[str, Any]:
    named = {"name": None, "preferred_name": None, **(fields or {})}
    return {"fields": named, "add": [], "update": [], "retract": [], **lists}


class TestUserProfile(_OnTheTestsServers):
    case = StoreCase(
        store=installed()["user_profile"],
        machine={"user_profile": UserProfileConfig(debounce=0, enable_agent_tools=True)},
        said=Said(
            text="I'm Alex and I work at Netflix.",
            patch=lambda m, _: profile(
                fields={"name": cited(m, "I'm Alex and I work", value="Alex")},
                add=[cited(m, "I work at Netflix", content="Works at Netflix")],
            ),
        ),
        contradicted=Said(
            text="I left Netflix, I work at Google now.",
            patch=lambda m, known: profile(
                update=[
                    cited(m, "I work at Google now", learning=known_as(known, "Netflix"), content="Works at Google")
                ]
            ),
        ),
        another=lambda n: Said(
            text=f"I collect stamps of series {n} too.",
            patch=lambda m, _: profile(
                add=[cited(m, f"stamps of series {n}", content=f"Collects stamps of series {n}")]
            ),
        ),
    )


def summary(content: str) -> Any:
    return lambda m, _: {"summary": {"content": content, "messages": [m]}}


class TestSessionContext(_OnTheTestsServers):
    case = StoreCase(
        store=installed()["session_context"],
        machine={"session_context": SessionContextConfig(debounce=0)},
        said=Said(text="I want a flight to Rome.", patch=summary("The user wants a flight to Rome.")),
        contradicted=Said(text="Oslo instead of Rome, please.", patch=summary("The user wants a flight to Oslo.")),
        another=lambda n: Said(text=f"I want flight number {n}.", patch=summary(f"The user wants flight number {n}.")),
        accumulates=False,
    )


def entities(**lists: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {
        name: [] for name in ("entities", "facts", "properties", "events", "relationships", "retract")
    }
    return empty | lists


def acme(m: str, quote: str, content: str, replaces: str | None = None) -> dict[str, Any]:
    return entities(
        entities=[cited(m, quote, name="Acme Corp", type="company", aliases=[], description=None)],
        facts=[cited(m, quote, entity="Acme Corp", type="company", content=content, replaces=replaces)],
    )


class TestEntityMemory(_OnTheTestsServers):
    case = StoreCase(
        store=installed()["entity_memory"],
        machine={"entity_memory": EntityMemoryConfig(debounce=0, enable_agent_tools=True)},
        said=Said(
            text="Acme Corp uses MySQL for billing.",
            patch=lambda m, _: acme(m, "Acme Corp uses MySQL for billing", "Uses MySQL for billing"),
        ),
        contradicted=Said(
            text="Acme Corp uses PostgreSQL for billing now.",
            patch=lambda m, known: acme(
                m, "Acme Corp uses PostgreSQL", "Uses PostgreSQL for billing", known_as(known, "MySQL")
            ),
        ),
        another=lambda n: Said(
            text=f"Acme Corp has an office on floor {n}.",
            patch=lambda m, _: acme(m, f"an office on floor {n}", f"Has an office on floor {n}"),
        ),
    )


def knowledge(**lists: Any) -> dict[str, Any]:
    return {"insights": [], "confirm": [], "retract": [], **lists}


def insight(m: str, quote: str, title: str, learning: str) -> dict[str, Any]:
    return cited(m, quote, title=title, learning=learning, context=None, tags=["deploys"])


class TestLearnedKnowledge(_OnTheTestsServers):
    case = StoreCase(
        store=installed()["learned_knowledge"],
        machine={
            "learned_knowledge": LearnedKnowledgeConfig(
                mode="ALWAYS", wider_writes="active", debounce=0, enable_agent_tools=True
            )
        },
        said=Said(
            text="Always deploy on Mondays.",
            patch=lambda m, _: knowledge(
                insights=[insight(m, "Always deploy on Mondays", "Deploys", "Always deploy on Mondays")]
            ),
        ),
        contradicted=Said(
            text="It is not true that deploys belong on Mondays. Always deploy on Tuesdays.",
            patch=lambda m, known: knowledge(
                insights=[insight(m, "Always deploy on Tuesdays", "Deploys", "Always deploy on Tuesdays")],
                retract=[cited(m, "It is not true that deploys", learning=known_as(known, "Mondays"))],
            ),
        ),
        another=lambda n: Said(
            text=f"Restart service {n} before a deploy.",
            patch=lambda m, _: knowledge(
                insights=[
                    insight(m, f"Restart service {n} before", f"Service {n}", f"Restart service {n} before a deploy")
                ]
            ),
        ),
        private={"learned_knowledge": LearnedKnowledgeConfig(mode="ALWAYS", namespace="user", debounce=0)},
        succeeds=False,
    )


def decided(m: str, quote: str, decision: str, **more: Any) -> dict[str, Any]:
    given = {"decision": decision, "reasoning": None, "alternatives": [], "replaces": None, **more}
    return {"decisions": [cited(m, quote, **given)], "outcomes": []}


class TestDecisionLog(_OnTheTestsServers):
    case = StoreCase(
        store=DecisionLogStore(),
        machine={"stores": [CustomStoreConfig(store=DecisionLogStore, debounce=0, enable_agent_tools=True)]},
        said=Said(
            text="We decided to use Postgres because we need transactions.",
            patch=lambda m, _: decided(
                m, "We decided to use Postgres", "Use Postgres", reasoning="we need transactions"
            ),
        ),
        contradicted=Said(
            text="We decided to use MySQL instead of Postgres.",
            patch=lambda m, known: decided(
                m,
                "We decided to use MySQL",
                "Use MySQL",
                alternatives=["Postgres"],
                replaces=known_as(known, "Postgres"),
            ),
        ),
        another=lambda n: Said(
            text=f"We decided to use port {n}.",
            patch=lambda m, _: decided(m, f"We decided to use port {n}", f"Use port {n}"),
        ),
    )
