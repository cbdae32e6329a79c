"""OpenAPI documents from a file, a git revision or a URL, read and checked; it compares nothing.

What cannot be read ends in one `CannotReadError`, whose one line says what to do. Addresses are shown without a user, a
password or a query, as those can be secrets.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPException
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request, urlopen

import yaml

NAME = "openapi.yaml"
PATIENCE = 30.0  # seconds, for a URL as a whole: names, connecting, redirects and a body that comes in drops
LARGEST = 50_000_000  # bytes
MOST = 1_000_000  # nodes: what is written with aliases can be small and mean more than any machine holds


class CannotReadError(Exception):
    """There is no OpenAPI document where one was named; the message says what to do, in one line."""


@dataclass(frozen=True)
class Document:
    """An OpenAPI document, with the text that it was read from."""

    name: str
    """Where it is from, as the user may be shown it."""
    text: bytes
    data: Mapping[str, Any] = field(repr=False)

    @property
    def version(self) -> str:
        """`info.version`, as it is written."""
        return str(self.data["info"]["version"])

    @property
    def suffix(self) -> str:
        """The ending for a file with this text."""
        return ".json" if self.text.lstrip()[:1] == b"{" else ".yaml"

    def line(self, pointer: str) -> int | None:
        """The line, from 1, on which a place begins; that of what holds it, where it is not there itself."""
        while pointer not in self._lines and "/" in pointer:
            pointer = pointer.rpartition("/")[0]
        return self._lines.get(pointer)

    @cached_property
    def _lines(self) -> dict[str, int]:
        try:
            root = yaml.compose(self.text, _Loader)
        except yaml.YAMLError:  # JSON that is no YAML, as with tabs
            return {}
        return dict(_places("#", root)) | {"#": 1}

    def at(self, pointer: str) -> Any:
        """What a JSON pointer leads to; no `$ref` is followed.

        Raises:
            KeyError: nothing is there.
        """
        value: Any = self.data
        for step in steps(pointer):
            if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            elif isinstance(value, Mapping) and step in value:
                value = value[step]
            else:
                raise KeyError(pointer)
        return value

    def resolved(self, node: Any) -> Any:
        """A node, or what its `$ref` leads to, overlaid with what stands beside the `$ref`."""
        seen = set[str]()
        while isinstance(node, Mapping) and isinstance(node.get("$ref"), str) and node["$ref"] not in seen:
            seen.add(node["$ref"])
            beside = {key: value for key, value in node.items() if key != "$ref"}
            target = self.at(node["$ref"])
            node = {**target, **beside} if isinstance(target, Mapping) and beside else target
        return node


def steps(pointer: str) -> list[str]:
    """The steps of a JSON pointer, unescaped."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.removeprefix("#").split("/")[1:]]


def pointer_to(path: "list[str] | tuple[str, ...]") -> str:
    """The JSON pointer of a path, as a URI fragment."""
    return "#" + "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path)


def load(source: str, root: Path, *, default: str = NAME, patience: float = PATIENCE) -> Document:
    """The document that a user named, checked to be one of OpenAPI 3.1 that is whole in itself.

    Args:
        source: A file; a git revision, of which `default` is read; `REVISION:PATH`; or a URL.
        root: The work tree that revisions are looked up in.
        default: The path below `root` that a revision stands for.
        patience: Seconds that a URL may take, as a whole.

    Raises:
        CannotReadError: there is none, or something else.
    """
    if source.startswith(("http://", "https://")):
        name, text = without_secrets(source), fetched(source, patience)
    elif Path(source).exists():
        name, text = source, _of_file(Path(source))
    else:
        name, text = source if ":" in source else f"{source}:{default}", _of_revision(source, root, default)
    return read(name, text)


def read(name: str, text: bytes) -> Document:
    """The document that a text holds.

    Raises:
        CannotReadError: it holds something else.
    """
    start = text.lstrip()[:200].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        message = f"{name} is a page of HTML, not an OpenAPI document: name the raw file"
        raise CannotReadError(message)
    try:
        data = json.loads(text) if start[:1] == b"{" else None
    except (ValueError, RecursionError):
        data = None  # flow style of YAML begins like this too
    try:
        if data is None:
            data = yaml.load(text, _Loader)  # noqa: S506 - made of the safe one
    except yaml.YAMLError as error:
        said = getattr(error, "problem", None) or str(error)
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark else ""
        message = f"{name} is not YAML: {' '.join(said.split())}{place}; correct it"
        raise CannotReadError(message) from None
    except (ValueError, RecursionError):
        message = f"{name} is not YAML that this can read: it is nested too deeply"
        raise CannotReadError(message) from None
    _check(name, data)
    return Document(name, text, data)


def without_secrets(url: str) -> str:
    """A URL as it may be shown: no user, no password, no query.

    Raises:
        CannotReadError: it is none.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise CannotReadError("the URL is malformed: write it as https://host/path") from None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def fetched(url: str, patience: float = PATIENCE) -> bytes:
    """The body that a URL answers with, within bounds of time and size.

    Raises:
        CannotReadError: there is none.
    """
    answers = Queue[bytes | CannotReadError]()

    def fetch() -> None:
        try:
            answers.put(_fetched(url, patience))
        except CannotReadError as error:
            answers.put(error)
        except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
            answers.put(CannotReadError(f"{without_secrets(url)}: {type(error).__name__}; check the address"))

    # In a thread, as nothing else bounds the look-up of a name and a header that comes in drops.
    Thread(target=fetch, daemon=True).start()
    try:
        answer = answers.get(timeout=patience)
    except Empty:
        message = f"{without_secrets(url)} did not answer whole within {patience:g} s: save it to a file, and name that"
        raise CannotReadError(message) from None
    if isinstance(answer, CannotReadError):
        raise answer
    return answer


def _fetched(url: str, patience: float) -> bytes:
    shown = without_secrets(url)
    wanted = {
        "Accept": "application/yaml, application/json, text/yaml, text/plain, */*",
        "User-Agent": "openrouter-rerank",
    }
    try:
        with urlopen(Request(url, headers=wanted), timeout=patience) as answer:  # noqa: S310 - http or https, as the caller saw
            body: bytes = answer.read(LARGEST + 1)
    except HTTPError as error:
        error.close()
        message = f"{shown} answers {error.code}: check the address, or save it to a file"
        raise CannotReadError(message) from None
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        said = reason if isinstance(reason, str) else type(reason).__name__
        message = f"{shown} cannot be reached ({said}): check the address, or save it to a file"
        raise CannotReadError(message) from None
    if len(body) > LARGEST:
        message = f"{shown} is larger than {LARGEST:,} bytes: name the OpenAPI document alone"
        raise CannotReadError(message)
    return body


def _of_file(path: Path) -> bytes:
    if path.is_dir():
        message = f"{path} is a folder: name a file in it"
        raise CannotReadError(message)
    try:
        if path.stat().st_size > LARGEST:
            message = f"{path} is larger than {LARGEST:,} bytes: name an OpenAPI document"
            raise CannotReadError(message)
        return path.read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise CannotReadError(message) from None


def _of_revision(source: str, root: Path, default: str) -> bytes:
    revision, _, path = source.partition(":")
    path = path or default
    known = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if not revision or known is None:
        message = (
            f"{source} is neither a file nor a git revision here: name a file, a revision "
            f"(`git log --oneline -- {default}` lists those of {default}; REVISION:PATH for another file) or a URL"
        )
        raise CannotReadError(message)
    text = _git(root, "show", f"{known.decode().strip()}:{path}")
    if text is None:
        message = f"{path} is not in the git revision {revision}: name it as {revision}:PATH"
        raise CannotReadError(message)
    return text


def _git(root: Path, *arguments: str) -> bytes | None:
    """What git prints; None where it fails."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)  # noqa: S603, S607 - no shell, and the git that the user runs
    except OSError:
        raise CannotReadError(
            "git cannot be run, which revisions are read with: name a file or a URL"
        ) from None
    return done.stdout if done.returncode == 0 else None


def _check(name: str, data: Any) -> None:
    """Refuse what is not an OpenAPI 3.1 document that is whole in itself."""
    if not isinstance(data, Mapping) or not {"openapi", "swagger"} & set(data):
        message = f"{name} is not an OpenAPI document: it has no `openapi: 3.1.x` at its top"
        raise CannotReadError(message)
    version = str(data.get("openapi") or data.get("swagger"))
    if not version.startswith("3.1"):
        message = f"{name} is of OpenAPI {version}, and 3.1 is read: write it as 3.1 first"
        raise CannotReadError(message)
    if not isinstance(data.get("info"), Mapping) or "version" not in data["info"]:
        message = f"{name} has no info.version: give it one, as 1.0.0"
        raise CannotReadError(message)
    for part in ("paths", "components"):
        if not isinstance(data.get(part, {}), Mapping):
            message = f"{name}: `{part}` is not an object; `nox -s lint` says what else is wrong"
            raise CannotReadError(message)
    _check_references(name, data)


def _check_references(name: str, data: Mapping[str, Any]) -> None:
    """Refuse a `$ref` to another file or to nothing."""
    document = Document(name, b"", data)
    for number, (is_shown, value) in enumerate(_nodes(data)):
        if number > MOST:
            message = f"{name} has more than {MOST:,} values: name the OpenAPI document alone"
            raise CannotReadError(message)
        target = value.get("$ref") if isinstance(value, Mapping) else None
        if not isinstance(target, str) or is_shown:
            continue
        if not target.startswith("#"):
            message = f"{name} refers to another file ({target[:80]}): make one of them with `redocly bundle`"
            raise CannotReadError(message)
        try:
            document.at(target)
        except KeyError:
            message = f"{name} refers to {target[:80]}, where nothing is: correct the $ref"
            raise CannotReadError(message) from None


def _nodes(value: Any) -> Iterator[tuple[bool, Any]]:
    """Every value below one, and whether it stands in an example."""
    stack = [(False, value)]
    while stack:
        is_shown, node = stack.pop()
        yield is_shown, node
        if isinstance(node, Mapping):
            stack += [(is_shown or key in {"example", "examples"}, child) for key, child in node.items()]
        elif isinstance(node, list):
            stack += [(is_shown, child) for child in node]


def _places(here: str, node: Any) -> Iterator[tuple[str, int]]:
    """Each place below a node of the YAML, with the line that it begins on."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = here + pointer_to([str(key.value)])[1:]
            yield place, key.start_mark.line + 1
            yield from _places(place, value)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield f"{here}/{number}", value.start_mark.line + 1
            yield from _places(f"{here}/{number}", value)


# libyaml reads a contract in a tenth of the time, and not every build of PyYAML has it
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] - one of two classes
    """Reads YAML 1.2's JSON: `200:` and `on:` are keys as they are written, a day is text, no key is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - PyYAML's own
        own = set[str]()
        for key, _ in node.value:  # before the merging of what `<<` names, which a key may override
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is no text", key.start_mark)
            if key.value in own:
                problem = f"the key {key.value[:40]} is there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            own.add(key.value)
        self.flatten_mapping(node)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}


def _mapping(loader: Any, node: yaml.MappingNode) -> Iterator[dict[str, Any]]:
    made = dict[str, Any]()
    yield made  # an alias may be to what is being made
    made.update(loader.construct_mapping(node, deep=True))


def _true_or_false(_: Any, node: yaml.ScalarNode) -> Any:
    return {"true": True, "false": False}.get(node.value.lower(), node.value)


def _text(_: Any, node: yaml.ScalarNode) -> str:
    return str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:bool", _true_or_false)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)
