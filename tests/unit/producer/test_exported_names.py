"""The public face: everything that a user writes against, and no more."""

import inspect
import subprocess
import sys

import pytest

import learning_machine
from learning_schemas import errors

NAMES = [
    "ConfigurationError",
    "ConversationCompleted",
    "DeliveryState",
    "InvalidArgument",
    "InvalidEvent",
    "LearningMachine",
    "LearningMachineError",
    "Message",
    "NotAccepted",
    "Recall",
    "RecallFailed",
    "RecalledLearning",
    "Receipt",
    "SessionContextConfig",
    "SettleTimeout",
    "TenantRequired",
    "UnprocessedMessage",
    "UserProfile",
    "UserProfileConfig",
]


def test_given_the_package_then_it_exports_exactly_these_names() -> None:
    assert learning_machine.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_given_an_exported_name_then_it_is_there_and_documented(name: str) -> None:
    exported = getattr(learning_machine, name)

    assert name == "DeliveryState" or inspect.getdoc(exported)


def test_given_the_tree_of_errors_then_all_of_it_is_exported() -> None:
    tree = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)}

    assert tree <= set(learning_machine.__all__)


def test_given_an_import_then_what_only_workers_need_is_not_imported() -> None:
    heavy = (
        "celery",
        "kombu",
        "openai",
        "jsonschema",
        "structlog",
        "alembic",
        "starlette",
        "learning_workers",
        "learning_ops",
    )
    code = f"import sys, learning_machine; print([name for name in {heavy!r} if name in sys.modules])"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout == "[]\n"


PUBLIC = ("emit", "emit_event", "recall", "settle", "close")


@pytest.mark.parametrize("name", PUBLIC)
def test_given_a_method_that_does_io_then_its_asyncio_twin_has_the_same_signature(name: str) -> None:
    method = getattr(learning_machine.LearningMachine, name)
    twin = getattr(learning_machine.LearningMachine, f"a{name}")

    assert inspect.signature(twin) == inspect.signature(method)
    assert inspect.iscoroutinefunction(twin)
    assert not inspect.iscoroutinefunction(method)


def test_given_the_machine_then_its_public_methods_are_these_and_their_twins() -> None:
    public = {name for name in vars(learning_machine.LearningMachine) if not name.startswith("_")}

    assert public == {*PUBLIC, *(f"a{name}" for name in PUBLIC), "for_tenant", "tenant"}
