"""The first of pydantic's findings in words of ours: which field, what is wrong with it; never the input, which may be private."""

from dataclasses import dataclass

from pydantic import ValidationError

_FREE_FORM = frozenset({"metadata", "tool_calls", "content"})  # what is inside them is named by them
_NAME_LENGTH = 64

# Where pydantic's words are about Python, or say less than there is to say.
_PROBLEMS = {
    "string_unicode": "has a lone surrogate, which is not valid Unicode text",
    "extra_forbidden": "is not a field that exists",
    "missing": "is missing",
    "bool_type": "must be true or false",
    "timezone_aware": "has no time zone",
    "uuid_parsing": "is no UUID",  # pydantic's repeats a character of the input, such as a control character
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong: `field` as it is written (`messages[0].role`), `name` its last part, `kind` pydantic's, the problem."""

    field: str
    name: str
    kind: str
    problem: str


def first_finding(error: ValidationError) -> Finding:
    """The first thing that pydantic found."""
    first = error.errors(include_url=False, include_context=True, include_input=False)[0]
    field, name = "", ""
    for part in first["loc"]:
        if isinstance(part, int):
            field += f"[{part}]"
            continue
        name = _printable(part[:_NAME_LENGTH])
        field += f".{name}" if field else name
        if part in _FREE_FORM:
            break
    kind, context = first["type"], first.get("ctx", {})
    if kind == "too_short":
        problem = f"holds {context['actual_length']:,}, and needs {context['min_length']:,} at least"
    elif kind == "too_long":
        problem = f"holds more than {context['max_length']:,}"
    elif kind in ("model_type", "model_attributes_type", "dict_type"):
        problem = "is not an object"
    else:
        problem = _PROBLEMS.get(kind, first["msg"].removeprefix("Value error, "))
    return Finding(field=field, name=name, kind=kind, problem=_printable(problem[:1].lower() + problem[1:]))


def _printable(told: str) -> str:
    return told if told.isprintable() else "".join(c if c.isprintable() else "?" for c in told)
