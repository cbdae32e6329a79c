"""Compare two contracts: what changed, for whom, and the version that the changes need.

OLD and NEW are each a file, a git revision (its openapi.yaml; REVISION:PATH for another file) or a URL. NEW defaults to the
work tree's openapi.yaml, and OLD to the last release: the newest version in contracts/.

Exit codes: 0 compared, 1 with --check if the version or CHANGELOG.md does not match the changes, 2 the contracts cannot be
compared.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script

from changes import versions
from changes.contract import NAME, Contract, load
from changes.decisions import CATEGORIES, DECISIONS
from changes.findings import Finding, find
from changes.versions import Version
from compare.documents import CannotReadError, shorten_path
from compare.locations import Location

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = "contracts"
CHANGELOG = "CHANGELOG.md"
VERSION = "wrapper/openrouter_rerank/version.py"
POINTER = "#/info/version"


@dataclass(frozen=True)
class Comparison:
    """Two contracts, their differences, and the state of the project."""

    old: Contract
    new: Contract
    findings: Sequence[Finding]
    changelog: str
    package: str
    """The package's version."""

    @property
    def level(self) -> versions.Level:
        """The part of the version that the changes raise."""
        return versions.highest_level(self.findings)

    @property
    def needed(self) -> Version | None:
        """The lowest allowed version of the new contract; None if the old version does not have three numbers."""
        was = versions.parse_version(self.old.version)
        return was and was.raised(self.level)

    @property
    def is_enough(self) -> bool:
        """True if the new contract's version is at least the needed one."""
        now = versions.parse_version(self.new.version)
        return self.needed is not None and now is not None and now >= self.needed

    @property
    def coming(self) -> str:
        """The version of the new contract, or the one that it needs."""
        return self.new.version if self.is_enough or self.needed is None else str(self.needed)

    @property
    def needed_package(self) -> Version | None:
        """The lowest allowed version of the package; None before its first release."""
        last = versions.last_package(self.changelog)
        return last and last.raised(self.level)

    @property
    def draft(self) -> str:
        """The entry for the changelog; empty if nothing changed."""
        return versions.draft(self.coming, self.findings) if self.findings else ""


def last_release(root: Path) -> str:
    """Return the path of the newest contract in contracts/.

    Raises:
        CannotReadError: There is no contract, or a file is not named by its version.
    """
    files = sorted((root / CONTRACTS).glob("*.yaml"))
    for file in files:
        if versions.parse_version(file.stem) is None:
            message = f"{CONTRACTS}/{file.name} is not named by a version, as 1.0.0.yaml: rename it"
            raise CannotReadError(message)
    if not files:
        message = (
            f"there is no released contract in {CONTRACTS}/: name OLD, as a file, a git revision or a URL"
        )
        raise CannotReadError(message)
    newest = max(files, key=lambda file: versions.parse_version(file.stem) or Version(0, 0, 0))
    return shorten_path(newest)


def compare(old: str, new: str, root: Path) -> Comparison:
    """Compare two contracts, and read the project's changelog and version.

    Raises:
        CannotReadError: A contract cannot be read.
    """
    before, after = load(old, root), load(new, root)
    if Path(old).parent.name == CONTRACTS and Path(old).stem != before.version:
        message = (
            f"{old}:{before.line(POINTER)} says info.version {before.version}: a released contract is named by "
            f"its version and stays as it was; `git log -- {old}` says who changed it"
        )
        raise CannotReadError(message)
    changelog, version = root / CHANGELOG, root / VERSION
    found = re.search(r'VERSION = "([^"]+)"', version.read_text("utf-8")) if version.is_file() else None
    text = changelog.read_text("utf-8") if changelog.is_file() else ""
    return Comparison(before, after, find(before, after), text, found[1] if found else "")


def problems(of: Comparison) -> list[str]:
    """Return the parts of the project that do not match the changes, each with the next step."""
    found = list[str]()
    place = f"{of.new.name}:{of.new.line(POINTER)}"
    now, was = versions.parse_version(of.new.version), versions.parse_version(of.old.version)
    if now is None or was is None or of.needed is None:
        which = of.new if now is None else of.old
        at = f"{which.name}:{which.line(POINTER)}"
        return [f"{at}: info.version {which.version} is not of three numbers: write it as 1.2.0"]
    if now < was:
        found.append(f"{place}: info.version is {now}, below the released {was}: set it to {of.needed}")
    elif not of.is_enough:
        worst = CATEGORIES[of.findings[0].categories[0]].lower()
        found.append(
            f"{place}: info.version is {now}, and the changes since {of.old.name} need {of.needed} ({of.level}, as "
            f"one is {worst}: {of.findings[0].sentence.rstrip('.')}): set it to {of.needed}; `nox -s changes` lists them all"
        )
    if of.findings and versions.find_contract(of.changelog, of.coming, of.package) is None:
        found.append(
            f"{CHANGELOG}: neither {versions.UNRELEASED} nor {of.package} names contract {of.coming}: "
            "`nox -s changes -- --write` inserts a draft; edit it"
        )
    return found


def as_text(of: Comparison) -> str:
    """Return the comparison as text."""
    lines = [f"{of.old.name} ({of.old.version}) -> {of.new.name} ({of.new.version})", ""]
    if not of.findings:
        same = of.old.text == of.new.text
        lines.append("Nothing changed." if same else "Nothing changed but comments and layout.")
    for category, heading in CATEGORIES.items():
        found = [finding for finding in of.findings if category in finding.categories]
        if not found:
            continue
        lines.append(f"{heading} ({len(found)})")
        for finding in found:
            lines.append(f"  {finding.sentence} {finding.consequence(category)}".rstrip())
            lines.append(f"    {place(of, finding)}")
        lines.append("")
    return "\n".join([*lines, *advice(of)]).rstrip() + "\n"


def place(of: Comparison, finding: Finding) -> str:
    """Return the place of a change as file, line and JSON pointer; of a removal, the old place."""
    if finding.new:
        return of.new.place(finding.new.pointer)
    return of.old.place(finding.old.pointer if finding.old else "#")


def advice(of: Comparison) -> list[str]:
    """Return the versions that the changes need, and the next steps."""
    if not of.findings:
        return []
    if of.needed is None or versions.parse_version(of.new.version) is None:
        which = of.old if of.needed is None else of.new
        return [f"No version is proposed: {which.name} has {which.version}, which is not of three numbers."]
    line = versions.find_contract(of.changelog, of.coming, of.package)
    said = [
        f"Contract: {of.needed} or more ({of.level}, from {of.old.version}); it is {of.new.version}.",
        f"Package: {of.needed_package} or more; it is {of.package}."
        if of.needed_package
        else f"Package: {of.package} is not released yet, and may have any change.",
        "",
        f"Draft for {CHANGELOG}" + (f", which names contract {of.coming} on line {line}:" if line else ":"),
        of.draft,
    ]
    if of.new.name == NAME:
        found = problems(of)
        said += ["", *(f"Next: {each}" for each in found)] if found else []
    return said


def as_json(of: Comparison) -> dict[str, Any]:
    """Return the comparison as JSON data."""

    def side(at: Location | None) -> dict[str, Any] | None:
        if at is None:
            return None
        line = at.document.line(at.pointer)
        return {"document": at.document.name, "line": line, "pointer": at.pointer, "value": at.value}

    return {
        "old": {"name": of.old.name, "version": of.old.version},
        "new": {"name": of.new.name, "version": of.new.version},
        "level": of.level,
        "contract": {
            "asked": str(of.needed) if of.needed else None,
            "is": of.new.version,
            "enough": of.is_enough,
        },
        "package": {"asked": str(of.needed_package) if of.needed_package else None, "is": of.package or None},
        "differences": [
            {
                "categories": list(each.categories),
                "decision": each.decision,
                "says": each.sentence,
                "consequences": {name: said for name in each.categories if (said := each.consequence(name))},
                "why": DECISIONS[each.decision].why,
                "old": side(each.old),
                "new": side(each.new),
            }
            for each in of.findings
        ],
        "changelog": of.draft,
    }


def write(of: Comparison, root: Path) -> str:
    """Insert the draft into the changelog, and return a message.

    Raises:
        CannotReadError: There is nothing to write, or an entry exists.
    """
    if not of.findings:
        raise CannotReadError("nothing changed: there is nothing to write")
    line = versions.find_contract(of.changelog, of.coming, of.package)
    if line:
        message = f"{CHANGELOG}:{line} names contract {of.coming} already: edit it by hand"
        raise CannotReadError(message)
    (root / CHANGELOG).write_text(versions.insert(of.changelog, of.draft), "utf-8")
    return f"The draft is in {CHANGELOG}, under {versions.UNRELEASED}: edit it."


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Compare the contracts that the command line names, print what changed, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="nox -s changes --",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", nargs="?", metavar="OLD", help="default: the last release in contracts/")
    parser.add_argument("new", nargs="?", metavar="NEW", help="default: openapi.yaml of the work tree")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the comparison to a file, as JSON"
    )
    parser.add_argument("--write", action="store_true", help=f"insert the draft into {CHANGELOG}")
    parser.add_argument(
        "--check", action="store_true", help="exit 1 if version or changelog did not follow the changes"
    )
    options = parser.parse_args(arguments)
    if (options.write or options.check) and (options.new or (options.check and options.old)):
        parser.error(
            "--check and --write are about openapi.yaml of the work tree: leave out NEW, and OLD with --check"
        )
    try:
        of = compare(options.old or last_release(root), options.new or shorten_path(root / NAME), root)
        if options.check:
            found = problems(of)
            print(
                "\n".join(found)
                or f"{of.new.name}: version and changelog follow the changes since {of.old.name}"
            )
            return 1 if found else 0
        print(as_text(of), end="")
        if options.json:
            text = json.dumps(as_json(of), indent=1, ensure_ascii=False, default=str)
            options.json.write_text(text + "\n", "utf-8")
        if options.write:
            print("\n" + write(of, root))
    except CannotReadError as error:
        print(f"changes: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"changes: {error.filename}: {error.strerror}; name another file", file=sys.stderr)
        return 2
    except RecursionError:
        print("changes: the schemas are nested too deeply to compare", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
