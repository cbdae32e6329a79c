"""The ratios of a run by version, in a small file, and what has changed since beyond noise. It measures nothing."""

import importlib.metadata
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import quantiles

FILE = Path(__file__).parent / "history.json"

Ratios = Mapping[str, Sequence[float]]
"""The quartiles of each ratio by what it is of, `section / group / contender`."""


def add_options(parser: ArgumentParser) -> None:
    """Let a benchmark keep its ratios, and compare them with those that were kept."""
    parser.add_argument("--keep", action="store_true", help="keep the ratios as those of this version")
    parser.add_argument("--compare", nargs="?", const="", metavar="VERSION", help="show what has changed since a version beyond noise  [default: the last that was kept]")  # fmt: skip


def since(parser: ArgumentParser, arguments: Namespace) -> str | None:
    """Return the version to compare with, or None. End the program if it is not recorded."""
    if arguments.compare is None:
        return None
    kept = read()
    wanted = arguments.compare or next(reversed(kept), None)
    if wanted is None or wanted not in kept:
        parser.error(
            f"no ratios are kept of {wanted or 'any version'}: there are {', '.join(kept) or 'none'}; --keep keeps some"
        )
    return wanted


def settle(ratios: Ratios, version: str | None, *, keeping: bool) -> None:
    """Print what changed since the version, if one is named; keep the ratios as those of this version, if that is wanted."""
    if version is not None:
        print(f"\nSince {version}:")
        for name, change, beyond in sorted(compared(read()[version], ratios)):
            print(f"{'CHANGED' if beyond else 'as was ':8} {name}: {change}")
    if keeping:
        keep(importlib.metadata.version("openrouter-rerank"), ratios)


def spread(ratios: Sequence[float]) -> list[float]:
    """Return the quartiles of a ratio as they are stored."""
    found = quantiles(ratios, method="inclusive") if len(ratios) > 1 else [*ratios] * 3
    return [round(one, 3) for one in found]


def read(file: Path = FILE) -> dict[str, dict[str, list[float]]]:
    """Return the stored ratios by version, oldest first."""
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def keep(version: str, ratios: Ratios, file: Path = FILE) -> None:
    """Keep the ratios as those of the version, in place of what was kept of the same sections of it before."""
    kept = read(file)
    sections = {name.partition(" / ")[0] for name in ratios}
    others = {
        name: of for name, of in kept.pop(version, {}).items() if name.partition(" / ")[0] not in sections
    }
    file.write_text(json.dumps({**kept, version: {**others, **ratios}}, indent=1) + "\n", "utf-8")


def compared(then: Ratios, now: Ratios) -> Iterator[tuple[str, str, bool]]:
    """Each ratio that both runs have: what it is of, how it changed, and whether by more than noise.

    It is more than noise where the middle halves of the two runs lie apart.
    """
    for name in then.keys() & now.keys():
        (low, before, high), (least, after, most) = then[name], now[name]
        beyond = least > high or most < low
        yield name, f"{before:.2f} -> {after:.2f} ({(after / before - 1):+.0%})", beyond
