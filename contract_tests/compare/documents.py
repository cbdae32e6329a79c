"""Read a JSON or YAML document from a file or a URL, within limits, and find the line of a JSON pointer.

Every failure raises `CannotReadError` with a message of one line. URLs are shown without user, password and query, which may be
secrets.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import yaml

LARGEST = 10_000_000  # bytes; the vendor's document has 1.4 million
MOST = 300_000  # keys and values with aliases expanded; the vendor's document has about 100,000
MOST_ANCHORS = (
    10_000  # anchors and aliases, which are slower to read than values; an OpenAPI document has few
)
DEEPEST = 200  # nested values; readers recurse several times for each
PATIENCE = 30.0  # seconds for a whole download: name look-up, connection, headers and body
SILENCE = 1 / 3  # of the patience: the longest wait for a byte
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
"""The operations that an OpenAPI path can have."""


class CannotReadError(Exception):
    """A document, or a part of it, cannot be read; the message is one line."""


@dataclass(frozen=True)
class Document:
    """A document, with the name that the user passed."""

    name: str
    data: Any = field(repr=False)
    text: str = field(default="", repr=False)
    root: yaml.Node | None = field(default=None, repr=False, compare=False)
    """The YAML nodes with their lines; None for JSON, whose lines are looked up on demand."""

    def at(self, pointer: str) -> Any:
        """Return the value at a pointer, without following references.

        Raises:
            KeyError: The pointer does not exist.
        """
        value = self.data
        if pointer not in ("#", "") and not pointer.removeprefix("#").startswith("/"):
            raise KeyError(pointer)
        for step in split_pointer(pointer):
            if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            elif isinstance(value, dict) and step in value:
                value = value[step]
            else:
                raise KeyError(pointer)
        return value

    def line(self, pointer: str) -> int | None:
        """Return the line, from 1, of a pointer or of its nearest existing parent; None if lines are unknown."""
        node, line = self._tree, 1
        for step in split_pointer(pointer):
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
        """Return file, line and pointer as text."""
        line = self.line(pointer)
        return f"{self.name}{f':{line}' if line else ''} {pointer}"

    def lines(self) -> dict[str, int]:
        """Return the line of every key and element, by its pointer."""
        return dict(_node_lines("#", self._tree))

    @cached_property
    def _tree(self) -> yaml.Node | None:
        if self.root or not self.text:
            return self.root
        try:
            return yaml.compose(self.text, _Loader)
        except (yaml.YAMLError, RecursionError):  # JSON that is not YAML, for example with tabs
            return None


def _node_lines(pointer: str, node: yaml.Node | None) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inside = child_pointer(pointer, key.value)
            yield inside, key.start_mark.line + 1
            yield from _node_lines(inside, value)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            inside = child_pointer(pointer, index)
            yield inside, value.start_mark.line + 1
            yield from _node_lines(inside, value)


def split_pointer(pointer: str) -> list[str]:
    """Return the unescaped keys of a pointer."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.removeprefix("#").split("/")[1:]]


def child_pointer(pointer: str, key: str | int) -> str:
    """Return the pointer of the value under a key or an index."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def join_pointer(path: Iterable[str | int]) -> str:
    """Return the pointer of a path, as a URI fragment."""
    pointer = "#"
    for key in path:
        pointer = child_pointer(pointer, key)
    return pointer


def decode_reference(reference: str) -> str:
    """Return the pointer of a reference, with percent-encoded characters decoded."""
    return unquote(reference)


def shorten_path(path: Path) -> str:
    """Return a path relative to the working directory if it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)


def read(source: str, *, patience: float = PATIENCE) -> Document:
    """Read the document in a file or behind an http or https URL.

    Args:
        source: A file or a URL. A URL is requested once, and redirects are not followed.
        patience: Seconds for the whole download; the server may be silent for a third of that.

    Raises:
        CannotReadError: It cannot be read, is too large, or is neither YAML nor JSON.
    """
    if URL.match(source):
        return parse(redact_url(source), download(source, patience))
    return parse(source, read_file(Path(source)))


def read_file(path: Path) -> bytes:
    """Return the bytes of a file, at most one more than the limit.

    Raises:
        CannotReadError: The file cannot be read.
    """
    if path.is_dir():
        message = f"{path} is a folder: name the file of the document, or its https URL"
        raise CannotReadError(message)
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)  # a device or a pipe may be endless
    except FileNotFoundError:
        message = f"{path} does not exist: name the file of the document, or its https URL"
        raise CannotReadError(message) from None
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise CannotReadError(message) from None


def redact_url(url: str) -> str:
    """Return a URL without user, password, query and fragment.

    Raises:
        CannotReadError: It is not a URL.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # raises if the port is not a number
    except ValueError:
        host = None
    if not host:  # do not quote the URL or Python's message, which may contain a secret
        message = "the argument is not a URL: write it as https://host/path, or name a file"
        raise CannotReadError(message)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def download(url: str, patience: float = PATIENCE) -> bytes:
    """Return the bytes of a URL; stop a little above the limit.

    Raises:
        CannotReadError: The server fails, redirects, or is too slow.
    """
    name, parts = redact_url(url), urlsplit(url)
    if parts.scheme.lower() not in ("http", "https"):
        message = f"{name} is not an http or https URL: name one, or a file"
        raise CannotReadError(message)
    if "@" in parts.netloc:
        message = f"{name} was given with a password: download it yourself, and name the file"
        raise CannotReadError(message)
    late = CannotReadError(
        f"{name} was not complete after {patience:g} s: download it yourself, and name the file"
    )
    results = Queue[bytes | CannotReadError]()
    deadline = time.monotonic() + patience

    def run() -> None:
        try:
            results.put(_fetch(name, url, patience, deadline) or late)
        except CannotReadError as error:
            results.put(error)
        except Exception as error:  # noqa: BLE001 - passed to the calling thread
            # do not quote the library's message, which may contain the URL
            message = (
                f"{name} sends a response that cannot be read ({type(error).__name__}): check it in a browser"
            )
            results.put(CannotReadError(message))

    # In a thread, because name look-up and slow headers have no other limit.
    Thread(target=run, daemon=True).start()
    try:
        result = results.get(timeout=patience)
    except Empty:
        raise late from None
    if isinstance(result, CannotReadError):
        raise result
    return result


def _fetch(name: str, url: str, patience: float, deadline: float) -> bytes | None:
    """Return the bytes of a URL; None after the deadline."""
    import httpx  # noqa: PLC0415 - only URLs need it

    headers = {
        "Accept": "application/yaml, application/json, text/yaml, text/plain, */*",
        "User-Agent": "openrouter-rerank",
    }
    data = bytearray()
    try:
        with httpx.stream("GET", url, timeout=patience * SILENCE, headers=headers) as response:
            if response.is_redirect:
                elsewhere = redact_url(str(response.url.join(response.headers["Location"])))
                message = f"{name} redirects to {elsewhere}: name that URL if it is the right one"
                raise CannotReadError(message)
            if response.status_code != 200:
                message = (
                    f"{name} answers {response.status_code}: check the URL in a browser, "
                    "or download the document yourself, and name the file"
                )
                raise CannotReadError(message)
            for chunk in response.iter_bytes():
                data += chunk
                if time.monotonic() > deadline:
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
        message = f"{name} cannot be reached: {str(error) or type(error).__name__}: check URL and network"
        raise CannotReadError(message) from None
    return bytes(data)


def parse(name: str, content: bytes) -> Document:
    """Parse YAML or JSON.

    Raises:
        CannotReadError: It is neither, or exceeds a limit.
    """
    if len(content) > LARGEST:
        message = f"{name} is larger than {LARGEST // 1_000_000} MB, and the vendor's document has less than 2 MB: name the OpenAPI document alone"
        raise CannotReadError(message)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{name} is not UTF-8 text (byte {error.start}): unpack it first"
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
                    message = f"{name} is not JSON: {error}"
                    raise CannotReadError(message) from None  # otherwise, YAML may begin like this
        return _from_yaml(name, text)
    except RecursionError:
        raise _too_deep(name) from None


def _from_json(name: str, text: str) -> Document:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict[str, Any]()
        for key, value in pairs:
            if key in built:
                message = f"{name} has the key {key[:40]!r} twice in one object: remove one"
                raise CannotReadError(message)
            built[key] = value
        return built

    data = json.loads(text, object_pairs_hook=build)
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
        # events are counted first, as each node takes half a kilobyte
        parts = depth = anchors = 0
        for event in yaml.parse(text, _Loader):
            if isinstance(event, yaml.NodeEvent):
                parts += 1
                anchors += event.anchor is not None
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            _check_bounds(name, parts, depth, anchors)
        root = loader.get_single_node()
        if root:
            _check_bounds(name, *_measure(name, root, {}))
        data = loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        message = f"{where}: not YAML: {' '.join(problem.split())}"
        raise CannotReadError(message) from None
    except (
        yaml.YAMLError,
        ValueError,
        LookupError,
    ) as error:  # the last two are raised for scalars with a tag
        message = f"{name} is not YAML: {' '.join(str(error).split())}"
        raise CannotReadError(message) from None
    finally:
        loader.dispose()
    return Document(name, data, text, root)


def _measure(name: str, node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Check the keys of a node; return its number of keys and values, with aliases expanded, and its depth."""
    if id(node) in known:
        measured = known[id(node)]
        if measured is None:
            message = f"{name}:{node.start_mark.line + 1}: it contains itself; remove the alias"
            raise CannotReadError(message)
        return measured
    known[id(node)] = None
    children, own = list[yaml.Node](), set[str]()
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        for key, child in node.value:  # before `<<` is merged, whose keys may be overridden
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is not a scalar", key.start_mark)
            if key.value in own:
                problem = f"the key {key.value[:40]!r} appears twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            own.add(key.value)
            children.append(child)
    inside = [_measure(name, child, known) for child in children]
    parts = 1 + len(own) + sum(parts for parts, _ in inside)
    measured = known[id(node)] = (parts, 1 + max((depth for _, depth in inside), default=0))
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


# libyaml is ten times as fast, but not every build of PyYAML has it
_Safe: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):  # type: ignore[misc]  # depends on the build of PyYAML
    """A loader of YAML 1.2, which OpenAPI requires: `no`, `2026-08-22` and all keys (such as `200`) are strings."""

    # PyYAML's names: the resolvers of plain scalars (added below), and the tags, restricted to those of JSON
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's
    yaml_constructors: dict[str | None, Any] = {  # noqa: RUF012 - PyYAML's
        tag: make
        for tag, make in _Safe.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in {"null", "bool", "int", "float", "str", "seq", "map"}
    }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge the mappings that `<<` names; own keys win, then the first mapping."""
        merged, own = dict[str, Any](), dict[str, Any]()
        for pair in node.value:
            key, value = pair
            if key.tag != "tag:yaml.org,2002:merge":
                own[key.value] = pair
                continue
            for source in reversed(value.value if isinstance(value, yaml.SequenceNode) else [value]):
                if not isinstance(source, yaml.MappingNode):
                    problem = "`<<` names a value that is not an object"
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
