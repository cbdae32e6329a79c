"""Rules that are derived from the contract: a field that a later version adds is accepted, validated, and well formed.

The rules of the first version are handwritten, and keep their ids. This module derives a rule, with its requests and its broken
server, for each keyword that a later version adds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, NamedTuple, cast

from rerank_conformance import contract
from rerank_conformance.contract import Contract, Schema

REQUEST = "#/components/schemas/RerankRequest"
RESPONSE = "#/components/schemas/RerankResponse"

Kind = Literal["acceptance", "refusal", "answer"]

_SAMPLES: Mapping[str, tuple[object, ...]] = {
    "string": ("x", ""),
    "integer": (1, 0),
    "number": (1.5,),
    "boolean": (True, False),
    "null": (None,),
    "array": (["x"], []),
    "object": ({"x": 1}, {}),
}
"""Values of each JSON type, with the empty ones, which are falsy in some languages."""

Values = Sequence[object]


def _texts(schema: Mapping[str, Any], length: int) -> Values:
    """Return texts of a length; the last one is built from the example, so that it may match a pattern."""
    example = schema.get("example")
    like = example if isinstance(example, str) and example else "s"
    return "s" * length, "é" * length, (like + like[-1] * length)[:length]


def _lists(schema: Mapping[str, Any], length: int) -> Values:
    """Return a list of this length, with different items built from the example."""
    example = schema.get("example")
    like: object = cast("list[object]", example)[0] if isinstance(example, list) and example else "x"
    if isinstance(like, int | float):
        return ([like + number for number in range(length)],)
    return ([f"{like}{number}" if isinstance(like, str) else like for number in range(length)],)


def _other_words(schema: Mapping[str, Any]) -> Values:
    """Return values that are not in an enum or const, but similar to its values."""
    words: list[Any] = schema.get("enum", [schema.get("const")])
    first = next((word for word in words if isinstance(word, str)), None)
    counted = [word for word in words if type(word) is int]
    others: list[object] = [] if first is None else [f"not-{first}", first.upper(), ""]
    return others + ([max(counted) + 1, min(counted) - 1] if counted else [])


def _without_keys(schema: Mapping[str, Any]) -> Values:
    """Return copies of the example, each without one of the required keys, and an empty object."""
    example: Mapping[str, object] = schema.get("example", {})
    kept = [
        {key: value for key, value in example.items() if key != name} for name in schema.get("required", ())
    ]
    return (*kept, {})


def _further_keys(schema: Mapping[str, Any]) -> Values:
    """Return the example with a further key, with a value of each type."""
    example: Mapping[str, object] = schema.get("example", {})
    return [{**example, "another_key": value} for values in _SAMPLES.values() for value in values]


_BEYOND: Mapping[str, Callable[[Any, Mapping[str, Any]], Values]] = {
    "minimum": lambda bound, _: (bound - 1, bound - 2, -(2**31)),
    "maximum": lambda bound, _: (bound + 1, bound + 2**31),
    "exclusiveMinimum": lambda bound, _: (bound, bound - 1),
    "exclusiveMaximum": lambda bound, _: (bound, bound + 1),
    "multipleOf": lambda bound, _: (bound + 1, 2 * bound + 1, bound / 2, bound * 1.5),
    "minLength": lambda bound, schema: (*_texts(schema, bound - 1), ""),
    "maxLength": lambda bound, schema: _texts(schema, bound + 1),
    "minItems": lambda bound, schema: _lists(schema, bound - 1),
    "maxItems": lambda bound, schema: _lists(schema, bound + 1),
    "uniqueItems": lambda _, schema: [
        2 * items for items in cast("Sequence[list[object]]", _lists(schema, 1))
    ],
    "enum": lambda _, schema: _other_words(schema),
    "const": lambda _, schema: _other_words(schema),
    "pattern": lambda _, schema: ("", "\n", "@", "@" * len(schema.get("example", "")), "x" * 1000),
    "required": lambda _, schema: _without_keys(schema),
    "additionalProperties": lambda _, schema: _further_keys(schema),
}
"""By keyword: a function of its value and schema that returns values beyond the bound."""

_WITHIN: Mapping[str, Callable[[Any, Mapping[str, Any]], Values]] = {
    "minimum": lambda bound, _: (bound,),
    "maximum": lambda bound, _: (bound,),
    "minLength": lambda bound, schema: _texts(schema, bound)[::2],
    "maxLength": lambda bound, schema: _texts(schema, bound)[::2],
    "maxItems": lambda bound, schema: _lists(schema, bound),
    "enum": lambda words, _: tuple(words),
    "const": lambda word, _: (word,),
}
"""By keyword: a function that returns values at the bound."""

_SENTENCES: Mapping[str, tuple[str, str]] = {
    "type": (
        "A value of another type in {field} is refused",
        "Validate {field} with a strict type, without conversion, even if you do not use it.",
    ),
    "required": (
        "{field} without a key that it requires is refused",
        "Declare the required keys of {field} without a default, and answer 400 if one is missing.",
    ),
    "additionalProperties": (
        "A further key of {field} that the contract does not allow is refused",
        "Answer 400 for a key of {field} that the contract does not name.",
    ),
}
"""By keyword without a bound: the requirement and the usual fix."""


@dataclass(frozen=True)
class Requirement:
    """A rule that follows from the contract."""

    kind: Kind
    path: tuple[str, ...]
    """The names that lead to the field; `[]` stands for each item of an array."""
    keyword: str
    """The JSON Schema keyword that the rule follows from; empty for the field as a whole."""
    source: str
    """The pointer to the keyword or field in the contract."""
    since: str
    """The first contract with this requirement."""
    values: tuple[object, ...] = ()
    """The values to send in the field: valid ones for `acceptance`, invalid ones for `refusal`."""

    @property
    def id(self) -> str:
        """The id of the rule: section, field, keyword."""
        # "[]" at the end stands for items that are not objects.
        path = [*(name for name in self.path[:-1] if name != "[]"), self.path[-1].replace("[]", "items")]
        words = [*path, _dashed(self.keyword)]
        return f"{self.kind}.{'-'.join(filter(None, words)).replace('_', '-')}"

    @property
    def refuses_type(self) -> bool:
        """True if the rule is about a value of a wrong type; such a rule belongs to the level `strict`."""
        return self.kind == "refusal" and self.keyword == "type"

    @property
    def field(self) -> str:
        """The field as shown in messages."""
        return ".".join(self.path).replace(".[]", "[]")

    @property
    def requirement(self) -> str:
        """The rule in a sentence."""
        if self.kind == "acceptance":
            return f"{self.field} is accepted"
        if self.kind == "answer":
            return f"{self.field} has the type and the bounds of the contract"
        if self.keyword in _SENTENCES:
            return _SENTENCES[self.keyword][0].format(field=self.field)
        return f"A value of {self.field} beyond its {self.keyword} is refused"

    @property
    def mend(self) -> str:
        """The usual fix for a failure of the rule."""
        if self.kind == "acceptance":
            return f"Declare {self.field} in the request model with the type of the contract, and ignore it if you do not use it."
        if self.kind == "answer":
            return f"Write {self.field} with the type and the bounds of the contract, or leave it out if it is not required."
        if self.keyword in _SENTENCES:
            return _SENTENCES[self.keyword][1].format(field=self.field)
        return f"Validate the {self.keyword} of {self.field}, and answer 400 beyond it."


@cache
def requirements(version: str | None = None) -> tuple[Requirement, ...]:
    """Return the derived rules of a contract; of the newest one if None."""
    found: dict[str, Requirement] = {}
    known: set[tuple[Kind, tuple[str, ...], str]] = set()
    newest = contract.numbers(contract.load(version).version)
    for number, released in enumerate(contract.versions()):
        if contract.numbers(released) > newest:
            break
        by = contract.load(released)
        for draft in _requirements(by):
            key = (draft.kind, draft.path, draft.keyword)
            if key in known:
                continue
            one = _proved(draft, by) if number > 0 else draft
            if one is not None:
                known.add(key)
                if number > 0:
                    found[one.id] = one
    return tuple(found.values())


def of_fields(by: Contract, names: Collection[str], base: Mapping[str, Any]) -> Iterator[Requirement]:
    """Yield the rules of some fields of the request.

    Args:
        by: The contract, for example of a dialect.
        names: The names of the fields.
        base: A valid request without them.
    """
    for field in _fields(by, REQUEST, (), items=True):
        if field.path[0] in names:
            for draft in _of_request(by, field):
                one = _proved(draft, by, base)
                if one is not None:
                    yield one


def _requirements(by: Contract) -> Iterator[Requirement]:
    """Yield a draft of every rule of a contract, with candidate values."""
    for field in _fields(by, REQUEST, (), items=True):
        yield from _of_request(by, field)
    for field in _fields(by, RESPONSE, ()):
        yield Requirement("answer", field.path, "", field.pointer, by.version)


_BASE: Mapping[str, Any] = {"model": "m", "query": "q", "documents": ["a", "b"]}


def _proved(draft: Requirement, by: Contract, base: Mapping[str, Any] = _BASE) -> Requirement | None:
    """Return the rule with the values that test this keyword alone; None if no value does.

    A value for a refusal must be valid without the keyword, so that it finds a server that ignores only this keyword.
    """
    if draft.kind == "answer":
        return draft

    def violates(value: object, schema: Schema) -> bool:
        return schema.violation(with_field(by, draft.path, value, base)) is not None

    if draft.kind == "acceptance":
        kept = [value for value in draft.values if not violates(value, by.request)]
    else:
        kept = [value for value in draft.values if violates(value, by.request)]
        if kept and draft.keyword != "type":
            without = without_keyword(draft, by).request
            kept = [value for value in kept if not violates(value, without)]
    return replace(draft, values=tuple(_once(kept))) if kept else None


class _Field(NamedTuple):
    path: tuple[str, ...]
    pointer: str
    schema: Mapping[str, Any]


def _fields(by: Contract, pointer: str, path: tuple[str, ...], *, items: bool = False) -> Iterator[_Field]:
    """Yield the fields of an object and of nested objects, and, if `items` is true, array items that are not objects."""
    here, schema = by.at(pointer)
    for name in schema.get("properties", {}):
        at, found = by.at(f"{here}/properties/{name}")
        yield _Field((*path, name), at, found)
        for branch in _branches(by, at, found):
            yield from _fields(by, branch, (*path, name), items=items)
            if (path or name != "documents") and isinstance(by.at(branch)[1].get("items"), dict):
                # documents have rules of their own
                below = (*path, name, "[]")
                yield from _fields(by, f"{branch}/items", below, items=items)
                item = by.at(f"{branch}/items")
                if items and "properties" not in item[1]:
                    yield _Field(below, *item)


def _branches(by: Contract, pointer: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the pointer to a schema, and to each schema that it combines."""
    yield pointer
    for keyword in ("anyOf", "oneOf", "allOf"):
        for number in range(len(schema.get(keyword, ()))):
            branch = f"{pointer}/{keyword}/{number}"
            yield by.at(branch)[0] if "$ref" in schema[keyword][number] else branch


def _of_request(by: Contract, field: _Field) -> Iterator[Requirement]:
    """Yield a draft of each rule of a field, with candidate values."""

    def draft(kind: Kind, keyword: str, source: str, values: Values) -> Requirement:
        return Requirement(kind, field.path, keyword, source, by.version, tuple(values))

    # An example beside a reference or a combination applies to each of its schemas.
    places = [
        (place, {**_prose(field.schema), **by.at(place)[1]})
        for place in _branches(by, field.pointer, field.schema)
    ]
    if field.path[-1] != "[]":
        yield draft("acceptance", "", field.pointer, [*_legal(field, places), None])
    types = _types([schema for _, schema in places])
    if types:
        samples = [value for kind, values in _SAMPLES.items() if kind not in types for value in values]
        yield draft("refusal", "type", field.pointer, samples)
    for place, schema in places:
        for word in filter(schema.__contains__, _BEYOND):
            values = [value for value in _BEYOND[word](schema[word], schema) if _type_of(value) in types]
            yield draft("refusal", word, f"{place}/{word}", values)


def _legal(field: _Field, places: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[object]:
    """Yield candidates for valid values: the example, the default, and the values at a bound."""
    has_fields = any("properties" in schema for _, schema in places)
    for name in ("example", "default"):
        if name in field.schema and not (has_fields and isinstance(field.schema[name], dict)):
            yield field.schema[name]  # an object has rules for the fields in it
    for _, schema in places:
        for word, within in _WITHIN.items():
            if word in schema:
                yield from within(schema[word], schema)


def _prose(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"example": schema["example"]} if "example" in schema else {}


def _types(schemas: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the types that a field may have."""
    found: set[str] = set()
    for schema in schemas:
        words = schema.get("enum", [schema["const"]] if "const" in schema else [])
        kinds = schema.get("type", [_type_of(word) for word in words])
        found |= {kinds} if isinstance(kinds, str) else set(kinds)
    return {*found, "integer"} if "number" in found else found


_NAMES: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
}


def _type_of(value: object) -> str:
    return _NAMES.get(type(value), "object")


def _once(values: Sequence[object]) -> Iterator[object]:
    seen: set[str] = set()
    for value in values:
        if repr(value) not in seen:
            seen.add(repr(value))
            yield value


def with_field(
    by: Contract, path: Sequence[str], value: object, base: Mapping[str, Any] = _BASE
) -> dict[str, Any]:
    """Return a minimal request with this value in a field; the objects around it have their required keys."""
    return {**base, path[0]: _within(by, f"{REQUEST}/properties/{path[0]}", path[1:], value)}


def _within(by: Contract, pointer: str, rest: Sequence[str], value: object) -> object:
    if not rest:
        return value
    here, schema = by.at(pointer)
    for branch in _branches(by, here, schema):
        place, found = by.at(branch)
        if rest[0] == "[]" and "items" in found:
            return [_within(by, f"{place}/items", rest[1:], value)]
        if rest[0] in found.get("properties", {}):
            example = found.get("example", {})
            needed = {name: example[name] for name in found.get("required", ()) if name in example}
            return {**needed, rest[0]: _within(by, f"{place}/properties/{rest[0]}", rest[1:], value)}
    return value


def without_keyword(one: Requirement, by: Contract | None = None) -> Contract:
    """Return the contract without the keyword of a requirement, for the server that breaks it; the newest contract if None."""
    document = deepcopy(cast("dict[str, Any]", (by or contract.load()).document))
    parent, _, name = one.source.rpartition("/")
    by = Contract(document)
    holder = cast("dict[str, Any]", by.at(parent)[1])
    if one.keyword == "type":
        types = _types([by.at(place)[1] for place in _branches(by, one.source, holder[name])])
        holder[name] = {"anyOf": [holder[name], {"not": {"type": sorted(types)}}]}
    else:
        bound = holder.pop(name)
        if name in ("enum", "const"):  # they may also define the type
            holder.setdefault("type", sorted(_types([{name: bound}])))
    return Contract(document)


@cache
def schema_of(one: Requirement) -> Schema:
    """Return the validator of a field of the answer."""
    return contract.load().schema(one.source)


def mended(value: Any, path: Sequence[str], by: Contract, one: Requirement) -> Any:
    """Return the answer with the contract's example in a field, if it has the field; the field has its own rule."""
    if not path:
        return by.at(one.source)[1].get("example", value)
    if path[0] == "[]" and isinstance(value, list):
        return [mended(item, path[1:], by, one) for item in cast("list[object]", value)]
    if not isinstance(value, dict) or path[0] not in value:
        return cast("object", value)
    known = cast("dict[str, Any]", value)
    return {**known, path[0]: mended(known[path[0]], path[1:], by, one)}


def values_at(value: object, path: Sequence[str], place: str = "") -> Iterator[tuple[str, object]]:
    """Yield each value at a path of an answer, with its position; nothing if the path does not exist."""
    if not path:
        yield place, value
    elif path[0] == "[]":
        for number, item in enumerate(cast("list[object]", value) if isinstance(value, list) else []):
            yield from values_at(item, path[1:], f"{place}[{number}]")
    elif isinstance(value, dict) and path[0] in value:
        name = f"{place}.{path[0]}" if place else path[0]
        yield from values_at(cast("dict[str, object]", value)[path[0]], path[1:], name)


def _dashed(keyword: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in keyword)


def wrong_value(one: Requirement) -> object:
    """Return a value that the contract forbids in a field of the answer."""
    samples = [value for values in _SAMPLES.values() for value in values]
    return next(value for value in samples if schema_of(one).violation(value))


def put(value: Any, path: Sequence[str], new: object) -> Any:
    """Return a copy of a JSON value with another value at a path, in every item of an array."""
    if not path:
        return new
    if path[0] == "[]":
        return [put(item, path[1:], new) for item in value]
    return {**value, path[0]: put(value.get(path[0], {}), path[1:], new)}
