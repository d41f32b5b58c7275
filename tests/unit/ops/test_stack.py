"""What a stack does in its own process while it starts."""

import threading
from pathlib import Path
from typing import Any

import pytest

from learning_ops import stack as module
from learning_ops.embedded import DataDirectory
from learning_ops.stack import Stack


class Reached(Exception):
    """As far as the test goes."""


def test_given_imports_under_way_in_a_thread_when_the_servers_run_then_nothing_else_is_imported_before_these_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrating, imported = threading.Event(), threading.Event()

    def import_ahead() -> None:
        migrating.wait(0.2)  # who does not wait for this thread is there by then
        imported.set()

    def migrated(_: Any) -> None:
        done = imported.is_set()
        migrating.set()
        assert done
        raise Reached

    with DataDirectory(tmp_path) as opened:
        stack = Stack(opened, model="openai", openai_key="k")
        monkeypatch.setattr(module, "_import_ahead", import_ahead)
        monkeypatch.setattr(Stack, "_migrated", migrated)
        monkeypatch.setattr(stack.services, "start", lambda: None)
        with pytest.raises(Reached):
            stack.start()
