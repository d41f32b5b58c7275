"""The session context: what one session is about and how far it is. Replaced, not accumulated; each builds on the one before.

Fields of the user's own are facts of the session: one live row each, a new value takes the old one's place.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from learning_schemas.errors import ConfigurationError
from learning_schemas.patch import SessionFact, SessionPatch, Statement, Steps, session_patch_model
from learning_schemas.scope import ScopeKind
from learning_schemas.spec import Mode, StoreSpec
from learning_stores.grounding import storable
from learning_stores.operations import Operation, Operations, Put
from learning_stores.prompts import Prompt, load_prompt
from learning_stores.store import Grounds, Known, LearningStore
from learning_stores.user_values import check_usable, told, typed_value
from learning_stores.window import Window

_STATEMENTS = ("summary", "goal")
_STEPS = ("plan", "progress")
MAX_STEPS = 50


class SessionContextStore(LearningStore):
    """Kinds `summary`, with planning `goal`, `plan`, `progress`: one live row of each at most; with a schema `field`s."""

    name = "session_context"
    scope: ClassVar[ScopeKind] = "session"
    accumulates: ClassVar[bool] = False
    modes: ClassVar[tuple[Mode, ...]] = ("ALWAYS",)
    kinds: ClassVar[Mapping[str, str]] = {
        "goal": "Goal of this session",
        "plan": "Plan",
        "progress": "Done so far",
        "field": "Facts of this session",
        "summary": "This session so far",
    }

    def prompt(self, spec: StoreSpec) -> Prompt:
        """The static instructions, with or without planning and fields."""
        prompt = load_prompt("session_context_planning" if spec.options.get("planning") else "session_context")
        if spec.user_schema is None:
            return prompt
        fields = load_prompt("session_context_fields")
        return Prompt(
            f"{prompt.name}+{fields.name}", f"{prompt.version}+{fields.version}", f"{prompt.text}{fields.text}"
        )

    def patch_model(self, spec: StoreSpec) -> type[SessionPatch]:
        """Summary; goal, plan, progress where planning is on; fields by the spec's schema; null keeps what is known.

        Raises `ConfigurationError` for an unusable schema.
        """
        check_usable(spec)
        return session_patch_model(spec)

    def operations(self, patch: SessionPatch, window: Window, known: Known, spec: StoreSpec) -> Operations:
        """The patch, grounded in messages of the window."""
        grounds = Grounds(window)
        found: list[Operation] = []
        for kind in (*_STATEMENTS, *_STEPS):
            part: Statement | Steps | None = getattr(patch, kind, None)
            if part is None:
                continue
            steps = (
                [step for raw in part.steps[:MAX_STEPS] if (step := " ".join(storable(raw).split()))]
                if isinstance(part, Steps)
                else []
            )
            told = "; ".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
            content = grounds.content(told if isinstance(part, Steps) else part.content)
            citations = grounds.named(part.messages) if content is not None else None
            if content is not None and citations is not None:
                data = {"steps": steps} if steps else {}
                found.append(Put(kind=kind, content=content, content_key=kind, citations=citations, data=data))
        found += self._facts(patch, grounds, spec)
        return Operations(kept=tuple(found), dropped=grounds.dropped)

    def _facts(self, patch: SessionPatch, grounds: Grounds, spec: StoreSpec) -> Iterator[Put]:
        """The user's own fields that hold."""
        schemas: Mapping[str, dict[str, Any]] = spec.user_schema["properties"] if spec.user_schema is not None else {}
        for name, schema in schemas.items():
            fact: SessionFact | None = getattr(patch.fields, name, None)  # type: ignore[attr-defined]  # of the model made for this schema
            if fact is None:
                continue
            try:
                value = typed_value(name, fact.value, schema, spec.schema_import)
            except ConfigurationError:
                raise  # a ValueError too, but about the schema: nothing of the patch is lost for it
            except ValueError:
                grounds.dropped["invalid value"] += 1
                continue
            content = grounds.content(f"{name.replace('_', ' ')}: {told(value)}")
            citations = grounds.named(fact.messages) if content is not None else None
            if content is not None and citations is not None:
                data = {"name": name, "value": value}
                yield Put(kind="field", content=content, content_key=name, citations=citations, data=data)
