"""The places of a document, each reached by a key or a reference, with one error and its line where it is of another form."""

from dataclasses import dataclass
from typing import Any

from documents import CannotReadError, Document, below, pointer_to, steps, target


@dataclass(frozen=True)
class At:
    """A place in a document, and what stands there."""

    document: Document
    pointer: str
    value: Any

    def wrong(self, message: str) -> CannotReadError:
        """The error that this place is something else than it should be."""
        return CannotReadError(f"{self.document.place(self.pointer)}: {message}")

    def followed(self) -> "At":
        """The place that this one refers to, through any number of references.

        Raises:
            CannotReadError: A reference leads nowhere, in a circle, or to another document.
        """
        here, seen = self, {self.pointer}
        while isinstance(here.value, dict) and isinstance(here.value.get("$ref"), str):
            here = here.to(here.value["$ref"])
            if here.pointer in seen:
                raise self.wrong("the references lead in a circle, so that nothing stands behind them")
            seen.add(here.pointer)
        return here

    def to(self, reference: str) -> "At":
        """The place that a reference from here names.

        Raises:
            CannotReadError: It leads nowhere, or to another document.
        """
        if not reference.startswith("#"):
            message = (
                f"it refers to another document, {reference!r}: put them into one first, "
                "as `npx @redocly/cli bundle FILE --output ONE.yaml` does"
            )
            raise self.wrong(message)
        pointer = target(reference)
        try:
            return At(self.document, pointer_to(steps(pointer)), self.document.at(pointer))
        except KeyError:
            message = f"it refers to {reference!r}, and nothing is there"
            raise self.wrong(message) from None

    def raw(self, key: str | int) -> "At":
        """The place below this one, whether it refers to another or not."""
        return At(self.document, below(self.pointer, key), self.value[key])

    def get(self, key: str) -> "At | None":
        """What stands under a key, its references followed; None where there is nothing."""
        return self.raw(key).followed() if key in self.mapping() else None

    def mapping(self) -> dict[str, Any]:
        """The object that stands here.

        Raises:
            CannotReadError: It is none.
        """
        if not isinstance(self.value, dict):
            message = f"an object belongs here, and it is {kind(self.value)}"
            raise self.wrong(message)
        return self.value

    def entries(self, key: str) -> dict[str, "At"]:
        """The places in the object under a key, by name; none where there is no such key."""
        inside = self.get(key)
        if inside is None:
            return {}
        return {name: inside.raw(name).followed() for name in inside.mapping()}

    def elements(self, key: str) -> list["At"]:
        """The places in the array under a key; none where there is no such key."""
        inside = self.get(key)
        if inside is None:
            return []
        if not isinstance(inside.value, list):
            message = f"an array belongs here, and it is {kind(inside.value)}"
            raise inside.wrong(message)
        return [inside.raw(index).followed() for index in range(len(inside.value))]

    def text(self, key: str) -> str:
        """The text under a key.

        Raises:
            CannotReadError: There is none.
        """
        value = self.mapping().get(key)
        if not isinstance(value, str):
            message = f"{key!r} belongs here as a text, and it is {kind(value)}"
            raise self.wrong(message)
        return value


def top(document: Document) -> At:
    """The document as a place of its own."""
    return At(document, "#", document.data)


def kind(value: Any) -> str:
    """What a value is, for a message."""
    names = {dict: "an object", list: "an array", str: "a text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number")
