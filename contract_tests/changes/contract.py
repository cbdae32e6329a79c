"""A contract from a file, a git revision or a URL: an OpenAPI 3.1 document that is complete in itself."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compare import documents
from compare.documents import CannotReadError, Document
from compare.locations import references, root

NAME = "openapi.yaml"


class Contract(Document):
    """An OpenAPI document whose references all resolve within it."""

    @property
    def version(self) -> str:
        """The value of `info.version`."""
        return str(self.data["info"]["version"])


def load(source: str, tree: Path, *, default: str = NAME, patience: float = documents.PATIENCE) -> Contract:
    """Load the contract that a user named.

    Args:
        source: A file; a git revision, whose `default` is read; `REVISION:PATH`; or a URL.
        tree: The work tree with the revisions.
        default: The path to read from a revision.
        patience: The seconds for the whole download of a URL.

    Raises:
        CannotReadError: The source is not a contract.
    """
    if documents.URL.match(source) or Path(source).exists():
        return check(documents.read(source, patience=patience))
    name = source if ":" in source else f"{source}:{default}"
    return check(documents.parse(name, _read_revision(source, tree, default)))


def check(document: Document) -> Contract:
    """Return the document as a contract.

    Raises:
        CannotReadError: It is not one.
    """
    contract = Contract(document.name, document.data, document.text, document.root)
    _check(contract.name, contract.data)
    _check_references(contract)
    return contract


def _read_revision(source: str, tree: Path, default: str) -> bytes:
    revision, _, path = source.partition(":")
    path = path or default
    known = _git(tree, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if not revision or known is None:
        message = (
            f"{source} is neither a file nor a git revision here: name a file, a revision "
            f"(`git log --oneline -- {default}` lists those of {default}; REVISION:PATH for another file) or a URL"
        )
        raise CannotReadError(message)
    text = _git(tree, "show", f"{known.decode().strip()}:{path}")
    if text is None:
        message = f"{path} is not in the git revision {revision}: name it as {revision}:PATH"
        raise CannotReadError(message)
    return text


def _git(tree: Path, *arguments: str) -> bytes | None:
    """Return the output of git; None if it fails."""
    try:
        done = subprocess.run(["git", "-C", str(tree), *arguments], capture_output=True, check=False)  # noqa: S603, S607 - no shell, and the git that the user runs
    except OSError:
        raise CannotReadError(
            "git is not installed, so revisions cannot be read: name a file or a URL"
        ) from None
    return done.stdout if done.returncode == 0 else None


def _check(name: str, data: Any) -> None:
    """Raise unless the data is an OpenAPI 3.1 document."""
    if not isinstance(data, Mapping) or not {"openapi", "swagger"} & set(data):
        message = f"{name} is not an OpenAPI document: it has no key `openapi`: name the contract"
        raise CannotReadError(message)
    version = str(data.get("openapi") or data.get("swagger"))
    if not version.startswith("3.1"):
        message = f"{name} is OpenAPI {version}, not 3.1: convert it to 3.1 first"
        raise CannotReadError(message)
    if not isinstance(data.get("info"), Mapping) or "version" not in data["info"]:
        message = f"{name} has no info.version: give it one, as 1.0.0"
        raise CannotReadError(message)
    for part in ("paths", "components"):
        if not isinstance(data.get(part, {}), Mapping):
            message = f"{name}: `{part}` is not an object; `nox -s lint` says what else is wrong"
            raise CannotReadError(message)


def _check_references(contract: Contract) -> None:
    """Raise if a `$ref` does not resolve within the document."""
    for reference in references(contract.data):
        root(contract).target(reference)
