"""Admission: whether a write is live at once, or waits as a proposal for a person or for a second user."""

from dataclasses import dataclass
from typing import Literal

from learning_schemas.scope import GLOBAL_NAMESPACE, USER_NAMESPACE
from learning_schemas.spec import StoreSpec
from learning_stores.operations import SAID_BY_OTHERS, SAID_BY_TOOL, SAID_BY_USER, Operation, Origin
from learning_stores.store import LearningStore

Awaits = Literal["approval", "corroboration"]

CORROBORATING_USERS = 2
"""Distinct users whose conversations must support what waits for corroboration."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """The rule for one source of writes to one place. By default everything is live at once."""

    awaits: Awaits | None = None
    confidence_below: float = 0.0

    def of(self, confidence: float) -> Awaits | None:
        """What a statement of this confidence waits for; None: nothing."""
        return "approval" if confidence < self.confidence_below else self.awaits


AT_ONCE = Admission()


def admission(store: LearningStore, spec: StoreSpec, origin: Origin) -> Admission:
    """The rule that a machine's spec sets for a store's writes. A person and an import need nobody's approval."""
    if origin in ("human", "import", "curator"):
        return AT_ONCE
    namespace = (spec.namespace or GLOBAL_NAMESPACE) if store.namespaced else None
    policy = spec.approval
    if spec.mode == "PROPOSE" or (
        policy is not None and (policy.always or (namespace is not None and namespace in (policy.namespaces or ())))
    ):
        return Admission(awaits="approval")
    below = (policy.confidence_below if policy is not None else None) or 0.0
    wider = spec.wider_writes or store.wider_writes
    if origin == "extraction" and namespace not in (None, USER_NAMESPACE) and wider != "active":
        return Admission(awaits="approval" if wider == "proposed" else "corroboration", confidence_below=below)
    return Admission(confidence_below=below)


def confidence_of(operation: Operation, origin: Origin) -> float:
    """How sure it is, by whose words it stands on."""
    if origin in ("human", "import"):
        return 1.0
    if origin == "tool":
        return SAID_BY_TOOL
    return SAID_BY_USER if any(citation.user_id is not None for citation in operation.citations) else SAID_BY_OTHERS
