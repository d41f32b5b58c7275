"""One worker's work without Celery: events are taken in, mailboxes worked on, by calls in the test's own process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis

from harness import Place, event, rows
from learning_schemas.event import ConversationCompleted
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.database import Database
from learning_stores.event_log import Incoming, accept
from learning_stores.registry import installed
from learning_stores.settings import ServiceSettings
from learning_stores.specs import SpecCache
from learning_workers.extraction import Extractor, Report
from learning_workers.gate import Gate
from learning_workers.heartbeat import Heartbeat
from learning_workers.model_client import ModelClient
from learning_workers.models import load_catalogue
from scripted_model import ScriptedModel

PROFILE_NOW = MachineSpec(stores={"user_profile": StoreSpec(scope="user", debounce=0)})


class Desk:
    """What one worker works with, and what became of it."""

    def __init__(
        self, place: Place, app_db: Database, dispatcher_db: Database, everything_db: Database, url: str
    ) -> None:
        self.place = place
        self.app_db = app_db
        self.dispatcher_db = dispatcher_db
        self.everything_db = everything_db
        self.url = url
        self._used: list[ModelClient | Heartbeat | Gate] = []

    def settings(self, **values: Any) -> ServiceSettings:
        """Settings that name the scripted model."""
        given = {"model": "offline-rules-1", "model_base_url": self.url, "model_api_key": "not-a-key", **values}
        return ServiceSettings.load(
            database_url=self.place.app_url,
            dispatcher_database_url=self.place.dispatcher_url,
            redis_url=self.place.redis_url,
            **given,
        )

    def extractor(self, store: str = "user_profile", **values: Any) -> Extractor:
        """A worker process's extractor."""
        settings = self.settings(**values)
        catalogue = load_catalogue(settings)
        client = ModelClient(catalogue.key, settings.model_deadline)
        heartbeat = Heartbeat(self.app_db)
        gate = Gate.of(settings)
        self._used += [client, heartbeat, gate]
        specs = SpecCache()
        return Extractor(installed()[store], self.app_db, specs, catalogue, client, heartbeat, settings, "test", gate)

    def limits(self, **values: int) -> Path:
        """A models file that has the test's model with these limits."""
        path = self.place.directory / "models.toml"
        lines = [f"{name} = {value}" for name, value in {"max_output_tokens": 500, **values}.items()]
        path.write_text(
            "\n".join(
                ['[models."offline-rules-1"]', 'base_url = ""', 'api = "responses"', 'key_variable = "NO_KEY"', *lines]
            )
        )
        return path

    def close(self) -> None:
        """End what the extractors used."""
        for each in self._used:
            each.close()

    def take_in(self, *events: ConversationCompleted, spec: MachineSpec = PROFILE_NOW) -> list[UUID]:
        """Accept events of one spec, as intake does. Returns their ids."""
        sent = [each.model_copy(update={"spec": spec.spec_hash()}) for each in events]
        batch = [Incoming(event=each, via="stream", body_bytes=1) for each in sent]
        carried = {(each.tenant, spec.spec_hash()): spec for each in sent}
        verdicts = self.dispatcher_db.run(None, accept, batch, carried, SpecCache(), 8)
        assert set(verdicts.values()) == {"accepted"}
        return [each.id for each in events]

    def say(self, *sentences: str, spec: MachineSpec = PROFILE_NOW) -> list[UUID]:
        """Accept one event of the user alice for each sentence."""
        return self.take_in(
            *(event(messages=[{"role": "user", "content": sentence}]) for sentence in sentences), spec=spec
        )

    def mailbox(self, store: str = "user_profile") -> dict[str, Any]:
        """The store's mailbox; fails where there is not exactly one."""
        [found] = rows(self.everything_db, "SELECT * FROM learning.mailbox WHERE store = :store", store=store)
        return found

    def work(self, extractor: Extractor | None = None) -> Report:
        """Work on the one mailbox of the extractor's store."""
        extractor = extractor or self.extractor()
        mailbox = self.mailbox(extractor.store.name)
        return extractor.work(mailbox["tenant"], mailbox["id"])

    def work_off(self, extractor: Extractor | None = None) -> None:
        """Work until nothing is pending."""
        extractor = extractor or self.extractor()
        while rows(self.everything_db, "SELECT FROM learning.mailbox WHERE store = :store", store=extractor.store.name):
            self.over()
            assert self.work(extractor).windows

    def deliveries(self) -> dict[UUID, tuple[str, str | None, int]]:
        """State, reason and attempts of each event's delivery."""
        found = rows(self.everything_db, "SELECT * FROM learning.delivery ORDER BY accepted_no")
        return {row["event_id"]: (row["state"], row["reason"], row["attempts"]) for row in found}

    def memories(self) -> set[str]:
        """The contents of the live memories."""
        found = rows(
            self.everything_db, "SELECT content FROM learning.learning WHERE status = 'active' AND kind = 'memory'"
        )
        return {row["content"] for row in found}

    def change(self, statement: str, **parameters: Any) -> None:
        """Change rows, as the superuser."""
        from sqlalchemy import text

        with self.everything_db.engine.begin() as connection:
            connection.execute(text(statement), parameters)

    def pauses_over(self) -> None:
        """Let the pauses of models be over now, as after some time; whoever comes next tries."""
        with redis.Redis.from_url(self.place.redis_url) as client:
            for key in client.scan_iter("learning:pause:*"):
                client.hset(key, "until", 0)

    def over(self) -> None:
        """Let leases and pauses be over now, as after some time."""
        self.pauses_over()
        self.change(
            "UPDATE learning.mailbox SET lease_until = lease_until - interval '1 hour', "
            "not_before = not_before - interval '1 hour'"
        )

    def calls(self) -> list[str]:
        """The recorded outcomes of the model calls, in order."""
        return [
            row["outcome"] for row in rows(self.everything_db, "SELECT * FROM learning.model_call ORDER BY called_at")
        ]


@pytest.fixture
def scripted() -> Iterator[ScriptedModel]:
    """A model that answers as the test says; by default it remembers what was said word for word."""
    with ScriptedModel().running() as model:
        yield model


@pytest.fixture
def desk(
    place: Place, app_db: Database, dispatcher_db: Database, everything_db: Database, scripted: ScriptedModel
) -> Iterator[Desk]:
    """A worker's desk, with the scripted model."""
    desk = Desk(place, app_db, dispatcher_db, everything_db, scripted.url)
    yield desk
    desk.close()


@pytest.fixture
def offline_desk(
    place: Place, app_db: Database, dispatcher_db: Database, everything_db: Database, model: Any
) -> Iterator[Desk]:
    """The same, with the offline model."""
    desk = Desk(place, app_db, dispatcher_db, everything_db, model.url)
    yield desk
    desk.close()
