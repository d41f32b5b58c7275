"""The session context: what one session is about and how far it is. Replaced, not accumulated; each builds on the one before."""

from learning_schemas.patch import SessionPatch, Statement, Steps, session_patch_model
from learning_schemas.scope import ScopeKind
from learning_schemas.spec import StoreSpec
from learning_stores.grounding import storable
from learning_stores.operations import Operation, Operations, Put
from learning_stores.prompts import Prompt, load_prompt
from learning_stores.store import Grounds, Known
from learning_stores.window import Window

_STATEMENTS = ("summary", "goal")
_STEPS = ("plan", "progress")
MAX_STEPS = 50


class SessionContextStore:
    """Kinds `summary`, and with planning `goal`, `plan`, `progress`: one live row of each at most."""

    name = "session_context"
    scope: ScopeKind = "session"

    def prompt(self, spec: StoreSpec) -> Prompt:
        """The static instructions, with or without planning."""
        return load_prompt("session_context_planning" if spec.options.get("planning") else "session_context")

    def patch_model(self, spec: StoreSpec) -> type[SessionPatch]:
        """Summary, and goal, plan, progress where planning is on; null keeps what is known."""
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
        return Operations(kept=tuple(found), dropped=grounds.dropped)
