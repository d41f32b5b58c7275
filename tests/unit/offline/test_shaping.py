"""Patches cut and completed to what a schema takes."""

from typing import Any

from learning_ops.offline.shaping import absence, shaped

TEXT: dict[str, Any] = {"type": "string"}
MAYBE: dict[str, Any] = {"anyOf": [TEXT, {"type": "null"}]}


def _closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _several(**properties: Any) -> dict[str, Any]:
    return _closed(facts={"type": "array", "items": _closed(**properties)})


def test_given_an_operation_that_lacks_own_fields_when_shaped_then_they_are_absent_and_the_rest_stays() -> None:
    schema = _several(content=TEXT, source=MAYBE, fields=_closed(tier=MAYBE, place=_closed(city=MAYBE)))

    assert shaped({"facts": [{"content": "a", "source": "b"}]}, schema) == {
        "facts": [{"content": "a", "source": "b", "fields": {"tier": None, "place": {"city": None}}}]
    }


def test_given_an_operation_that_lacks_what_cannot_be_absent_when_shaped_then_it_is_left_out() -> None:
    assert shaped({"facts": [{"content": "a"}]}, _several(content=TEXT, source=TEXT)) == {"facts": []}


def test_given_an_operation_with_what_the_schema_does_not_take_when_shaped_then_it_is_left_out() -> None:
    schema = _several(content=TEXT, kind={"type": "string", "enum": ["x"]})
    patch = {"facts": [{"content": "a", "kind": "y"}, {"content": "b", "kind": "x"}], "other": [{"content": "c"}]}

    assert shaped(patch, schema) == {"facts": [{"content": "b", "kind": "x"}]}


def test_given_a_schema_that_demands_itself_when_asked_for_absence_then_it_ends() -> None:
    root: dict[str, Any] = {"$defs": {"node": _closed(inner={"$ref": "#/$defs/node"})}, "$ref": "#/$defs/node"}

    assert absence(root, root) is not None
