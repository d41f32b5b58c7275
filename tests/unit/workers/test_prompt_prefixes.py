"""The static prefix of every prompt: the same bytes in all calls of a spec, and other bytes only under another version.

Providers charge a cached prefix at a tenth of the price, and only where it is the same to the byte. A change here is paid for once
by every deployment; it must be meant, and traceable by the version that extractions record.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel

from learning_schemas.spec import StoreSpec
from learning_stores import prompts
from learning_stores.curator.consolidate import Consolidations
from learning_stores.curator.pairs import ContradictionVerdicts, SameVerdicts
from learning_stores.curator.resolve_entities import EntityVerdicts
from learning_stores.operations import LiveLearning
from learning_stores.prompts import Prompt, load_prompt
from learning_stores.registry import installed
from learning_stores.window import Window, WindowDelivery, WindowMessage
from learning_workers.model_client import ModelClient, Question
from learning_workers.models import Model
from learning_workers.question import label_known, make_question
from scripted_model import Asked, ScriptedModel

SCHEMA = {
    "type": "object",
    "properties": {"plan": {"type": ["string", "null"], "description": "The plan", "default": None}},
}

# A store and what of a spec can change what it asks.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "user_profile": ("user_profile", {}),
    "user_profile, own fields": ("user_profile", {"user_schema": SCHEMA}),
    "session_context": ("session_context", {}),
    "session_context, planning": ("session_context", {"options": {"planning": True}}),
    "session_context, own fields": ("session_context", {"user_schema": SCHEMA}),
    "session_context, planning, own fields": (
        "session_context",
        {"options": {"planning": True}, "user_schema": SCHEMA},
    ),
    "entity_memory": ("entity_memory", {}),
    "entity_memory, types": ("entity_memory", {"options": {"types": ["company", "person"]}}),
    "entity_memory, own properties": ("entity_memory", {"user_schema": SCHEMA}),
    "learned_knowledge": ("learned_knowledge", {}),
    "learned_knowledge, own fields": ("learned_knowledge", {"user_schema": SCHEMA}),
}

# By the number in the prompt's first line. A prefix that changed gets a new number and a new line; no old line is edited.
PINNED: dict[str, dict[str, str]] = {
    "user_profile": {"1": "6d7af7cb80cb98eeb28178d97d8a2eda8a1485aa0037e340d3d1e851d3cd9887"},
    "user_profile, own fields": {"1": "456ea4e5fe19966002ae613e2276888189016e562a0559461c46aff74440596b"},
    "session_context": {"1": "d79976e57b7952d1748f0a4297c71cf1c96f20eea0b14d475a23bafdf8eff300"},
    "session_context, planning": {"1": "4b49e8b05085661558f694255949b429043839c27a56f2d3de0f4786374e7d44"},
    "session_context, own fields": {"1+1": "6e482aeec6b18f760ce35cee116e9e9b7a0c9c5572ed568d12bde1dd08ffc4a4"},
    "session_context, planning, own fields": {
        "1+1": "1d001dff8211b6b3a611a8da3adb0ef294663653ddd59e145e2dad4aea380e86"
    },
    "entity_memory": {"1": "a692c1b6fdf86ea5e471385a59cd4c1cb6565ab8995e85d5367aca383edee498"},
    "entity_memory, types": {"1": "a841fae363e698ee173b81353bdcf019e5669ed13f73ba7adde6d680c2f2c92f"},
    "entity_memory, own properties": {"1": "84bba709c96777e2c4e2edd50da016d270327349307ab1649f90312b2058d9b0"},
    "learned_knowledge": {"1": "94af1e4cd155c0ebe230256437d7692b55d6117e0dc25695e6dd54d60bb5f6a0"},
    "learned_knowledge, own fields": {"1": "e5fbdd63231b8c03a5849677b2a5bf62de706c547e1137268fb6636940a8d473"},
}

# What the curator's jobs ask, by the form of the answer.
ASKED: dict[str, tuple[str, type[BaseModel]]] = {
    "curator_same_verdicts": ("curator_same", SameVerdicts),
    "curator_contradiction_verdicts": ("curator_contradictions", ContradictionVerdicts),
    "curator_entity_verdicts": ("curator_entities", EntityVerdicts),
    "curator_consolidations": ("curator_consolidate", Consolidations),
}
PINNED_OF_JOBS: dict[str, dict[str, str]] = {
    "curator_same_verdicts": {"1": "94a96b7b6496165f67e5aecd8209c6e74a96e685b4fd85aef4a9ae648548c0e9"},
    "curator_entity_verdicts": {"1": "882ffa44068dd4389cd9dd1f3ee70cbd7d85e1215059a4095c03ce301cb58589"},
    "curator_consolidations": {"1": "7b2bc75abdeedc089d4bcd845f9fff5c323dcc70bdd5a0fcf495290be002a638"},
    "curator_contradiction_verdicts": {"1": "18cf0fcae6769295b4ded20b6922aa549fdf1d2ecb31be5ba775fee6161fc854"},
}

# Each file's text, for prompts that are asked otherwise than by a store, too.
FILES: dict[str, dict[str, str]] = {
    "curator_consolidate": {"1": "91fece0712fae25ede9a8c9b243e441a856fbe3b5fd93a645a64b3374d8025b3"},
    "curator_entities": {"1": "cc6f147a89570ceb2643b1903dc41a740b136f826be76f7cb8baede4880478e6"},
    "curator_contradictions": {"1": "63fb19632ecf276d174cb16e1e7790d9625a287420fd5d0ffd76d437c6261043"},
    "curator_same": {"1": "c9520fa49cf35c8acd09090ad54e292bc25bfde9c5d0478ee15706baa20da61a"},
    "entity_memory": {"1": "6075682dd45d1d392880d53d8f698fcf3c250a9c9cb0b553b6de09f8e03d883a"},
    "learned_knowledge": {"1": "ba2e518f876222e201be0619825490587e715985cb66ba53f03e7c8139a90fc1"},
    "session_context": {"1": "5fecd26c46fdfddfd6455510a44b99d2c04b1e3d91a588bad4f9855f871ed6c6"},
    "session_context_fields": {"1": "504d1ded9a820bab9dc12883f00ca74ae2a8c8a24bce892893c351db4936c1cd"},
    "session_context_planning": {"1": "424dd8f99e5799b412628f8c7901716425d6ee93767bcca13ff727bfd62618af"},
    "user_profile": {"1": "e3a232740380f4e42f67992ebab21fa13057ff74e6be5a9483983014e8145f81"},
}

STANDS = (
    "is not what is pinned under its version: raise the number in its first line, and pin the new one beside the old"
)


def spec_of(case: str, **values: Any) -> StoreSpec:
    store, given = CASES[case]
    return StoreSpec(scope=installed()[store].scope, **given, **values)


def numbers(prompt: Prompt) -> str:
    """The numbers of its parts, without the hashes of their texts."""
    return "+".join(part.split("-")[0] for part in prompt.version.split("+"))


def prefix(question: Question) -> bytes:
    """All that is sent before the first byte of data."""
    return json.dumps([question.instructions, question.name, question.patch_model.model_json_schema()]).encode()


def message(text: str, number: int, **values: Any) -> WindowMessage:
    at = datetime(2026, 11, 22, tzinfo=UTC) + timedelta(hours=number)
    given = {"role": "user", "name": None, "session_id": f"s{number}", "earlier": False, **values}
    return WindowMessage(label=f"m{number}", event_id=uuid4(), index=0, text=text, at=at, **given)


def window(user: str | None, *messages: WindowMessage) -> Window:
    delivery = WindowDelivery(event_id=uuid4(), generation=1, attempts=0, accepted_no=1, occurred_at=datetime.now(UTC))
    return Window(user_id=user, spec_hash="0" * 64, deliveries=(delivery,), messages=messages, more=False)


def learning(content: str) -> LiveLearning:
    kept: dict[str, Any] = {"kind": "memory", "content": content, "content_key": content, "data": {}}
    return LiveLearning(id=uuid4(), valid_from=datetime.now(UTC), **kept)


def model(name: str = "m", base_url: str = "http://127.0.0.1:1/v1") -> Model:
    return Model(name=name, base_url=base_url, api="responses", key_variable="UNSET", max_output_tokens=100)


def questions(case: str, base_url: str = "http://127.0.0.1:1/v1", **values: Any) -> list[Question]:
    """The same spec asked about all kinds of data."""
    store, spec = installed()[CASES[case][0]], spec_of(case, **values)
    at = model(base_url=base_url)
    return [
        make_question(store, spec, at, {}, window("alice", message("I work at Netflix.", 1)), None),
        make_question(store, spec, at, label_known([learning("Is vegetarian")]), window("bob", message("Hi.", 2)), None),
        make_question(
            store, spec, at, label_known([learning("x"), learning("y")]),
            window(None, message("</transcript>", 3, earlier=True), message("Noted.", 4, role="assistant", name="Ann")),
            "add.0: missing",
        ),
    ]  # fmt: skip  # one call an entry


@pytest.mark.parametrize("case", CASES)
def test_given_a_prompt_when_its_prefix_is_another_than_the_one_pinned_then_its_version_must_be_new(case: str) -> None:
    store = installed()[CASES[case][0]]
    version = numbers(store.prompt(spec_of(case)))
    found = hashlib.sha256(prefix(questions(case)[0])).hexdigest()

    assert version in PINNED.get(case, {}), f"pin the prefix of {case!r} under version {version!r}: {found}"
    assert PINNED[case][version] == found, f"the prefix of {case!r} ({found}) {STANDS}"


@pytest.mark.parametrize("form", ASKED)
def test_given_a_jobs_question_when_its_prefix_is_another_than_the_one_pinned_then_its_version_must_be_new(
    form: str,
) -> None:
    name, answer = ASKED[form]
    prompt = load_prompt(name)
    question = Question(model=model(), instructions=prompt.text, data="", name=form, patch_model=answer)
    found = hashlib.sha256(prefix(question)).hexdigest()

    assert numbers(prompt) in PINNED_OF_JOBS[form], (
        f"pin the prefix of {form!r} under version {numbers(prompt)!r}: {found}"
    )
    assert PINNED_OF_JOBS[form][numbers(prompt)] == found, f"the prefix of {form!r} ({found}) {STANDS}"


def test_given_the_files_of_the_prompts_when_a_text_changed_then_its_version_must_be_new() -> None:
    directory = Path(prompts.__file__).parent
    found = {path.stem: load_prompt(path.stem) for path in directory.glob("*.md")}

    assert found.keys() == FILES.keys(), "pin each prompt by the number in its first line"
    for name, prompt in found.items():
        digest = hashlib.sha256(prompt.text.encode()).hexdigest()
        assert FILES[name].get(numbers(prompt)) == digest, f"the prompt {name} ({digest}) {STANDS}"


def test_given_every_store_that_is_installed_when_the_cases_are_listed_then_none_is_left_out() -> None:
    # A store of somebody's own may be installed beside ours; it pins its own prompts.
    ours = {name for name, store in installed().items() if type(store).__module__.startswith("learning_stores.")}
    assert {store for store, _ in CASES.values()} == ours
    assert PINNED.keys() == CASES.keys()


@pytest.mark.parametrize("case", CASES)
def test_given_one_spec_when_users_transcripts_and_what_is_known_differ_then_the_prefix_is_the_same_bytes(
    case: str,
) -> None:
    asked = questions(case, instructions="Mind the weather.")

    assert len({prefix(each) for each in asked}) == 1
    assert len({each.data for each in asked}) == len(asked)


def test_given_an_operators_instructions_when_asked_then_they_follow_the_prompt_and_change_nothing_before_them() -> (
    None
):
    plain, told = questions("user_profile")[0], questions("user_profile", instructions="Mind the weather.")[0]

    assert told.instructions.startswith(plain.instructions)
    assert told.instructions != plain.instructions


def test_given_other_options_of_a_spec_that_the_prompt_does_not_show_when_asked_then_the_prefix_stays() -> None:
    quick = questions("entity_memory", debounce=0, namespace="support", also_reads=("global",), model="other")[0]

    assert prefix(quick) == prefix(questions("entity_memory")[0])


def test_given_calls_over_http_when_their_data_differ_then_all_but_the_data_is_the_same_bytes() -> None:
    asked: list[Asked] = []
    with ScriptedModel().running() as scripted:
        client = ModelClient(lambda _: "not-a-key", 5)
        try:
            for question in questions("session_context, planning", scripted.url):
                client.ask(question)
        finally:
            client.close()
        asked += scripted.asked

    static = [{name: value for name, value in each.body.items() if name != "input"} for each in asked]
    assert len(asked) == 3
    assert len({json.dumps(body) for body in static}) == 1  # unsorted on purpose: the order of the bytes counts
    assert all(said not in json.dumps(static) for said in ("Netflix", "vegetarian", "Noted."))


_IN_ANOTHER_PROCESS = """
import hashlib, json, sys
from learning_schemas.spec import StoreSpec
from learning_stores.registry import installed
for name, given in json.loads(sys.argv[1]).values():
    store = installed()[name]
    spec = StoreSpec(scope=store.scope, **given)
    print(hashlib.sha256((store.prompt(spec).text + json.dumps(store.patch_model(spec).model_json_schema())).encode()).hexdigest())
"""


def test_given_two_processes_that_hash_differently_when_they_ask_then_their_prefixes_are_the_same_bytes() -> None:
    def digests(seed: str) -> Mapping[int, str]:
        command = [sys.executable, "-c", _IN_ANOTHER_PROCESS, json.dumps(CASES)]
        ran = subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        return dict(enumerate(ran.stdout.split()))

    one, other = digests("1"), digests("2")
    assert len(one) == len(CASES)
    assert one == other
