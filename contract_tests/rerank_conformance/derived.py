"""Rules of form that follow from the contract: a field that a later contract adds is accepted, checked, and well formed.

The rules of the first contract are written by hand, and keep their ids. Whatever a later contract says of a field that it did
not say before is judged by rules of this module: one for each keyword, with its requests and its broken server.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
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
"""Values of each type of JSON, the empty ones too: some languages take them for nothing."""

_BEYOND: Mapping[str, Callable[[Any], Sequence[object]]] = {
    "minimum": lambda bound: (bound - 1, bound - 2, -(2**31)),
    "maximum": lambda bound: (bound + 1, bound + 2**31),
    "exclusiveMinimum": lambda bound: (bound, bound - 1),
    "exclusiveMaximum": lambda bound: (bound, bound + 1),
    "multipleOf": lambda bound: (bound / 2, bound * 1.5),
    "minLength": lambda bound: ("s" * (bound - 1), ""),
    "maxLength": lambda bound: ("s" * (bound + 1), "é" * (bound + 1)),
    "minItems": lambda bound: (["x"] * (bound - 1),),
    "maxItems": lambda bound: (["x"] * (bound + 1),),
    "uniqueItems": lambda _: (["x", "x"],),
    "enum": lambda words: (f"not-{words[0]}", str(words[0]).upper(), ""),
    "const": lambda word: (f"not-{word}", ""),
    "pattern": lambda _: ("", "\n", "@", "x" * 1000),
}
"""For each keyword that sets a bound, values beyond it."""

_WITHIN: Mapping[str, Callable[[Any], Sequence[object]]] = {
    "minimum": lambda bound: (bound,),
    "maximum": lambda bound: (bound,),
    "minLength": lambda bound: ("s" * bound,),
    "maxLength": lambda bound: ("s" * bound,),
    "enum": tuple,
    "const": lambda word: (word,),
}
"""For each keyword that sets a bound, values at it."""


@dataclass(frozen=True)
class Requirement:
    """A rule that follows from the contract."""

    kind: Kind
    path: tuple[str, ...]
    """The names that lead to the field; `[]` stands for each item of an array."""
    keyword: str
    """The keyword of JSON Schema that asks for it; empty for the field as a whole."""
    source: str
    """Its place in the contract."""
    since: str
    """The first contract that asks for it."""
    values: tuple[object, ...] = ()
    """The values that are sent in the field: legal ones for `acceptance`, illegal ones for `refusal`."""

    @property
    def id(self) -> str:
        """The id of the rule: section, field, keyword."""
        words = [*(name for name in self.path if name != "[]"), _dashed(self.keyword)]
        return f"{self.kind}.{'-'.join(filter(None, words)).replace('_', '-')}"

    @property
    def refuses_type(self) -> bool:
        """True if the rule refuses a value of a wrong type; such a rule belongs to the level `strict`."""
        return self.kind == "refusal" and self.keyword == "type"

    @property
    def field(self) -> str:
        """The field as it is written in messages."""
        return ".".join(self.path).replace(".[]", "[]")

    @property
    def requirement(self) -> str:
        """The rule in a sentence."""
        if self.kind == "acceptance":
            return f"{self.field} is accepted"
        if self.kind == "answer":
            return f"{self.field} has the type and the bounds of the contract"
        if self.keyword == "type":
            return f"A value of another type in {self.field} is refused"
        return f"A value of {self.field} beyond its {self.keyword} is refused"

    @property
    def mend(self) -> str:
        """The usual fix for a failure of the rule."""
        if self.kind == "acceptance":
            return f"Declare {self.field} in the request model with the type of the contract, and ignore it if you do not use it."
        if self.kind == "answer":
            return f"Write {self.field} with the type and the bounds of the contract, or leave it out if it is not required."
        if self.keyword == "type":
            return f"Validate {self.field} with a strict type, without conversion, also if you do not use it."
        return f"Validate the {self.keyword} of {self.field}, and answer 400 beyond it."


@cache
def requirements(version: str | None = None) -> tuple[Requirement, ...]:
    """Return every derived rule that a contract asks for; the newest contract if None."""
    found: dict[str, Requirement] = {}
    known: set[tuple[Kind, tuple[str, ...], str]] = set()
    newest = contract.numbers(contract.load(version).version)
    for number, released in enumerate(contract.versions()):
        if contract.numbers(released) > newest:
            break
        for one in _requirements(contract.load(released)):
            key = (one.kind, one.path, one.keyword)
            if key not in known and number > 0:
                found[one.id] = one
            known.add(key)
    return tuple(found.values())


def of_fields(by: Contract, names: Collection[str], base: Mapping[str, Any]) -> Iterator[Requirement]:
    """Yield the rules of some fields of the request of a contract.

    Args:
        by: The contract, of a dialect for instance.
        names: The names of the fields.
        base: A legal request without them.
    """
    for field in _fields(by, REQUEST, ()):
        if field.path[0] in names:
            yield from _of_request(by, field, base)


def _requirements(by: Contract) -> Iterator[Requirement]:
    for field in _fields(by, REQUEST, ()):
        yield from _of_request(by, field)
    for field in _fields(by, RESPONSE, ()):
        yield Requirement("answer", field.path, "", field.pointer, by.version)


class _Field(NamedTuple):
    path: tuple[str, ...]
    pointer: str
    schema: Mapping[str, Any]


def _fields(by: Contract, pointer: str, path: tuple[str, ...]) -> Iterator[_Field]:
    """Yield the fields of an object, and those of the objects in them."""
    here, schema = by.at(pointer)
    for name in schema.get("properties", {}):
        at, found = by.at(f"{here}/properties/{name}")
        yield _Field((*path, name), at, found)
        for branch in _branches(by, at, found):
            yield from _fields(by, branch, (*path, name))
            if path or name != "documents":  # documents have rules of their own
                items = by.at(branch)[1].get("items")
                if isinstance(items, dict):
                    yield from _fields(by, f"{branch}/items", (*path, name, "[]"))


def _branches(by: Contract, pointer: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the place of a schema, and of each schema that it combines."""
    yield pointer
    for keyword in ("anyOf", "oneOf", "allOf"):
        for number in range(len(schema.get(keyword, ()))):
            branch = f"{pointer}/{keyword}/{number}"
            yield by.at(branch)[0] if "$ref" in schema[keyword][number] else branch


_BASE: Mapping[str, Any] = {"model": "m", "query": "q", "documents": ["a", "b"]}


def _of_request(by: Contract, field: _Field, base: Mapping[str, Any] = _BASE) -> Iterator[Requirement]:
    def one(kind: Kind, keyword: str, source: str, values: Sequence[object]) -> Iterator[Requirement]:
        """Yield the requirement, with the values that are as legal as it needs them."""
        illegal = kind == "refusal"
        kept = [
            value
            for value in values
            if (by.request.violation(with_field(by, field.path, value, base)) is not None) is illegal
        ]
        if kept:
            yield Requirement(kind, field.path, keyword, source, by.version, tuple(_once(kept)))

    places = [(place, by.at(place)[1]) for place in _branches(by, field.pointer, field.schema)]
    legal = [field.schema[name] for name in ("example", "default") if name in field.schema]
    if any("properties" in schema for _, schema in places):
        legal = []  # its own fields are sent in it
    for _, schema in places:
        legal += [
            value for word, within in _WITHIN.items() if word in schema for value in within(schema[word])
        ]
    yield from one("acceptance", "", field.pointer, [*legal, None])
    types = _types([schema for _, schema in places])
    samples = [value for kind, values in _SAMPLES.items() if kind not in types for value in values]
    yield from one("refusal", "type", field.pointer, samples)
    for place, schema in places:
        for word, beyond in _BEYOND.items():
            if word in schema:
                values = [value for value in beyond(schema[word]) if _type_of(value) in types]
                yield from one("refusal", word, f"{place}/{word}", values)


def _types(schemas: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the types that a field may have."""
    found: set[str] = set()
    for schema in schemas:
        kinds = schema.get("type", [_type_of(word) for word in schema.get("enum", ())])
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
    """Return a plain request with a value in a field; objects on the way have what they require."""
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


def without_keyword(one: Requirement) -> Contract:
    """Return the newest contract without what a requirement asks for: the contract of a server that breaks it."""
    document = deepcopy(cast("dict[str, Any]", contract.load().document))
    parent, _, name = one.source.rpartition("/")
    by = Contract(document)
    holder = cast("dict[str, Any]", by.at(parent)[1])
    if one.keyword == "type":
        types = _types([by.at(place)[1] for place in _branches(by, one.source, holder[name])])
        holder[name] = {"anyOf": [holder[name], {"not": {"type": sorted(types)}}]}
    else:
        del holder[name]
    return Contract(document)


@cache
def schema_of(one: Requirement) -> Schema:
    """Return the validator of a field of the answer."""
    return contract.load().schema(one.source)


def mended(value: Any, path: Sequence[str], by: Contract, one: Requirement) -> Any:
    """Return an answer with the contract's example in a field that it has, as the field has a rule of its own."""
    if not path:
        return by.at(one.source)[1].get("example", value)
    if path[0] == "[]" and isinstance(value, list):
        return [mended(item, path[1:], by, one) for item in cast("list[object]", value)]
    if not isinstance(value, dict) or path[0] not in value:
        return cast("object", value)
    known = cast("dict[str, Any]", value)
    return {**known, path[0]: mended(known[path[0]], path[1:], by, one)}


def values_at(value: object, path: Sequence[str], place: str = "") -> Iterator[tuple[str, object]]:
    """Yield each value that a path leads to in an answer, with its place; nothing where it leads nowhere."""
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
    """Return a JSON value with another value where a path leads, in every item of an array."""
    if not path:
        return new
    if path[0] == "[]":
        return [put(item, path[1:], new) for item in value]
    return {**value, path[0]: put(value.get(path[0], {}), path[1:], new)}
