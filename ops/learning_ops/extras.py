"""Parts of the distribution that are installed on request."""

import importlib.util

DISTRIBUTION = "learning-machine"


class MissingExtra(Exception):
    """this command needs an extra that is not installed: pip install 'learning-machine[embedded]'"""

    def __init__(self, extra: str, module: str) -> None:
        self.extra = extra
        self.module = module
        super().__init__(f"this command needs an extra that is not installed: pip install '{DISTRIBUTION}[{extra}]'")


def require_extra(extra: str, module: str) -> None:
    """Make sure that top-level module `module`, which comes with `extra`, can be imported; does not import it.

    Raises MissingExtra.
    """
    if importlib.util.find_spec(module) is None:
        raise MissingExtra(extra, module)
