"""What a replay would cost, estimated without a model call: the windows that would be read, and prices of the models file.

Windows are cut as the worker cuts them. Of each the instructions, what is known now and the transcript are counted as input; as
output, what the same events' calls had on average, or `ASSUMED_OUTPUT` tokens where none is on record.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic_core import from_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.spec import StoreSpec
from learning_stores.mailbox import MAX_WINDOW_EVENTS
from learning_stores.place import written_scope
from learning_stores.registry import installed
from learning_stores.replay_selection import Selected
from learning_stores.settings import ServiceSettings
from learning_stores.specs import SpecCache
from learning_stores.store import LearningStore
from learning_stores.window import EXTRACTED_ROLES, OVERHEAD_TOKENS, tokens_of
from learning_workers.models import Catalogue
from learning_workers.question import MAX_KNOWN_CHARACTERS

ASSUMED_OUTPUT = 300
"""Tokens of an answer, where no call for these events is on record."""

_READ_AT_ONCE = 200

_EVENTS = text("""
    SELECT d.spec_hash, e.shown_before, e.messages::text AS messages
    FROM learning.delivery d JOIN learning.conversation_event e ON e.tenant = d.tenant AND e.id = d.event_id
    WHERE d.tenant = :tenant AND d.store = :store AND d.event_id = ANY (:events) ORDER BY d.accepted_no
""")

_KNOWN = text("""
    SELECT coalesce(sum(length(content)), 0) FROM learning.learning
    WHERE tenant = :tenant AND store = :store AND scope = :scope AND status = 'active'
""")

_ANSWERED = text("""
    SELECT avg(tokens_output) FROM learning.model_call WHERE tenant = :tenant AND extraction_id = ANY (:extractions)
""")


@dataclass(kw_only=True)
class Cost:
    """An estimate for one model, in tokens and US dollars. `usd` is None where the model's price is not known."""

    calls: int = 0
    tokens_input: int = 0
    tokens_output: int = 0
    usd: Decimal | None = None


@dataclass
class Estimate:
    """Estimates by model. `unread` counts windows whose spec or store this deployment does not know."""

    catalogue: Catalogue
    settings: ServiceSettings
    specs: SpecCache = field(default_factory=SpecCache)
    models: dict[str, Cost] = field(default_factory=dict)
    unread: int = 0

    def add(self, session: Session, selected: Selected) -> None:
        """Count what is selected of one mailbox."""
        box = selected.box
        store = installed().get(box.store)
        asked = {"tenant": box.tenant, "extractions": list(selected.extractions)}
        answered = int(session.scalar(_ANSWERED, asked) or ASSUMED_OUTPUT)
        for spec_hash, transcripts in self._windows(session, selected).items():
            key = (box.tenant, spec_hash)
            spec = self.specs.load(session, [key]).get(key)
            if store is None or spec is None or box.store not in spec.stores:
                self.unread += len(transcripts)
                continue
            own = spec.stores[box.store]
            name = own.model or spec.model or self.settings.model
            each = self._overhead(session, store, own, selected)
            cost = self.models.setdefault(name, Cost())
            cost.calls += len(transcripts)
            cost.tokens_input += sum(transcripts) + each * len(transcripts)
            cost.tokens_output += answered * len(transcripts)
            model = self.catalogue.get(name)
            cost.usd = None if model is None else model.cost(cost.tokens_input, 0, cost.tokens_output)

    def _windows(self, session: Session, selected: Selected) -> dict[str, list[int]]:
        """The windows of each spec, each as the tokens of its transcript."""
        budget = self.settings.window_tokens
        found: dict[str, list[int]] = {}
        last, room = None, 0
        for spec_hash, tokens in _said(session, selected):
            windows = found.setdefault(spec_hash, [])
            whole, rest = divmod(tokens, budget)
            windows += [budget] * whole  # an event larger than a window is read in parts
            if spec_hash != last or not room or whole or windows[-1] + rest > budget:
                windows.append(0)
                room = MAX_WINDOW_EVENTS
            windows[-1] += rest
            last, room = spec_hash, room - 1
        return found

    def _overhead(self, session: Session, store: LearningStore, spec: StoreSpec, selected: Selected) -> int:
        """Tokens of a question besides its transcript."""
        box = selected.box
        scope = written_scope(store.scope, store.namespaced, spec, box.user_id, box.session_id)
        known = session.scalar(_KNOWN, {"tenant": box.tenant, "store": box.store, "scope": scope}) or 0
        schema = json.dumps(store.patch_model(spec).model_json_schema())
        static = tokens_of(store.prompt(spec).text) + tokens_of(spec.instructions or "") + tokens_of(schema)
        return static + int(min(known, MAX_KNOWN_CHARACTERS)) // 4


def _said(session: Session, selected: Selected) -> Iterator[tuple[str, int]]:
    """Of each event the spec, and the tokens that its new messages take in a transcript."""
    for start in range(0, len(selected.events), _READ_AT_ONCE):
        events = list(selected.events[start : start + _READ_AT_ONCE])
        values = {"tenant": selected.box.tenant, "store": selected.box.store, "events": events}
        for row in session.execute(_EVENTS, values):
            body: list[dict[str, Any]] = from_json(row.messages)[row.shown_before :]
            told = (each for each in body if each["role"] in EXTRACTED_ROLES)
            yield row.spec_hash, sum(tokens_of(each.get("content") or "") + OVERHEAD_TOKENS for each in told)
