"""Fixtures of the tests of isolation and attacks: a settled tenant, and a worker's desk."""

import pytest

from harness import Place
from integration.workers.conftest import desk, offline_desk, scripted
from learning_stores.database import Database
from security.residents import Ids, settled_in

__all__ = ["acme", "desk", "offline_desk", "scripted"]


@pytest.fixture
def acme(place: Place, app_db: Database, dispatcher_db: Database, everything_db: Database) -> Ids:
    """A tenant of whom every table holds something."""
    return settled_in(place, app_db, dispatcher_db, everything_db)
