"""A document in JSON or YAML, from a file or an address, within bounds, as plain data in which each place has its line.

What cannot be read ends in one `CannotReadError`, whose one line says what to do. Addresses are shown without a user, a
password or a query, as those can be secrets. It knows nothing of what a document should say.
"""

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import yaml

LARGEST = 10_000_000  # bytes; the vendor's document has 1.4 million
MOST = 500_000  # keys and values, aliases counted as what they stand for; the vendor's document has less than 100,000
MOST_ANCHORS = (
    10_000  # anchors and aliases, which an OpenAPI document hardly has; each costs more than a value to read
)
DEEPEST = 200  # values within values: who reads a document calls itself several times for each
PATIENCE = (
    30.0  # seconds, for an address as a whole: names, connecting, headers and a body that comes in drops
)
SILENCE = 1 / 3  # of the patience, without a byte
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
"""The operations that a path of OpenAPI can have."""


class CannotReadError(Exception):
    """A document that cannot be read, or a place in it that cannot be understood: one line that says what to do."""


@dataclass(frozen=True)
class Document:
    """What was read, under the name that its reader knows it by."""

    name: str
    data: Any = field(repr=False)
    text: str = field(default="", repr=False)
    root: yaml.Node | None = field(default=None, repr=False, compare=False)
    """The YAML that it was read from, which knows the lines; None for JSON, whose lines are looked up when asked for."""

    def at(self, pointer: str) -> Any:
        """What a pointer leads to; no reference is followed.

        Raises:
            KeyError: Nothing is there.
        """
        value = self.data
        if pointer not in ("#", "") and not pointer.removeprefix("#").startswith("/"):
            raise KeyError(pointer)
        for step in steps(pointer):
            if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            elif isinstance(value, dict) and step in value:
                value = value[step]
            else:
                raise KeyError(pointer)
        return value

    def line(self, pointer: str) -> int | None:
        """The line, from 1, on which a place begins, or the nearest one around it; None where lines are not known."""
        node, line = self._tree, 1
        for step in steps(pointer):
            if isinstance(node, yaml.MappingNode):
                found = next(((key, value) for key, value in node.value if key.value == step), None)
                if found is None:
                    break
                line, node = found[0].start_mark.line + 1, found[1]
            elif isinstance(node, yaml.SequenceNode) and step.isdecimal() and int(step) < len(node.value):
                node = node.value[int(step)]
                line = node.start_mark.line + 1
            else:
                break
        return line if self._tree else None

    def place(self, pointer: str) -> str:
        """The place for a person: file, line and pointer."""
        line = self.line(pointer)
        return f"{self.name}{f':{line}' if line else ''} {pointer}"

    @cached_property
    def _tree(self) -> yaml.Node | None:
        if self.root or not self.text:
            return self.root
        try:
            return yaml.compose(self.text, _Loader)
        except (yaml.YAMLError, RecursionError):  # JSON that is no YAML, as with tabs
            return None


def steps(pointer: str) -> list[str]:
    """The keys that a pointer leads through, unescaped."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.removeprefix("#").split("/")[1:]]


def below(pointer: str, key: str | int) -> str:
    """The pointer of what stands under a key."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def pointer_to(path: Iterable[str]) -> str:
    """The pointer of a path from the top, as a URI fragment."""
    pointer = "#"
    for key in path:
        pointer = below(pointer, key)
    return pointer


def target(reference: str) -> str:
    """The pointer that a reference within the document is: a URI, which may write characters as `%7B`."""
    return unquote(reference)


def from_here(path: Path) -> str:
    """A path as the user is shown it: from where they are, if it lies there."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)


def read(source: str, *, patience: float = PATIENCE) -> Document:
    """The document in a file or behind an address of http or https.

    Args:
        source: Where it is. An address is asked once, and no redirect is followed.
        patience: How long an address may take as a whole, in seconds; it may send nothing for a third of that.

    Raises:
        CannotReadError: It cannot be had, is too large, or is neither YAML nor JSON.
    """
    if ADDRESS.match(source):
        return parsed(shown(source), download(source, patience))
    return parsed(source, opened(Path(source)))


def opened(path: Path) -> bytes:
    """The bytes of a file, of what is too large a little more than is allowed.

    Raises:
        CannotReadError: There are none.
    """
    if path.is_dir():
        message = f"{path} is a folder: name the file of the document, or its https address"
        raise CannotReadError(message)
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)  # a device or a pipe has no size to look up, and may have no end
    except FileNotFoundError:
        message = f"{path} is not there: name the file of the document, or its https address"
        raise CannotReadError(message) from None
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise CannotReadError(message) from None


def shown(address: str) -> str:
    """An address without what could be secret in it.

    Raises:
        CannotReadError: It is none.
    """
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port  # which raises if it is no number
    except ValueError:
        host = None
    if not host:  # neither it nor what Python says of it is quoted, as a secret may stand anywhere in it
        message = "what was given is no address: write it as https://host/path, or name a file"
        raise CannotReadError(message)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def download(address: str, patience: float = PATIENCE) -> bytes:
    """The bytes behind an address, of what is too large a little more than is allowed.

    Raises:
        CannotReadError: There are none, they are elsewhere, or they do not come soon enough.
    """
    name, parts = shown(address), urlsplit(address)
    if parts.scheme.lower() not in ("http", "https"):
        message = f"{name} is no address of http or https: name one, or a file"
        raise CannotReadError(message)
    if "@" in parts.netloc:
        message = f"{name} was given with a password: download it yourself, and name the file"
        raise CannotReadError(message)
    late = CannotReadError(
        f"{name} was not there whole after {patience:g} s: download it yourself, and name the file"
    )
    answers = Queue[bytes | CannotReadError]()
    ends = time.monotonic() + patience

    def fetch() -> None:
        try:
            answers.put(_fetched(name, address, patience, ends) or late)
        except CannotReadError as error:
            answers.put(error)
        except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
            # what others say of an address, or of one that the server names, quotes it
            said = f"{name} gives no answer that can be read ({type(error).__name__}): check it in a browser"
            answers.put(CannotReadError(said))

    # In a thread, as nothing else bounds the look-up of a name and headers that come in drops.
    Thread(target=fetch, daemon=True).start()
    try:
        answer = answers.get(timeout=patience)
    except Empty:
        raise late from None
    if isinstance(answer, CannotReadError):
        raise answer
    return answer


def _fetched(name: str, address: str, patience: float, ends: float) -> bytes | None:
    """The bytes behind an address; None if they are not there in time."""
    import httpx  # noqa: PLC0415 - a file needs none of it

    wanted = {
        "Accept": "application/yaml, application/json, text/yaml, text/plain, */*",
        "User-Agent": "openrouter-rerank",
    }
    data = bytearray()
    try:
        with httpx.stream("GET", address, timeout=patience * SILENCE, headers=wanted) as answer:
            if answer.is_redirect:
                elsewhere = shown(str(answer.url.join(answer.headers["Location"])))
                message = f"{name} sends on to {elsewhere}: name that address if it is the right one"
                raise CannotReadError(message)
            if answer.status_code != 200:
                message = (
                    f"{name} answers {answer.status_code}: check the address in a browser, "
                    "or download the document yourself, and name the file"
                )
                raise CannotReadError(message)
            for chunk in answer.iter_bytes():
                data += chunk
                if time.monotonic() > ends:
                    return None
                if len(data) > LARGEST:
                    break
    except httpx.TimeoutException:
        message = (
            f"{name} sent nothing for {patience * SILENCE:g} s: try again, or download it yourself, "
            "and name the file"
        )
        raise CannotReadError(message) from None
    except httpx.NetworkError as error:
        message = f"{name} cannot be reached: {str(error) or type(error).__name__}: check address and network"
        raise CannotReadError(message) from None
    return bytes(data)


def parsed(name: str, content: bytes) -> Document:
    """The document that the bytes are.

    Raises:
        CannotReadError: They are neither YAML nor JSON, or more than a document is.
    """
    if len(content) > LARGEST:
        message = f"{name} is larger than {LARGEST // 1_000_000} MB, and the vendor's document has less than 2 MB: is it the right one?"
        raise CannotReadError(message)
    try:
        text = content.decode("utf-8-sig")
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
                return _from_json(name, text)
            except ValueError as error:
                if name.endswith(".json"):
                    message = f"{name} is no JSON: {error}"
                    raise CannotReadError(message) from None  # otherwise, YAML may begin like this
        return _from_yaml(name, text)
    except RecursionError:
        raise _too_deep(name) from None


def _from_json(name: str, text: str) -> Document:
    def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict[str, Any]()
        for key, value in pairs:
            if key in made:
                message = f"{name} has the key {key[:40]!r} twice in one object: take one out"
                raise CannotReadError(message)
            made[key] = value
        return made

    data = json.loads(text, object_pairs_hook=each_once)
    parts, depth, level = 0, 0, [data]
    while level:
        keys = sum(len(value) for value in level if isinstance(value, dict))
        parts, depth = parts + len(level) + keys, depth + 1
        _check_bounds(name, parts, depth)
        level = [
            child
            for value in level
            if isinstance(value, (dict, list))
            for child in (value.values() if isinstance(value, dict) else value)
        ]
    return Document(name, data, text)


def _from_yaml(name: str, text: str) -> Document:
    loader = _Loader(text)
    try:
        # what is written is counted first, as each part takes half a kilobyte once it is a node
        written = depth = anchors = 0
        for part in yaml.parse(text, _Loader):
            if isinstance(part, yaml.NodeEvent):
                written += 1
                anchors += part.anchor is not None
            depth += isinstance(part, yaml.CollectionStartEvent) - isinstance(part, yaml.CollectionEndEvent)
            _check_bounds(name, written, depth, anchors)
        root = loader.get_single_node()
        if root:
            _check_bounds(name, *_measured(name, root, {}))
        data = loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        said = ", ".join(part for part in (error.context, error.problem) if part)
        message = f"{where}: it is no YAML: {' '.join(said.split())}"
        raise CannotReadError(message) from None
    except (yaml.YAMLError, ValueError, LookupError) as error:  # the last two are of scalars with a tag
        message = f"{name} is no YAML: {' '.join(str(error).split())}"
        raise CannotReadError(message) from None
    finally:
        loader.dispose()
    return Document(name, data, text, root)


def _measured(name: str, node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """How many keys and values a node means, an alias counted as what it stands for, and how deep; its keys are checked."""
    if id(node) in known:
        measured = known[id(node)]
        if measured is None:
            message = f"{name}:{node.start_mark.line + 1}: it contains itself, so that its nesting has no end"
            raise CannotReadError(message)
        return measured
    known[id(node)] = None
    children, own = list[yaml.Node](), set[str]()
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        for key, child in node.value:  # before the merging of what `<<` names, which a key may override
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is no text", key.start_mark)
            if key.value in own:
                problem = f"the key {key.value[:40]!r} is there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            own.add(key.value)
            children.append(child)
    each = [_measured(name, child, known) for child in children]
    parts = 1 + len(own) + sum(parts for parts, _ in each)
    measured = known[id(node)] = (parts, 1 + max((depth for _, depth in each), default=0))
    return measured


def _check_bounds(name: str, parts: int, depth: int, anchors: int = 0) -> None:
    if anchors > MOST_ANCHORS:
        message = (
            f"{name} has more than {MOST_ANCHORS:,} anchors and aliases: write the document without them"
        )
        raise CannotReadError(message)
    if parts > MOST:
        message = f"{name} has more than {MOST:,} keys and values: name the OpenAPI document alone"
        raise CannotReadError(message)
    if depth > DEEPEST:
        raise _too_deep(name)


def _too_deep(name: str) -> CannotReadError:
    return CannotReadError(f"{name} is nested too deeply for an OpenAPI document: more than {DEEPEST} levels")


# libyaml reads tens of thousands of lines in half a second, and not every build of PyYAML has it
_Safe: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):  # type: ignore[misc]  # which of the two it is, the build of PyYAML says
    """YAML 1.2, as OpenAPI wants it: `no` and `2026-08-22` are text, and so is every key (a status is `'200'`)."""

    # PyYAML's own names: what a plain scalar is, filled below, and what is made of a tag, which is JSON's alone
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's
    yaml_constructors: dict[str | None, Any] = {  # noqa: RUF012 - PyYAML's
        tag: make
        for tag, make in _Safe.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in {"null", "bool", "int", "float", "str", "seq", "map"}
    }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put what `<<` names into the node: its own keys go before those, and of several that it names the first."""
        merged, own = dict[str, Any](), dict[str, Any]()
        for pair in node.value:
            key, value = pair
            if key.tag != "tag:yaml.org,2002:merge":
                own[key.value] = pair
                continue
            for source in reversed(value.value if isinstance(value, yaml.SequenceNode) else [value]):
                if not isinstance(source, yaml.MappingNode):
                    problem = "`<<` names what is no object"
                    raise yaml.constructor.ConstructorError(None, None, problem, source.start_mark)
                self.flatten_mapping(source)
                merged |= {pair[0].value: pair for pair in source.value}
        node.value = list((merged | own).values())

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - PyYAML's own signature
        self.flatten_mapping(node)
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
