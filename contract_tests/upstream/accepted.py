"""The intended differences between the contract and the vendor's document, each with its reason."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from compare.descriptions import Pair
from compare.differences import Difference, Place
from compare.documents import parse, read_file
from compare.locations import Location, root

KEYS = ("place", "kind", "contract", "vendor", "reason")
ANY = "*"


@dataclass(frozen=True)
class Entry:
    """An accepted difference, at one or several places."""

    at: Location
    places: tuple[str, ...]
    kind: str
    values: Pair[str]
    """The descriptions of the contract's and the vendor's part."""
    reason: str

    def accepts(self, place: str, difference: Difference) -> bool:
        """Return True if the entry accepts a difference at this place."""
        return (
            self.kind == difference.kind
            and matches(place, str(difference.place))
            and all(map(matches, self.values, difference.values))
        )


@dataclass(frozen=True)
class Settled:
    """The differences of a comparison, new and accepted, and the entries that are stale."""

    new: list[Difference]
    accepted: list[tuple[Difference, Entry]]
    stale: list[tuple[Entry, str]]
    """The entries that no longer match a difference, each with its place."""


@dataclass
class Group:
    """A difference with all places where it is the same, for example in the body that all errors share."""

    first: Difference
    all: list[Difference] = field(default_factory=list[Difference])
    is_everywhere: bool = False
    """True if it occurs at every place where that part of the contract was compared, and there are several."""

    def places(self) -> str | list[str]:
        """Return the places in the form of an entry."""
        if self.is_everywhere and self.first.place.path:
            return f"{ANY} {self.first.place.path}"
        found = [str(one.place) for one in self.all]
        return found if len(found) > 1 else found[0]


def group(differences: Iterable[Difference], visits: Mapping[str, set[Place]]) -> list[Group]:
    """Group the differences that are the same at several places."""
    found = dict[tuple[str, ...], Group]()
    for one in differences:
        name = one.place.part.rpartition(" ")[2] if one.kind in ("parameter", "header") else ""
        key = (one.kind, one.at[0].pointer, *one.values, one.place.path, name)
        found.setdefault(key, Group(one)).all.append(one)
    for made in found.values():
        made.is_everywhere = len(made.all) == len(visits.get(made.first.seat, ())) > 1
    return list(found.values())


def matches(pattern: str, text: str) -> bool:
    """Return True if a text matches a pattern, in which `*` matches any text."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split(ANY))), text, re.DOTALL) is not None


def read_entries(file: Path) -> list[Entry]:
    """Read the entries of a file.

    Raises:
        CannotReadError: The file cannot be read, or an entry is not complete.
    """
    whole = root(parse(str(file), read_file(file)))
    if whole.value is None:
        return []
    if not isinstance(whole.value, list):
        raise whole.error("expected a list of accepted differences: `--accept` prints entries for it")
    return [_read_entry(whole.child(index)) for index in range(len(whole.value))]


def _read_entry(at: Location) -> Entry:
    raw = at.mapping()
    for key in KEYS:
        if raw.get(key) in (None, "", []):
            wanted = (
                "one sentence on why the contract differs" if key == "reason" else "as `--accept` prints it"
            )
            message = f"this entry has no `{key}`: add it, {wanted}"
            raise at.error(message)
    if unknown := raw.keys() - set(KEYS):
        message = f"unknown key `{min(unknown)}`: an entry has {', '.join(KEYS)}"
        raise at.error(message)
    places = raw["place"] if isinstance(raw["place"], list) else [raw["place"]]
    if any(isinstance(value, (dict, list)) for value in [*places, *(raw[key] for key in KEYS[1:])]):
        raise at.error("each part of an entry is a text; `place` may be a list of texts")
    kind, ours, theirs, reason = (_text(raw[key]) for key in KEYS[1:])
    return Entry(at, tuple(map(_text, places)), kind, (ours, theirs), reason)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def settle(differences: Sequence[Difference], entries: Sequence[Entry]) -> Settled:
    """Sort the differences into new and accepted ones, and find the stale entries."""
    settled = Settled([], [], [])
    used = set[tuple[int, str]]()
    for difference in differences:
        matching = [
            (number, place)
            for number, entry in enumerate(entries)
            for place in entry.places
            if entry.accepts(place, difference)
        ]
        used.update(matching)
        if matching:
            settled.accepted.append((difference, entries[matching[0][0]]))
        else:
            settled.new.append(difference)
    settled.stale.extend(
        (entry, place)
        for number, entry in enumerate(entries)
        for place in entry.places
        if (number, place) not in used
    )
    return settled


def format_entries(groups: Sequence[Group]) -> str:
    """Return the entries for differences as YAML, without their reasons."""
    entries = [
        {
            "place": one.places(),
            "kind": one.first.kind,
            "contract": one.first.values[0],
            "vendor": one.first.values[1],
            "reason": "",
        }
        for one in groups
    ]
    return "\n".join(
        yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=110).replace(
            "reason: ''", "reason:"
        )
        for entry in entries
    )
