"""The form of an answer is made once for a spec."""

import pytest

from learning_schemas.spec import StoreSpec
from learning_stores.registry import installed
from learning_workers import answer_form
from learning_workers.answer_form import form_of, schema_of, schema_tokens

SPEC = StoreSpec(scope="user", debounce=0)


@pytest.fixture(autouse=True)
def no_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_form, "_FORMS", {})


def test_given_an_equal_spec_when_asked_again_then_the_form_is_the_same_class() -> None:
    store = installed()["user_profile"]

    assert form_of(store, SPEC) is form_of(store, SPEC.model_copy())
    assert schema_of(form_of(store, SPEC)) is schema_of(form_of(store, SPEC))
    assert schema_tokens(form_of(store, SPEC)) > 100


def test_given_another_spec_or_store_when_asked_then_its_form_is_its_own() -> None:
    profile, session = installed()["user_profile"], installed()["session_context"]
    own = SPEC.model_copy(update={"user_schema": {"type": "object", "properties": {"tier": {"type": "string"}}}})

    assert form_of(profile, own) is not form_of(profile, SPEC)
    assert "tier" in str(schema_of(form_of(profile, own)))
    assert form_of(session, SPEC.model_copy(update={"scope": "session"})) is not form_of(profile, SPEC)


def test_given_more_specs_than_are_kept_then_the_forms_are_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_form, "KEPT", 3)
    store = installed()["user_profile"]

    for number in range(10):
        form_of(store, SPEC.model_copy(update={"debounce": number}))
        assert len(answer_form._FORMS) <= 3
