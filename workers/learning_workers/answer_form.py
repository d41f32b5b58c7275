"""The form of an answer: the class that a store makes of a spec, and its JSON Schema. Made once, not for each question."""

import json
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from learning_schemas.spec import StoreSpec
from learning_stores.store import LearningStore
from learning_stores.window import tokens_of

KEPT = 256
"""Specs whose forms are kept. Tenants choose their specs, so that there may be any number of them."""

_FORMS: dict[tuple[LearningStore, str], type[BaseModel]] = {}


def form_of(store: LearningStore, spec: StoreSpec) -> type[BaseModel]:
    """What answers for a store under a spec look like. Raises what the store's `patch_model` raises."""
    key = (store, spec.model_dump_json())
    found = _FORMS.get(key)
    if found is None:
        if len(_FORMS) >= KEPT:
            _FORMS.clear()
        found = _FORMS[key] = store.patch_model(spec)
    return found


@lru_cache(maxsize=KEPT)
def schema_of(form: type[BaseModel]) -> dict[str, Any]:
    """A form's JSON Schema; shared, not to be changed."""
    return form.model_json_schema()


@lru_cache(maxsize=KEPT)
def schema_tokens(form: type[BaseModel]) -> int:
    """About how many tokens its JSON Schema has."""
    return tokens_of(json.dumps(schema_of(form)))
