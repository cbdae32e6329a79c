"""Short descriptions of schemas and keywords, which are the same for all spellings of a meaning."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from jsonschema_rs import CanonicalSchema

from compare.locations import Location
from compare.operations import Value
from compare.schemas import (
    BOUNDS,
    FREE_FORMATS,
    Case,
    Conjunction,
    Effect,
    FlatSchema,
    Node,
    Schemas,
    json_key,
    node_of,
)

One = TypeVar("One")
Other = TypeVar("Other")
Pair = tuple[One, One]

ABSENT = "absent"
ANYTHING = "anything"
FORBIDDEN = "forbidden"
NONE = "none"
PRESENCE = ("required", "optional")
LONGEST = 160  # characters of a JSON value in a message


# Pairs.


def each(question: Callable[[One], Other], pair: Pair[One]) -> Pair[Other]:
    """Apply a function to both sides."""
    return question(pair[0]), question(pair[1])


def aligned(pair: Pair[Mapping[str, One]]) -> Iterator[tuple[str, Pair[One | None]]]:
    """Yield the values of both sides by name, in the order of the first and then of the second."""
    for name in {**pair[0], **pair[1]}:
        yield name, (pair[0].get(name), pair[1].get(name))


# Keywords.


def every_flat(cases: Mapping[str, list[Case]]) -> list[FlatSchema]:
    """Return the flat schemas of all cases."""
    return [flat for of_type in cases.values() for case in of_type for flat in case.flats]


def keyword_of(flats: Iterable[FlatSchema], key: str) -> Location | None:
    """Return the location of a keyword in the first flat schema that has it."""
    return next(
        (flat.at.keyword(key) for flat in flats if key in flat.keywords and flat.at.keyword(key)), None
    )


def join_values(flats: Iterable[FlatSchema], key: str, separator: str) -> str:
    """Join the different values of a keyword."""
    return (
        separator.join(sorted({json_key(flat.keywords[key]) for flat in flats if key in flat.keywords}))
        or NONE
    )


def keywords_of(flats: Iterable[FlatSchema], keys: set[str]) -> dict[str, Any]:
    """Return some keywords of flat schemas as one schema."""
    parts = [{key: flat.keywords[key] for key in sorted(keys) if key in flat.keywords} for flat in flats]
    different = {json_key(part): part for part in parts if part}
    return {"allOf": list(different.values())} if different else {}


def related_keywords(key: str) -> set[str]:
    """Return the keywords that have a meaning only together with this one."""
    groups = ({"if", "then", "else"}, {"contains", "minContains", "maxContains"})
    return next((group for group in groups if key in group), {key})


def note_effect(key: str, values: Pair[str]) -> Effect:
    """Return the effect of a keyword that forbids no value by itself."""
    if key == "format":
        values = each(lambda value: NONE if value.strip('"') in FREE_FORMATS else value, values)
    if values[0] == values[1]:
        return "same"
    if key in ("default", "deprecated", "discriminator", "xml"):
        return "unlike"
    return "narrower" if values[0] == NONE else "wider" if values[1] == NONE else "unlike"


def bounds_schema(case: Case, keyword: str) -> dict[str, Any]:
    """Return the schema of a limit of a case, with the limits that can replace it."""
    keywords = next((group for group in BOUNDS if keyword in group), {keyword})
    limits = [{name: bound} for name in sorted(keywords) for bound in case.bounds(name)]
    return {**case.type_schema(), **({"allOf": limits} if limits else {})}


def field_of(cases: list[Case], name: str) -> Location | None:
    """Return the location of a property, or of the list that requires it."""
    for case in cases:
        if name in case.properties():
            return case.properties()[name][0]
    return next((case.keyword("required") for case in cases if name in case.required()), None)


# Descriptions and predicates of schemas.


def describe_presence(is_required: bool) -> str:  # noqa: FBT001 - the word for it
    """Describe the presence of a property."""
    return PRESENCE[0] if is_required else PRESENCE[1]


def describe_schema(schema: CanonicalSchema) -> str:
    """Describe a canonical schema by its JSON."""
    value = schema.to_json_schema()
    if isinstance(value, dict):
        value = {key: inside for key, inside in value.items() if key != "$schema"}
    return "nothing" if value in (False, {"not": {}}) else shorten(json_key(value))


def shorten(text: str) -> str:
    """Shorten a text for a message."""
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


def shorten_pair(values: Pair[str]) -> Pair[str]:
    """Shorten two texts, unless the difference would be lost."""
    words = each(shorten, values)
    return values if words[0] == words[1] else words


def pointers(node: Node) -> tuple[tuple[str, ...], ...]:
    """Return the pointers of a node, which identify it."""
    return tuple(tuple(at.pointer for at in conjunction) for conjunction in node)


def first(node: Node, otherwise: Location) -> Location:
    """Return the location at which a node begins."""
    return next((at for conjunction in node for at in conjunction), otherwise)


def first_of(cases: list[Case], otherwise: Location) -> Location:
    """Return the location of a case if it is the only one."""
    return cases[0].at if len(cases) == 1 else otherwise


def locate(node: Node, cases: Mapping[str, list[Case]], otherwise: Location) -> Location:
    """Return the location of a node: that of its only case, or its own."""
    found = [case.at for name, of_type in cases.items() if name != "null" for case in of_type]
    if len({at.pointer for at in found}) == 1 and found[0].pointer != "#":
        return found[0]
    return first(node, otherwise).resolve()


def is_anything(cases: Mapping[str, list[Case]]) -> bool:
    """Return True if all types are allowed."""
    return {"boolean", "number", "string", "array", "object"} <= cases.keys()


def describe_types(cases: Mapping[str, list[Case]]) -> str:
    """Describe the types, without null."""
    if is_anything(cases):
        return ANYTHING
    whole = all(case.whole for case in cases.get("number", ()))
    names = ["integer" if name == "number" and whole else name for name in cases if name != "null"]
    return " or ".join(sorted(names)) or ("only null" if cases else "nothing at all")


def list_values(case: Case) -> str | None:
    """List the only values of a case."""
    return None if case.values is None else ", ".join(sorted(map(json_key, case.values)))


def describe_case(case: Case) -> str:
    """Describe a case with its limits."""
    limits = [f"{name} {value}" for name, value in case.limits().items()]
    return ", ".join([list_values(case) or f"any {describe_types({case.type: [case]})}", *limits])


def merge(cases: list[Case]) -> list[Case]:
    """Merge the cases of a scalar type: drop contained ones, and join lists of values."""
    free = sorted((case for case in cases if case.is_unlimited()), key=lambda case: case.whole)
    if free:
        return free[:1]
    if all(case.values is not None and not case.limits() for case in cases):
        values = {json_key(value): value for case in cases for value in case.values or ()}
        return [replace(cases[-1], values=tuple(values.values()))]
    return list({describe_case(case): case for case in cases}.values())


def items_of(cases: list[Case]) -> Node:
    """Return the schemas of an array's elements in all cases."""
    return tuple(conjunction for case in cases for conjunction in case.items())


def properties_of(cases: list[Case]) -> dict[str, Node]:
    """Return the properties of all forms of an object, each with its schemas."""
    found = dict[str, tuple[Conjunction, ...]]()
    for case in cases:
        undeclared: dict[str, Conjunction] = dict.fromkeys(sorted(case.required()), ())
        for name, conjunction in (undeclared | case.properties()).items():
            found[name] = (*found.get(name, ()), conjunction)
    return found


def required_sets(cases: list[Case]) -> list[frozenset[str]]:
    """Return the minimal sets of required properties; one of them is enough."""
    found = {case.required() for case in cases}
    return sorted((one for one in found if not any(other < one for other in found)), key=sorted)


def describe_sets(sets: list[frozenset[str]]) -> str:
    """Describe sets of properties."""
    return " or ".join(" with ".join(sorted(names)) or "nothing" for names in sets)


def others_of(cases: list[Case], schemas: Schemas) -> str | Node:
    """Return the schemas of unnamed properties, or a word for them."""
    if all(case.is_closed() for case in cases):
        return FORBIDDEN
    found: Node = tuple(case.additional() for case in cases if not case.is_closed())
    return ANYTHING if schemas.is_anything(found) else found


def describe_form(case: Case) -> str:
    """Describe one form of an object."""
    required = case.required()
    names = [f"{name}{'' if name in required else '?'}" for name in case.properties()]
    return f"object with {', '.join(names)}" if names else "object"


def describe(schemas: Schemas, node: Node) -> str:
    """Describe a schema."""
    cases = schemas.cases(node)
    if is_anything(cases):
        return ANYTHING
    words = list[str]()
    for name, of_type in cases.items():
        match name:
            case "array":
                words.append(f"array of {describe_types(schemas.cases(items_of(of_type)))}")
            case "object":
                words.append("object")
            case "null":
                continue
            case _:
                values = [list_values(one) for one in merge(of_type)]
                words.append(" or ".join(one for one in values if one) or describe_types({name: of_type}))
    return " or ".join([*sorted(words), *(["null"] if "null" in cases else [])]) or "nothing at all"


def describe_value(schemas: Schemas, value: Value | None) -> str:
    """Describe a parameter or a header."""
    if value is None:
        return ABSENT
    return f"{describe(schemas, node_of(value.schema))}, {describe_presence(value.required)}"
