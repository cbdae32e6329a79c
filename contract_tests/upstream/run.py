"""Compare a vendor's published OpenAPI document with the contract, by the meaning of both.

Only the paths of the contract, and the parts that they refer to, are read from the vendor's document. Intended differences are
listed in accepted.yaml with their reasons; for a dialect, in dialects/NAME.yaml.

Exit codes: 0 no new difference, 1 a new difference, 2 the documents cannot be compared.
"""

import argparse
import difflib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script

from compare import documents
from compare.descriptions import ABSENT, Pair
from compare.differences import Comparison, Difference, compare
from compare.locations import root
from compare.operations import Api, read_api
from compare.schemas import NOTES
from upstream import accepted

HERE = Path(__file__).resolve().parent
CONTRACT = HERE.parents[1] / "openapi.yaml"
DIALECTS = {file.stem: file for file in sorted((HERE.parents[1] / "contracts" / "dialects").glob("*.yaml"))}
"""The contract of each dialect."""
RERANK = "/rerank"
OURS = {"operationId", "explode"}
"""Kinds of difference that change nothing on the wire: names of generated functions, and `explode` of a single value."""
PARTS = {
    "operation",
    "callback",
    "server",
    "parameter",
    "header",
    "body",
    "media type",
    "status",
    "field",
    "form",
}
"""Kinds of difference in which one side lacks a part."""
SUBJECTS = {
    "body": "The body",
    "extra": "The schema of other fields",
    "form": "The form",
    "meaning": "The set of allowed values",
    "null": "Nullability",
    "required": "The presence",
    "required fields": "The required fields",
    "security": "The credentials",
    "type": "The type",
    "values": "The list of values",
    "written": "The serialization",
}
EFFECTS = {
    ("request", "wider"): "The vendor allows more.",
    ("request", "narrower"): "The vendor may refuse values that the contract allows.",
    ("response", "wider"): "The vendor may send values that the contract forbids.",
    ("response", "narrower"): "The contract allows values that the vendor does not send.",
}


def read_vendor(
    document: documents.Document, ours: documents.Document, prefix: str | None
) -> tuple[Api, Api]:
    """Return the operations of the contract, and the vendor's operations at the same paths.

    Args:
        document: The vendor's document.
        ours: The contract.
        prefix: The text before `/rerank` in the vendor's paths; None to find it, if only one path ends in `/rerank`.

    Raises:
        CannotReadError: A document is not OpenAPI 3, has no `/rerank`, or is malformed.
    """
    check_version(ours)
    check_version(document)
    prefix = find_prefix(document, prefix)
    items = root(ours).get("paths")
    paths = list(items.mapping()) if items else []
    return read_api(ours, paths), read_api(document, paths, prefix)


def check_version(document: documents.Document) -> None:
    """Raise unless a document is OpenAPI 3."""
    value, top = document.data, root(document)
    if not isinstance(value, dict):
        raise top.error("not an OpenAPI document: expected an object with the key `openapi`")
    if "swagger" in value:
        message = f"it is Swagger {value['swagger']}, not OpenAPI 3: convert it first, as `npx swagger2openapi FILE` does"
        raise top.error(message)
    if not str(value.get("openapi", "")).startswith("3."):
        found = f"`openapi` is {value['openapi']!r}" if "openapi" in value else "there is no key `openapi`"
        message = f"{found}: name a document of OpenAPI 3"
        raise top.error(message)


def find_prefix(document: documents.Document, prefix: str | None) -> str:
    """Return the text before `/rerank` in the paths of a document."""
    top, paths = root(document), list[str]()
    if items := root(document).get("paths"):
        paths = list(items.mapping())
    if not paths:
        raise top.error("it has no paths: name the document that describes the API")
    if prefix is not None:
        prefix = prefix.rstrip("/")
        if prefix + RERANK not in paths:
            message = f"it has no path {prefix + RERANK}: leave --prefix out, or correct it"
            raise top.error(message)
        return prefix
    found = [path for path in paths if path.endswith(RERANK)]
    if RERANK in paths or len(found) == 1:
        return "" if RERANK in paths else found[0].removesuffix(RERANK)
    if found:
        message = (
            f"{len(found)} paths end in {RERANK} ({', '.join(found)}): choose one with --prefix, "
            f"as --prefix {found[0].removesuffix(RERANK)}"
        )
        raise top.error(message)
    near = difflib.get_close_matches(RERANK, paths, n=3, cutoff=0.5)
    nearest = f"; the nearest is {near[0]}" if near else ""
    message = (
        f"none of its {len(paths)} paths ends in {RERANK}{nearest}: name the document that describes the API"
    )
    raise top.error(message)


def differences(compared: Comparison) -> list[Difference]:
    """Return the differences that matter on the wire."""
    return [one for one in compared.differences if one.kind not in OURS and not one.is_idle]


def describe(one: Difference) -> str:
    """Return a description of a difference."""
    ours, theirs = one.values
    article = "an" if one.kind[0] in "aeiou" else "a"
    if ours == ABSENT and one.kind in PARTS:
        sentence = f"The vendor has {article} {one.kind} that the contract does not have: {theirs}."
    elif theirs == ABSENT and one.kind in PARTS:
        sentence = f"The contract has {article} {one.kind} that the vendor does not have: {ours}."
    else:
        subject = SUBJECTS.get(one.kind, f"`{one.kind}`")
        sentence = f"{subject} differs: {ours} in the contract, {theirs} in the vendor's document."
    effect = "" if one.kind in NOTES else EFFECTS.get((one.place.direction, one.effect), "")
    return f"{sentence} {effect}".rstrip()


def report(
    compared: Comparison, settled: accepted.Settled, apis: Pair[Api], listed: Path, *, everything: bool
) -> Iterator[str]:
    """Yield the lines of the report: new differences, with `everything` accepted ones, stale entries, and a summary."""
    ours, theirs = apis
    for group in accepted.group(settled.new, compared.visits):
        yield from format_group(group, ours.document, theirs.document)
    if everything:
        reasons = {id(one): entry.reason for one, entry in settled.accepted}
        for group in accepted.group((one for one, _ in settled.accepted), compared.visits):
            yield from format_group(group, ours.document, theirs.document)
            yield f"  accepted: {' '.join(reasons[id(group.first)].split())}"
    for entry, place in settled.stale:
        where = entry.at.document.place(entry.at.pointer)
        yield f"{where}: no difference at `{place}` matches this entry; remove it"
    new, stale, lines = len(settled.new), len(settled.stale), theirs.document.text.count("\n")
    if new:
        yield (
            f"{count(new, 'new difference')}. If the vendor is right, change {ours.document.name}. If the contract "
            f"differs on purpose, add the output of `--accept` to {documents.shorten_path(listed)}, each entry with its reason"
        )
    yield (
        f"{theirs.document.name} (OpenAPI {theirs.document.data['openapi']}, "
        f"{count(len(theirs.document.data['paths']), 'path')}, {lines:,} lines) and contract "
        f"{ours.document.data['info']['version']}: {new} new, {len(settled.accepted)} accepted, "
        f"{count(stale, 'stale entry', 'stale entries')}"
    )


def format_group(
    group: accepted.Group, ours: documents.Document, theirs: documents.Document
) -> Iterator[str]:
    """Yield the lines of one difference, with its place on the wire and in both documents."""
    first = group.first
    others = [str(one.place) for one in group.all[1:]]
    also = f" (and {count(len(others), 'more place')}: {', '.join(others[:3])}{', ...' if len(others) > 3 else ''})"
    yield f"{first.place}: {first.kind}{also if others else ''}"
    yield f"  {describe(first)}"
    yield f"  contract: {ours.place(first.at[0].pointer)}"
    yield f"  vendor:   {theirs.place(first.at[1].pointer)}"


def count(number: int, one: str, several: str | None = None) -> str:
    """Format a number of things."""
    return f"{number} {one if number == 1 else several or one + 's'}"


def as_json(settled: accepted.Settled) -> Mapping[str, Any]:
    """Return the result as JSON data."""
    return {
        "new": [difference_as_json(one) for one in settled.new],
        "accepted": [{**difference_as_json(one), "reason": entry.reason} for one, entry in settled.accepted],
        "stale": [
            {"place": place, "kind": entry.kind, "reason": entry.reason} for entry, place in settled.stale
        ],
    }


def difference_as_json(one: Difference) -> Mapping[str, Any]:
    """Return a difference as JSON data."""
    lines = [at.document.line(at.pointer) for at in one.at]
    return {
        "kind": one.kind,
        "place": str(one.place),
        "contract": one.values[0],
        "vendor": one.values[1],
        "sentence": describe(one),
        "contract_pointer": one.at[0].pointer,
        "contract_line": lines[0],
        "vendor_pointer": one.at[1].pointer,
        "vendor_line": lines[1],
    }


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = argparse.ArgumentParser(
        prog="nox -s upstream --", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("document", metavar="FILE-OR-URL", help="the vendor's document, in YAML or JSON")
    how = made.add_mutually_exclusive_group()
    how.add_argument(
        "--accept", action="store_true", help="print new differences as entries for accepted.yaml"
    )
    how.add_argument("--all", action="store_true", help="show accepted differences too, with their reasons")
    how.add_argument("--json", action="store_true", help="print the result as one JSON object")
    made.add_argument(
        "--prefix", help="the text before /rerank in the document's paths, if several end in it"
    )
    made.add_argument(
        "--dialect", choices=DIALECTS, help="compare with the contract of this dialect, in contracts/dialects"
    )
    made.add_argument(
        "--accepted", type=Path, metavar="FILE", help="default: accepted.yaml, or dialects/NAME.yaml"
    )
    made.add_argument("--contract", type=Path, metavar="FILE", help="default: openapi.yaml, or the dialect's")
    made.add_argument(
        "--patience",
        type=float,
        default=documents.PATIENCE,
        metavar="SECONDS",
        help="seconds for a whole download (%(default)g); the server may be silent for a third of that",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the documents that the command line names, and return the exit code."""
    options = parser().parse_args(arguments)
    own = HERE / "dialects" / f"{options.dialect}.yaml" if options.dialect else HERE / "accepted.yaml"
    listed = options.accepted or own
    source = options.contract or DIALECTS.get(options.dialect, CONTRACT)
    try:
        is_missing = options.dialect and listed == own and not own.is_file()  # as for a new dialect
        entries = [] if is_missing else accepted.read_entries(listed)
        contract = documents.read(documents.shorten_path(source))
        vendor = documents.read(options.document, patience=options.patience)
        ours, theirs = read_vendor(vendor, contract, options.prefix)
        compared = compare(ours, theirs)
    except documents.CannotReadError as error:
        print(f"upstream: {error}", file=sys.stderr)
        return 2
    except RecursionError:
        print(f"upstream: {options.document}: its schemas are nested too deeply to compare", file=sys.stderr)
        return 2
    settled = accepted.settle(differences(compared), entries)
    if options.json:
        print_lines([json.dumps(as_json(settled), indent=1, ensure_ascii=False)])
    elif options.accept:
        groups = accepted.group(settled.new, compared.visits)
        print_lines([accepted.format_entries(groups)] if groups else [])
    else:
        print_lines(report(compared, settled, (ours, theirs), listed, everything=options.all))
    return 1 if settled.new else 0


def print_lines(lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        print(line)


if __name__ == "__main__":
    sys.exit(main())
