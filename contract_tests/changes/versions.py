"""The version that the changes need, and the entry of CHANGELOG.md.

A contract's version is semantic for callers: major if callers break, minor if servers must change or something is new, patch if
only wording changed. A change that breaks only servers need not be major, as a server conforms to a stated version, and the kit keeps
the rules of each version. Versions of the package follow the same rules. Below 1.0.0, each level counts one lower, because semantic
versioning promises nothing there and installers pin 0.y.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from changes.decisions import CATEGORIES, Category
from changes.findings import Finding
from changes.sentences import join

Level = Literal["none", "patch", "minor", "major"]
LEVELS: tuple[Level, ...] = ("none", "patch", "minor", "major")
NEEDED: dict[Category, Level] = {
    "callers": "major",
    "servers": "minor",
    "additive": "minor",
    "documentation": "patch",
}
"""The part of the version that each category raises. Wording raises one too, as a released contract never changes."""

UNRELEASED = "Unreleased"
_MOST = 12  # the maximum number of sentences of a kind in a draft


@dataclass(frozen=True, order=True)
class Version:
    """A version of three numbers."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def raised(self, level: Level) -> "Version":
        """Return the next version that a change of this level needs."""
        if self.major == 0 and level != "none":
            level = LEVELS[max(1, LEVELS.index(level) - 1)]
        match level:
            case "major":
                return Version(self.major + 1, 0, 0)
            case "minor":
                return Version(self.major, self.minor + 1, 0)
            case "patch":
                return Version(self.major, self.minor, self.patch + 1)
            case _:
                return self


def parse_version(text: str) -> Version | None:
    """Return the version in a text; None if it does not have three numbers."""
    found = re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", text, re.ASCII)
    return Version(*(int(number) for number in found.groups())) if found else None


def highest_level(findings: Iterable[Finding]) -> Level:
    """Return the part of the version that the findings raise."""
    found = [NEEDED[category] for finding in findings for category in finding.categories]
    return max(found, key=LEVELS.index, default="none")


@dataclass(frozen=True)
class Section:
    """A section of a changelog."""

    title: str
    """The title without the date, such as `Unreleased` or `0.1.0`."""
    begins: int
    """The line of its heading, from 1."""
    lines: Sequence[str]

    def find_contract(self, contract: str) -> int | None:
        """Return the line, from 1, that names this version of the contract, or None."""
        named = re.compile(rf"\bcontract\s+[`v]*{re.escape(contract)}(?![\w-]|\.\w)", re.IGNORECASE)
        for number, line in enumerate(self.lines, self.begins + 1):
            if named.search(line):
                return number
        return None


def sections(changelog: str) -> list[Section]:
    """Return the sections of a changelog, each below a heading of the second level."""
    found = list[Section]()
    lines = changelog.splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith("## ")] + [len(lines)]
    for begin, end in pairwise(heads):
        words = lines[begin].removeprefix("## ").strip("[] ").split()
        found.append(Section(words[0].strip("[]") if words else "", begin + 1, lines[begin + 1 : end]))
    return found


def find_contract(changelog: str, contract: str, package: str) -> int | None:
    """Return the line of the unreleased section, or the package's own, that names a version of the contract."""
    for section in sections(changelog):
        if section.title in {UNRELEASED, package} and (line := section.find_contract(contract)):
            return line
    return None


def last_package(changelog: str) -> Version | None:
    """Return the newest version of the package that has a section; None before the first release."""
    return max(filter(None, (parse_version(section.title) for section in sections(changelog))), default=None)


def draft(contract: str, findings: Sequence[Finding]) -> str:
    """Return the entry of the changelog, for a person to edit."""
    lines = [f"- Contract {contract}."]
    kinds = dict.fromkeys(finding.categories for finding in findings)
    for categories in sorted(kinds, key=lambda names: [list(CATEGORIES).index(name) for name in names]):
        sentences = list(dict.fromkeys(one.sentence for one in findings if one.categories == categories))
        if categories == ("documentation",):
            words = f"{len(sentences)} places." if len(sentences) > 3 else " ".join(sentences)
            lines.append(f"  - Documentation: {words}")
            continue
        head = CATEGORIES[categories[0]]
        if len(categories) > 1:
            head = f"Breaking for {join(list(categories))}"
        lines += [f"  - {head}: {sentence}" for sentence in sentences[:_MOST]]
        if len(sentences) > _MOST:
            lines.append(f"  - {head}: {len(sentences) - _MOST} more, which `nox -s changes` lists.")
    return "\n".join(lines)


def insert(changelog: str, entry: str) -> str:
    """Return the changelog with an entry at the end of the unreleased section."""
    lines = changelog.splitlines()
    section = next((one for one in sections(changelog) if one.title == UNRELEASED), None)
    if section is None:
        first = next((number for number, line in enumerate(lines) if line.startswith("## ")), len(lines))
        added = [f"## {UNRELEASED}", "", *entry.splitlines(), ""]
        if first == len(lines) and lines and lines[-1].strip():
            added.insert(0, "")
        return "\n".join([*lines[:first], *added, *lines[first:]]).rstrip("\n") + "\n"
    at = section.begins + len(section.lines)
    while at > section.begins and not lines[at - 1].strip():
        at -= 1
    gap = [""] if at == section.begins else []
    return "\n".join([*lines[:at], *gap, *entry.splitlines(), *lines[at:]]).rstrip("\n") + "\n"
