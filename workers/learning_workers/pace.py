"""Pace: how much the next window of a claim may hold, after answers that were of no use."""

from dataclasses import dataclass, field

from learning_stores.window import OVERHEAD_TOKENS, Window, tokens_of


@dataclass
class Pace:
    """`budget` is in tokens of transcript, `events` how many at most; `alone` events are still to be read one by one."""

    usual: int
    budget: int = field(init=False)
    events: int | None = field(default=None, init=False)
    alone: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.budget = self.usual

    @property
    def slow(self) -> bool:
        """Whether an answer was of no use, and what it held is being read in smaller pieces."""
        return bool(self.alone) or self.events is not None or self.budget != self.usual

    def limit(self, window_limit: int | None) -> int | None:
        """Events of the next window at most; None is no limit."""
        given = [limit for limit in (window_limit, self.events, 1 if self.alone else None) if limit is not None]
        return min(given) if given else None

    def slower(self, window: Window) -> bool:
        """Halve what the next window holds: its events, then the messages of one event. False where it holds one message.

        The budget stays above the longest message, which would be cut otherwise; it still parts the window, because the
        others cost something.
        """
        if len(window.deliveries) > 1:
            self.events = len(window.deliveries) // 2
        elif len(window.by_label) > 1:
            costs = [tokens_of(message.text) + OVERHEAD_TOKENS for message in window.by_label.values()]
            self.budget = max(sum(costs) // 2, *costs)
        else:
            return False
        return True

    def done(self, *, event_over: bool) -> None:
        """A window is settled. A small budget was for the event that needed it: a long message of the next is not cut for it."""
        self.alone = max(0, self.alone - 1)
        if event_over:
            self.budget = self.usual
