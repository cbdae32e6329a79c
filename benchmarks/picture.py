"""Draw the ratios of a run as an SVG, with a bar for each contender and a line for the baseline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

GROUPS = {
    "One call after another": "time of a call, raw httpx + json = 1 (less is better)",
    "Async, 16 calls in flight": "calls in a second, raw httpx + json = 1 (more is better)",
    "Start": "time of a fresh process, the same with httpx = 1 (less is better)",
}
OURS = ("openrouter_rerank", "rerank --help")
_OWN, _OTHER, _INK = "#2563eb", "#94a3b8", "#64748b"  # readable on white and on black


def draw(sections: Mapping[str, Sequence[Any]], file: Path) -> None:
    """Write the SVG.

    Args:
        sections: The figures of each section of speed.py.
        file: The file to write.
    """
    import matplotlib as mpl  # noqa: PLC0415 - only needed for a picture

    mpl.use("svg")
    # text stays text, for screen readers and search; a fixed salt makes the file reproducible
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "rerank", "font.family": "sans-serif"})
    from matplotlib import pyplot as plt  # noqa: PLC0415 - likewise

    shown = {title: sections[title] for title in GROUPS if sections.get(title)}
    heights = [len(figures) + 1.2 for figures in shown.values()]
    picture = plt.figure(figsize=(8, 0.28 * sum(heights)), layout="constrained")
    parts: Any = picture.subfigures(len(shown), 1, height_ratios=heights, squeeze=False)
    for part, (title, figures) in zip(parts[:, 0], shown.items(), strict=True):
        part.suptitle(f"{title}: {GROUPS[title]}", fontsize=9, color=_INK, x=0.01, ha="left")
        axis = part.subplots()
        labels = [f"{one.group}  {one.name}" for one in figures]
        colours = [_OWN if any(name in one.name for name in OURS) else _OTHER for one in figures]
        places = range(len(figures))
        bars = axis.barh(places, [median(one.ratios) for one in figures], color=colours, height=0.7)
        axis.bar_label(bars, fmt="%.2f", padding=3, fontsize=8, color=_INK)
        axis.axvline(1, color=_INK, linewidth=1, linestyle=":")
        axis.set_yticks(places, labels, fontsize=8, color=_INK)
        axis.invert_yaxis()
        axis.margins(x=0.12)
        axis.xaxis.set_visible(False)
        for spine in axis.spines.values():
            spine.set_visible(False)
        axis.tick_params(length=0)
    picture.savefig(
        file, transparent=True, metadata={"Date": None, "Title": "Performance of openrouter-rerank"}
    )
    plt.close(picture)
