"""A report as a Markdown summary, for the step summary of a CI job or a comment."""

import re
from collections.abc import Iterator
from html import escape

from rerank_conformance.report import Report
from rerank_conformance.reports.words import VERDICTS, SharedReason, failed, grouped_causes, sentence, visible


def render(report: Report) -> str:
    """Return the summary: the verdict of each level, then the causes by weight with collapsed evidence."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# {VERDICTS[report.verdict]}: {_text(report.target)}"
    yield ""
    yield _text(sentence(report))
    if report.verdicts:
        yield from ("", "| level | verdict | rules |", "|---|---|---|")
    for level, verdict in report.verdicts.items():
        name = f"**{level}**, decides" if level == report.conformance_level else level
        yield f"| {name} | {VERDICTS[verdict].lower()} | {failed(report.of_level(level))} |"
    for title, causes in grouped_causes(report).items():
        yield from ("", f"## {title} ({sum(len(cause.rules) for cause in causes)})", "")
        for cause in causes:
            yield from _cause(cause)
    numbers = f"{report.sent}, {report.elapsed_s:.1f} s, seed {report.seed}"
    yield ""
    yield f"Contract {_text(report.held_to)}, rerank-conformance {_text(report.tool_version)}: {numbers}."
    if report.command is not None:
        yield from ("", "Run it again:", "", *_fenced(visible(report.command)))


def _cause(cause: SharedReason) -> Iterator[str]:
    rule = cause.rule
    if len(cause.rules) > 1:
        names = ", ".join(_text(name) for name in cause.names)
        yield f"- {len(cause.rules)} rules for one reason: {_text(rule.reason or 'no reason was given')} ({names})"
        return
    issue = f", [issue](<{visible(rule.issue)}>)" if rule.issue else ""
    yield f"- **{_text(rule.requirement)}** ({_text(rule.id)}, {rule.level}{issue})"
    facts = [
        ("expected", rule.expected),
        ("actual", rule.actual),
        ("reason", rule.reason),
        ("curl", rule.curl),
    ]
    for example in rule.examples:
        facts += [("also", example.actual), ("curl", example.curl)]
    facts.append(("touches", ", ".join(rule.touched)))
    if rule.mend:
        yield from ("", f"  Usual fix: {_text(rule.mend)}")
    block = visible("\n".join(f"{name}: {value}" for name, value in facts if value))
    if not block:
        return
    yield from ("", "  <details><summary>Evidence</summary>", "")
    yield from (f"  {line}" for line in _fenced(block))
    yield from ("", "  </details>", "")


def _fenced(block: str) -> Iterator[str]:
    """Yield a block of text in a fence that is longer than any in the text, so that a server cannot close it."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", block))])
    yield from (f"{fence}text", *block.split("\n"), fence)


def _text(text: str) -> str:
    """Return the text escaped for Markdown, on one line."""
    shown = escape(" ".join(visible(text).split()), quote=False)
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", shown)
