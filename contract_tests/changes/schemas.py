"""Whether one schema allows all that another allows, as far as it can be told; it knows no direction.

`within` is sound and not complete: True is proven, False may be for want of proof.
"""

import json
import operator
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any, Literal

from changes.comparer import ABSENT
from changes.contract import Contract

Effect = Literal["same", "narrower", "wider", "unlike"]

ANNOTATIONS = frozenset(
    [
        "title",
        "description",
        "summary",
        "example",
        "examples",
        "externalDocs",
        "deprecated",
        "default",
        "$comment",
        "xml",
        "$id",
        "$schema",
        "$anchor",
        "$defs",
    ]
)
"""Keywords that allow and forbid nothing. What a `default` means is judged apart."""
UNBOUND_FORMATS = frozenset({"double", "password", "binary"})
"""Formats that forbid nothing of their type: every JSON number is read as a double."""

_AT_LEAST = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"}
_AT_MOST = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"}
_SCHEMAS = {
    "items",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contains",
    "propertyNames",
}
KNOWN = (
    ANNOTATIONS
    | _AT_LEAST
    | _AT_MOST
    | _SCHEMAS
    | frozenset(
        [
            "type",
            "enum",
            "const",
            "multipleOf",
            "pattern",
            "format",
            "uniqueItems",
            "required",
            "properties",
            "patternProperties",
            "dependentSchemas",
            "dependentRequired",
            "allOf",
            "anyOf",
            "oneOf",
            "not",
            "if",
            "then",
            "else",
            "prefixItems",
            "readOnly",
            "writeOnly",
            "contentEncoding",
            "contentMediaType",
            "contentSchema",
        ]
    )
)
"""The keywords of JSON Schema and of OpenAPI."""

_CONDITIONS = {"not", "if", "then", "else"}
_BY_NAME = {"properties", "patternProperties", "dependentSchemas"}
_LISTS = {"anyOf", "oneOf", "allOf", "prefixItems"}
_FREE: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(_SCHEMAS - {"contains"}, ({},)),
    "uniqueItems": (False,),
    "required": ([],),
    "minLength": (0,),
    "minItems": (0,),
    "minProperties": (0,),
}
"""What is as good as leaving the keyword out."""


def effect(was: bool, now: bool) -> Effect:  # noqa: FBT001 - the two answers of `within`, either way
    """What became of what is legal: `was` for the old within the new, `now` for the new within the old."""
    return "same" if was and now else "wider" if was else "narrower" if now else "unlike"


def relation(old: Contract, was: Any, new: Contract, now: Any) -> Effect:
    """What became of what a schema allows."""
    before, after = canonical(old, was), canonical(new, now)
    return effect(within(before, after), within(after, before))


def of_keyword(keyword: str, old: Contract, was: Any, new: Contract, now: Any) -> Effect:
    """What became of what a schema allows, by one keyword of it alone."""
    before = canonical(old, {} if was is ABSENT else {keyword: was})
    after = canonical(new, {} if now is ABSENT else {keyword: now})
    return effect(_each_within(before, after), _each_within(after, before))


def canonical(document: Contract, schema: Any, through: tuple[str, ...] = ()) -> Any:  # noqa: C901 - one branch for each form of keyword
    """A schema without annotations, each `$ref` in its place, and what can be written in two ways in one of them."""
    if schema is ABSENT or isinstance(schema, bool):
        return {"not": {}} if schema is False else {}
    if not isinstance(schema, Mapping):
        return schema
    target = schema.get("$ref")
    if isinstance(target, str):
        if target in through:
            return {"$ref": target}  # a schema within itself
        return canonical(document, document.resolved(schema), (*through, target))
    made = dict[str, Any]()
    for key, value in schema.items():
        if key in ANNOTATIONS or key.startswith("x-") or (key == "format" and value in UNBOUND_FORMATS):
            continue
        if key in _BY_NAME:
            made[key] = {name: canonical(document, each, through) for name, each in value.items()}
        elif key in _LISTS:
            made[key] = [canonical(document, each, through) for each in value]
        elif key in _SCHEMAS | _CONDITIONS:
            made[key] = canonical(document, value, through)
        elif key == "type":
            made[key] = sorted([value] if isinstance(value, str) else value)
        elif key == "const":
            made["enum"] = [value]
        else:
            made[key] = value
    return {key: value for key, value in made.items() if value not in _FREE.get(key, ())}


def within(one: Any, other: Any) -> bool:
    """Whether whatever the one canonical schema allows is surely allowed by the other."""
    if one == other:
        return True
    alternatives = _alternatives(other)
    return all(any(_each_within(each, wide) for wide in alternatives) for each in _alternatives(one))


def _alternatives(schema: Any) -> list[Any]:
    """Schemas of which a value has to fit one, to fit this."""
    for key in ("anyOf", "oneOf"):
        branches = schema.get(key)
        if branches and (key == "anyOf" or _are_apart(branches)):
            rest = {name: value for name, value in schema.items() if name != key}
            if not any(set(rest) & set(branch) for branch in branches):
                return [each for branch in branches for each in _alternatives({**rest, **branch})]
    types = schema.get("type", [])
    if len(types) > 1 and "enum" not in schema:
        return [_of_type(schema, each) for each in types]
    return [schema]


def _of_type(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The part of a schema that is about values of one type."""
    if name in {"null", "boolean"}:
        return {"type": [name]}
    return {**schema, "type": [name]}


def _are_apart(branches: list[Any]) -> bool:
    kinds = [set(branch.get("type", [])) for branch in branches]
    return all(kinds) and not any(one & other for one, other in combinations(kinds, 2))


def _each_within(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether each keyword of the other allows what the one allows."""
    if one.get("not") == {}:  # it allows nothing
        return True
    if _is_closed(other) and not set(one.get("properties", {})) <= set(other.get("properties", {})):
        return False
    if not _properties_within(one, other.get("properties", {})):
        return False
    rest = {key: value for key, value in other.items() if key != "properties"}
    return all(key in one and _implied(key, one[key], value) for key, value in rest.items())


def _properties_within(one: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether each property may be all that the one schema says of it, or of those that it does not name."""
    mine = one.get("properties", {})
    unnamed = {} if "patternProperties" in one else one.get("additionalProperties", {})
    return all(within(mine.get(name, unnamed), value) for name, value in others.items())


def _is_closed(schema: Mapping[str, Any]) -> bool:
    return "additionalProperties" in schema or "unevaluatedProperties" in schema


def _implied(key: str, one: Any, other: Any) -> bool:
    """Whether what a keyword allows with the one value is allowed with the other."""
    if one == other and type(one) is type(other):
        return True
    try:
        return key in _IMPLIED and _IMPLIED[key](one, other)
    except (TypeError, ZeroDivisionError):  # a bound that is no number, or the like: `nox -s lint` tells
        return False


def _types(one: list[str], other: list[str]) -> bool:
    return all(name in other or (name == "integer" and "number" in other) for name in one)


def _all_of(values: list[Any]) -> set[str]:
    return {json.dumps(value, sort_keys=True) for value in values}


_IMPLIED: dict[str, Callable[[Any, Any], bool]] = {
    "type": _types,
    "enum": lambda one, other: _all_of(one) <= _all_of(other),
    "required": lambda one, other: _all_of(one) >= _all_of(other),
    "multipleOf": lambda one, other: isinstance(one, int) and isinstance(other, int) and one % other == 0,
    "not": lambda one, other: within(other, one),
    "allOf": lambda one, other: all(any(within(mine, theirs) for mine in one) for theirs in other),
    "anyOf": lambda one, other: all(any(within(mine, theirs) for theirs in other) for mine in one),
    **dict.fromkeys(_AT_LEAST, operator.ge),
    **dict.fromkeys(_AT_MOST, operator.le),
    **dict.fromkeys(_SCHEMAS, within),
}
"""By the keyword, whether all that its one value allows is allowed by the other."""
