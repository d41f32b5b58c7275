"""What the offline model of a stack is told: its key always, and of the user's variables those that make it misbehave."""

from pathlib import Path

import pytest

from learning_ops.embedded import DataDirectory
from learning_ops.offline.faults import FAULTS
from learning_ops.stack import Stack


def test_given_variables_of_the_offline_model_when_a_stack_makes_it_then_it_has_those_and_not_their_key_or_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {f"LEARNING_OFFLINE_RATE_{fault.upper()}": "0.1" for fault in FAULTS}
    told |= {
        f"LEARNING_OFFLINE_{name}": "1" for name in ("CONTROL", "LATENCY", "RETRY_AFTER", "SEED", "TIMEOUT_SECONDS")
    }
    kept_back = {f"LEARNING_OFFLINE_{name}": "mine" for name in ("API_KEY", "HOST", "PORT", "REQUEST_LOG")}
    for name, value in {**told, **kept_back}.items():
        monkeypatch.setenv(name, value)

    with DataDirectory(tmp_path / "data") as data:
        model = Stack(data)._offline(0)
        controlled = Stack(data, controlled=True)._offline(0)
        key = data.secret("offline-model")

    assert model.env is not None
    given = {name: value for name, value in model.env.items() if name.startswith("LEARNING_")}
    assert given == {**told, "LEARNING_OFFLINE_API_KEY": key}
    assert "--control" not in model.argv
    assert controlled.argv[-1] == "--control"
