"""Compare the vendor's published OpenAPI document with the contract, by what both mean.

Of the vendor's document, which describes hundreds of operations, the paths of the contract are read, with all that they
refer to. What differs on purpose stands in accepted.yaml, each difference with its reason.

Exit codes: 0 nothing but what is accepted, 1 something new, 2 the comparison cannot be made.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import documents
from upstream import accepted, comparison, operations

HERE = Path(__file__).resolve().parent
CONTRACT = HERE.parents[1] / "openapi.yaml"


def report(
    compared: comparison.Comparison,
    settled: accepted.Settled,
    ours: operations.Api,
    theirs: operations.Api,
    *,
    everything: bool,
) -> Iterator[str]:
    """The lines for a person: what is new, what is accepted where that is wanted, what is stale, and a summary."""
    for group in compared.groups(settled.new):
        yield from shown(group, ours.document, theirs.document)
    if everything:
        reasons = {id(one): entry.reason for one, entry in settled.accepted}
        for group in compared.groups(one for one, _ in settled.accepted):
            yield from shown(group, ours.document, theirs.document)
            yield f"  accepted: {' '.join(reasons[id(group.first)].split())}"
    for entry, place in settled.stale:
        where = entry.at.document.place(entry.at.pointer)
        yield f"{where}: nothing differs any more as this entry says of `{place}`: read it again, and take it out"
    new, stale, lines = len(settled.new), len(settled.stale), theirs.document.text.count("\n")
    if new:
        yield (
            f"{counted(new, 'new difference')}. Where the vendor is right, change openapi.yaml. Where the contract differs on "
            f"purpose, add what `--accept` prints to accepted.yaml, each with its reason"
        )
    yield (
        f"{theirs.document.name} (OpenAPI {theirs.document.data['openapi']}, {counted(theirs.paths, 'path')}, "
        f"{lines:,} lines) beside contract "
        f"{ours.document.data['info']['version']}: {new} new, {len(settled.accepted)} accepted, {counted(stale, 'stale entry', 'stale entries')}"
    )


def shown(group: comparison.Group, ours: documents.Document, theirs: documents.Document) -> Iterator[str]:
    """One difference, with its place on the wire and in both documents."""
    first = group.first
    others = [str(one.place) for one in group.all[1:]]
    also = f" (and {counted(len(others), 'place')} more: {', '.join(others[:3])}{', ...' if len(others) > 3 else ''})"
    yield f"{first.place}: {first.kind}{also if others else ''}"
    yield f"  {first.sentence}"
    yield f"  contract: {ours.place(first.at[0].pointer)}"
    yield f"  vendor:   {theirs.place(first.at[1].pointer)}"


def counted(number: int, one: str, several: str | None = None) -> str:
    """A number of things."""
    return f"{number} {one if number == 1 else several or one + 's'}"


def as_json(settled: accepted.Settled) -> Mapping[str, Any]:
    """What came of it, for a program."""
    return {
        "new": [plain(one) for one in settled.new],
        "accepted": [{**plain(one), "reason": entry.reason} for one, entry in settled.accepted],
        "stale": [
            {"place": place, "kind": entry.kind, "reason": entry.reason} for entry, place in settled.stale
        ],
    }


def plain(one: comparison.Difference) -> Mapping[str, Any]:
    """A difference, as JSON."""
    lines = [at.document.line(at.pointer) for at in one.at]
    return {
        "kind": one.kind,
        "place": str(one.place),
        "contract": one.said[0],
        "vendor": one.said[1],
        "sentence": one.sentence,
        "contract_pointer": one.at[0].pointer,
        "contract_line": lines[0],
        "vendor_pointer": one.at[1].pointer,
        "vendor_line": lines[1],
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="nox -s upstream --", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("document", metavar="FILE-OR-URL", help="the vendor's document, in YAML or JSON")
    how = made.add_mutually_exclusive_group()
    how.add_argument("--accept", action="store_true", help="print what is new as entries for accepted.yaml")
    how.add_argument("--all", action="store_true", help="show what is accepted too, with the reasons")
    how.add_argument("--json", action="store_true", help="print everything as one JSON object")
    made.add_argument(
        "--prefix", help="what stands before /rerank in the document's paths, if several end in it"
    )
    made.add_argument(
        "--accepted", type=Path, default=HERE / "accepted.yaml", metavar="FILE", help="accepted.yaml"
    )
    made.add_argument("--contract", default=str(CONTRACT), metavar="FILE", help="openapi.yaml")
    made.add_argument(
        "--patience",
        type=float,
        default=documents.PATIENCE,
        metavar="SECONDS",
        help="how long an address may take as a whole (%(default)g); it may send nothing for a third of that",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare what is named on the command line, and return the exit code."""
    options = parser().parse_args(arguments)
    try:
        entries = accepted.read(options.accepted)
        ours = operations.read(documents.read(documents.from_here(Path(options.contract))))
        theirs = operations.read(
            documents.read(options.document, patience=options.patience), ours.wanted, options.prefix
        )
        compared = comparison.compare(ours, theirs)
    except documents.CannotReadError as error:
        print(f"upstream: {error}", file=sys.stderr)
        return 2
    except RecursionError:
        print(f"upstream: {options.document}: its schemas are nested too deeply to compare", file=sys.stderr)
        return 2
    settled = accepted.settle(compared.differences, entries)
    if options.json:
        show([json.dumps(as_json(settled), indent=1, ensure_ascii=False)])
    elif options.accept:
        show([accepted.written(compared.groups(settled.new))] if settled.new else [])
    else:
        show(report(compared, settled, ours, theirs, everything=options.all))
    return 1 if settled.new else 0


def show(lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        print(line)


if __name__ == "__main__":
    sys.exit(main())
