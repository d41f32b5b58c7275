"""A schema that extends one of agno's, as one that our stores take: the fields that it adds."""

import dataclasses
from typing import Any, get_type_hints

from agno.learn.schemas import LearnedKnowledge, SessionContext
from agno.learn.schemas import UserProfile as AgnoUserProfile

from learning_schemas.errors import ConfigurationError
from learning_schemas.profile import UserProfile

_BASES: dict[str, tuple[type, tuple[type, ...]]] = {
    "user_profile": (AgnoUserProfile, (UserProfile,)),
    "session_context": (SessionContext, ()),
    "learned_knowledge": (LearnedKnowledge, ()),
}
"""By store: agno's class, and what ours extends."""


def schema_of(store: str, given: type | None) -> type | None:
    """The class for our config; None where agno's own is meant. What does not extend agno's is passed on as it is.

    Raises `ConfigurationError` for annotations that cannot be resolved.
    """
    if given is None or store not in _BASES:
        return given
    base, ours = _BASES[store]
    if not (isinstance(given, type) and issubclass(given, base) and dataclasses.is_dataclass(given)):
        return given
    inherited = {each.name for each in dataclasses.fields(base)}
    own = [
        each for each in dataclasses.fields(given) if each.name not in inherited and not each.metadata.get("internal")
    ]
    if not own:
        return None
    try:
        hints = get_type_hints(given)
    except (NameError, TypeError) as error:
        raise ConfigurationError(
            f"{store}.schema", f"{given.__name__} has an annotation that cannot be resolved ({error})", "Use JSON types"
        ) from None
    made: type = dataclasses.make_dataclass(
        given.__name__, [(each.name, hints[each.name], _field(each)) for each in own], bases=ours
    )
    made.__doc__ = given.__doc__
    return made


def _field(of: "dataclasses.Field[Any]") -> Any:
    if of.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=of.default_factory, metadata=of.metadata)
    default = None if of.default is dataclasses.MISSING else of.default
    return dataclasses.field(default=default, metadata=of.metadata)
