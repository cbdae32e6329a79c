"""Locations in a document, reached by keys and references; errors name the line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from compare.documents import (
    CannotReadError,
    Document,
    child_pointer,
    decode_reference,
    join_pointer,
    split_pointer,
)


@dataclass(frozen=True)
class Location:
    """A location in a document, and its value."""

    document: Document
    pointer: str
    value: Any

    def error(self, message: str) -> CannotReadError:
        """Return an error about the value here."""
        return CannotReadError(f"{self.document.place(self.pointer)}: {message}")

    def resolve(self) -> "Location":
        """Return the location at the end of a chain of references.

        Raises:
            CannotReadError: A reference is dangling or circular, or leads to another document.
        """
        here, seen = self, {self.pointer}
        while isinstance(here.value, dict) and isinstance(here.value.get("$ref"), str):
            here = here.target(here.value["$ref"])
            if here.pointer in seen:
                raise self.error("the references form a circle; let one of them define the value")
            seen.add(here.pointer)
        return here

    def target(self, reference: str) -> "Location":
        """Return the location that a reference names.

        Raises:
            CannotReadError: The reference is dangling, or leads to another document.
        """
        if not reference.startswith("#"):
            message = (
                f"it refers to another document, {reference[:80]!r}: bundle them into one first, "
                "as `npx @redocly/cli bundle FILE --output ONE.yaml` does"
            )
            raise self.error(message)
        if reference.removeprefix("#")[:1] not in ("", "/"):
            message = (
                f"it refers to the anchor {reference[:80]!r}, which is not read; use a JSON pointer, "
                "as '#/components/schemas/NAME'"
            )
            raise self.error(message)
        pointer = decode_reference(reference)
        try:
            return Location(self.document, join_pointer(split_pointer(pointer)), self.document.at(pointer))
        except KeyError:
            message = f"it refers to {reference[:80]!r}, which does not exist: correct the $ref"
            raise self.error(message) from None

    def child(self, key: str | int) -> "Location":
        """Return the location under a key or an index, without following a reference."""
        return Location(self.document, child_pointer(self.pointer, key), self.value[key])

    def keyword(self, key: str) -> "Location | None":
        """Return the location of a keyword; None if it is absent."""
        return self.child(key) if isinstance(self.value, dict) and key in self.value else None

    def get(self, key: str) -> "Location | None":
        """Return the location under a key, its references followed; None if it is absent."""
        return self.child(key).resolve() if key in self.mapping() else None

    def mapping(self) -> dict[str, Any]:
        """Return the object here.

        Raises:
            CannotReadError: It is not an object.
        """
        if not isinstance(self.value, dict):
            message = f"expected an object, found {name_type(self.value)}"
            raise self.error(message)
        return self.value

    def entries(self, key: str) -> dict[str, "Location"]:
        """Return the locations in the object under a key, by name; empty if the key is absent."""
        inside = self.get(key)
        if inside is None:
            return {}
        return {name: inside.child(name).resolve() for name in inside.mapping()}

    def elements(self, key: str) -> list["Location"]:
        """Return the locations in the array under a key; empty if the key is absent."""
        inside = self.get(key)
        if inside is None:
            return []
        if not isinstance(inside.value, list):
            message = f"expected an array, found {name_type(inside.value)}"
            raise inside.error(message)
        return [inside.child(index).resolve() for index in range(len(inside.value))]

    def text(self, key: str) -> str:
        """Return the string under a key.

        Raises:
            CannotReadError: It is not a string.
        """
        value = self.mapping().get(key)
        if not isinstance(value, str):
            message = f"expected a string under {key!r}, found {name_type(value)}"
            raise self.error(message)
        return value


def root(document: Document) -> Location:
    """Return the location of the whole document."""
    return Location(document, "#", document.data)


def references(value: Any, *, examples: bool = False) -> Iterator[str]:
    """Yield every `$ref` below a value; with `examples`, also in examples, where it is only data."""
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            stack += [child for key, child in node.items() if examples or key not in ("example", "examples")]
        elif isinstance(node, list):
            stack += node


def name_type(value: Any) -> str:
    """Name the type of a value, for a message."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "nothing"}
    return names.get(type(value), "a number")
