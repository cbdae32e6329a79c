"""A report as annotations of GitHub Actions: workflow commands, one for each cause."""

import secrets
from collections.abc import Iterator

from rerank_conformance.report import Report
from rerank_conformance.reports.words import SharedReason, causes, visible

MOST = 10
"""The maximum number of annotations of a report; GitHub shows no more for a step."""
_LONGEST = 500  # characters of a message
_ESCAPES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_IN_PROPERTIES = _ESCAPES | {":": "%3A", ",": "%2C"}


def fences() -> tuple[str, str]:
    """Return the lines that turn workflow commands of GitHub off and on again.

    A report quotes answers of a server, which may look like such commands.
    """
    token = secrets.token_hex(16)
    return f"::stop-commands::{token}", f"::{token}::"


def lines(report: Report, *, strict: bool = False) -> Iterator[str]:
    """Yield the annotations: an error for each cause of the verdict, a warning for the others, the heaviest first.

    Expected failures have no annotation; a rule that passes unexpectedly has a warning.

    Args:
        report: The report of a check.
        strict: Count SHOULD as MUST.
    """
    found = [
        ("error" if _decides(cause, report, strict=strict) else "warning", *_words(cause))
        for cause in causes(report)
        if cause.rule.verdict != "known"
    ]
    found.sort(key=lambda one: one[0] != "error")
    found += [("warning", f"{rule.id} passes", rule.reason or "") for rule in report.unexpected_passes]
    if len(found) > MOST:
        left = len(found) - MOST + 1
        kind = found[MOST - 1][0]
        found = [*found[: MOST - 1], (kind, f"{left} more causes", "the report has all of them")]
    for kind, title, message in found:
        yield f"::{kind} title={_escape(title, _IN_PROPERTIES)}::{_escape(message, _ESCAPES)}"


def _decides(cause: SharedReason, report: Report, *, strict: bool) -> bool:
    return any(
        rule.is_in(report.conformance_level) and (strict or rule.level == "MUST") for rule in cause.rules
    )


def _words(cause: SharedReason) -> tuple[str, str]:
    """Return the title and the message of a cause."""
    rule = cause.rule
    if len(cause.rules) > 1:
        return f"{len(cause.rules)} rules are undecided", rule.reason or "no reason was given"
    facts = [f"expected: {rule.expected}"] if rule.expected else []
    facts += [f"actual: {rule.actual}"] if rule.actual else []
    facts += [f"{rule.verdict}: {rule.reason}"] if rule.reason else []
    return f"{rule.requirement} ({rule.id}, {rule.level})", "\n".join(facts)


def _escape(text: str, escapes: dict[str, str]) -> str:
    shown = visible(text)
    shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
    return "".join(escapes.get(character, character) for character in shown)
