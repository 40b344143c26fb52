"""The quick check of arguments says what the full one says."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolgym.tools.arguments import ArgumentCheck, find_fault
from toolgym.tools.base import FunctionSchema

SCALARS = st.sampled_from(["string", "integer", "number", "boolean", "null"])
MORE = st.sampled_from(
    [
        {},
        {"description": "d"},
        {"enum": ["a", 1]},
        {"const": 1},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"$ref": "#/properties/a"},
        {"type": "array", "items": {"type": "integer"}},
        {"type": ["string", "null"]},
        {"minLength": 3},
    ]
)
PROPERTIES = st.dictionaries(
    st.sampled_from("abc"), st.builds(lambda kind, more: {"type": kind, **more}, SCALARS, MORE) | st.just(True)
)
SCHEMAS = st.builds(
    lambda properties, required, extra, root: {
        "type": "object",
        "properties": {name: one for name, one in properties.items() if name != "a" or "$ref" not in str(one)},
        "required": required,
        **extra,
        **root,
    },
    PROPERTIES,
    st.lists(st.sampled_from("abc"), unique=True),
    st.sampled_from([{}, {"additionalProperties": False}, {"additionalProperties": {"type": "integer"}}]),
    st.sampled_from([{}, {"const": {"b": 1}}, {"allOf": [{"required": ["c"]}]}]),
)
VALUES = st.sampled_from(["a", "", 1, True, 1.0, 1.5, None, [], [1], {}, float("nan")])
ARGUMENTS = st.dictionaries(st.sampled_from("abcd"), VALUES) | VALUES


@given(SCHEMAS, ARGUMENTS)
def test_the_quick_check_agrees_with_the_full_one(schema: dict[str, Any], arguments: object) -> None:
    if "b" not in schema["properties"] or "a" not in schema["properties"]:
        schema["properties"] = {"a": {"type": "string"}, "b": {"type": "integer"}, **schema["properties"]}
    assert ArgumentCheck(schema).find_fault(arguments) == find_fault(schema, arguments)


@pytest.mark.parametrize(
    ("target", "value", "fault"),
    [(True, "a", None), (True, 1, "'b' must be a string, got 1"), (False, "a", "'b' is not allowed")],
)
def test_a_reference_may_lead_to_true_or_false(target: bool, value: object, fault: str | None) -> None:
    schema = {"type": "object", "properties": {"a": target, "b": {"type": "string", "$ref": "#/properties/a"}}}
    assert find_fault(schema, {"b": value}) == ArgumentCheck(schema).find_fault({"b": value}) == fault


@pytest.mark.parametrize("value", [True, "1", None, 1.0])
def test_a_bool_a_text_and_a_float_are_judged_by_the_full_check(value: object) -> None:
    """1.0 is an integer in JSON schema, True and "1" are not: none of them has exactly the type int."""
    check = ArgumentCheck({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    assert (check.find_fault({"n": value}) is None) == (value == 1.0 and not isinstance(value, bool))
    assert check.find_fault({"n": 1}) is None


def test_a_schema_whose_check_was_made_is_the_same_schema() -> None:
    made, other = (FunctionSchema("f", "F.", {"type": "object", "properties": {"n": {"type": "null"}}}) for _ in "ab")
    assert made.argument_check.find_fault({"n": None}) is None
    for copied in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert copied == made == other
        assert copied.argument_check.find_fault({"n": 1}) == "'n' must be a null, got 1"
