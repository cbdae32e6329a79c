"""Find all differences between the data of two documents, so that a comparison can account for each."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from compare.documents import METHODS, Document, decode_reference, join_pointer, split_pointer
from compare.locations import Location, references
from compare.operations import Api, Operation
from compare.schemas import LISTS, MAPS, SINGLES

PROSE = {
    "$anchor", "$comment", "$id", "$schema", "bearerFormat", "contact", "description", "example", "examples", "externalDocs",
    "info", "license", "links", "openapi", "scopes", "summary", "tags", "termsOfService", "title",
}  # fmt: skip
"""Keywords that change nothing on the wire."""
COMPARED = {
    "$ref", "allowEmptyValue", "allowReserved", "callbacks", "content", "deprecated", "encoding", "explode", "flows", "headers",
    "in", "name", "operationId", "parameters", "paths", "requestBody", "required", "responses", "schema", "scheme", "security",
    "securitySchemes", "servers", "style", "type", "url", "authorizationUrl", "openIdConnectUrl", "refreshUrl", "tokenUrl",
}  # fmt: skip
"""Keywords outside of schemas that the comparison reads; without a difference, they mean the same."""
SERIALIZATION = {"allowEmptyValue", "allowReserved", "content", "explode", "schema", "style"}
"""Keywords of a parameter or a header that share one difference of meaning."""
CONTAINERS = {"components", "paths", "variables", "webhooks", *METHODS}
"""Keywords whose parts are compared one by one."""
NAMED_SCHEMAS = MAPS | {"$defs", "definitions", "schemas"}
NAMES = NAMED_SCHEMAS | {
    "callbacks", "content", "dependentRequired", "encoding", "flows", "headers", "mapping", "parameters", "pathItems",
    "paths", "requestBodies", "responses", "security", "securitySchemes", "variables", "webhooks",
}  # fmt: skip
"""Keywords whose value maps names, not keywords."""
TWO_NAMES = {"callbacks", "security"}
"""The keywords with two levels of names: a callback's name and expression, or an index and a scheme's name."""
DATA = {"const", "default", "enum"}
"""Keywords with a value that is data."""


@dataclass(frozen=True)
class Change:
    """A difference of the data, at the deepest level at which both documents have the same structure."""

    old: Location | None
    """The location in the first document; None if it was added."""
    new: Location | None
    """The location in the second document; None if it was removed."""
    around: tuple[Location, Location]
    """The objects or arrays that contain it, or that differ."""
    is_order: bool = False
    """True if an array has the same elements in another order."""

    @property
    def path(self) -> list[str]:
        """The path of the new location, or of the old one."""
        return split_pointer((self.new or self.old or self.around[1]).pointer)

    @cached_property
    def keywords(self) -> list[str]:
        """The keywords of OpenAPI and JSON Schema on its path, without names, indices and data."""
        return [step for step, is_keyword, _ in scan(self.path) if is_keyword]

    @property
    def is_prose(self) -> bool:
        """True if it changes nothing on the wire."""
        return any(map(is_prose, self.keywords))

    @property
    def schemas(self) -> tuple[Location, Location] | None:
        """The innermost schemas around it in both documents; None outside of schemas."""
        steps = [split_pointer(at.pointer) for at in self.around]
        lengths = [
            length
            for length, (_, _, is_schema) in enumerate(scan(self.path), 1)
            if is_schema and length <= len(steps[1])
        ]
        if not lengths:
            return None
        surplus = len(steps[1]) - lengths[-1]
        pointers = [join_pointer(path[: len(path) - surplus]) for path in steps]
        old, new = (at.document.at(pointer) for at, pointer in zip(self.around, pointers, strict=True))
        return (
            replace(self.around[0], pointer=pointers[0], value=old),
            replace(self.around[1], pointer=pointers[1], value=new),
        )


def scan(path: list[str]) -> Iterator[tuple[str, bool, bool]]:
    """Yield each step of a path, with two flags: it is a keyword, and it leads to a schema; stop where data begins."""
    names, keyword = 0, ""
    for step in path:
        if names:
            names -= 1
            # extensions stand beside names, but not beside those of properties
            is_extension = step.startswith("x-") and keyword in ("paths", "responses", "callbacks")
            yield step, is_extension, keyword in NAMED_SCHEMAS
        elif step.isdecimal():
            yield step, False, keyword in LISTS
        else:
            keyword = step
            yield step, True, step == "schema" or step in SINGLES
            if step in DATA or is_prose(step):
                return
            names = 2 if step in TWO_NAMES else 1 if step in NAMES else 0


def is_prose(keyword: str) -> bool:
    """Return True if a keyword changes nothing on the wire."""
    return keyword in PROSE or keyword.startswith("x-")


def unknown_keywords(at: Location) -> dict[str, Location]:
    """Return the keywords of an object outside of schemas that the comparison does not know."""
    known = COMPARED | SERIALIZATION | CONTAINERS
    names = [name for name in at.mapping() if name not in known and not is_prose(name)]
    return {name: at.child(name) for name in names}


def changes(old: Location, new: Location) -> Iterator[Change]:
    """Yield the differences below two locations."""
    was, now = old.value, new.value
    if is_equal(was, now):
        return
    if isinstance(was, dict) and isinstance(now, dict):
        if was.get("$ref") != now.get("$ref"):
            yield Change(old, new, (old, new))
            return
        for key in {**was, **now}:
            before, after = old.keyword(key), new.keyword(key)
            if before and after:
                yield from changes(before, after)
            else:
                yield Change(before, after, (old, new))
    elif isinstance(was, list) and isinstance(now, list):
        yield from _array_changes(old, new)
    else:
        yield Change(old, new, (old, new))


def _array_changes(old: Location, new: Location) -> Iterator[Change]:
    """Yield the differences of two arrays; pair equal elements first, then elements with the same name, then the others."""
    left = [old.child(index) for index in range(len(old.value))]
    right = [new.child(index) for index in range(len(new.value))]
    _, left, right = _pair(left, right, lambda at: json_text(at.value))
    if not left and not right:
        yield Change(old, new, (old, new), is_order=True)
    named, left, right = _pair(left, right, _name)
    length = min(len(left), len(right))
    for one, other in [*named, *zip(left[:length], right[:length], strict=True)]:
        yield from changes(one, other)
    yield from (Change(one, None, (old, new)) for one in left[length:])
    yield from (Change(None, other, (old, new)) for other in right[length:])


def _pair(
    left: list[Location], right: list[Location], key: Callable[[Location], str | None]
) -> tuple[list[tuple[Location, Location]], list[Location], list[Location]]:
    """Return pairs of elements with the same key, and the remaining elements of both sides."""
    waiting = dict[str | None, list[Location]]()
    for one in reversed(left):
        waiting.setdefault(key(one), []).append(one)
    pairs, others = list[tuple[Location, Location]](), list[Location]()
    for other in right:
        name = key(other)
        if name is not None and waiting.get(name):
            pairs.append((waiting[name].pop(), other))
        else:
            others.append(other)
    paired = {one.pointer for one, _ in pairs}
    return pairs, [one for one in left if one.pointer not in paired], others


def _name(at: Location) -> str | None:
    """Return the name of a parameter, a server, a tag or a reference; None for anything else."""
    if not isinstance(at.value, dict):
        return None
    names = [at.value.get(key) for key in ("in", "name", "url", "$ref")]
    return json_text(names) if any(names) else None


def json_text(value: Any) -> str:
    """Return a value as text that is equal only for equal values; `1` and `true` differ."""
    return json.dumps(value, sort_keys=True, default=str)


def is_equal(one: Any, other: Any) -> bool:
    """Return True if two values are equal, also in their types."""
    return json_text(one) == json_text(other)


def referenced(document: Document, values: Iterable[Any]) -> set[str]:
    """Return the pointers that some values refer to, directly or through others."""
    found, waiting = set[str](), list(values)
    while waiting:
        for reference in references(waiting.pop(), examples=True):
            pointer = join_pointer(split_pointer(decode_reference(reference)))
            if pointer not in found:
                found.add(pointer)
                try:
                    waiting.append(document.at(pointer))
                except KeyError:  # in an example
                    continue
    return found


def used_components(api: Api) -> set[str]:
    """Return the pointers of the components that operations and webhooks use, security schemes included."""
    data = api.document.data
    found = referenced(api.document, [data.get("paths"), data.get("webhooks")])
    waiting: list[Operation] = list(api.operations.values())
    while waiting:
        operation = waiting.pop()
        waiting += operation.callbacks.values()
        found |= {at.pointer for at in operation.security.schemes.values()}
    return found
