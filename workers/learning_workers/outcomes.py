"""What can become of a model call besides an answer. None of these carries text of a conversation or of the model.

ModelFailure
├── ProviderFailure    nothing is wrong with the events: the mailbox waits, and no attempt is used up
│   ├── RateLimited         429; with Retry-After where it was given
│   ├── ServerFailed        5xx
│   ├── TimedOut            the hard deadline passed
│   ├── Unreachable         no connection
│   └── Misconfigured       no key, a refused key, an unknown model name, a request that the server does not take
└── AnswerFailure      the answer is of no use: asked again, then event by event
    ├── CutOff              the output limit was reached: the window is split
    ├── Refused             the model declined
    ├── SchemaRefused       the server does not take the schema of the answer, which is the spec's
    └── InvalidOutput       not JSON, or not the patch that was asked for
"""

from learning_workers.gate import Verdict


class ModelFailure(Exception):
    """A model call without a patch. `outcome` is what its record says; `note` is for operators."""

    outcome = "failed"

    def __init__(self, note: str) -> None:
        super().__init__(note)
        self.note = note


class ProviderFailure(ModelFailure):
    """The provider did not answer; `retry_after` (seconds) where it said when to come back."""

    def __init__(self, note: str, retry_after: float | None = None) -> None:
        super().__init__(note)
        self.retry_after = retry_after


class RateLimited(ProviderFailure):
    """The provider asks to slow down."""

    outcome = "rate_limited"


class ServerFailed(ProviderFailure):
    """The provider has an error of its own."""

    outcome = "server_error"


class TimedOut(ProviderFailure):
    """The provider did not answer within the deadline."""

    outcome = "timeout"


class Unreachable(ProviderFailure):
    """The provider's address does not answer."""

    outcome = "unreachable"


class Misconfigured(ProviderFailure):
    """The provider refuses the request as it is made here: somebody has to change the configuration."""

    outcome = "refused_request"


class AnswerFailure(ModelFailure):
    """An answer of no use."""


class CutOff(AnswerFailure):
    """The answer was longer than the model may write, or the question longer than it can read."""

    outcome = "cut_off"


class Refused(AnswerFailure):
    """The model declined to answer."""

    outcome = "refused"


class SchemaRefused(AnswerFailure):
    """The server does not take the schema that the spec asks for; a spec never changes under its hash."""

    outcome = "unusable_schema"


class InvalidOutput(AnswerFailure):
    """The answer is not the patch that was asked for."""

    outcome = "invalid_output"


def verdict(failure: ModelFailure | None) -> Verdict:
    """What a call tells of the provider: asks to slow down, has a trouble of its own, or answers, whatever it says."""
    if isinstance(failure, RateLimited) or (isinstance(failure, ServerFailed) and failure.retry_after is not None):
        return "throttled"
    if isinstance(failure, ProviderFailure) and not isinstance(failure, Misconfigured):
        return "failed"
    return "answered"
