"""A report as a badge: an SVG image of one line."""

from rerank_conformance.report import LEVELS, ConformanceLevel, Report, Verdict
from rerank_conformance.reports.templates import render as fill
from rerank_conformance.reports.words import VERDICTS, visible

# white text has a contrast of at least 4.5 on each colour
_COLOURS: dict[Verdict, str] = {
    "conformant": "#1a7f45",
    "no-failure-found": "#3b5f8a",
    "nonconformant": "#c0271d",
    "undecided": "#5c6470",
}
_PARTLY = "#0b6e99"
_PADDING = 7


def render(report: Report) -> str:
    """Return the badge as SVG, with the version of the contract and the highest level reached.

    Without such a level, it shows the verdict of the level that decides.
    """
    level = _reached(report)
    verdict = report.verdicts[level] if level else report.verdict
    words, colour = VERDICTS[verdict].lower(), _COLOURS[verdict]
    label, message = visible(f"rerank {report.contract_version}"), f"{words}: {level}" if level else words
    if verdict == "conformant" and level != LEVELS[-1]:
        colour = _PARTLY if level else colour
    every = ", ".join(f"{name}: {VERDICTS[one].lower()}" for name, one in report.verdicts.items())
    return fill(
        "badge.svg.j2",
        label=label,
        message=message,
        title=f"{label}: {message}" + (f" ({every})" if every else ""),
        label_width=_width(label),
        message_width=_width(message),
        padding=_PADDING,
        colour=colour,
    )


def _reached(report: Report) -> ConformanceLevel | None:
    """Return the highest level that is conformant, or at which no failure was found."""
    good: list[ConformanceLevel] = [
        level for level in LEVELS if report.verdicts.get(level) in {"conformant", "no-failure-found"}
    ]
    return good[-1] if good else None


def _width(text: str) -> int:
    # about what 11 px of Verdana take; textLength makes other fonts fit
    return round(sum(4.0 if character in "ijltf.,1|! " else 7.0 for character in text)) + 2 * _PADDING
