"""Store the ratios of benchmark runs by version, and find changes beyond noise."""

import importlib.metadata
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import quantiles

FILE = Path(__file__).parent / "history.json"

Ratios = Mapping[str, Sequence[float]]
"""The quartiles of each ratio, by `section / group / contender`."""


def add_options(parser: ArgumentParser) -> None:
    """Add the options to store ratios, and to compare with stored ones."""
    parser.add_argument("--keep", action="store_true", help="store the ratios of this version")
    parser.add_argument("--compare", nargs="?", const="", metavar="VERSION", help="show changes beyond noise since a version  [default: the last stored one]")  # fmt: skip


def since(parser: ArgumentParser, arguments: Namespace) -> str | None:
    """Return the version to compare with, or None. End the program if it is not recorded."""
    if arguments.compare is None:
        return None
    kept = read()
    wanted = arguments.compare or next(reversed(kept), None)
    if wanted is None or wanted not in kept:
        parser.error(
            f"no ratios are stored for {wanted or 'any version'}; stored: {', '.join(kept) or 'none'}; --keep stores them"
        )
    return wanted


def settle(ratios: Ratios, version: str | None, *, keeping: bool) -> None:
    """Print the changes since a version, if one is named; with `keeping`, store the ratios of this version."""
    if version is not None:
        print(f"\nSince {version}:")
        for name, change, beyond in sorted(compared(read()[version], ratios)):
            print(f"{'CHANGED' if beyond else 'same':8} {name}: {change}")
    if keeping:
        keep(importlib.metadata.version("openrouter-rerank"), ratios)


def spread(ratios: Sequence[float]) -> list[float]:
    """Return the quartiles of a ratio for storage."""
    found = quantiles(ratios, method="inclusive") if len(ratios) > 1 else [*ratios] * 3
    return [round(one, 3) for one in found]


def read(file: Path = FILE) -> dict[str, dict[str, list[float]]]:
    """Return the stored ratios by version, oldest first."""
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def keep(version: str, ratios: Ratios, file: Path = FILE) -> None:
    """Store the ratios of a version; they replace earlier ones of the same sections."""
    kept = read(file)
    sections = {name.partition(" / ")[0] for name in ratios}
    others = {
        name: of for name, of in kept.pop(version, {}).items() if name.partition(" / ")[0] not in sections
    }
    file.write_text(json.dumps({**kept, version: {**others, **ratios}}, indent=1) + "\n", "utf-8")


def compared(then: Ratios, now: Ratios) -> Iterator[tuple[str, str, bool]]:
    """Yield each ratio that both runs have: its name, its change, and True if the change is more than noise.

    A change is more than noise if the interquartile ranges of the two runs do not overlap.
    """
    for name in then.keys() & now.keys():
        (low, before, high), (least, after, most) = then[name], now[name]
        beyond = least > high or most < low
        yield name, f"{before:.2f} -> {after:.2f} ({(after / before - 1):+.0%})", beyond
