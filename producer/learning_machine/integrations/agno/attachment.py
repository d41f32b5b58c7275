"""Where an agent or a team of agno's takes its machine: ours connects there, and adds its post-hook.

agno resolves `learning=` in one function for agents and one for teams, at the start of each run. Both are wrapped, once a process:
a machine that is not ours goes through agno's own. The functions are private to agno, so that a version without them is refused
by name at the import.
"""

import importlib
from collections.abc import Callable
from functools import wraps
from typing import Any

from learning_machine.integrations.agno.machine import LearningMachine
from learning_schemas.errors import ConfigurationError

_RESOLVERS = (("agno.agent._init", "set_learning_machine"), ("agno.team._init", "_set_learning_machine"))
_MARK = "_learning_machine_installed"


def install() -> None:
    """Wrap agno's functions, unless they are. Raises `ConfigurationError` for a version of agno that has none of them."""
    for module_name, name in _RESOLVERS:
        module = importlib.import_module(module_name)
        resolver = getattr(module, name, None)
        if not callable(resolver):
            raise ConfigurationError(
                "agno",
                f"{module_name} has no {name}: this version is not known here",
                "pip install 'learning-machine[agno]'",
            )
        if not hasattr(resolver, _MARK):
            setattr(module, name, _taking_ours(resolver))


def _taking_ours(resolver: Callable[[Any], None]) -> Callable[[Any], None]:
    @wraps(resolver)
    def resolve(owner: Any) -> None:
        if not isinstance(owner.learning, LearningMachine):
            resolver(owner)
            return
        owner._learning_init_attempted = True
        owner.learning.attach(owner)
        owner._learning = owner.learning

    setattr(resolve, _MARK, True)
    return resolve
