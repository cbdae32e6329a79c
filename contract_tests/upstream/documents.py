"""An OpenAPI document, read from a file or an address as plain data in which each place has its pointer and its line.

It knows nothing of what a document should say; a place that is missing or of another form is one error with its line.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import yaml

LARGEST = 10_000_000  # bytes; the vendor's document has 1.4 million
PATIENCE = 10.0  # seconds without a byte
WHOLE = 3  # times the patience, for the whole download
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class CannotReadError(Exception):
    """A document that cannot be read, or a place in it that cannot be understood: one line that says what to do."""


# libyaml reads tens of thousands of lines in half a second, and not every build of PyYAML has it
_Safe: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):  # type: ignore[misc]  # which of the two it is, the build of PyYAML says
    """YAML 1.2, as OpenAPI wants it: `no` and `2026-08-22` are text, and so is every key (a status is `'200'`)."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own name, filled below

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - PyYAML's own signature
        self.flatten_mapping(node)
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is no text", key.start_mark)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)


@dataclass(frozen=True)
class Document:
    """A document under the name that its reader knows it by."""

    name: str
    value: Any
    root: yaml.Node | None = None
    """The YAML that it was read from, which knows the lines; None for JSON."""
    lines: int = 0

    @cached_property
    def top(self) -> "At":
        """The document as a place of its own."""
        return At(self, "#", self.value)

    def line(self, pointer: str) -> int | None:
        """The line, from 1, on which the place begins, or the nearest one around it."""
        node, line = self.root, 1
        for token in tokens(pointer):
            if isinstance(node, yaml.MappingNode):
                found = next(((key, value) for key, value in node.value if key.value == token), None)
                if found is None:
                    break
                line, node = found[0].start_mark.line + 1, found[1]
            elif isinstance(node, yaml.SequenceNode) and token.isdecimal() and int(token) < len(node.value):
                node = node.value[int(token)]
                line = node.start_mark.line + 1
            else:
                break
        return line if self.root else None

    def place(self, pointer: str) -> str:
        """The place for a person: file, line and pointer."""
        line = self.line(pointer)
        return f"{self.name}{f':{line}' if line else ''} {pointer}"


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
        here = self.document.top
        for token in tokens(unquote(reference)):
            value = here.value
            if isinstance(value, list) and token.isdecimal() and int(token) < len(value):
                value = value[int(token)]
            elif isinstance(value, dict) and token in value:
                value = value[token]
            else:
                message = f"it refers to {reference!r}, and nothing is there"
                raise self.wrong(message)
            here = At(self.document, below(here.pointer, token), value)
        return here

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


def below(pointer: str, key: str | int) -> str:
    """The pointer of what stands under a key."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def tokens(pointer: str) -> Iterator[str]:
    """The keys that a pointer leads through."""
    for token in pointer.removeprefix("#").split("/")[1:]:
        yield token.replace("~1", "/").replace("~0", "~")


def kind(value: Any) -> str:
    """What a value is, for a message."""
    names = {dict: "an object", list: "an array", str: "a text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number")


def read(source: str, *, patience: float = PATIENCE) -> Document:
    """The document in a file or behind an address of http or https.

    Args:
        source: Where it is. An address is asked once, and no redirect is followed.
        patience: How long an address may send nothing, in seconds; all of it may take three times that.

    Raises:
        CannotReadError: It cannot be had, is too large, or is neither YAML nor JSON.
    """
    if ADDRESS.match(source):
        name, data = shown(source), download(source, patience)
    else:
        name, data = source, opened(Path(source))
    return parsed(name, data)


def opened(path: Path) -> bytes:
    """The bytes of a file."""
    try:
        if not path.is_file():
            found = "is a folder" if path.is_dir() else "is not there"
            message = f"{path} {found}: name the file of the document, or its https address"
            raise CannotReadError(message)
        if path.stat().st_size > LARGEST:
            raise too_large(str(path))
        return path.read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise CannotReadError(message) from None


def too_large(name: str) -> CannotReadError:
    """The error that a document is not worth reading."""
    return CannotReadError(
        f"{name} is larger than {LARGEST // 1_000_000} MB, and the vendor's document has less than 2 MB: "
        "is it the right one?"
    )


def shown(address: str) -> str:
    """An address without what could be secret in it."""
    try:
        parts = urlsplit(address)
    except ValueError as error:  # it is not quoted, as it may have a secret in it
        message = f"what was given is no address ({error}): name an address of http or https, or a file"
        raise CannotReadError(message) from None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def download(address: str, patience: float) -> bytes:
    """The bytes behind an address."""
    import httpx  # noqa: PLC0415 - a file needs none of it

    name = shown(address)
    parts = urlsplit(address)
    if parts.scheme.lower() not in ("http", "https"):
        message = f"{name} is no address of http or https: name one, or a file"
        raise CannotReadError(message)
    if "@" in parts.netloc:
        message = f"{name} was given with a password: download it yourself, and name the file"
        raise CannotReadError(message)
    ends = time.monotonic() + WHOLE * patience
    data = bytearray()
    try:
        with httpx.stream("GET", address, timeout=patience, headers={"Accept": "*/*"}) as answer:
            if answer.is_redirect:
                target = answer.headers.get("Location", "")
                message = f"{name} sends on to {shown(str(answer.url.join(target)))}: name that address if it is the right one"
                raise CannotReadError(message)
            if answer.status_code != 200:
                message = f"{name} answers {answer.status_code}: look in a browser where the document is now"
                raise CannotReadError(message)
            for chunk in answer.iter_bytes():
                data += chunk
                if len(data) > LARGEST:
                    raise too_large(name)
                if time.monotonic() > ends:
                    message = f"{name} was not there whole after {WHOLE * patience:g} s: download it yourself, and name the file"
                    raise CannotReadError(message)
    except httpx.TimeoutException:
        message = (
            f"{name} sent nothing for {patience:g} s: try again, or download it yourself, and name the file"
        )
        raise CannotReadError(message) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        message = f"{name} cannot be reached: {error}: check address and network"
        raise CannotReadError(message) from None
    return bytes(data)


def parsed(name: str, data: bytes) -> Document:
    """The document that the bytes are.

    Raises:
        CannotReadError: They are neither YAML nor JSON.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{name} is no text in UTF-8 (byte {error.start}): is it packed?"
        raise CannotReadError(message) from None
    start = text.lstrip()[:1]
    if start == "<":
        message = f"{name} is a web page: name the file behind it (on GitHub, the address of `Raw`)"
        raise CannotReadError(message)
    try:
        if start == "{":
            try:
                return Document(name, json.loads(text), lines=text.count("\n"))
            except ValueError as error:
                if name.endswith(".json"):
                    message = f"{name} is no JSON: {error}"
                    raise CannotReadError(message) from None  # otherwise, YAML may begin like this
        return _from_yaml(name, text)
    except RecursionError:
        message = f"{name} is nested too deeply for an OpenAPI document"
        raise CannotReadError(message) from None


def _from_yaml(name: str, text: str) -> Document:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        value = loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        said = ", ".join(part for part in (error.context, error.problem) if part)
        message = f"{where}: it is no YAML: {said}"
        raise CannotReadError(message) from None
    except (yaml.YAMLError, ValueError) as error:
        message = f"{name} is no YAML: {' '.join(str(error).split())}"
        raise CannotReadError(message) from None
    finally:
        loader.dispose()
    return Document(name, value, root, text.count("\n"))
