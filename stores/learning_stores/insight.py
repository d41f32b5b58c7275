"""An insight as a learning: its parts, how long they may be, and how it reads."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from learning_stores.grounding import fold, storable
from learning_stores.insight_key import insight_key
from learning_stores.operations import Citation, Put
from learning_stores.user_values import told

MAX_TITLE = 200
"""Characters."""
MAX_TAGS = 10
MAX_TAG = 40
"""Characters."""

KIND = "insight"


def insight_put(
    *,
    title: str,
    learning: str,
    context: str | None,
    tags: Sequence[str],
    fields: Mapping[str, Any] | None,
    citations: tuple[Citation, ...],
) -> Put:
    """State it. `fields` are the user's own, checked; None where the spec has no schema for them.

    Title, context, tags and fields are in the words of whoever says it; what several users support is the learning.
    """
    # What says itself once is not said twice: a title that begins the learning, a context that is in it.
    content = learning if fold(learning).startswith(fold(title).rstrip("….")) else f"{title}: {learning}"
    if context and fold(context) not in fold(learning):
        content += f" ({context})"
    if fields:
        content += f" [{'; '.join(' '.join(f'{name}: {told(value)}'.split()) for name, value in fields.items())}]"
    bare = shortened(learning)
    core = None
    if (title, context, list(tags), fields or None) != (bare, None, [], None):
        core = insight_put(
            title=bare, learning=learning, context=None, tags=(), fields=fields and {}, citations=citations
        )
    data: dict[str, Any] = {"title": title, "learning": learning, "context": context, "tags": cleaned_tags(tags)}
    return Put(
        kind=KIND,
        content=content,
        content_key=insight_key(learning),
        citations=citations,
        data=data if fields is None else {**data, "fields": dict(fields)},
        equal_by_key=True,
        core=core,
    )


def folded_tags(tags: Iterable[str]) -> list[str]:
    """Each once, in order, without what is empty."""
    folded = (fold(storable(tag)).lstrip("#").strip() for tag in tags)
    return list(dict.fromkeys(filter(None, folded)))


def cleaned_tags(tags: Iterable[str]) -> list[str]:
    """Folded tags; what is too long is left out, and what is too many."""
    return [tag for tag in folded_tags(tags) if len(tag) <= MAX_TAG][:MAX_TAGS]


def shortened(title: str) -> str:
    """A title within its length, cut behind a word."""
    if len(title) <= MAX_TITLE:
        return title
    head = title[: MAX_TITLE - 1]
    return f"{head.rpartition(' ')[0] or head}…"
