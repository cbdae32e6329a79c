"""The ratios of a run by version, in a small file, and what has changed since beyond noise. It measures nothing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

FILE = Path(__file__).parent / "history.json"

Ratios = Mapping[str, Sequence[float]]
"""The quartiles of each ratio by what it is of."""


def ratios_of(sections: Mapping[str, Sequence[Any]]) -> dict[str, list[float]]:
    """The quartiles of each ratio of a run, but for the baselines', by section, group and contender."""
    found: dict[str, list[float]] = {}
    for title, figures in sections.items():
        for figure in figures:
            if set(figure.ratios) != {1.0}:
                quartiles = (
                    quantiles(figure.ratios, method="inclusive")
                    if len(figure.ratios) > 1
                    else figure.ratios * 3
                )
                found[f"{title} / {figure.group} / {figure.name}"] = [round(one, 3) for one in quartiles]
    return found


def read(file: Path = FILE) -> dict[str, dict[str, list[float]]]:
    """The kept ratios by version, oldest first; none where there is no file yet."""
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def keep(version: str, ratios: Ratios, file: Path = FILE) -> None:
    """Keep the ratios as those of the version, in place of what was kept of it before."""
    kept = read(file)
    kept.pop(version, None)
    file.write_text(json.dumps({**kept, version: ratios}, indent=1) + "\n", "utf-8")


def compared(then: Ratios, now: Ratios) -> Iterator[tuple[str, str, bool]]:
    """Each ratio that both runs have: what it is of, how it changed, and whether by more than noise.

    It is more than noise where the middle halves of the two runs lie apart.
    """
    for name in then.keys() & now.keys():
        (low, before, high), (least, after, most) = then[name], now[name]
        beyond = least > high or most < low
        yield name, f"{before:.2f} -> {after:.2f} ({(after / before - 1):+.0%})", beyond
