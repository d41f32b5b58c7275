"""Reading a request's parameters with the API's own complaints."""

from collections.abc import Mapping
from typing import Any

from learning_ops.offline.answer import Format
from learning_ops.offline.problem import Problem, missing, unsupported, wrong_type
from learning_ops.offline.strict_schema import SchemaRefused, check_format_name, check_strict_schema


def text_parameter(body: Mapping[str, Any], name: str) -> str:
    """A required non-empty text."""
    value = body.get(name)
    if value is None or value == "":
        raise missing(name)
    if not isinstance(value, str):
        raise wrong_type(name, "a string", value)
    return value


def count_parameter(body: Mapping[str, Any], name: str) -> int | None:
    """An optional whole number of at least 1."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(name, "an integer", value)
    if value < 1:
        raise Problem(
            400,
            f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {value} instead.",
            param=name,
            code="integer_below_min_value",
        )
    return value


def object_parameter(body: Mapping[str, Any], name: str, *, within: str = "") -> dict[str, Any]:
    """An optional object, empty where it is absent; `within` is the path of the object that holds it, ending in a dot."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong_type(within + name, "an object", value)
    return value


def no_streaming(body: Mapping[str, Any]) -> None:
    """Refuse `stream`: the offline model answers in one piece."""
    if body.get("stream"):
        raise unsupported(
            "stream", "The offline model does not stream. Leave 'stream' out, or start with --model openai."
        )


def parts_text(content: object, param: str) -> str:
    """The text of a message's content: a string, or the text parts of a list, joined by line feeds."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, list):
        raise wrong_type(param, "a string or an array", content)
    texts = []
    for number, part in enumerate(content):
        if not isinstance(part, dict):
            raise wrong_type(f"{param}[{number}]", "an object", part)
        text = part.get("text", part.get("refusal"))
        if isinstance(text, str):
            texts.append(text)
    return "\n".join(texts)


def schema_format(form: Mapping[str, Any], param: str) -> Format:
    """The name and schema of a json_schema format; strict ones are held to the rules of strict mode."""
    if "name" not in form:
        raise missing(f"{param}.name")
    schema = form.get("schema")
    schema_param = f"{param}.schema" if param == "text.format" else "response_format"
    if not isinstance(schema, dict):
        raise missing(f"{param}.schema")
    name = form["name"]
    try:
        check_format_name(name)
    except SchemaRefused as refused:
        raise Problem(400, str(refused), param=f"{param}.name", code="invalid_value") from refused
    # What is not strict is answered by the same rules, which need an object they understand.
    try:
        check_strict_schema(schema)
    except SchemaRefused as refused:
        if form.get("strict") is True:
            raise Problem(
                400,
                f"Invalid schema for response_format '{name}': {refused}",
                param=schema_param,
                code="invalid_json_schema",
            ) from refused
        raise unsupported(
            schema_param, f"The offline model answers strict schemas only, which this is not: {refused}"
        ) from refused
    return Format(name=name, schema=schema)
