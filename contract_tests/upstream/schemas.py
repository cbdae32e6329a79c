"""What a schema means: which values it allows, by their type, however it is written.

References, `allOf`, `anyOf`, `oneOf` and `nullable` are worked out here, so that two spellings of one thing come out the
same, each part with the place that it stands at. Whether two schemas allow the same values is proved by jsonschema-rs,
on its canonical forms; this module only takes them apart, so that a difference has a name and a place.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from jsonschema_rs import CanonicalSchema, Draft202012, Registry, ValidationError, canonicalize, meta
from jsonschema_rs.canonical import CanonicalKind

from documents import Document, below
from upstream.places import At, top

TYPES = ("null", "boolean", "number", "string", "array", "object")
MANY = 512  # alternatives of one schema; more are no schema of an API
PARTS = 100_000  # of the schemas of one comparison; more come from references that multiply

MAPS = {"properties", "patternProperties", "dependentSchemas"}
LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
SINGLES = {
    "items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedItems",
    "unevaluatedProperties",
}  # fmt: skip
NOTES = ("format", "default", "deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType")
"""Keywords that forbid no value, and still mean something to who reads or writes it."""
PROSE = {
    "title", "description", "example", "examples", "externalDocs", "xml", "discriminator", "nullable", "$comment",
    "$schema", "$id", "$anchor", "$defs", "definitions",
}  # fmt: skip
LIMITS: dict[str, tuple[str, ...]] = {
    "number": ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength", "pattern"),
    "array": ("minItems", "maxItems", "uniqueItems"),
    "object": ("minProperties", "maxProperties"),
}
TAKEN = {
    "type", "enum", "const", "properties", "required", "additionalProperties", "items", "$ref", "allOf", "anyOf", "oneOf",
    *NOTES, *PROSE, *(name for names in LIMITS.values() for name in names),
}  # fmt: skip
NO_LIMIT = {"minLength": 0, "minItems": 0, "minProperties": 0, "uniqueItems": False}
NO_NOTE = {"deprecated": False, "readOnly": False, "writeOnly": False, "format": "double"}
"""What says no more than silence does: every JSON number is read as a double."""

Conjunction = tuple[At, ...]
"""Schemas that a value has to fit all of."""


@dataclass(frozen=True)
class Flat:
    """A schema object without its references and alternatives."""

    at: At
    said: Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """One way for a value to fit, for one type."""

    type: str
    flats: tuple[Flat, ...]
    values: tuple[Any, ...] | None
    """The only values, where they are listed."""
    whole: bool
    """Whether numbers have to be whole."""

    @property
    def at(self) -> At:
        """Where it is written: the last part that says something, as the others lead to it."""
        return next(
            (flat.at for flat in reversed(self.flats) if set(flat.said) - {*NOTES}), self.flats[-1].at
        )

    def limits(self) -> dict[str, Any]:
        """Its limits by keyword, the strictest of each."""
        found = dict[str, Any]()
        for name in LIMITS.get(self.type, ()):
            bounds = [
                flat.said[name]
                for flat in self.flats
                if name in flat.said and flat.said[name] != NO_LIMIT.get(name)
            ]
            if not bounds:
                continue
            if name in ("pattern", "multipleOf"):
                found[name] = " and ".join(sorted({json.dumps(bound) for bound in bounds}))
            else:
                found[name] = min(bounds) if "max" in name.lower() else max(bounds)
        return found

    def unlimited(self) -> bool:
        """Whether every value of the type fits, as far as its own keywords go."""
        return self.values is None and not self.limits()

    def items(self) -> "Node":
        """What the elements of an array have to fit."""
        return (tuple(_under(flat, "items") for flat in self.flats if "items" in flat.said),)

    def properties(self) -> dict[str, Conjunction]:
        """What the fields of an object have to fit, by name."""
        found = dict[str, Conjunction]()
        for flat in self.flats:
            inside = _under(flat, "properties")
            for name in flat.said.get("properties", ()):
                found[name] = (*found.get(name, ()), inside.raw(name))
        return found

    def required(self) -> frozenset[str]:
        """The fields that have to be there."""
        return frozenset(name for flat in self.flats for name in flat.said.get("required", ()))

    def additional(self) -> Conjunction:
        """What fields of other names have to fit."""
        return tuple(
            _under(flat, "additionalProperties")
            for flat in self.flats
            if flat.said.get("additionalProperties", True) not in (True, {})
        )

    def closed(self) -> bool:
        """Whether fields of other names are forbidden."""
        return any(flat.said.get("additionalProperties") is False for flat in self.flats)


Node = tuple[Conjunction, ...]
"""Schemas of which a value has to fit one conjunction; an empty conjunction takes anything."""


def _under(flat: Flat, key: str) -> At:
    return At(flat.at.document, below(flat.at.pointer, key), flat.said.get(key))


def node(at: At) -> Node:
    """A single schema."""
    return ((at,),)


class Schemas:
    """The schemas of one document that some places need, in JSON Schema 2020-12 whatever they are written in.

    Args:
        side: A name that no other document of a comparison has.
        document: The document.
        roots: The schemas that are needed; all that they refer to comes with them, and nothing else is looked at.

    Raises:
        CannotReadError: A reference leads nowhere, or a schema is none.
    """

    def __init__(self, side: str, document: Document, roots: list[At]) -> None:
        self.document = document
        self.old = str(document.data["openapi"]).startswith("3.0")
        self._base = f"urn:{side}"
        self._numbers = dict[str, int]()
        self._parts = 0
        self._truths = dict[Any, CanonicalSchema]()
        waiting = [at.pointer for at in roots]
        schemas = dict[str, Any]()
        places = {at.pointer: at for at in roots}
        while waiting:
            pointer = waiting.pop()
            if str(self._number(pointer)) in schemas:
                continue
            found = list[At]()
            schema = self._modern(places[pointer], found)
            try:
                meta.validate(schema)
            except ValidationError as error:
                message = f"this is no JSON Schema{_inside(error)}: {' '.join(error.message.split())}"
                raise places[pointer].wrong(message) from None
            schemas[str(self._number(pointer))] = schema
            for target in found:
                places[target.pointer] = target
                waiting.append(target.pointer)
        self.size = len(schemas)
        """How many schemas are needed."""
        self._registry = Registry([(self._base, {"$defs": schemas})], draft=Draft202012)

    def _number(self, pointer: str) -> int:
        return self._numbers.setdefault(pointer, len(self._numbers))

    def _modern(self, at: At, found: list[At]) -> Any:
        """The schema in JSON Schema 2020-12, without prose; the places that it refers to are added to those found."""
        self._parts += 1
        if self._parts > PARTS:
            message = f"the schemas from here on have more than {PARTS:,} parts: is this the right document?"
            raise at.wrong(message)
        if isinstance(at.value, bool):
            return at.value
        said = self._said(at)
        null = self._null_beside(said)
        schema = dict[str, Any]()
        for key, value in said.items():
            inside = At(at.document, below(at.pointer, key), value)
            if key == "$ref" and isinstance(value, str):
                target = at.to(value)
                found.append(target)
                schema["$ref"] = f"{self._base}#/$defs/{self._number(target.pointer)}"
            elif key in MAPS and isinstance(value, dict):
                schema[key] = {name: self._modern(inside.raw(name), found) for name in value}
            elif key in LISTS and isinstance(value, list):
                schema[key] = [self._modern(branch, found) for branch in branches(at, key)]
            elif key in SINGLES and isinstance(value, (dict, bool)):
                schema[key] = self._modern(inside, found)
            elif key not in PROSE and key not in NOTES and not key.startswith("x-"):
                schema[key] = value
        return {"anyOf": [schema, {"type": "null"}]} if null else schema

    def _said(self, at: At) -> dict[str, Any]:
        """The keywords of a schema; those of OpenAPI 3.0 as those of 3.1."""
        said = dict(at.mapping())
        if self.old and "$ref" in said:
            return {"$ref": said["$ref"]}  # 3.0: what stands beside a reference is ignored
        for name, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if isinstance(said.get(name), bool) and said.pop(name) and bound in said:
                said[name] = said.pop(bound)
        return said

    @staticmethod
    def _null_beside(said: Mapping[str, Any]) -> bool:
        """Whether `nullable` lets null in, also where a reference or an enum beside it does not name it."""
        # Also in 3.1, which does not have it: the vendor's tools write it into documents of that version.
        return said.get("nullable") is True

    def alternatives(self, wanted: Node) -> list[tuple[Flat, ...]]:
        """All ways to fit, each a conjunction of flat schemas."""
        return [flats for conjunction in wanted for flats in self._together(conjunction)]

    def _together(self, schemas: Conjunction) -> list[tuple[Flat, ...]]:
        ways: list[tuple[Flat, ...]] = [()]
        for schema in schemas:
            ways = _times(schema, ways, self._ways(schema, ()))
        return ways

    def _ways(self, at: At, path: tuple[str, ...]) -> list[tuple[Flat, ...]]:
        if at.value is False:
            return []
        if at.value is True:
            return [(Flat(at, {}),)]
        if at.pointer in path:
            raise at.wrong("this schema is defined by itself, so that it means nothing")
        path = (*path, at.pointer)
        said = self._said(at)
        own = {key: value for key, value in said.items() if key in NOTES or key not in TAKEN or _is_flat(key)}
        own = {
            key: value
            for key, value in own.items()
            if not key.startswith("x-") and NO_NOTE.get(key, _NEVER) != value
        }
        ways: list[tuple[Flat, ...]] = [(Flat(at, own),)]
        if "$ref" in said:
            ways = _times(at, ways, self._ways(at.to(said["$ref"]), path))
        for branch in branches(at, "allOf"):
            ways = _times(at, ways, self._ways(branch, path))
        for key in ("anyOf", "oneOf"):
            if key in said:
                ways = _times(
                    at, ways, [way for branch in branches(at, key) for way in self._ways(branch, path)]
                )
        if self._null_beside(said):
            ways.append((Flat(at, {"type": "null"}),))
        return ways

    def cases(self, wanted: Node) -> dict[str, list[Case]]:
        """The ways to fit, by type."""
        found = dict[str, list[Case]]()
        silence = (Flat(top(self.document), {}),)
        for flats in self.alternatives(wanted):
            for case in _cases(flats or silence):
                found.setdefault(case.type, []).append(case)
        return found

    def truth(self, wanted: Node) -> CanonicalSchema:
        """The canonical form of schemas, which two documents share."""
        key = tuple(tuple(at.pointer for at in conjunction) for conjunction in wanted)
        if key not in self._truths:
            self._parts = 0
            branches = [
                {"allOf": [self._modern(at, []) for at in conjunction]} if conjunction else True
                for conjunction in wanted
            ]
            self._truths[key] = self._canonical({"anyOf": branches})
        return self._truths[key]

    def takes_all(self, wanted: Node) -> bool:
        """Whether schemas are proved to take every value."""
        return () in wanted or self.truth(wanted).kind is CanonicalKind.TRUE

    def truth_of(self, case: Case) -> CanonicalSchema:
        """The canonical form of one case."""
        parts = [
            self._modern(At(flat.at.document, flat.at.pointer, dict(flat.said)), []) for flat in case.flats
        ]
        return self._canonical({"type": case.type, "allOf": parts})

    def _canonical(self, schema: Any) -> CanonicalSchema:
        return canonicalize(schema, registry=self._registry, draft=Draft202012)


_NEVER = object()


def _times(at: At, left: list[tuple[Flat, ...]], right: list[tuple[Flat, ...]]) -> list[tuple[Flat, ...]]:
    """Each of the one with each of the other."""
    if len(left) * len(right) > MANY:
        message = f"this has more than {MANY} alternatives, which is too much to compare"
        raise at.wrong(message)
    return [one + other for one, other in product(left, right)]


def _is_flat(key: str) -> bool:
    return key in TAKEN and key not in PROSE and key not in ("$ref", "allOf", "anyOf", "oneOf")


def branches(at: At, key: str) -> Iterator[At]:
    """The schemas in a list under a keyword."""
    inside = At(at.document, below(at.pointer, key), at.value.get(key, []))
    for index, value in enumerate(inside.value):
        lone = isinstance(value, dict) and value.get("nullable") is True and not value.keys() - PROSE
        # `nullable` alone lets anything in; as one of several it is what tools for 3.0 make of `type: 'null'`
        yield (
            replace(inside.raw(index), value={"type": "null"})
            if lone and key != "allOf"
            else inside.raw(index)
        )


def _inside(error: ValidationError) -> str:
    return (
        "".join(f" {step}" for step in ("", *error.instance_path)).replace("  ", " ")
        if error.instance_path
        else ""
    )


def _cases(flats: tuple[Flat, ...]) -> Iterator[Case]:
    types, whole = set(TYPES), False
    values: list[Any] | None = None
    for flat in flats:
        said = flat.said.get("type")
        if said is not None:
            named = {said} if isinstance(said, str) else set(said)
            if "integer" in named and "number" not in named:
                named.add("number")
                whole = True
            types &= named
        for listed in (flat.said.get("enum"), [flat.said["const"]] if "const" in flat.said else None):
            if listed is not None:
                values = listed if values is None else [one for one in values if one in listed]
    for name in TYPES:
        if name in types:
            of_type = None if values is None else tuple(one for one in values if type_of(one) == name)
            if of_type != ():
                yield Case(name, flats, None if name == "null" else of_type, whole and name == "number")


def key_of(value: Any) -> str:
    """A value as text, the same for values that JSON Schema holds to be equal (`1` and `1.0`)."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def type_of(value: Any) -> str:
    """The type of a JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
