"""The stores that this deployment has: the built-in ones, those of installed distributions, those that LEARNING_STORES names.

A distribution registers a store as an entry point of the group `learning_machine.stores`. Every process looks once; all
that work on one deployment (agents, dispatcher, workers) have to find the same.
"""

import importlib
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, get_args

from learning_schemas.errors import ConfigurationError
from learning_schemas.scope import ScopeKind
from learning_schemas.spec import STORE_NAME, Mode, WiderWrites
from learning_stores.settings import AgentSettings
from learning_stores.store import LearningStore

GROUP = "learning_machine.stores"
"""The group of entry points."""

_BUILT_IN = (
    "learning_stores.user_profile:UserProfileStore",
    "learning_stores.session_context:SessionContextStore",
    "learning_stores.entity_memory:EntityMemoryStore",
    "learning_stores.learned_knowledge:LearnedKnowledgeStore",
)
_RESERVED = frozenset({"curator", "embed"})  # queues of the system itself
_OWN = ("prompt", "patch_model", "operations")
_GUIDE = "docs/custom-stores.md shows how a store is made and registered"

_found: Mapping[str, LearningStore] | None = None
_so_far: dict[str, LearningStore] | None = None  # while they are looked for
_lock = threading.RLock()


def installed() -> Mapping[str, LearningStore]:
    """Every store by name, in a fixed order: built in, then by entry point, then by LEARNING_STORES. Looked for once.

    Raises `ConfigurationError` that names the entry point or the variable, and what is wrong there.
    """
    global _found, _so_far
    with _lock:
        if _so_far is not None:
            # A module that is imported for its store makes a machine while it is imported: what is built in is there by then.
            return MappingProxyType(dict(_so_far))
        if _found is None:
            _so_far = {}
            try:
                _found = find_stores(entry_points(group=GROUP), AgentSettings.load().stores, _so_far)
            finally:
                _so_far = None
        return _found


def look_again() -> None:
    """Forget what was found: the next `installed()` looks anew, as a test needs that sets the variable."""
    global _found
    with _lock:
        _found = None


def find_stores(
    registered: Iterable[EntryPoint], setting: str, stores: dict[str, LearningStore] | None = None
) -> Mapping[str, LearningStore]:
    """The built-in stores, and those of entry points and of a setting `package.module:Class,…`. Raises `ConfigurationError`.

    `stores` is filled meanwhile.
    """
    stores = {} if stores is None else stores
    for source, path in _named(registered, setting):
        store = checked_store(_imported(source, path), source)
        taken = stores.setdefault(store.name, store)
        if type(taken) is not type(store):
            raise _unusable(
                source, f"the name {store.name!r} is taken by {_path_of(taken)}", "Give the store another name"
            )
    return MappingProxyType(stores)


def checked_store(made: Any, source: str) -> LearningStore:
    """An instance of a store class (or the instance given), checked. Raises `ConfigurationError` that begins with `source`."""
    if not (isinstance(made, LearningStore) or (isinstance(made, type) and issubclass(made, LearningStore))):
        told = f"the class {made.__name__}" if isinstance(made, type) else f"a {type(made).__name__}"
        raise _unusable(source, f"is {told}, which is not a LearningStore", f"Subclass LearningStore; {_GUIDE}")
    try:
        store: LearningStore = made() if isinstance(made, type) else made
    except Exception as error:
        problem = f"raises {type(error).__name__} when it is made: {error}"
        raise _unusable(source, problem, "A store is made without arguments") from error
    if wrong := _problem(store):
        raise _unusable(source, wrong, _GUIDE)
    return store


def _named(registered: Iterable[EntryPoint], setting: str) -> Iterator[tuple[str, str]]:
    """Where a store is named, for error messages, and `package.module:Class`."""
    for path in _BUILT_IN:
        yield "built in", path
    for entry in sorted(registered, key=lambda entry: (entry.name, entry.value)):
        of = f" of {entry.dist.name}" if entry.dist is not None else ""
        yield f"entry point {entry.name}{of} ({GROUP})", entry.value
    for part in setting.split(","):
        if path := part.strip():
            yield f"LEARNING_STORES ({path})", path


def _imported(source: str, path: str) -> Any:
    module, _, name = path.partition(":")
    if not re.fullmatch(r"[\w.]+:\w+", path):
        raise _unusable(source, f"{path!r} is not of the form package.module:Class", "Write it so")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever a module does while it is imported
        told = f"cannot be imported: {type(error).__name__}: {error}"
        remedy = "Install it, or put its directory on PYTHONPATH, for every process of the deployment"
        raise _unusable(source, told, remedy) from error


def _problem(store: LearningStore) -> str | None:
    """What is wrong with a store's own words; None: nothing."""
    name, modes = getattr(store, "name", None), getattr(store, "modes", ())
    if not isinstance(name, str) or not re.fullmatch(STORE_NAME, name):
        return f"its name {name!r} does not match {STORE_NAME}"
    if name in _RESERVED:
        return f"its name {name!r} is that of a queue of the system"
    if not getattr(store, "kinds", None) or not isinstance(store.kinds, Mapping):
        return "it names no kinds of learnings"
    if bad := [kind for kind in store.kinds if not isinstance(kind, str) or not re.fullmatch(STORE_NAME, kind)]:
        return f"its kind {bad[0]!r} does not match {STORE_NAME}"
    if isinstance(modes, str) or not modes:
        return "its modes are empty" if not modes else "its modes are a text, not a tuple"
    for field, value, known in (
        *(("mode", mode, get_args(Mode)) for mode in modes),
        ("scope", store.scope, get_args(ScopeKind)),
        ("wider_writes", store.wider_writes, get_args(WiderWrites)),
    ):
        if value not in known:
            return f"its {field} {value!r} is none of {', '.join(known)}"
    missing = [method for method in _OWN if getattr(type(store), method) is getattr(LearningStore, method)]
    return f"it does not define {', '.join(missing)}" if missing else None


def _path_of(store: LearningStore) -> str:
    return f"{type(store).__module__}:{type(store).__qualname__}"


def _unusable(source: str, problem: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(source, problem, remedy)
