"""A report as a badge: an SVG image of one line."""

from rerank_conformance.report import Report, Verdict
from rerank_conformance.reports.templates import render as fill
from rerank_conformance.reports.words import visible

# white text has a contrast of at least 4.5 on each
_COLOURS: dict[Verdict, str] = {"conformant": "#1a7f45", "nonconformant": "#c0271d", "undecided": "#5c6470"}
_WORDS: dict[Verdict, str] = {
    "conformant": "conformant",
    "nonconformant": "not conformant",
    "undecided": "undecided",
}
_PADDING = 7


def render(report: Report) -> str:
    """The badge as SVG, with the version of the contract and the verdict."""
    label, message = visible(f"rerank {report.contract_version}"), _WORDS[report.verdict]
    return fill(
        "badge.svg.j2",
        label=label,
        message=message,
        label_width=_width(label),
        message_width=_width(message),
        padding=_PADDING,
        colour=_COLOURS[report.verdict],
    )


def _width(text: str) -> int:
    # about what 11 px of Verdana take; textLength makes other fonts fit
    return round(sum(4.0 if character in "ijltf.,1|! " else 7.0 for character in text)) + 2 * _PADDING
