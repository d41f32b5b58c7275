"""The tools of learned knowledge: search, and save or propose."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import Field, create_model
from sqlalchemy import text

from learning_schemas.errors import ConfigurationError
from learning_schemas.knowledge_patch import fields_model, insight_fields
from learning_schemas.marker import defused
from learning_schemas.spec import StoreSpec
from learning_stores.answers import stated
from learning_stores.grounding import storable
from learning_stores.insight import MAX_TAG, MAX_TAGS, MAX_TITLE, cleaned_tags, folded_tags, insight_put
from learning_stores.operations import MAX_CONTENT, Citation
from learning_stores.tooling import Arguments, Calling, ToolDefinition, ToolRefusal
from learning_stores.user_values import refused_value, typed_value

DEFAULT_RESULTS = 5
MAX_RESULTS = 20
MAX_QUERY = 4_000
"""Characters of a query that are looked at."""

_ABOUT_NOBODY = (
    "Other users' agents read it: it must not name or describe the user or anybody else, nor hold what is theirs."
)

_FOUND = text("""
    SELECT l.content, l.data
    FROM learning.search(cast(:stores AS text[]), cast(:scopes AS text[]), cast(:query AS text), :limit) AS s
    CROSS JOIN LATERAL (SELECT * FROM learning.learning l WHERE l.tenant = :tenant AND l.id = s.id OFFSET 0) AS l
    WHERE l.status = 'active'
    ORDER BY s.score DESC, l.live_from DESC, l.id DESC
""")


class SearchLearnings(Arguments):
    """What to look for."""

    query: str = Field(description="What you want to know, in a few words")
    limit: int | None = Field(default=None, description=f"How many at most, up to {MAX_RESULTS}; null means 5")


class SaveLearning(Arguments):
    """An insight."""

    title: str = Field(description="What it is about, in a few words")
    learning: str = Field(description="One statement that stands on its own and holds beyond this conversation")
    context: str | None = Field(default=None, description="When it holds, where it does not always")
    tags: list[str] | None = Field(default=None, description="Up to ten words that it can be found by")


def knowledge_tools(spec: StoreSpec) -> Sequence[ToolDefinition]:
    """Search, and the one tool that writes in this mode."""
    search = ToolDefinition(
        name="search_learnings",
        description="Search what was learned in earlier conversations, with this user and others. The most relevant come first.",
        arguments=SearchLearnings,
        run=_search,
        writes=False,
    )
    propose = spec.mode == "PROPOSE"
    save = ToolDefinition(
        name="propose_learning" if propose else "save_learning",
        description=(
            "Propose an insight that would help in other conversations; a person decides before it is used. "
            if propose
            else "Save an insight that would help in other conversations. "
        )
        + _ABOUT_NOBODY,
        arguments=_arguments(spec),
        run=_propose if propose else _save,
    )
    return (search, save)


def knowledge_guidance(spec: StoreSpec) -> str:
    """When to use them."""
    if spec.mode == "PROPOSE":
        write, after = (
            "propose_learning",
            " A person decides before a proposal is used, so do not speak of it as known.",
        )
    else:
        write, after = "save_learning", ""
    return (
        "Call search_learnings before a task that somebody may have met before. "
        f"Call {write} when this conversation showed something that would help in others: what worked, what failed and why, "
        f"a rule to go by. One insight a call, true beyond this conversation. {_ABOUT_NOBODY}{after}"
    )


def _arguments(spec: StoreSpec) -> type[Arguments]:
    schemas = insight_fields(spec)
    if not schemas:
        return SaveLearning
    fields: Any = fields_model(schemas, required=False)
    return create_model("SaveLearning", __base__=SaveLearning, fields=(fields | None, None))


def _search(calling: Calling, arguments: SearchLearnings) -> str:
    limit = DEFAULT_RESULTS if arguments.limit is None else min(max(arguments.limit, 1), MAX_RESULTS)
    query = storable(arguments.query)[:MAX_QUERY]
    if not query.strip():
        raise ToolRefusal("No answer: query is empty. Say in a few words what you want to know.")
    rows = calling.session.execute(
        _FOUND,
        {
            "tenant": calling.place.tenant,
            "stores": [calling.place.store] * len(calling.scopes),
            "scopes": list(calling.scopes),
            "query": query,
            "limit": limit,
        },
    )
    lines = [_line(row.content, row.data.get("tags") or ()) for row in rows]
    return "\n".join(lines) or "Nothing was learned about that yet."


def _line(content: str, tags: Sequence[str]) -> str:
    return defused(f"{content} [{', '.join(tags)}]" if tags else content)


def _save(calling: Calling, arguments: SaveLearning) -> str:
    return _written(calling, arguments, "save_learning")


def _propose(calling: Calling, arguments: SaveLearning) -> str:
    return _written(calling, arguments, "propose_learning")


def _written(calling: Calling, arguments: SaveLearning, action: str) -> str:
    title = _text("title", arguments.title, MAX_TITLE)
    learning = _text("learning", arguments.learning, MAX_CONTENT)
    context = _text("context", arguments.context, MAX_CONTENT) if (arguments.context or "").strip() else None
    tags = folded_tags(arguments.tags or ())
    if cleaned_tags(tags) != tags:
        raise ToolRefusal(f"Not saved: at most {MAX_TAGS} tags, of at most {MAX_TAG} characters each.")
    put = insight_put(
        title=title,
        learning=learning,
        context=context,
        tags=tags,
        fields=_fields(arguments, calling.spec),
        citations=(Citation(occurred_at=datetime.now(UTC)),),
    )
    if len(put.content) > MAX_CONTENT:
        raise ToolRefusal(f"Not saved: it has more than {MAX_CONTENT:,} characters.")
    return stated(calling, calling.write([put], action))


def _fields(arguments: SaveLearning, spec: StoreSpec) -> dict[str, Any] | None:
    schemas = insight_fields(spec)
    if not schemas:
        return None
    given = getattr(arguments, "fields", None)
    values: dict[str, Any] = {}
    for name, schema in schemas.items():
        value = getattr(given, name, None)
        if value is None:
            continue
        try:
            values[name] = typed_value(name, value, schema, spec.schema_import, own=True)
        except ConfigurationError:
            raise  # a ValueError too, but about the schema: no other value would do
        except ValueError as error:
            raise ToolRefusal(f"Not saved: {refused_value(name, schema, error)}") from None
    return values


def _text(name: str, given: str | None, limit: int) -> str:
    told = " ".join(storable(given or "").split())
    if not told:
        raise ToolRefusal(f"Not saved: {name} is empty.")
    if len(told) > limit:
        raise ToolRefusal(f"Not saved: {name} has more than {limit:,} characters.")
    return told
