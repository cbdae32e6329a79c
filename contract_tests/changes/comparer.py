"""What differs between two documents, as `redocly diff` finds it and where it does not; it judges nothing.

Redocly pairs what belongs together (parameters by name, the branches of `anyOf` by what they say, through every `$ref`),
and names each difference once. What it does not see is found by comparing the two texts' data: the values of named
examples, an order, a `$ref` that says the same as before.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from changes.contract import Contract
from changes.usages import Usages
from documents import below, pointer_to, target
from npm import CACHE, UnavailableError, command, installed, node

PACKAGE = "@redocly/cli"
ABSENT = object()
Kind = Literal["added", "removed", "modified"]


@dataclass(frozen=True)
class Change:
    """One difference between two documents."""

    type: str
    """What it is in OpenAPI, as `Schema` or `Parameter`; `Unseen` where Redocly did not see it."""
    kind: Kind
    keyword: str
    """The keyword that was modified; empty where the whole was added or removed."""
    old: str | None
    """Where it was, as a JSON pointer into the old document."""
    new: str | None
    """Where it is, as a JSON pointer into the new document."""
    was: Any
    """What was there; ABSENT for nothing."""
    now: Any
    """What is there; ABSENT for nothing."""
    path: str = ""
    """One way to it from the top of the document, as a JSON pointer that goes through each `$ref`."""
    says_breaking: bool = False
    """Whether Redocly calls it breaking."""


def compare(
    old: Contract, new: Contract, *, cache: Path = CACHE, install: bool = True, session: str = "changes"
) -> list[Change]:
    """Every difference between two documents, in the order of the new one.

    Raises:
        UnavailableError: Redocly is missing, or does not end.
    """
    if _same(old.data, new.data):
        return []
    seen = [_change(old, new, each) for each in redocly(old, new, cache, install=install, session=session)]
    return seen + list(unseen(old, new, seen))


def redocly(
    old: Contract, new: Contract, cache: Path = CACHE, *, install: bool = True, session: str = "changes"
) -> list[dict[str, Any]]:
    """The differences that Redocly finds, as its report has them.

    Raises:
        UnavailableError: it is missing, does not end, or fails.
    """
    home = installed([PACKAGE], cache, install=install, session=session)
    with TemporaryDirectory(prefix="changes-") as folder:
        files = [Path(folder, f"{which}{of.suffix}") for which, of in (("old", old), ("new", new))]
        config = Path(folder, "redocly.yaml")
        config.write_text("extends: [diff-recommended]\ntelemetry: off\n", "utf-8")
        for file, document in zip(files, (old, new), strict=True):
            file.write_text(document.text, "utf-8", newline="")
        finished = node(
            command(home, PACKAGE, "redocly"),
            "diff",
            *files,
            "--format=json",
            "--fail-on=none",
            f"--config={config}",
        )
    try:
        found: list[dict[str, Any]] = json.loads(finished.stdout)["changes"]
    except (ValueError, KeyError):
        said = [line for line in finished.stderr.splitlines() if "rror" in line]
        message = f"redocly diff failed: {said[0][:300] if said else 'it said nothing'}; `nox -s lint` says what it has against the file"
        raise UnavailableError(message) from None
    return found


def _change(old: Contract, new: Contract, found: Mapping[str, Any]) -> Change:
    keyword: str = found.get("property", "")
    base, revision = found.get("base"), found.get("revision")

    def pointer(side: Mapping[str, Any] | None) -> str | None:
        if side is None:
            return None
        whole = "value" in side or not keyword or keyword == "key"
        return side["pointer"] if whole else below(side["pointer"], keyword)

    def value(document: Contract, side: Mapping[str, Any] | None) -> Any:
        if side is None or "value" not in side:
            return ABSENT
        try:
            return document.at(side["pointer"])  # with its `$ref`s, and no copy of what they lead to
        except KeyError:
            return side["value"]

    return Change(
        type=found["typeName"],
        kind=found["kind"],
        keyword=keyword,
        old=pointer(base),
        new=pointer(revision),
        was=base["value"] if base and keyword == "key" else value(old, base),
        now=revision["value"] if revision and keyword == "key" else value(new, revision),
        path=found["path"],
        says_breaking=found["impact"] == "major",
    )


def unseen(old: Contract, new: Contract, seen: list[Change]) -> Iterator[Change]:
    """The differences of the data that none of the changes accounts for."""
    before, after = _Pointers(change.old for change in seen), _Pointers(change.new for change in seen)
    usages = Usages(new)
    for change in _differences("#", "#", old.data, new.data):
        if change.keyword == "$ref" and _is_told(change, seen, usages):
            continue
        if not (before.cover(change.old) or after.cover(change.new)):
            yield change


class _Pointers:
    """Pointers, for asking whether one of them leads to a place or to what holds it."""

    def __init__(self, pointers: "Iterator[str | None]") -> None:
        self._all = {pointer for pointer in pointers if pointer}

    def cover(self, pointer: str | None) -> bool:
        while pointer and pointer != "#":
            if pointer in self._all:
                return True
            pointer = pointer.rpartition("/")[0]
        return False


def _is_told(change: Change, seen: list[Change], usages: Usages) -> bool:
    """Whether what another `$ref` leads to, or what stands in its place, is told by other changes."""

    def within(inner: str | None, outer: str) -> bool:
        return inner is not None and f"{inner}/".startswith(f"{outer}/")

    here = [pointer_to(path) for path in usages.paths(change.new or "#")]
    targets = [
        target(value["$ref"]) if isinstance(value, Mapping) and "$ref" in value else pointer
        for value, pointer in ((change.was, change.old), (change.now, change.new))
    ]
    return any(
        any(within(each.path, pointer) for pointer in here)
        or (within(each.old, targets[0] or "#") and within(each.new, targets[1] or "#"))
        for each in seen
    )


def _differences(before: str, after: str, was: Any, now: Any) -> Iterator[Change]:
    """The places at which two values differ; what stands in a list is paired by what it is."""
    if _same(was, now):
        return
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        if was.get("$ref") != now.get("$ref"):
            yield Change("Unseen", "modified", "$ref", before, after, was, now)
            return
        for key in [*was, *(key for key in now if key not in was)]:
            step = below("", key)
            if key not in now:
                yield Change("Unseen", "removed", "", before + step, None, was[key], ABSENT)
            elif key not in was:
                yield Change("Unseen", "added", "", None, after + step, ABSENT, now[key])
            else:
                yield from _differences(before + step, after + step, was[key], now[key])
    elif isinstance(was, list) and isinstance(now, list):
        yield from _of_lists(before, after, was, now)
    else:
        yield Change("Unseen", "modified", after.rpartition("/")[2], before, after, was, now)


def _of_lists(before: str, after: str, was: list[Any], now: list[Any]) -> Iterator[Change]:
    left, right = dict(enumerate(was)), dict(enumerate(now))
    for number, value in enumerate(now):
        match = next((other for other, each in left.items() if _same(each, value)), None)
        if match is not None:
            del left[match], right[number]
    if not left and not right:
        yield Change("Unseen", "modified", "order", before, after, was, now)
        return
    pairs = list(zip(left, right, strict=False))
    for number, other in pairs:
        yield from _differences(f"{before}/{number}", f"{after}/{other}", left[number], right[other])
    for number in list(left)[len(pairs) :]:
        yield Change("Unseen", "removed", "", f"{before}/{number}", None, left[number], ABSENT)
    for other in list(right)[len(pairs) :]:
        yield Change("Unseen", "added", "", None, f"{after}/{other}", ABSENT, right[other])


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True, default=str) == json.dumps(other, sort_keys=True, default=str)
