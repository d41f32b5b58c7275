"""The user profile: typed fields and free memories of one user, from their own words."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from learning_schemas.errors import ConfigurationError
from learning_schemas.patch import DEFAULT_PROFILE_SCHEMA, MAX_OPERATIONS, Addition, ProfilePatch, profile_patch_model
from learning_schemas.scope import ScopeKind
from learning_schemas.spec import Mode, StoreSpec
from learning_stores.grounding import content_key
from learning_stores.operations import MAX_CONTENT, Operation, Operations, Put, Retire
from learning_stores.profile_tools import profile_guidance, profile_tools
from learning_stores.prompts import Prompt, load_prompt
from learning_stores.store import Grounds, Known, LearningStore
from learning_stores.tooling import ToolDefinition
from learning_stores.user_values import check_usable, checked_value, plain_value, told
from learning_stores.window import Window


class UserProfileStore(LearningStore):
    """Kinds `field` (one live row a field) and `memory`."""

    name = "user_profile"
    scope: ClassVar[ScopeKind] = "user"
    modes: ClassVar[tuple[Mode, ...]] = ("ALWAYS", "AGENTIC")
    kinds: ClassVar[Mapping[str, str]] = {"field": "About the user", "memory": "Remembered about the user"}
    kept_kinds = frozenset({"field"})

    def prompt(self, spec: StoreSpec) -> Prompt:
        """The static instructions."""
        return load_prompt("user_profile")

    def patch_model(self, spec: StoreSpec) -> type[ProfilePatch]:
        """Fields by the spec's schema; additions, updates, retractions. Raises `ConfigurationError` for an unusable schema."""
        check_usable(spec)
        return profile_patch_model(spec)

    def operations(self, patch: ProfilePatch, window: Window, known: Known, spec: StoreSpec) -> Operations:
        """The patch, grounded in the user's own messages."""
        grounds = Grounds(window)
        found: list[Operation] = [*self._fields(patch, grounds, spec)]
        memories = (self._memory(addition, grounds, known) for addition in [*patch.add, *patch.update])
        found.extend(memory for memory in memories if memory is not None)
        for retraction in patch.retract:
            target = known.get(retraction.learning)
            if target is None:
                grounds.dropped["unknown learning"] += 1
            elif citations := grounds.quoted(retraction.message, retraction.quote, role="user"):
                found.append(Retire(learning_id=target.id, citations=citations))
        grounds.dropped.update({"too many operations": over} if (over := len(found) - MAX_OPERATIONS) > 0 else {})
        return Operations(kept=tuple(found[:MAX_OPERATIONS]), dropped=grounds.dropped)

    def tools(self, spec: StoreSpec) -> Sequence[ToolDefinition]:
        """update_profile, save_memory, update_memory, forget_memory."""
        return profile_tools(spec) if spec.has_tools else ()

    def guidance(self, spec: StoreSpec) -> str:
        """When to use them, and which fields there are."""
        return profile_guidance(spec) if spec.has_tools else ""

    def _fields(self, patch: ProfilePatch, grounds: Grounds, spec: StoreSpec) -> list[Put]:
        schema = (spec.user_schema or DEFAULT_PROFILE_SCHEMA)["properties"]
        puts = []
        for name, field_schema in schema.items():
            field = getattr(patch.fields, name, None)
            if field is None:
                continue
            citations = grounds.quoted(field.message, field.quote, role="user")
            if citations is None:
                continue
            try:
                value = plain_value(name, field.value, field_schema)
                if len(told(value)) > MAX_CONTENT:
                    grounds.dropped["too long"] += 1
                    continue
                value = checked_value(name, value, field_schema, spec.schema_import)
            except ConfigurationError:
                raise  # a ValueError too, but about the schema: nothing of the patch is lost for it
            except ValueError:
                grounds.dropped["invalid value"] += 1
                continue
            content = grounds.content(f"{name.replace('_', ' ')}: {told(value)}")
            if content is not None:
                puts.append(
                    Put(
                        kind="field",
                        content=content,
                        content_key=name,
                        citations=citations,
                        data={"name": name, "value": value},
                    )
                )
        return puts

    def _memory(self, addition: Addition, grounds: Grounds, known: Known) -> Put | None:
        label = getattr(addition, "learning", None)
        target = known.get(label) if label is not None else None
        if label is not None and (target is None or target.kind != "memory"):
            grounds.dropped["unknown learning" if target is None else "not a memory"] += 1
            return None
        citations = grounds.quoted(addition.message, addition.quote, role="user")
        content = grounds.content(addition.content)
        if citations is None or content is None:
            return None
        return Put(
            kind="memory",
            content=content,
            content_key=content_key(content),
            citations=citations,
            replaces=None if target is None else target.id,
        )
