"""Faults on purpose: how often, which, and when, the same for the same seed and request number."""

from dataclasses import dataclass, fields, replace
from hashlib import blake2b
from typing import Literal, get_args

Fault = Literal["429", "500", "timeout", "garbage", "refusal", "truncated"]
FAULTS: tuple[Fault, ...] = get_args(Fault)


class FaultsRefused(ValueError):
    """A fault setting is unknown or out of range; the message names it. Rates are fractions from 0 to 1 and add up to at most 1."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How the server misbehaves. Rates are fractions of the model requests; `latency` is seconds before every answer."""

    latency: float = 0.0
    rate_429: float = 0.0
    rate_500: float = 0.0
    rate_timeout: float = 0.0
    rate_garbage: float = 0.0
    rate_refusal: float = 0.0
    rate_truncated: float = 0.0
    retry_after: float | None = None  # seconds in the Retry-After header of a 429; None sends none
    timeout_seconds: float = 600.0  # how long a hanging request is held if the client stays
    seed: int = 0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value is None and one.name == "retry_after":
                continue
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            if not numeric or value < 0 or (one.name.startswith("rate_") and value > 1):
                raise FaultsRefused(f"{one.name}={value!r} is out of range")
        if sum(self.rates().values()) > 1 + 1e-9:
            raise FaultsRefused("the rates add up to more than 1")

    def rates(self) -> dict[Fault, float]:
        """The fraction of requests that meet each fault."""
        return {fault: getattr(self, f"rate_{fault}") for fault in FAULTS}

    def changed(self, settings: dict[str, object]) -> "Faults":
        """A copy with some settings replaced; raises FaultsRefused for an unknown name or a value out of range."""
        unknown = sorted(set(settings) - {one.name for one in fields(self)})
        if unknown:
            raise FaultsRefused(f"unknown setting {unknown[0]!r}")
        return replace(self, **settings)  # type: ignore[arg-type]  # __post_init__ checks every value

    def draw(self, number: int) -> Fault | None:
        """The fault that request `number` meets, or None."""
        digest = blake2b(f"{self.seed}:{number}".encode(), digest_size=8).digest()
        left = int.from_bytes(digest) / 2**64
        for fault, rate in self.rates().items():
            if left < rate:
                return fault
            left -= rate
        return None
