"""Token figures: estimates that are always the same for the same bytes.

A token is taken as four bytes of UTF-8, rounded up. Cached tokens are those of the longest byte-identical prefix of the
instructions that an earlier request of this process had, floored to a multiple of 128 and counted from 1,024 tokens on, as the
prompt caching of the API does.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

BYTES_PER_TOKEN = 4
CACHE_FLOOR = 1_024
CACHE_STEP = 128
_KEPT = 256  # distinct instructions remembered; a worker uses a handful


def tokens(text: str) -> int:
    """Estimated tokens of a text: its UTF-8 bytes / 4, rounded up."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def cut_to(text: str, limit: int) -> str:
    """The longest prefix of `text` that is estimated at no more than `limit` tokens."""
    return text.encode()[: limit * BYTES_PER_TOKEN].decode(errors="ignore")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """One answer's token figures; `cached` and `written` are parts of `prompt`."""

    prompt: int
    completion: int
    cached: int = 0
    written: int = 0


@dataclass(kw_only=True)
class PromptCache:
    """The instructions seen so far, newest last."""

    seen: OrderedDict[bytes, None] = field(default_factory=OrderedDict)

    def count(self, instructions: str, rest: str, completion: str) -> Usage:
        """The usage of one call, whose instructions are remembered for the next."""
        raw = instructions.encode()
        shared = max((_shared(raw, known) for known in self.seen), default=0)
        self.seen[raw] = None
        self.seen.move_to_end(raw)
        while len(self.seen) > _KEPT:
            self.seen.popitem(last=False)
        cached = _cacheable(shared)
        return Usage(
            prompt=tokens(instructions) + tokens(rest),
            completion=tokens(completion),
            cached=cached,
            written=_cacheable(len(raw)) - cached,
        )


def _shared(left: bytes, right: bytes) -> int:
    """How many bytes two texts have in common at their beginning."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if left[:middle] == right[:middle] else (low, middle - 1)
    return low


def _cacheable(size: int) -> int:
    whole = size // BYTES_PER_TOKEN
    return whole // CACHE_STEP * CACHE_STEP if whole >= CACHE_FLOOR else 0
