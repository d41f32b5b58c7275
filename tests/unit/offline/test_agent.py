"""An agent's requests: which tool the offline model asks for, in the API's own form, and what it makes of the result."""

import json
from typing import Any

import httpx2
import openai
import pytest

from learning_ops.offline.agent import act
from learning_ops.offline.conversation import Conversation, ToolCall, Turn
from learning_ops.offline.faults import Faults
from learning_ops.offline.server import OfflineModel, Settings, running

TEXT = {"type": "string"}
LEARNING = {
    "title": TEXT,
    "learning": TEXT,
    "context": {"type": ["string", "null"]},
    "tags": {"type": "array", "items": TEXT},
}
SCHEMAS: dict[str, dict[str, Any]] = {
    name: {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    for name, properties in {
        "save_learning": LEARNING,
        "propose_learning": LEARNING,
        "search_learnings": {"query": TEXT, "limit": {"type": "integer", "minimum": 1}},
        "search_entities": {"query": TEXT},
        "save_memory": {"content": TEXT},
        "update_profile": {"name": {"type": ["string", "null"]}, "preferred_name": {"type": ["string", "null"]}},
        "forget_memory": {"id": TEXT},
    }.items()
}
ALL = "save_learning", "search_learnings", "save_memory", "update_profile", "forget_memory"
BLOCK = (
    "<learning-machine-memory>\nWhat is remembered.\nMemories:\n- Prefers concise answers\n- Lives in Berlin\n"
    "Lessons:\n- Always pin dependencies when building container images\n</learning-machine-memory>"
)


def chat_tools(*names: str) -> list[Any]:
    return [{"type": "function", "function": {"name": name, "parameters": SCHEMAS[name]}} for name in names]


def response_tools(*names: str) -> list[Any]:
    return [{"type": "function", "name": name, "parameters": SCHEMAS[name], "strict": True} for name in names]


def asked(text: str, *tools: str, system: str = "") -> ToolCall | str | None:
    turns = (Turn(role="system", text=system), Turn(role="user", text=text))
    return act(Conversation(turns=turns, tools={name: SCHEMAS[name] for name in tools}))


@pytest.mark.parametrize(
    ("text", "learning", "context"),
    [
        ("Remember that a rollback needs its own test.", "A rollback needs its own test", None),
        (
            "Save this: always tag the release when deploying.",
            "Always tag the release when deploying",
            "When deploying",
        ),
        ("Please note for the team: alerts need an owner", "Alerts need an owner", None),
        ("Save this lesson for the team: alerts need an owner", "Alerts need an owner", None),
        ("Could you remember this: alerts need an owner", "Alerts need an owner", None),
    ],
)
@pytest.mark.parametrize("tool", ["save_learning", "propose_learning"])
def test_given_a_lesson_to_keep_when_asked_then_the_offered_tool_gets_all_of_it(
    text: str, learning: str, context: str | None, tool: str
) -> None:
    call = asked(text, tool, "search_learnings")

    assert isinstance(call, ToolCall)
    assert call.name == tool
    assert (call.arguments["learning"], call.arguments["context"]) == (learning, context)
    assert call.arguments["title"]
    assert call.arguments["title"].casefold() in learning.casefold()
    assert call.arguments["tags"]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("What do we know about retries?", "retries"),
        ("search for container images", "container images"),
        ("How should I name branches?", "name branches"),
        ("Do we have any lessons about deploys?", "deploys"),
    ],
)
def test_given_a_question_for_what_is_known_when_asked_then_it_is_searched_for(text: str, query: str) -> None:
    assert asked(text, *ALL) == ToolCall(name="search_learnings", arguments={"query": query, "limit": 5})
    assert asked(text, "search_entities") == ToolCall(name="search_entities", arguments={"query": query})


def test_given_something_of_the_user_when_told_to_remember_then_it_is_a_memory_or_a_field_of_the_profile() -> None:
    assert asked("Remember that I prefer tea.", *ALL) == ToolCall(
        name="save_memory", arguments={"content": "Prefers tea"}
    )
    assert asked("Please remember that my name is Alex.", *ALL) == ToolCall(
        name="update_profile", arguments={"name": "Alex", "preferred_name": None}
    )
    assert asked("Remember that my name is Alex.", "save_memory") == ToolCall(
        name="save_memory", arguments={"content": "Name is Alex"}
    )
    assert asked("Remember that I prefer tea.", "save_learning") is None


def test_given_something_to_forget_when_its_id_is_in_sight_then_it_is_forgotten_else_nothing_is_called() -> None:
    shown = "Memories:\n- [k4] Lives in Berlin\n- [k7] Prefers tea"

    assert asked("Forget that I prefer tea.", *ALL, system=shown) == ToolCall(
        name="forget_memory", arguments={"id": "k7"}
    )
    assert asked("Forget that I prefer tea.", *ALL, system="- Prefers tea") is None
    assert asked("Forget that I hate jazz.", *ALL, system=shown) is None


def test_given_something_to_forget_when_it_is_recalled_without_an_id_then_it_is_forgotten_by_its_words() -> None:
    tools = {"forget_memory": {"type": "object", "properties": {"memory": TEXT}, "required": ["memory"]}}

    def told(text: str) -> ToolCall | str | None:
        turns = (Turn(role="system", text=BLOCK), Turn(role="user", text=text))
        return act(Conversation(turns=turns, tools=tools))

    assert told("Please forget that I live in Berlin.") == ToolCall(
        name="forget_memory", arguments={"memory": "Lives in Berlin"}
    )
    assert told("Forget that I was born in Berlin.") is None
    assert told("Forget that I hate jazz.") is None


@pytest.mark.parametrize(
    "text",
    [
        "Do you remember that film?",
        "I remember that day.",
        "Remember that I told you?",
        "Hello there!",
        "We saved this file: notes.txt",
        "Search results are odd.",
        "",
    ],
)
def test_given_anything_else_when_asked_then_no_tool_is_called(text: str) -> None:
    assert asked(text, *ALL) is None


def test_given_a_function_that_demands_what_is_not_said_when_asked_then_it_is_called_with_the_emptiest_or_not_at_all() -> (
    None
):
    said = (Turn(role="user", text="Save this: alerts need an owner"),)
    whole = {
        "type": "object",
        "properties": {"learning": TEXT, "count": {"type": "integer"}},
        "required": ["learning", "count"],
    }
    other = {"type": "object", "properties": {"sql": TEXT}, "required": ["sql"]}
    odd = {
        "type": "object",
        "properties": {"learning": TEXT, "key": {"type": "string", "pattern": "^x+$"}},
        "required": ["key"],
    }

    assert act(Conversation(turns=said, tools={"save_learning": whole})) == ToolCall(
        name="save_learning", arguments={"learning": "Alerts need an owner", "count": 0}
    )
    assert act(Conversation(turns=said, tools={"save_learning": other})) is None
    assert act(Conversation(turns=said, tools={"save_learning": odd})) is None
    assert act(Conversation(turns=said, tools={"save_learning": {}})) is None


def test_given_a_chat_agent_s_loop_when_it_saves_then_searches_then_every_round_ends(client: openai.OpenAI) -> None:
    store: list[str] = []
    messages: list[Any] = [{"role": "system", "content": "You have tools."}]

    def turn(text: str) -> tuple[str, list[str]]:
        called = []
        messages.append({"role": "user", "content": text})
        for _ in range(4):
            completion = client.chat.completions.create(model="m", messages=messages, tools=chat_tools(*ALL))
            choice = completion.choices[0]
            messages.append(choice.message.model_dump(exclude_none=True))
            if not choice.message.tool_calls:
                assert choice.finish_reason == "stop"
                return str(choice.message.content), called
            assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
            for call in choice.message.tool_calls:
                assert call.type == "function"
                arguments = json.loads(call.function.arguments)
                called.append(call.function.name)
                if call.function.name == "save_learning":
                    store.append(arguments["learning"])
                result = "Saved." if call.function.name == "save_learning" else "\n".join(store)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        raise AssertionError("the loop did not end")

    assert turn("Save this: alerts need an owner.") == ("[offline model] save_learning: Saved.", ["save_learning"])
    assert turn("What do we know about alerts?") == (
        "[offline model] From memory: Alerts need an owner",
        ["search_learnings"],
    )
    assert turn("Thanks!")[1] == []


def test_given_a_responses_agent_s_loop_when_it_searches_then_the_answer_uses_the_result(client: openai.OpenAI) -> None:
    conversation: list[Any] = [{"role": "user", "content": "How should I build images?"}]
    tools = response_tools("search_learnings", "save_learning")

    first = client.responses.create(model="m", input=conversation, tools=tools)
    (call,) = first.output
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments), call.status) == (
        "search_learnings",
        {"query": "build images", "limit": 5},
        "completed",
    )
    assert call.call_id.startswith("call_")
    conversation += [
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "Always pin\n dependencies"},
    ]
    second = client.responses.create(model="m", input=conversation, tools=tools)

    assert second.output_text == "[offline model] From memory: Always pin dependencies"
    assert [item.type for item in second.output] == ["message"]


def test_given_several_results_when_asked_then_all_are_in_the_one_line(client: openai.OpenAI) -> None:
    calls: Any = [
        {"id": f"c{number}", "type": "function", "function": {"name": "search_learnings", "arguments": "{}"}}
        for number in (1, 2)
    ]
    messages: list[Any] = [
        {"role": "user", "content": "What do we know about tea?"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
        {"role": "tool", "tool_call_id": "unheard", "content": "three"},
    ]

    completion = client.chat.completions.create(model="m", messages=messages, tools=chat_tools(*ALL))

    assert completion.choices[0].message.content == "[offline model] From memory: one From memory: two Tool: three"


def test_given_tool_choice_when_it_forbids_or_names_a_function_then_that_holds(client: openai.OpenAI) -> None:
    said: list[Any] = [{"role": "user", "content": "Save this: alerts need an owner"}]
    both = chat_tools("save_learning", "search_learnings")

    def names(choice: Any) -> list[str]:
        completion = client.chat.completions.create(model="m", messages=said, tools=both, tool_choice=choice)
        calls = completion.choices[0].message.tool_calls or []
        return [call.function.name for call in calls if call.type == "function"]

    assert names("auto") == names({"type": "function", "function": {"name": "save_learning"}}) == ["save_learning"]
    assert names("none") == names({"type": "function", "function": {"name": "search_learnings"}}) == []
    response = client.responses.create(
        model="m", input="Save this: x needs y", tools=response_tools("save_learning"), tool_choice="none"
    )
    assert response.output[0].type == "message"


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ("Where do I live?", "Lives in Berlin"),
        ("What kind of answers do I prefer?", "Prefers concise answers"),
        ("Suggest how to set up building of our images", "Always pin dependencies when building container images"),
    ],
)
def test_given_recalled_memory_when_a_question_touches_it_then_the_line_is_quoted_wherever_it_was_put(
    client: openai.OpenAI, question: str, line: str
) -> None:
    wanted = f"[offline model] From memory: {line}"

    for role in ("system", "developer", "user"):
        said: list[Any] = [{"role": role, "content": BLOCK}, {"role": "user", "content": question}]
        assert client.chat.completions.create(model="m", messages=said).choices[0].message.content == wanted
    assert client.responses.create(model="m", instructions=BLOCK, input=question).output_text == wanted
    assert client.responses.create(model="m", input=f"{BLOCK}\n{question}").output_text == wanted


@pytest.mark.parametrize("text", ["What is the capital of France?", "I live here.", "Thanks!"])
def test_given_recalled_memory_when_nothing_in_it_is_asked_for_then_the_answer_says_what_it_is(
    client: openai.OpenAI, text: str
) -> None:
    answered = client.responses.create(model="m", instructions=BLOCK, input=text).output_text

    assert answered.endswith(f"knows no answers. You said: {text}")


def test_given_tools_and_a_schema_when_asked_then_the_schema_is_answered(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"x": {"type": "boolean"}},
        "required": ["x"],
        "additionalProperties": False,
    }
    form: Any = {"type": "json_schema", "name": "any", "strict": True, "schema": schema}

    response = client.responses.create(
        model="m", input="Save this: x needs y", tools=response_tools("save_learning"), text={"format": form}
    )

    assert json.loads(response.output_text) == {"x": False}


def test_given_a_limit_when_a_call_is_longer_then_its_arguments_are_cut_and_it_says_so(client: openai.OpenAI) -> None:
    said = "Save this: alerts need an owner who answers at night"

    completion = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": said}], tools=chat_tools("save_learning"), max_tokens=4
    )
    response = client.responses.create(
        model="m", input=said, tools=response_tools("save_learning"), max_output_tokens=16
    )

    assert completion.choices[0].finish_reason == "length"
    assert (response.status, response.output[0].type) == ("incomplete", "function_call")


def test_given_a_refusal_fault_when_tools_are_offered_then_it_is_text() -> None:
    with (
        running(Settings(faults=Faults(rate_refusal=1.0))) as model,
        openai.OpenAI(base_url=model.url, api_key="k", max_retries=0) as sdk,
    ):
        message = (
            sdk.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": "Save this: alerts need an owner"}],
                tools=chat_tools("save_learning"),
            )
            .choices[0]
            .message
        )

    assert message.refusal
    assert not message.tool_calls


@pytest.mark.parametrize(("tools", "param"), [({}, "tools"), ([1], "tools[0]")])
@pytest.mark.parametrize("path", ["responses", "chat/completions"])
def test_given_malformed_tools_when_sent_then_the_error_names_them(
    offline: OfflineModel, path: str, tools: Any, param: str
) -> None:
    body = {"model": "m", "input": "x", "messages": [{"role": "user", "content": "x"}], "tools": tools}

    error = httpx2.post(f"{offline.url}/{path}", json=body).json()["error"]

    assert (error["param"], error["code"]) == (param, "invalid_type")
