"""Every exception of Learning Machine, drawn once.

LearningMachineError
├── ConfigurationError          (also ValueError)   the machine or a config cannot be made as asked
│   └── TenantRequired                              require_tenant=True and the call names none
├── InvalidEvent                (also ValueError)   bad input to emit, or a bad wire entry
├── InvalidArgument             (also ValueError)   bad input to any other call
├── NotAccepted                                     no configured place would take an event; the event is on it
├── UnknownLearning             (also LookupError)  no learning, or no proposal, of that id is here
├── StaleLearning                                   it is no longer live, or was decided before
├── NotForgotten                                    something was left after many rounds of deletion
├── SubjectClosed                                   the user or session was forgotten and is kept out
├── MemoryUnavailable                               Postgres could not be asked, or did not answer in time
├── SettleTimeout               (also TimeoutError) deliveries were still pending; their states are on it
│   └── EventForgotten                              there will be none: its user or session was forgotten
└── RecallFailed                                    only with on_error="raise"
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from learning_schemas.event import ConversationCompleted


class LearningMachineError(Exception):
    """Something in Learning Machine went wrong."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Made again from what it holds and not through __init__, so that it passes between processes.
        return _made_again, (type(self), self.args, self.__dict__)


def _made_again(kind: type[LearningMachineError], args: tuple[Any, ...], held: dict[str, Any]) -> LearningMachineError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(held)
    return error


class ConfigurationError(LearningMachineError, ValueError):
    """The configuration names something that cannot be used."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}. {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy


class TenantRequired(ConfigurationError):
    """This machine was made with require_tenant=True and the call names no tenant."""

    def __init__(self) -> None:
        super().__init__(
            "tenant", "this machine requires a tenant and none is set", "Use machine.for_tenant('acme') for the call"
        )


class InvalidEvent(LearningMachineError, ValueError):
    """The event breaks the wire format; the message names the field, what is wrong with it, and the remedy."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}. {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy


class InvalidArgument(LearningMachineError, ValueError):
    """An argument of the call cannot be used; the message names it and the remedy."""

    def __init__(self, argument: str, problem: str, remedy: str) -> None:
        super().__init__(f"{argument}: {problem}. {remedy}")
        self.argument = argument
        self.problem = problem
        self.remedy = remedy


class NotAccepted(LearningMachineError):
    """No configured place would take the event; it is on `.event`, and the causes are in `.causes` by place.

    Nothing was lost yet: keep the event and call `machine.emit_event(error.event)` later. Its id stays the same,
    so that sending it again is harmless even where an answer was lost on the way.
    """

    def __init__(self, event: "ConversationCompleted", causes: Mapping[str, str]) -> None:
        told = "; ".join(f"{place}: {cause}" for place, cause in causes.items())
        super().__init__(
            f"event {event.id} was not accepted ({told}). The event is on .event: "
            "send it again with emit_event() once one of these places is back"
        )
        self.event = event
        self.causes = dict(causes)


class UnknownLearning(LearningMachineError, LookupError):
    """There is no learning of that id in this tenant, or none that this machine may see."""

    def __init__(self, learning_id: object) -> None:
        super().__init__(
            f"there is no learning {learning_id} here. `learning-machine learnings list` and `machine.learnings()` list them"
        )
        self.learning_id = learning_id


class StaleLearning(LearningMachineError):
    """The learning was retired, replaced or decided before; `.state` says what became of it."""

    def __init__(self, learning_id: object, state: str) -> None:
        super().__init__(
            f"learning {learning_id} {state}. `learning-machine learnings history {learning_id}` and `machine.history(id)` "
            "show what became of it"
        )
        self.learning_id = learning_id
        self.state = state


class SubjectClosed(LearningMachineError):
    """The user, or the session where there is no user, was forgotten and closed: nothing is remembered of them."""

    def __init__(self, user_id: str | None, session_id: str | None = None) -> None:
        whom = f"user {user_id}" if user_id else f"session {session_id}"
        super().__init__(
            f"{whom} was forgotten and is closed: nothing is remembered. `learning-machine forget --reopen` lets them in again"
        )
        self.user_id = user_id
        self.session_id = session_id


class NotForgotten(LearningMachineError):
    """Something was left after many rounds of deletion: somebody keeps writing what is being forgotten."""

    def __init__(self, rounds: int) -> None:
        super().__init__(f"something is left after {rounds} rounds of deletion. Ask again: it goes on from there")
        self.rounds = rounds


class MemoryUnavailable(LearningMachineError):
    """Postgres could not be asked, or did not answer in time: nothing was changed, unless the connection broke at the commit."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"the memory cannot be reached: {cause}. Try again; `learning-machine status` says how it is")
        self.cause = cause


class SettleTimeout(LearningMachineError, TimeoutError):
    """Deliveries were still pending when the time was up.

    `.states` says which, by store; `.waits` what a paused one waits for, by store (`provider`, `waiting for store`); `.cause`
    what failed at last.
    """

    def __init__(
        self,
        timeout: float,
        states: Mapping[str, str],
        cause: str | None = None,
        waits: Mapping[str, str] | None = None,
    ) -> None:
        why = {store: f" ({reason})" for store, reason in (waits or {}).items()}
        told = ", ".join(f"{store}={state}{why.get(store, '')}" for store, state in states.items())
        told = told or "no delivery has appeared yet"
        super().__init__(
            f"not settled within {timeout:g} s: {told if cause is None else f'{told} ({cause})'}. "
            "`learning-machine status` says what the work waits for"
        )
        self.timeout = timeout
        self.states = dict(states)
        self.waits = dict(waits or {})
        self.cause = cause


class EventForgotten(SettleTimeout):
    """The event is not in the log, and will not be: its user or session was forgotten. Raised at once."""

    def __init__(self, event_id: UUID, timeout: float) -> None:
        super().__init__(timeout, {})
        self.args = (
            f"event {event_id} was forgotten, with its user or session: it has no deliveries, and will have none",
        )
        self.event_id = event_id


class RecallFailed(LearningMachineError):
    """Recall could not be answered within its deadline, and the caller asked for an error instead of a degraded result."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"recall failed: {cause}. Without on_error='raise' this is an empty result with .degraded set")
        self.cause = cause
