"""A contract from a file, a git revision or a URL, checked to be OpenAPI 3.1 that is whole in itself; it compares nothing."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import documents
from documents import CannotReadError, Document

NAME = "openapi.yaml"


class Contract(Document):
    """An OpenAPI document of which each reference leads somewhere."""

    @property
    def version(self) -> str:
        """`info.version`, as it is written."""
        return str(self.data["info"]["version"])

    @property
    def suffix(self) -> str:
        """The ending for a file with this text."""
        return ".json" if self.text.lstrip()[:1] == "{" else ".yaml"

    def resolved(self, node: Any) -> Any:
        """A node, or what its `$ref` leads to, overlaid with what stands beside the `$ref`."""
        seen = set[str]()
        while isinstance(node, Mapping) and isinstance(node.get("$ref"), str) and node["$ref"] not in seen:
            seen.add(node["$ref"])
            beside = {key: value for key, value in node.items() if key != "$ref"}
            found = self.at(documents.target(node["$ref"]))
            node = {**found, **beside} if isinstance(found, Mapping) and beside else found
        return node


def load(source: str, root: Path, *, default: str = NAME, patience: float = documents.PATIENCE) -> Contract:
    """The contract that a user named.

    Args:
        source: A file; a git revision, of which `default` is read; `REVISION:PATH`; or a URL.
        root: The work tree that revisions are looked up in.
        default: The path below `root` that a revision stands for.
        patience: Seconds that a URL may take, as a whole.

    Raises:
        CannotReadError: there is none, or something else.
    """
    if documents.ADDRESS.match(source) or Path(source).exists():
        return checked(documents.read(source, patience=patience))
    name = source if ":" in source else f"{source}:{default}"
    return checked(documents.parsed(name, _of_revision(source, root, default)))


def checked(document: Document) -> Contract:
    """The document as a contract.

    Raises:
        CannotReadError: it is none.
    """
    contract = Contract(document.name, document.data, document.text, document.root)
    _check(contract.name, contract.data)
    _check_references(contract)
    return contract


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
    """Refuse what is not an OpenAPI 3.1 document."""
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


def _check_references(contract: Contract) -> None:
    """Refuse a `$ref` to another file or to nothing."""
    for reference in _references(contract.data):
        if not reference.startswith("#"):
            message = f"{contract.name} refers to another file ({reference[:80]}): make one of them with `redocly bundle`"
            raise CannotReadError(message)
        try:
            contract.at(documents.target(reference))
        except KeyError:
            message = f"{contract.name} refers to {reference[:80]}, where nothing is: correct the $ref"
            raise CannotReadError(message) from None


def _references(value: Any) -> Iterator[str]:
    """Every `$ref` below a value, but for those in examples, which are data."""
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, Mapping):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            stack += [child for key, child in node.items() if key not in {"example", "examples"}]
        elif isinstance(node, list):
            stack += node
