"""The user profile's config."""

from dataclasses import dataclass
from typing import ClassVar

from learning_machine.config.store import StoreConfig
from learning_schemas.patch import profile_patch_model
from learning_schemas.profile import UserProfile
from learning_stores.store import LearningStore
from learning_stores.user_profile import UserProfileStore

_STORE = UserProfileStore()


@dataclass(frozen=True, kw_only=True)
class UserProfileConfig(StoreConfig):
    """The user profile: ALWAYS (the default) or AGENTIC. `schema` extends `UserProfile` (a dataclass), or is a pydantic model."""

    _default_schema: ClassVar[type | None] = UserProfile
    _schema_remedy: ClassVar[str] = (
        "Extend learning_machine.UserProfile: @dataclass class CustomerProfile(UserProfile): …"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        profile_patch_model(self.spec())

    def _learning_store(self) -> LearningStore:
        return _STORE
