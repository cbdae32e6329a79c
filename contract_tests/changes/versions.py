"""Which version the changes ask for, and what CHANGELOG.md says of it; no I/O.

A contract's version is semantic for those who call: it is major when callers break, minor when servers have to follow or
there is something new, patch when only the words changed. A server says to which version it conforms, and the kit keeps
the rules of each; so a change that breaks servers alone need not be major. The package counts in the same way. Below
1.0.0 each counts one lower, as semantic versioning promises nothing there and installers hold on to 0.y.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from changes.decisions import CATEGORIES, Category
from changes.judging import Finding
from changes.usages import listed

Level = Literal["none", "patch", "minor", "major"]
LEVELS: tuple[Level, ...] = ("none", "patch", "minor", "major")
ASKED: dict[Category, Level] = {
    "callers": "major",
    "servers": "minor",
    "additive": "minor",
    "documentation": "patch",
}
"""Which part of the version each category raises. Words too: a released contract stays what it was, to the letter."""

UNRELEASED = "Unreleased"
_MOST = 12  # sentences of a kind that a draft has


@dataclass(frozen=True, order=True)
class Version:
    """A version of three numbers."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def raised(self, level: Level) -> "Version":
        """The next version that a change of this level asks for."""
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


def version(text: str) -> Version | None:
    """The version that a text is; None if it is none of three numbers."""
    found = re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", text, re.ASCII)
    return Version(*(int(number) for number in found.groups())) if found else None


def level(findings: Iterable[Finding]) -> Level:
    """The highest part of a version that the findings raise."""
    found = [ASKED[category] for finding in findings for category in finding.categories]
    return max(found, key=LEVELS.index, default="none")


@dataclass(frozen=True)
class Section:
    """A section of a changelog."""

    title: str
    """As `Unreleased` or `0.1.0`; a date after it is left out."""
    begins: int
    """The line of its heading, from 1."""
    lines: Sequence[str]

    def names(self, contract: str) -> int | None:
        """The line, from 1, on which it names this version of the contract; None if it does not."""
        named = re.compile(rf"\bcontract\s+[`v]*{re.escape(contract)}(?![\w-]|\.\w)", re.IGNORECASE)
        for number, line in enumerate(self.lines, self.begins + 1):
            if named.search(line):
                return number
        return None


def sections(changelog: str) -> list[Section]:
    """The sections of a changelog, each below a heading of the second level."""
    found = list[Section]()
    lines = changelog.splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith("## ")] + [len(lines)]
    for begin, end in pairwise(heads):
        words = lines[begin].removeprefix("## ").strip("[] ").split()
        found.append(Section(words[0].strip("[]") if words else "", begin + 1, lines[begin + 1 : end]))
    return found


def named(changelog: str, contract: str, package: str) -> int | None:
    """The line on which what is not released yet, or the package's own section, names a version of the contract."""
    for section in sections(changelog):
        if section.title in {UNRELEASED, package} and (line := section.names(contract)):
            return line
    return None


def last_package(changelog: str) -> Version | None:
    """The newest version of the package that has a section of its own; None before the first release."""
    return max(filter(None, (version(section.title) for section in sections(changelog))), default=None)


def draft(contract: str, findings: Sequence[Finding]) -> str:
    """The entry of the changelog, to be read and bettered by a person."""
    lines = [f"- Contract {contract}."]
    kinds = dict.fromkeys(finding.categories for finding in findings)
    for categories in sorted(kinds, key=lambda each: [list(CATEGORIES).index(name) for name in each]):
        said = list(dict.fromkeys(each.says for each in findings if each.categories == categories))
        if categories == ("documentation",):
            words = f"{len(said)} places." if len(said) > 3 else " ".join(said)
            lines.append(f"  - Documentation: {words}")
            continue
        head = CATEGORIES[categories[0]]
        if len(categories) > 1:
            head = f"Breaking for {listed(list(categories))}"
        lines += [f"  - {head}: {sentence}" for sentence in said[:_MOST]]
        if len(said) > _MOST:
            lines.append(f"  - {head}: {len(said) - _MOST} more, which `nox -s changes` lists.")
    return "\n".join(lines)


def inserted(changelog: str, entry: str) -> str:
    """The changelog with an entry at the end of what is not released yet; nothing of it is lost."""
    lines = changelog.splitlines()
    section = next((each for each in sections(changelog) if each.title == UNRELEASED), None)
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
