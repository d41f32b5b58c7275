"""The public face: everything that a user writes against, and no more."""

import inspect
import subprocess
import sys

import pytest

import learning_machine
from learning_schemas import errors

NAMES = [
    "Approval",
    "Arguments",
    "Calling",
    "Citation",
    "Cited",
    "ConfigurationError",
    "Confirm",
    "ConversationCompleted",
    "CustomStoreConfig",
    "DeliveryState",
    "Entity",
    "EntityMemoryConfig",
    "EntityName",
    "EventForgotten",
    "Evidence",
    "Export",
    "ForgetReceipt",
    "Found",
    "Grounds",
    "InvalidArgument",
    "InvalidEvent",
    "Known",
    "LearnedKnowledgeConfig",
    "Learning",
    "LearningMachine",
    "LearningMachineError",
    "LearningMode",
    "LearningStore",
    "LiveLearning",
    "MemoryUnavailable",
    "Message",
    "NotAccepted",
    "NotForgotten",
    "Operations",
    "PatchModel",
    "Prompt",
    "Prune",
    "Put",
    "Reading",
    "Recall",
    "RecallFailed",
    "RecalledLearning",
    "Receipt",
    "Retire",
    "SessionContextConfig",
    "SettleTimeout",
    "StaleLearning",
    "StoreSpec",
    "SubjectClosed",
    "TenantRequired",
    "Tool",
    "ToolDefinition",
    "ToolRefusal",
    "UnknownLearning",
    "UnprocessedMessage",
    "UserProfile",
    "UserProfileConfig",
    "Window",
    "content_key",
    "live_learnings",
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


PUBLIC = {
    "add", "approve", "close", "edit", "emit", "emit_event", "entity", "export", "get", "history", "learnings", "promote",
    "proposals", "recall",
    "forget", "reopen", "search", "reject", "retract", "search_entities", "settle", "update",
}  # fmt: skip
"""What does I/O; each has a twin for asyncio."""
WITHOUT_IO = {"for_tenant", "instructions", "spec", "tenant", "tools"}


def _public() -> set[str]:
    made = learning_machine.LearningMachine
    return {name for each in made.__mro__[:-1] for name in (*vars(each), *each.__annotations__) if name[0] != "_"}


@pytest.mark.parametrize("name", sorted(_public() - WITHOUT_IO))
def test_given_a_method_that_does_io_then_its_asyncio_twin_has_the_same_signature(name: str) -> None:
    synchronous = name.removeprefix("a") if name.removeprefix("a") in _public() else name
    method = getattr(learning_machine.LearningMachine, synchronous)
    twin = getattr(learning_machine.LearningMachine, f"a{synchronous}")

    assert inspect.signature(twin) == inspect.signature(method)
    assert inspect.iscoroutinefunction(twin)
    assert not inspect.iscoroutinefunction(method)


def test_given_the_machine_then_its_public_methods_are_these_and_their_twins() -> None:
    assert _public() == {*PUBLIC, *(f"a{name}" for name in PUBLIC), *WITHOUT_IO}
