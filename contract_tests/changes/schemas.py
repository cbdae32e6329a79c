"""Whether one schema allows all that another allows, as far as it can be told; it knows no direction.

`within` is sound and not complete: True is proven, False may be for want of proof.
"""

import json
from collections.abc import Mapping
from itertools import combinations
from typing import Any, Literal

from changes.comparer import ABSENT
from changes.documents import Document

Effect = Literal["same", "narrower", "wider", "unlike"]

ANNOTATIONS = frozenset(
    "title description summary example examples externalDocs deprecated default $comment xml $id $schema $anchor $defs".split()
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
KNOWN = ANNOTATIONS | _AT_LEAST | _AT_MOST | _SCHEMAS | frozenset(
    "type enum const multipleOf pattern format uniqueItems required properties patternProperties dependentSchemas "
    "dependentRequired allOf anyOf oneOf not if then else prefixItems readOnly writeOnly contentEncoding contentMediaType "
    "contentSchema".split()
)
"""The keywords of JSON Schema and of OpenAPI."""

_FREE: dict[str, tuple[Any, ...]] = {
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


def relation(old: Document, was: Any, new: Document, now: Any) -> Effect:
    """What became of what a schema allows."""
    before, after = canonical(old, was), canonical(new, now)
    return effect(within(before, after), within(after, before))


def of_keyword(keyword: str, old: Document, was: Any, new: Document, now: Any) -> Effect:
    """What became of what a schema allows, by one keyword of it alone."""
    before = canonical(old, {} if was is ABSENT else {keyword: was})
    after = canonical(new, {} if now is ABSENT else {keyword: now})
    return effect(_each_within(before, after), _each_within(after, before))


def canonical(document: Document, schema: Any, through: tuple[str, ...] = ()) -> Any:
    """A schema without annotations, each `$ref` in its place, and what can be written in two ways in one of them."""
    if schema is True or schema is ABSENT:
        return {}
    if schema is False:
        return {"not": {}}
    if not isinstance(schema, Mapping):
        return schema
    target = schema.get("$ref")
    if isinstance(target, str):
        if target in through:
            return {"$ref": target}  # a schema within itself
        through = (*through, target)
        schema = document.resolved(schema)
        if not isinstance(schema, Mapping):
            return canonical(document, schema, through)
    made = dict[str, Any]()
    for key, value in schema.items():
        if key in ANNOTATIONS or key.startswith("x-") or (key == "format" and value in UNBOUND_FORMATS):
            continue
        if key in {"properties", "patternProperties", "dependentSchemas"}:
            made[key] = {name: canonical(document, each, through) for name, each in value.items()}
        elif key in {"anyOf", "oneOf", "allOf", "prefixItems"}:
            made[key] = [canonical(document, each, through) for each in value]
        elif key in _SCHEMAS | {"not", "if", "then", "else"}:
            inner = canonical(document, value, through)
            if inner != {} or key in {"not", "if", "then", "else"}:
                made[key] = inner
        elif key == "type":
            made[key] = sorted([value] if isinstance(value, str) else value)
        elif key == "const":
            made["enum"] = [value]
        elif value not in _FREE.get(key, ()):
            made[key] = value
    return made


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
    return all(key in one and _implied(key, one[key], value) for key, value in other.items())


def _is_closed(schema: Mapping[str, Any]) -> bool:
    return "additionalProperties" in schema or "unevaluatedProperties" in schema


def _implied(key: str, one: Any, other: Any) -> bool:  # noqa: PLR0911 - one line for each kind of keyword
    if one == other and type(one) is type(other):
        return True
    if key == "type":
        return all(name in other or (name == "integer" and "number" in other) for name in one)
    if key in {"enum", "required"}:
        mine, theirs = ({json.dumps(value, sort_keys=True) for value in values} for values in (one, other))
        return mine <= theirs if key == "enum" else mine >= theirs
    if key in _AT_LEAST:
        return bool(one >= other)
    if key in _AT_MOST:
        return bool(one <= other)
    if key == "multipleOf":
        return bool(one % other == 0)
    if key in _SCHEMAS:
        return within(one, other)
    if key == "not":
        return within(other, one)
    if key == "properties":
        return all(name in one and within(one[name], value) for name, value in other.items())
    if key == "allOf":
        return all(any(within(mine, theirs) for mine in one) for theirs in other)
    if key == "anyOf":
        return all(any(within(mine, theirs) for theirs in other) for mine in one)
    return False
