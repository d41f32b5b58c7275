"""The stores that this deployment has."""

from learning_stores.session_context import SessionContextStore
from learning_stores.store import LearningStore
from learning_stores.user_profile import UserProfileStore

STORES: dict[str, LearningStore] = {store.name: store for store in (UserProfileStore(), SessionContextStore())}
