"""The contract, `openapi.yaml`, and those released before it, as validators of requests and answers; it judges no server."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml
from jsonschema_rs import Draft202012Validator, Registry, ValidationError, ValidationErrorKind

if TYPE_CHECKING:
    from jsonschema_rs import JsonValue

NAME = "openapi.yaml"
RELEASED = "contracts"
"""The folder of the released contracts, each as `<version>.yaml`."""
DIALECTS = f"{RELEASED}/dialects"
"""The folder of the contracts of other vendors' forms of the API, each as `<name>.yaml`."""
OPERATION = "#/paths/~1rerank/post"
JSON = "application/json"

_BASE = "urn:openapi"
_LONGEST = 40  # characters of a value, or of a key, that a message may quote
_VALUE = "\0"  # what the validator writes in place of a value: messages quote values in our short form
# libyaml reads the contract in a tenth of the time, and not every build of PyYAML has it
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def find(version: str | None = None) -> Traversable:
    """Return the contract of a version, or the one that this package was built with if None.

    Raises:
        FileNotFoundError: There is no contract at all.
        ValueError: There is none of that version.
    """
    if version is None or version == load().version:
        return _root() / NAME
    if version not in versions():
        message = f"there is no contract {version!r}: this kit has those of {', '.join(versions())}"
        raise ValueError(message)
    return _root() / RELEASED / f"{version}.yaml"


def name_of(version: str) -> str:
    """Return the path of a contract in the repository, for messages."""
    return NAME if version == load().version else f"{RELEASED}/{version}.yaml"


def _root() -> Traversable:
    """Return the directory of the contracts: in this package when installed, at the repository's root in a checkout."""
    packaged, checkout = files("rerank_conformance"), Path(__file__).resolve().parents[2]
    for place in (packaged, checkout):
        if (place / NAME).is_file():
            return place
    message = f"{NAME} is neither in {packaged} nor in {checkout}: install openrouter-rerank again"
    raise FileNotFoundError(message)


@cache
def versions() -> tuple[str, ...]:
    """Every version of the contract that there is here, oldest first: those released, and `openapi.yaml`."""
    folder = _root() / RELEASED
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    released = {name.removesuffix(".yaml") for name in names if name.endswith(".yaml")}
    return tuple(sorted(released | {load().version}, key=numbers))


@cache
def load(version: str | None = None) -> "Contract":
    """Return the parsed contract of a version, or the one that this package was built with if None.

    Raises:
        ValueError: There is none of that version.
    """
    return Contract(yaml.load(find(version).read_bytes(), _Loader))  # noqa: S506 - both loaders are safe ones


@cache
def load_dialect(name: str) -> "Contract":
    """Return the parsed contract of a dialect.

    Args:
        name: The name of the file in the folder, without its suffix.
    """
    file = _root() / DIALECTS / f"{name}.yaml"
    return Contract(yaml.load(file.read_bytes(), _Loader))  # noqa: S506 - both loaders are safe ones


def line_of(pointer: str, version: str | None = None) -> int:
    """Return the line of the contract, from 1, on which the location begins.

    A pointer into the contract of a dialect begins with its path in the repository.

    Raises:
        KeyError: Nothing is there.
    """
    file, _, place = pointer.partition("#")
    return _lines_of_dialect(file)[f"#{place}"] if file else lines(version)[pointer]


@cache
def _lines_of_dialect(path: str) -> Mapping[str, int]:
    return dict(_places("#", yaml.compose((_root() / path).read_bytes(), _Loader)))


@cache
def lines(version: str | None = None) -> Mapping[str, int]:
    """Return the line of each location in the contract by its JSON pointer."""
    return dict(_places("#", yaml.compose(find(version).read_bytes(), _Loader)))


def _places(here: str, node: Any) -> Iterator[tuple[str, int]]:
    """Yield each place below a node of the YAML, with the line on which its key or its item begins."""
    if isinstance(node, yaml.MappingNode):
        named = [(key.value.replace("~", "~0").replace("/", "~1"), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        named = [(str(number), item, item) for number, item in enumerate(node.value)]
    else:
        return
    for name, begins, value in named:
        place = f"{here}/{name}"
        yield place, begins.start_mark.line + 1
        yield from _places(place, value)


def numbers(version: str) -> tuple[int, ...]:
    """Return a version of the contract as a key for comparison.

    Raises:
        ValueError: It is none.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        message = f"{version!r} is not a version of the contract, such as 1.0.0"
        raise ValueError(message)
    return tuple(map(int, version.split(".")))


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a JSON value breaks its schema."""

    place: str
    """The location in the value, as `documents[3].text`; empty for the value itself."""
    message: str
    """The actual and the expected value in words. Quotes little of the value, however large it is."""
    source: str
    """The JSON pointer of the keyword in the contract."""

    def __str__(self) -> str:
        return f"{self.place or 'body'}: {self.message}"


class Schema:
    """One schema of the contract."""

    def __init__(self, pointer: str, registry: Registry) -> None:
        self.pointer = pointer
        # OpenAPI 3.1 schemas are JSON Schema 2020-12
        self._validator = Draft202012Validator({"$ref": _BASE + pointer}, registry=registry, mask=_VALUE)

    def violation(self, value: object) -> Violation | None:
        """Return the first way in which the JSON value breaks the schema; None if it conforms.

        Only the first: the library would make all of them at once, which takes seconds for an array that is wrong
        throughout.
        """
        try:
            self._validator.validate(value)
        except ValidationError as error:
            return _violation(error)
        except ValueError:  # the library cannot copy a value that is nested like this into its error
            return Violation("", "a wrong value in it is nested too deeply to say more", self.pointer)
        return None


class Contract:
    """An OpenAPI document with the operation `createRerank`."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.version: str = document["info"]["version"]
        self._registry = Registry([(_BASE, dict(document))])
        self.request = self.schema(self._json(f"{OPERATION}/requestBody"))
        """The body of a request."""
        statuses = self.at(f"{OPERATION}/responses")[1]
        self.statuses = frozenset(map(int, statuses))
        """Every status that is documented."""
        self.responses: Mapping[int, Schema] = MappingProxyType(
            {
                int(status): self.schema(self._json(f"{OPERATION}/responses/{status}"))
                for status in statuses
                if JSON in self.media_types(int(status))
            }
        )
        """The JSON body of an answer, by each status that has one."""

    def schema(self, pointer: str) -> Schema:
        """Return the validator of the schema at a JSON pointer."""
        return Schema(pointer, self._registry)

    def at(self, pointer: str) -> tuple[str, Mapping[str, Any]]:
        """Return the object that the JSON pointer leads to, each `$ref` followed, with its own pointer before it.

        Raises:
            KeyError: Nothing is there.
        """
        here = "#"
        value: Any = self.document
        for token in pointer.removeprefix("#").split("/")[1:]:
            name = token.replace("~1", "/").replace("~0", "~")
            here, value = f"{here}/{token}", value[int(name) if isinstance(value, list) else name]
            if "$ref" in value:
                here, value = self.at(value["$ref"])
        return here, value

    def media_types(self, status: int) -> frozenset[str]:
        """Return the media types of an answer with a documented status; none if it has no body."""
        return frozenset(self.at(f"{OPERATION}/responses/{status}")[1].get("content", ()))

    def _json(self, pointer: str) -> str:
        return self.at(f"{pointer}/content/application~1json/schema")[0]


def _violation(error: ValidationError) -> Violation:
    reasons = list(_reasons(error))
    # the branch that fits furthest into the value is the one that was meant
    deepest = max((reason.instance_path for reason in reasons), key=len)
    source = error.absolute_keyword_location or ""
    message = _message([reason for reason in reasons if reason.instance_path == deepest])
    return Violation(_place(deepest), message, source.removeprefix(_BASE))


def _reasons(error: ValidationError) -> Iterator[ValidationError]:
    """Return the missing keys for each branch that was likely meant; a branch of another type was not."""
    match error.kind:
        case ValidationErrorKind.AnyOf(context) | ValidationErrorKind.OneOfNotValid(context):
            likely = [branch for branch in context if not _is_of_another_type(branch, error.instance_path)]
            for branch in likely or context:
                yield from _reasons(branch[0])
        case _:
            yield error


def _is_of_another_type(branch: Sequence[ValidationError], path: Sequence[str | int]) -> bool:
    return any(error.kind.name == "type" and error.instance_path == path for error in branch)


def _message(reasons: Sequence[ValidationError]) -> str:
    """Return the reasons, all of one place, in words: the types that are allowed together, then the others."""
    types: list[str] = []
    others: list[str] = []
    for reason in reasons:
        match reason.kind:
            case ValidationErrorKind.Type(names):
                types += names
            case _:
                others.append(reason.message.replace(_VALUE, _short(reason.instance)))
    named = sorted(dict.fromkeys(types), key="null".__eq__)  # null is the last that one expects
    if named:
        others.insert(0, f"{_short(reasons[0].instance)} is not {' or '.join(map(_with_article, named))}")
    return ", or ".join(dict.fromkeys(others))


def _with_article(name: str) -> str:
    if name == "null":
        return name
    return f"an {name}" if name[0] in "aeio" else f"a {name}"


def _place(path: Iterable[str | int]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step[:_LONGEST]}" for step in path)
    return "".join(steps).removeprefix(".")


def _short(value: "JsonValue") -> str:
    """Quote a value from the wire so that no megabytes get into a message."""
    if isinstance(value, dict) and value:
        return "an object"
    if isinstance(value, list) and value:
        return f"an array of {len(value)}"
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{json.dumps(value[:_LONGEST], ensure_ascii=False)}..."
    if isinstance(value, int) and abs(value) >= 10**_LONGEST:
        return "a huge integer"
    return json.dumps(value, ensure_ascii=False)
