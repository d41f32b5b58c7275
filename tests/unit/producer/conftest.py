"""Machines of tests that talk to no server."""

from collections.abc import Callable
from typing import Any

import pytest

from learning_machine import LearningMachine

NOWHERE = {"database_url": "postgresql://app:pw@127.0.0.1:1/x", "redis_url": "redis://127.0.0.1:1/0"}


@pytest.fixture
def machine_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Callable[..., LearningMachine]:
    """Makes a machine whose servers are nowhere."""
    monkeypatch.chdir(tmp_path)
    for variable in ("LEARNING_DATABASE_URL", "LEARNING_REDIS_URL", "LEARNING_TENANT", "LEARNING_SHARDS"):
        monkeypatch.delenv(variable, raising=False)

    def make(**options: Any) -> LearningMachine:
        return LearningMachine(**{**NOWHERE, **options})

    return make
