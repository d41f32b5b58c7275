"""What a question is made of: a window, its spec, and what is known. Read in one transaction, over before a model is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from learning_schemas.scope import GLOBAL_NAMESPACE
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.mailbox import Claim
from learning_stores.operations import LiveLearning
from learning_stores.place import Place, read_scopes, written_scope
from learning_stores.specs import SpecCache
from learning_stores.store import LearningStore, Reading, known_to
from learning_stores.window import Window, load_window


@dataclass(frozen=True, kw_only=True)
class Material:
    """A window and what is asked with it. `spec` is None where it is not registered; `reading` where a user is needed."""

    window: Window
    spec: MachineSpec | None
    reading: Reading | None
    known: Sequence[LiveLearning]


def read_material(
    session: Session, store: LearningStore, specs: SpecCache, held: Claim, budget: int, *, window_only: bool = False
) -> Material | None:
    """The next window, of `budget` tokens, and what is asked with it; None where nothing is pending.

    With `window_only` the store is not asked what it knows: of a window that is not going to be extracted.
    """
    window = load_window(session, held, budget)
    if window is None:
        return None
    key = (held.tenant, window.spec_hash)
    spec = None if window_only else specs.load(session, [key]).get(key)
    if spec is None or store.name not in spec.stores:
        return Material(window=window, spec=None, reading=None, known=())
    reading = _reading(store, held, window, spec.stores[store.name], spec.language)
    known = () if reading is None else known_to(session, store, reading, window, held.scope)
    return Material(window=window, spec=spec, reading=reading, known=known)


def _reading(
    store: LearningStore, held: Claim, window: Window, spec: StoreSpec, language: str | None
) -> Reading | None:
    """Where the store writes for this mailbox, and what it reads; None where a user is needed and there is none."""
    whose = (store.scope, store.namespaced, spec, held.user_id, held.session_id)
    scope = written_scope(*whose)
    if scope is None:
        return None
    place = Place(
        tenant=held.tenant,
        store=store.name,
        scope=scope,
        user_id=held.user_id,
        session_id=held.session_id,
        namespace=(spec.namespace or GLOBAL_NAMESPACE) if store.namespaced else None,
        agent_id=window.agent_id,
        team_id=window.team_id,
        language=language,
    )
    return Reading(place=place, scopes=read_scopes(*whose), spec=spec)
