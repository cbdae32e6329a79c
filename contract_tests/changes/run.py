"""What changed between two contracts, for whom, and which version that asks for.

OLD and NEW are each a file, a git revision (its openapi.yaml; REVISION:PATH for another file) or a URL. NEW is the work
tree's openapi.yaml if left out, and OLD the last release: the newest version in contracts/.

Exit codes: 0 compared, 1 with --check if the contract changed and its version or CHANGELOG.md did not follow, 2 it could
not run.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# a script: its folder is a package to the tests, and to it
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from changes import versions
from changes.comparer import ABSENT, compare
from changes.contract import NAME, Contract, load
from changes.decisions import CATEGORIES, DECISIONS
from changes.judging import Finding, judge
from changes.versions import Version
from documents import CannotReadError, from_here
from npm import CACHE, ROOT, UnavailableError

CONTRACTS = "contracts"
CHANGELOG = "CHANGELOG.md"
VERSION = "wrapper/openrouter_rerank/version.py"
POINTER = "#/info/version"


@dataclass(frozen=True)
class Comparison:
    """Two contracts, what changed between them, and what stands in the project."""

    old: Contract
    new: Contract
    findings: Sequence[Finding]
    changelog: str
    package: str
    """The package's version."""

    @property
    def level(self) -> versions.Level:
        """The part of the version that the changes raise."""
        return versions.level(self.findings)

    @property
    def asked(self) -> Version | None:
        """The least version that the new contract may have; None where the old has none of three numbers."""
        was = versions.version(self.old.version)
        return was and was.raised(self.level)

    @property
    def is_enough(self) -> bool:
        """Whether the new contract's version is at least what the changes ask for."""
        now = versions.version(self.new.version)
        return self.asked is not None and now is not None and now >= self.asked

    @property
    def coming(self) -> str:
        """The version that the new contract has, or has to get."""
        return self.new.version if self.is_enough or self.asked is None else str(self.asked)

    @property
    def asked_package(self) -> Version | None:
        """The least version that the package may have; None before its first release, which may have any."""
        last = versions.last_package(self.changelog)
        return last and last.raised(self.level)

    @property
    def draft(self) -> str:
        """The entry for the changelog; empty if nothing changed."""
        return versions.draft(self.coming, self.findings) if self.findings else ""


def last_release(root: Path) -> str:
    """The newest contract in contracts/, as a path that can be loaded.

    Raises:
        CannotReadError: there is none, or one is not named by its version.
    """
    files = sorted((root / CONTRACTS).glob("*.yaml"))
    for file in files:
        if versions.version(file.stem) is None:
            message = f"{CONTRACTS}/{file.name} is not named by a version, as 1.0.0.yaml: rename it"
            raise CannotReadError(message)
    if not files:
        message = (
            f"there is no released contract in {CONTRACTS}/: name OLD, as a file, a git revision or a URL"
        )
        raise CannotReadError(message)
    newest = max(files, key=lambda file: versions.version(file.stem) or Version(0, 0, 0))
    return from_here(newest)


def comparison(old: str, new: str, root: Path, cache: Path, *, install: bool) -> Comparison:
    """Two contracts compared, beside what the project says of them.

    Raises:
        CannotReadError: one cannot be read.
        UnavailableError: the comparer is missing or does not end.
    """
    before, after = load(old, root), load(new, root)
    if Path(old).parent.name == CONTRACTS and Path(old).stem != before.version:
        message = (
            f"{old}:{before.line(POINTER)} says info.version {before.version}: a released contract is named by "
            f"its version and stays as it was; `git log -- {old}` says who changed it"
        )
        raise CannotReadError(message)
    findings = judge(before, after, compare(before, after, cache=cache, install=install))
    changelog, version = root / CHANGELOG, root / VERSION
    found = re.search(r'VERSION = "([^"]+)"', version.read_text("utf-8")) if version.is_file() else None
    text = changelog.read_text("utf-8") if changelog.is_file() else ""
    return Comparison(before, after, findings, text, found[1] if found else "")


def problems(of: Comparison) -> list[str]:
    """What has to follow the changes and has not, each with the next step; empty if all has."""
    found = list[str]()
    place = f"{of.new.name}:{of.new.line(POINTER)}"
    now, was = versions.version(of.new.version), versions.version(of.old.version)
    if now is None or was is None or of.asked is None:
        which = of.new if now is None else of.old
        at = f"{which.name}:{which.line(POINTER)}"
        return [f"{at}: info.version {which.version} is not of three numbers, as 1.2.0: write it so"]
    if now < was:
        found.append(f"{place}: info.version is {now}, below the released {was}: set it to {of.asked}")
    elif not of.is_enough:
        worst = CATEGORIES[of.findings[0].categories[0]].lower()
        found.append(
            f"{place}: info.version is {now}, and the changes since {of.old.name} ask for {of.asked} ({of.level}, as "
            f"one is {worst}: {of.findings[0].says.rstrip('.')}): set it to {of.asked}; `nox -s changes` lists them all"
        )
    if of.findings and versions.named(of.changelog, of.coming, of.package) is None:
        found.append(
            f"{CHANGELOG}: neither {versions.UNRELEASED} nor {of.package} names contract {of.coming}: "
            "`nox -s changes -- --write` inserts a draft; better its words"
        )
    return found


def as_text(of: Comparison) -> str:
    """The comparison for a person to read."""
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
            lines.append(f"  {finding.says} {finding.consequence(category)}".rstrip())
            lines.append(f"    {place(of, finding)}")
        lines.append("")
    return "\n".join([*lines, *advice(of)]).rstrip() + "\n"


def place(of: Comparison, finding: Finding) -> str:
    """Where a change is, or was, as file:line and JSON pointer."""
    change = finding.change
    which, pointer = (of.new, change.new) if change.new else (of.old, change.old or "#")
    return which.place(pointer)


def advice(of: Comparison) -> list[str]:
    """Which versions the changes ask for, and what to do next."""
    if not of.findings:
        return []
    if of.asked is None or versions.version(of.new.version) is None:
        which = of.old if of.asked is None else of.new
        return [f"No version is proposed: {which.name} has {which.version}, which is not of three numbers."]
    line = versions.named(of.changelog, of.coming, of.package)
    said = [
        f"Contract: {of.asked} or more ({of.level}, from {of.old.version}); it is {of.new.version}.",
        f"Package: {of.asked_package} or more; it is {of.package}."
        if of.asked_package
        else f"Package: {of.package} is not released yet, and takes any change.",
        "",
        f"Draft for {CHANGELOG}" + (f", which names contract {of.coming} on line {line}:" if line else ":"),
        of.draft,
    ]
    if of.new.name == NAME:
        found = problems(of)
        said += ["", *(f"Next: {each}" for each in found)] if found else []
    return said


def as_json(of: Comparison) -> dict[str, Any]:
    """The comparison for a program to read."""

    def side(document: Contract, pointer: str | None, value: Any) -> dict[str, Any] | None:
        if pointer is None:
            return None
        said = {"document": document.name, "line": document.line(pointer), "pointer": pointer}
        return said if value is ABSENT else said | {"value": value}

    return {
        "old": {"name": of.old.name, "version": of.old.version},
        "new": {"name": of.new.name, "version": of.new.version},
        "level": of.level,
        "contract": {
            "asked": str(of.asked) if of.asked else None,
            "is": of.new.version,
            "enough": of.is_enough,
        },
        "package": {"asked": str(of.asked_package) if of.asked_package else None, "is": of.package or None},
        "differences": [
            {
                "categories": list(each.categories),
                "decision": each.decision,
                "says": each.says,
                "consequences": {name: said for name in each.categories if (said := each.consequence(name))},
                "why": DECISIONS[each.decision].why,
                "old": side(of.old, each.change.old, each.change.was),
                "new": side(of.new, each.change.new, each.change.now),
            }
            for each in of.findings
        ],
        "changelog": of.draft,
    }


def write(of: Comparison, root: Path) -> str:
    """Insert the draft into the changelog, and say so.

    Raises:
        CannotReadError: there is nothing to write, or an entry already.
    """
    if not of.findings:
        raise CannotReadError("nothing changed, so there is nothing to write")
    line = versions.named(of.changelog, of.coming, of.package)
    if line:
        message = f"{CHANGELOG}:{line} names contract {of.coming} already, and is left as it is: add by hand what it lacks"
        raise CannotReadError(message)
    (root / CHANGELOG).write_text(versions.inserted(of.changelog, of.draft), "utf-8")
    return f"The draft is in {CHANGELOG}, under {versions.UNRELEASED}: better its words."


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Compare what the command line names, print what changed, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="nox -s changes --",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", nargs="?", metavar="OLD", help="the last release in contracts/, if left out")
    parser.add_argument("new", nargs="?", metavar="NEW", help="openapi.yaml of the work tree, if left out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the comparison there too, as JSON")
    parser.add_argument("--write", action="store_true", help=f"insert the draft into {CHANGELOG}")
    parser.add_argument(
        "--check", action="store_true", help="exit 1 if version or changelog did not follow the changes"
    )
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the npm tool is kept (%(default)s)")
    parser.add_argument("--no-install", action="store_true", help="exit 2 if the npm tool is not there yet")
    options = parser.parse_args(arguments)
    if (options.write or options.check) and (options.new or (options.check and options.old)):
        parser.error(
            "--check and --write are about openapi.yaml of the work tree: leave out NEW, and OLD with --check"
        )
    try:
        of = comparison(
            options.old or last_release(root),
            options.new or from_here(root / NAME),
            root,
            options.cache.resolve(),
            install=not options.no_install,
        )
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
    except (CannotReadError, UnavailableError) as error:
        print(f"changes: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"changes: {error.filename}: {error.strerror}; name another file", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
