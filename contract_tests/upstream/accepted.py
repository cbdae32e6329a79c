"""The differences that the contract has on purpose, each with its reason."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from documents import opened, parsed
from upstream.comparison import Difference, Group, Pair
from upstream.places import At, top

KEYS = ("place", "kind", "contract", "vendor", "reason")
ANY = "*"


@dataclass(frozen=True)
class Entry:
    """A difference that is accepted, at one or several places."""

    at: At
    places: tuple[str, ...]
    kind: str
    said: Pair[str]
    """What the contract and the vendor say."""
    reason: str

    def accepts(self, place: str, difference: Difference) -> bool:
        """Whether it is this difference, at one of its places; `*` stands for any text."""
        return (
            self.kind == difference.kind
            and fits(place, str(difference.place))
            and all(map(fits, self.said, difference.said))
        )


@dataclass(frozen=True)
class Settled:
    """The differences of a comparison, by what was said of them before."""

    new: list[Difference]
    accepted: list[tuple[Difference, Entry]]
    stale: list[tuple[Entry, str]]
    """Entries that fit nothing any more, each with the place that it names."""


def fits(pattern: str, text: str) -> bool:
    """Whether a text is what a pattern says."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split(ANY))), text, re.DOTALL) is not None


def read(file: Path) -> list[Entry]:
    """The entries of a file.

    Raises:
        CannotReadError: It cannot be read, or an entry is not complete.
    """
    whole = top(parsed(str(file), opened(file)))
    if whole.value is None:
        return []
    if not isinstance(whole.value, list):
        raise whole.wrong("a list of accepted differences belongs here: `--accept` prints entries for it")
    return [_entry(whole.raw(index)) for index in range(len(whole.value))]


def _entry(at: At) -> Entry:
    said = at.mapping()
    for key in KEYS:
        if said.get(key) in (None, "", []):
            wanted = (
                "one sentence on why the contract differs" if key == "reason" else "as `--accept` prints it"
            )
            message = f"this entry needs `{key}`, {wanted}"
            raise at.wrong(message)
    if unknown := said.keys() - set(KEYS):
        message = f"`{min(unknown)}` is no part of an entry, which has {', '.join(KEYS)}"
        raise at.wrong(message)
    places = said["place"] if isinstance(said["place"], list) else [said["place"]]
    texts = [*places, *(said[key] for key in KEYS[1:])]
    if any(isinstance(text, (dict, list)) for text in texts):
        raise at.wrong("each part of an entry is a text; `place` may be a list of them")
    kind, ours, theirs, reason = (_text(said[key]) for key in KEYS[1:])
    return Entry(at, tuple(map(_text, places)), kind, (ours, theirs), reason)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def settle(differences: Sequence[Difference], entries: Sequence[Entry]) -> Settled:
    """Which differences are new, which accepted, and which entries fit none."""
    settled = Settled([], [], [])
    used = set[tuple[int, str]]()
    for difference in differences:
        fitting = [
            (number, place)
            for number, entry in enumerate(entries)
            for place in entry.places
            if entry.accepts(place, difference)
        ]
        used.update(fitting)
        if fitting:
            settled.accepted.append((difference, entries[fitting[0][0]]))
        else:
            settled.new.append(difference)
    settled.stale.extend(
        (entry, place)
        for number, entry in enumerate(entries)
        for place in entry.places
        if (number, place) not in used
    )
    return settled


def written(groups: Sequence[Group]) -> str:
    """Entries for differences, which lack nothing but a reason."""
    entries = [
        {
            "place": places(group),
            "kind": group.first.kind,
            "contract": group.first.said[0],
            "vendor": group.first.said[1],
            "reason": "",
        }
        for group in groups
    ]
    return "\n".join(
        yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=110).replace(
            "reason: ''", "reason:"
        )
        for entry in entries
    )


def places(group: Group) -> str | list[str]:
    """Where a difference is, as an entry names it."""
    if group.everywhere and group.first.place.path:
        return f"{ANY} {group.first.place.path}"
    found = [str(one.place) for one in group.all]
    return found if len(found) > 1 else found[0]
