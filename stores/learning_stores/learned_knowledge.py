"""Learned knowledge: insights that hold beyond the conversation they come from, shared within a namespace."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.errors import ConfigurationError
from learning_schemas.knowledge_patch import (
    Insight,
    KnowledgePatch,
    KnownInsight,
    insight_fields,
    knowledge_patch_model,
)
from learning_schemas.patch import MAX_OPERATIONS
from learning_schemas.scope import ScopeKind
from learning_schemas.spec import Mode, StoreSpec, WiderWrites
from learning_stores.insight import KIND, insight_put, shortened
from learning_stores.knowledge_tools import knowledge_guidance, knowledge_tools
from learning_stores.operations import MAX_CONTENT, Citation, Confirm, LiveLearning, Operation, Operations, Put, Retire
from learning_stores.prompts import Prompt, load_prompt
from learning_stores.store import Grounds, Known, LearningStore, Reading
from learning_stores.tooling import ToolDefinition
from learning_stores.user_values import check_usable, typed_value
from learning_stores.window import Window

MAX_KNOWN = 30
"""Insights that a prompt shows as known, those most like the window's text."""
MAX_SEARCHED = 4_000
"""Characters of the window that known insights are looked for by, the newest messages first."""

# A look-up for each that was found: Postgres takes them for a thousand, for which it would read all that the tenant has.
_LIKE_THESE = text("""
    SELECT l.id, l.kind, l.content, l.content_key, l.data, l.valid_from, l.origin
    FROM learning.search(ARRAY[cast(:store AS text)], ARRAY[cast(:scope AS text)], cast(:text AS text), :limit) AS s
    CROSS JOIN LATERAL (SELECT * FROM learning.learning l WHERE l.tenant = :tenant AND l.id = s.id OFFSET 0) AS l
    WHERE l.status = 'active'
    ORDER BY l.live_from DESC, l.id DESC
""")


class LearnedKnowledgeStore(LearningStore):
    """Kind `insight`. An equal or nearly equal insight gains evidence; an opposite one is another, whatever its title."""

    name = "learned_knowledge"
    scope: ClassVar[ScopeKind] = "session"
    namespaced: ClassVar[bool] = True
    modes: ClassVar[tuple[Mode, ...]] = ("AGENTIC", "PROPOSE", "ALWAYS")
    kinds: ClassVar[Mapping[str, str]] = {KIND: "What was learned before"}
    wider_writes: ClassVar[WiderWrites] = "corroborated"

    def prompt(self, spec: StoreSpec) -> Prompt:
        """The static instructions."""
        return load_prompt("learned_knowledge")

    def patch_model(self, spec: StoreSpec) -> type[KnowledgePatch]:
        """Insights, confirmations, retractions. Raises `ConfigurationError` for an unusable schema."""
        check_usable(spec)
        return knowledge_patch_model(spec)

    def operations(self, patch: KnowledgePatch, window: Window, known: Known, spec: StoreSpec) -> Operations:
        """The patch, grounded in messages of user and assistant."""
        grounds = Grounds(window)
        by_key = {learning.content_key: learning for learning in known.values() if learning.kind == KIND}
        found: list[Operation] = []
        said: set[str] = set()
        for insight in patch.insights:
            put = self._insight(insight, grounds, spec)
            if put is None:
                continue
            if put.content_key in said:
                grounds.dropped["said twice"] += 1
                continue
            said.add(put.content_key)
            same = by_key.get(put.content_key)
            found.append(put if same is None else Confirm(learning_id=same.id, citations=put.citations))
        confirmed, retracted = (self._known(items, grounds, known) for items in (patch.confirm, patch.retract))
        found += [Confirm(learning_id=target.id, citations=citations) for target, citations in confirmed]
        found += [Retire(learning_id=target.id, citations=citations) for target, citations in retracted]
        grounds.dropped.update({"too many operations": over} if (over := len(found) - MAX_OPERATIONS) > 0 else {})
        return Operations(kept=tuple(found[:MAX_OPERATIONS]), dropped=grounds.dropped)

    def known(self, session: Session, reading: Reading, window: Window) -> list[LiveLearning]:
        """The live insights of the place that are most like what is said, last learned first."""
        said = "\n".join(message.text for message in reversed(window.messages) if not message.earlier)
        place = reading.place
        rows = session.execute(
            _LIKE_THESE,
            {
                "tenant": place.tenant,
                "store": self.name,
                "scope": place.scope,
                "text": said[:MAX_SEARCHED],
                "limit": MAX_KNOWN,
            },
        )
        return [LiveLearning(**row._mapping) for row in rows]

    def tools(self, spec: StoreSpec) -> Sequence[ToolDefinition]:
        """search_learnings, and save_learning, or propose_learning in PROPOSE."""
        return knowledge_tools(spec) if spec.has_tools else ()

    def guidance(self, spec: StoreSpec) -> str:
        """When to search, and when to save or propose."""
        return knowledge_guidance(spec) if spec.has_tools else ""

    def _insight(self, insight: Insight, grounds: Grounds, spec: StoreSpec) -> Put | None:
        citations = grounds.quoted(insight.message, insight.quote)
        if citations is None:
            return None
        title, learning = grounds.content(insight.title), grounds.content(insight.learning)
        if title is None or learning is None:
            return None
        context = " ".join((insight.context or "").split()) and grounds.content(insight.context or "")
        put = insight_put(
            title=shortened(title),
            learning=learning,
            context=context or None,
            tags=insight.tags,
            fields=_fields(insight, grounds, spec),
            citations=citations,
        )
        if len(put.content) > MAX_CONTENT:
            grounds.dropped["too long"] += 1
            return None
        return put

    def _known(
        self, items: Iterable[KnownInsight], grounds: Grounds, known: Known
    ) -> Iterator[tuple[LiveLearning, tuple[Citation, ...]]]:
        """Those that name a known insight and cite what is there."""
        for item in items:
            target = known.get(item.learning)
            if target is None:
                grounds.dropped["unknown learning"] += 1
            elif citations := grounds.quoted(item.message, item.quote):
                yield target, citations


def _fields(insight: Insight, grounds: Grounds, spec: StoreSpec) -> dict[str, Any] | None:
    """The user's own fields that hold; those that do not are counted, and the insight is kept without them."""
    schemas = insight_fields(spec)
    if not schemas:
        return None
    values: dict[str, Any] = {}
    for name, schema in schemas.items():
        value = getattr(insight.fields, name, None)  # type: ignore[attr-defined]  # of the model made for this schema
        if value is None:
            continue
        try:
            values[name] = typed_value(name, value, schema, spec.schema_import)
        except ConfigurationError:
            raise  # a ValueError too, but about the schema: nothing of the patch is lost for it
        except ValueError:
            grounds.dropped["invalid value"] += 1
    return values
