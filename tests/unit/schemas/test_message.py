"""Messages as agent loops have them."""

from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseReasoningItem
from pydantic import ValidationError

from learning_schemas.message import Message, as_message_input

CHAT = ChatCompletionMessage.model_validate(
    {"role": "assistant", "content": None,
     "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}]}
)  # fmt: skip
OUTPUT = ResponseOutputMessage.model_validate(
    {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
     "content": [{"type": "output_text", "text": "Hello", "annotations": []}, {"type": "refusal", "refusal": "No."}]}
)  # fmt: skip
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}


def taken(message: object) -> dict[str, Any]:
    return Message.model_validate(as_message_input(message)).model_dump(exclude_none=True)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "user", "content": "hi"}, {"role": "user", "content": "hi"}),
        ({"role": "user"}, {"role": "user", "content": ""}),
        ({"role": "user", "content": None, "unknown": object()}, {"role": "user", "content": ""}),
        ({"role": "user", "content": ["a", {"type": "text", "text": "b"}, {"type": "input_text", "text": "c"}]},
         {"role": "user", "content": "a\nb\nc"}),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "this"}]},
         {"role": "user", "content": "[image_url]\nthis"}),
        ({"role": "user", "content": [{"type": "text", "text": None}]}, {"role": "user", "content": "[text]"}),
        ({"role": "tool", "tool_call_id": "c1", "content": "42"}, {"role": "tool", "tool_call_id": "c1", "content": "42"}),
        ({"role": "function", "name": "find", "content": "42"}, {"role": "tool", "name": "find", "content": "42"}),
        ({"role": "assistant", "content": None, "tool_calls": [CALL]},
         {"role": "assistant", "content": "", "tool_calls": [CALL]}),
        (CHAT, {"role": "assistant", "content": "", "tool_calls": [CALL]}),
        ({"role": "assistant", "content": None, "tool_calls": CHAT.tool_calls},
         {"role": "assistant", "content": "", "tool_calls": [CALL]}),
        (OUTPUT, {"role": "assistant", "content": "Hello\nNo.", "id": "msg_1"}),
        ({"role": "assistant", "content": OUTPUT.content}, {"role": "assistant", "content": "Hello\nNo."}),
        (ResponseFunctionToolCall(arguments="{}", call_id="c1", name="find", type="function_call", id="fc_1"),
         {"role": "assistant", "content": "", "id": "fc_1",
          "tool_calls": [{"arguments": "{}", "call_id": "c1", "name": "find", "type": "function_call", "id": "fc_1"}]}),
        ({"type": "function_call_output", "call_id": "c1", "output": "42"},
         {"role": "tool", "content": "42", "tool_call_id": "c1"}),
        ({"type": "function_call_output", "call_id": "c1", "output": {"found": [1]}},
         {"role": "tool", "content": '{"found": [1]}', "tool_call_id": "c1"}),
        ({"type": "computer_call_output", "call_id": "c1"},
         {"role": "tool", "content": "[computer_call_output]", "tool_call_id": "c1"}),
        (ResponseReasoningItem(id="r1", type="reasoning", summary=[]), {"role": "tool", "content": "[reasoning]"}),
        ({"type": "item_reference", "id": "x"}, {"role": "tool", "content": "[item_reference]"}),
        ({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
         {"role": "user", "content": "hi"}),
    ],
)  # fmt: skip
def test_given_a_message_as_a_loop_has_it_then_its_text_is_kept_and_its_role_marks_it(
    message: object, expected: dict[str, Any]
) -> None:
    assert taken(message) == expected


def test_given_a_message_then_it_is_taken_as_it_is() -> None:
    message = Message(role="user", content="hi", name="Alex", metadata={"a": [1]})

    assert Message.model_validate(as_message_input(message)) is message


@pytest.mark.parametrize(
    "message",
    [
        "hi", None, 5, [], object(), Message, {}, {"content": "hi"}, {"role": "owner", "content": "hi"}, {"role": None},
        {"role": ["user"]}, {"role": "user", "content": 5}, {"role": "user", "content": {"a": 1}},
        {"role": "user", "content": b"hi"},
        {"role": "user", "content": [5]}, {"role": "user", "content": [{"text": "no type"}]},
        {"role": "user", "content": [object()]}, {"role": "user", "content": "a\x00"}, {"role": "user", "content": "\ud800"},
        {"role": "user", "content": [{"type": "\x00"}]}, {"role": "user", "name": ""}, {"role": "user", "name": " a"},
        {"role": "user", "name": "\ud800"}, {"role": "user", "id": 7}, {"role": "user", "id": "x" * 256},
        {"role": "user", "metadata": []}, {"role": "user", "metadata": {"\x00": 1}},
        {"role": "assistant", "tool_calls": [{"\ud800": 1}]}, {"role": "assistant", "tool_calls": [object()]},
        {"type": "text", "text": "hi"}, {"type": 5}, {"type": "function_call_output", "output": {"a": object()}},
        {"type": "function_call", "name": "\x00"},
    ],
)  # fmt: skip
def test_given_what_is_no_message_then_it_is_refused(message: object) -> None:
    with pytest.raises(ValidationError):
        Message.model_validate(as_message_input(message))
