"""The meaning of a schema: the values that it allows, by type.

References, `allOf`, `anyOf`, `oneOf` and `nullable` are expanded here, so that each difference has a name and a location. The
canonical forms of jsonschema-rs prove that two schemas allow the same values, or that one allows all values of the other.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

from jsonschema_rs import CanonicalSchema, Draft202012, Registry, ValidationError, canonicalize, meta
from jsonschema_rs.canonical import CanonicalizationError, CanonicalKind, Containment

from compare.documents import Document, child_pointer
from compare.locations import Location, root

TYPES = ("null", "boolean", "number", "string", "array", "object")
MOST_ALTERNATIVES = 512  # of one schema; no schema of an API has more
MOST_PARTS = 100_000  # of the schemas of one comparison; nested references can multiply

MAPS = {"properties", "patternProperties", "dependentSchemas"}
LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
SINGLES = {
    "items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedItems",
    "unevaluatedProperties",
}  # fmt: skip
NOTES = (
    "format", "default", "deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType", "contentSchema",
    "discriminator", "xml",
)  # fmt: skip
"""Annotations: keywords that do not restrict the values but matter to readers and writers."""
PROSE = {
    "title", "description", "example", "examples", "externalDocs", "nullable", "$comment", "$schema", "$id", "$anchor",
    "$defs", "definitions",
}  # fmt: skip
LIMITS: dict[str, tuple[str, ...]] = {
    "number": ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength", "pattern"),
    "array": ("minItems", "maxItems", "uniqueItems"),
    "object": ("minProperties", "maxProperties"),
}
BOUNDS = ({"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"})
"""Alternative limits, which are proved together."""
EXPANDED = {
    "type", "enum", "const", "properties", "required", "additionalProperties", "items", "$ref", "allOf", "anyOf", "oneOf",
    *NOTES, *PROSE, *(name for names in LIMITS.values() for name in names),
}  # fmt: skip
"""Keywords that the comparison expands into differences."""
PROVED = {
    "patternProperties", "dependentSchemas", "dependentRequired", "prefixItems", "not", "if", "then", "else", "contains",
    "minContains", "maxContains", "propertyNames", "unevaluatedItems", "unevaluatedProperties",
}  # fmt: skip
"""Keywords that only the proof compares; all other keywords are unknown."""
NO_LIMIT = {"minLength": 0, "minItems": 0, "minProperties": 0, "uniqueItems": False}
NO_NOTE = {"deprecated": False, "readOnly": False, "writeOnly": False, "format": "double"}
"""Values that mean the same as an absent keyword: every JSON number is read as a double."""
FREE_FORMATS = {"double", "password", "binary"}
"""Formats that do not restrict the values of their type."""

Effect = Literal["same", "wider", "narrower", "unlike", "unknown"]
"""The values that the second schema allows, relative to the first; `unlike` also if nothing is proved."""
Conjunction = tuple[Location, ...]
"""Schemas that a value has to match together."""
Node = tuple[Conjunction, ...]
"""Alternative conjunctions; a value has to match one. An empty conjunction matches anything."""


@dataclass(frozen=True)
class FlatSchema:
    """A schema object without its references and alternatives."""

    at: Location
    keywords: Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """One way for a value of one type to match."""

    type: str
    flats: tuple[FlatSchema, ...]
    values: tuple[Any, ...] | None
    """The allowed values if they are listed, else None."""
    whole: bool
    """True if numbers have to be integers."""

    @property
    def at(self) -> Location:
        """The location that defines it: the last part with a keyword other than annotations, as earlier parts refer to it."""
        return next(
            (flat.at for flat in reversed(self.flats) if set(flat.keywords) - {*NOTES}), self.flats[-1].at
        )

    def keyword(self, *names: str) -> Location | None:
        """Return the location of the first of these keywords that is present."""
        found = (
            flat.at.keyword(name) for name in names for flat in reversed(self.flats) if name in flat.keywords
        )
        return next(found, None)

    def bounds(self, name: str) -> list[Any]:
        """Return each value of a limit that has an effect."""
        values = (flat.keywords[name] for flat in self.flats if name in flat.keywords)
        return [value for value in values if value != NO_LIMIT.get(name)]

    def limits(self) -> dict[str, str]:
        """Return its limits as text by keyword, each the strictest."""
        found = dict[str, str]()
        for name in LIMITS.get(self.type, ()):
            bounds = self.bounds(name)
            if not bounds:
                continue
            if name in ("pattern", "multipleOf"):
                found[name] = " and ".join(sorted({json_key(bound) for bound in bounds}))
            else:
                found[name] = json_key(min(bounds) if "max" in name.lower() else max(bounds))
        return found

    def is_unlimited(self) -> bool:
        """Return True if its own keywords allow every value of the type."""
        return self.values is None and not self.limits()

    def type_schema(self) -> dict[str, Any]:
        """Return a schema with only its type."""
        return {"type": "integer" if self.whole else self.type}

    def items(self) -> Node:
        """Return the schemas of an array's elements."""
        return (tuple(_child(flat, "items") for flat in self.flats if "items" in flat.keywords),)

    def properties(self) -> dict[str, Conjunction]:
        """Return the schemas of an object's properties."""
        found = dict[str, Conjunction]()
        for flat in self.flats:
            inside = _child(flat, "properties")
            for name in flat.keywords.get("properties", ()):
                found[name] = (*found.get(name, ()), inside.child(name))
        return found

    def required(self) -> frozenset[str]:
        """Return the names of the required properties."""
        return frozenset(name for flat in self.flats for name in flat.keywords.get("required", ()))

    def additional(self) -> Conjunction:
        """Return the schemas of properties with other names."""
        return tuple(
            _child(flat, "additionalProperties")
            for flat in self.flats
            if flat.keywords.get("additionalProperties", True) not in (True, {})
        )

    def is_closed(self) -> bool:
        """Return True if `additionalProperties` forbids properties with other names."""
        return any(flat.keywords.get("additionalProperties") is False for flat in self.flats)

    def refuses(self, name: str) -> bool:
        """Return True if a property with this name is forbidden because it is not listed."""
        closed = self.is_closed() or any(
            flat.keywords.get("unevaluatedProperties") is False for flat in self.flats
        )
        return closed and name not in self.properties()


def _child(flat: FlatSchema, key: str) -> Location:
    return Location(flat.at.document, child_pointer(flat.at.pointer, key), flat.keywords.get(key))


def node_of(schema: Location | None) -> Node:
    """Return the node of one schema; without one, anything matches."""
    return ((schema,),) if schema is not None else ((),)


class Schemas:
    """The schemas that some locations of a document need, converted to JSON Schema 2020-12.

    Args:
        side: A name that is unique within a comparison.
        document: The document.
        roots: The schemas to read, with all that they refer to.

    Raises:
        CannotReadError: A reference is dangling, or a schema is malformed.
    """

    def __init__(self, side: str, document: Document, roots: list[Location]) -> None:
        self.document = document
        self.is_older = str(document.data["openapi"]).startswith("3.0")
        self._base = f"urn:{side}"
        self._numbers = dict[str, int]()
        self._parts = 0
        self._proofs = dict[Any, CanonicalSchema]()
        waiting = list(roots)
        schemas = dict[str, Any]()
        while waiting:
            at = waiting.pop()
            if str(self._number(at.pointer)) in schemas:
                continue
            found = list[Location]()
            schema = self._modernize(at, found)
            try:
                meta.validate(schema)
            except ValidationError as error:
                path = "".join(f" {step}" for step in error.instance_path)
                message = f"not a JSON Schema{path and ','}{path}: {' '.join(error.message.split())}"
                raise at.error(message) from None
            schemas[str(self._number(at.pointer))] = schema
            waiting += found
        self._registry = Registry([(self._base, {"$defs": schemas})], draft=Draft202012)

    def _number(self, pointer: str) -> int:
        return self._numbers.setdefault(pointer, len(self._numbers))

    def _modernize(self, at: Location, found: list[Location]) -> Any:
        """Return the schema in JSON Schema 2020-12, without prose; append the locations that it refers to."""
        self._parts += 1
        if self._parts > MOST_PARTS:
            message = f"the schemas from here on have more than {MOST_PARTS:,} parts: name the OpenAPI document alone"
            raise at.error(message)
        if isinstance(at.value, bool):
            return at.value
        keywords = self._keywords(at)
        schema = dict[str, Any]()
        for key, value in keywords.items():
            inside = Location(at.document, child_pointer(at.pointer, key), value)
            if key == "$ref" and isinstance(value, str):
                target = at.target(value)
                found.append(target)
                schema["$ref"] = f"{self._base}#/$defs/{self._number(target.pointer)}"
            elif key in MAPS and isinstance(value, dict):
                schema[key] = {name: self._modernize(inside.child(name), found) for name in value}
            elif key in LISTS and isinstance(value, list):
                schema[key] = [self._modernize(branch, found) for branch in branches(at, key)]
            elif key in SINGLES and isinstance(value, (dict, bool)):
                schema[key] = self._modernize(inside, found)
            elif key not in PROSE and key not in NOTES and not key.startswith("x-"):
                schema[key] = value
        return {"anyOf": [schema, {"type": "null"}]} if _is_nullable(keywords) else schema

    def _keywords(self, at: Location) -> dict[str, Any]:
        """Return the keywords of a schema; keywords of OpenAPI 3.0 are converted to 3.1."""
        keywords = dict(at.mapping())
        if self.is_older and "$ref" in keywords:
            return {"$ref": keywords["$ref"]}  # 3.0 ignores keywords beside a reference
        for name, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if isinstance(keywords.get(name), bool) and keywords.pop(name) and bound in keywords:
                keywords[name] = keywords.pop(bound)
        return keywords

    def alternatives(self, node: Node) -> list[tuple[FlatSchema, ...]]:
        """Return all alternatives of a node, each a conjunction of flat schemas."""
        return [flats for conjunction in node for flats in self._combine(conjunction)]

    def _combine(self, conjunction: Conjunction) -> list[tuple[FlatSchema, ...]]:
        ways: list[tuple[FlatSchema, ...]] = [()]
        for schema in conjunction:
            ways = _multiply(schema, ways, self._expand(schema, ()))
        return ways

    def _expand(self, at: Location, parents: tuple[str, ...]) -> list[tuple[FlatSchema, ...]]:
        if at.value is False:
            return []
        if at.value is True:
            return [(FlatSchema(at, {}),)]
        if at.pointer in parents:
            raise at.error("this schema is defined only by itself; add a keyword to it")
        parents = (*parents, at.pointer)
        keywords = self._keywords(at)
        own = {
            key: value
            for key, value in keywords.items()
            if (key in NOTES or key not in EXPANDED or _is_flat(key))
            and not key.startswith("x-")
            and NO_NOTE.get(key, _NEVER) != value
        }
        if isinstance(own.get("discriminator"), dict):
            own["discriminator"] = _with_names(own["discriminator"], keywords)
        ways: list[tuple[FlatSchema, ...]] = [(FlatSchema(at, own),)]
        if "$ref" in keywords:
            ways = _multiply(at, ways, self._expand(at.target(keywords["$ref"]), parents))
        for branch in branches(at, "allOf"):
            ways = _multiply(at, ways, self._expand(branch, parents))
        for key in ("anyOf", "oneOf"):
            if key in keywords:
                expanded = [way for branch in branches(at, key) for way in self._expand(branch, parents)]
                ways = _multiply(at, ways, expanded)
        if _is_nullable(keywords):
            ways.append((FlatSchema(at, {"type": "null"}),))
        return ways

    def cases(self, node: Node) -> dict[str, list[Case]]:
        """Return the cases of a node, by type."""
        found = dict[str, list[Case]]()
        empty = (FlatSchema(root(self.document), {}),)
        for flats in self.alternatives(node):
            for case in _split_types(flats or empty):
                found.setdefault(case.type, []).append(case)
        return found

    def proof(self, node: Node) -> CanonicalSchema:
        """Return the canonical form of a node.

        Raises:
            CanonicalizationError: The library does not support it.
        """
        key = tuple(tuple(at.pointer for at in conjunction) for conjunction in node)
        if key not in self._proofs:
            branches = [
                {"allOf": [self._convert(at) for at in conjunction]} if conjunction else True
                for conjunction in node
            ]
            self._proofs[key] = self._canonicalize({"anyOf": branches})
        return self._proofs[key]

    def proof_of_cases(self, cases: Iterable[Case]) -> CanonicalSchema:
        """Return the canonical form of the values that match one of these cases."""
        return self._canonicalize(
            {
                "anyOf": [
                    {
                        "type": case.type,
                        "allOf": [
                            self._convert(replace(flat.at, value=dict(flat.keywords))) for flat in case.flats
                        ],
                    }
                    for case in cases
                ]
            }
        )

    def proof_of_keywords(self, keywords: Any) -> CanonicalSchema:
        """Return the canonical form of some keywords alone."""
        return self._canonicalize(self._convert(replace(root(self.document), value=keywords)))

    def is_anything(self, node: Node) -> bool:
        """Return True if a node is proved to match every value."""
        return () in node or self.proof(node).kind is CanonicalKind.TRUE

    def _convert(self, at: Location) -> Any:
        self._parts = 0
        return self._modernize(at, [])

    def _canonicalize(self, schema: Any) -> CanonicalSchema:
        return canonicalize(schema, registry=self._registry, draft=Draft202012)


def relate(left: CanonicalSchema, right: CanonicalSchema) -> Effect:
    """Return the proved effect of replacing the first schema by the second; `unlike` without a proof."""
    try:
        is_wider, is_narrower = right.covers(left) is Containment.YES, left.covers(right) is Containment.YES
    except CanonicalizationError:
        return "unlike"
    return (
        "same"
        if is_wider and is_narrower
        else "wider"
        if is_wider
        else "narrower"
        if is_narrower
        else "unlike"
    )


_NEVER = object()


def _multiply(
    at: Location, left: list[tuple[FlatSchema, ...]], right: list[tuple[FlatSchema, ...]]
) -> list[tuple[FlatSchema, ...]]:
    """Return all combinations of the two lists."""
    if len(left) * len(right) > MOST_ALTERNATIVES:
        message = (
            f"it has more than {MOST_ALTERNATIVES} alternatives, too many to compare: write it with fewer"
        )
        raise at.error(message)
    return [one + other for one, other in product(left, right)]


def _is_flat(key: str) -> bool:
    return key in EXPANDED and key not in PROSE and key not in ("$ref", "allOf", "anyOf", "oneOf")


def _with_names(discriminator: Mapping[str, Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return a discriminator with the value of each branch that it does not map: the name of its schema."""
    mapping = discriminator.get("mapping") or {}
    branches = [
        branch for key in ("oneOf", "anyOf") for branch in keywords.get(key, ()) if isinstance(branch, dict)
    ]
    references = [str(branch["$ref"]) for branch in branches if "$ref" in branch]
    names = {one.rpartition("/")[2]: one for one in references if one not in mapping.values()}
    return {**discriminator, "mapping": {**names, **mapping}}


def _is_nullable(keywords: Mapping[str, Any]) -> bool:
    """Return True if `nullable` allows null in addition to a reference or an enum beside it."""
    # Also in 3.1, which dropped it, because the vendor's tools still write it.
    return keywords.get("nullable") is True


def branches(at: Location, key: str) -> Iterator[Location]:
    """Yield the schemas in the list under a keyword."""
    inside = Location(at.document, child_pointer(at.pointer, key), at.value.get(key, []))
    for index, value in enumerate(inside.value):
        branch = inside.child(index)
        is_null = isinstance(value, dict) and value.get("nullable") is True and not value.keys() - PROSE
        # `nullable` alone would allow anything, but tools for 3.0 write `type: 'null'` like this in a list
        yield replace(branch, value={"type": "null"}) if is_null and key != "allOf" else branch


def _split_types(flats: tuple[FlatSchema, ...]) -> Iterator[Case]:
    types, whole = set(TYPES), False
    values: list[Any] | None = None
    for flat in flats:
        named = flat.keywords.get("type")
        if named is not None:
            allowed = {named} if isinstance(named, str) else set(named)
            if "integer" in allowed and "number" not in allowed:
                allowed.add("number")
                whole = True
            types &= allowed
        for listed in (
            flat.keywords.get("enum"),
            [flat.keywords["const"]] if "const" in flat.keywords else None,
        ):
            if listed is not None:
                keys = {json_key(value) for value in listed}
                values = listed if values is None else [value for value in values if json_key(value) in keys]
    for name in TYPES:
        if name in types:
            of_type = None if values is None else tuple(value for value in values if json_type(value) == name)
            if of_type != ():
                yield Case(name, flats, None if name == "null" else of_type, whole and name == "number")


def is_free(keyword: str, value: Any) -> bool:
    """Return True if a keyword with this value means the same as an absent one."""
    return NO_NOTE.get(keyword, _NEVER) == value or (keyword == "format" and value in FREE_FORMATS)


def json_key(value: Any) -> str:
    """Return a value as text that is equal for equal JSON values, such as `1` and `1.0`."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def json_type(value: Any) -> str:
    """Return the type of a JSON value."""
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
