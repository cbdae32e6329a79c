"""A report, or a comparison, as one self-contained HTML page."""

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from markupsafe import Markup, escape

from rerank_conformance import contract
from rerank_conformance.report import Outcome, Report, RuleResult
from rerank_conformance.reports import words
from rerank_conformance.reports.comparison import ComparedRule, Comparison
from rerank_conformance.reports.templates import render, text


def of_report(report: Report) -> str:
    """Return the page of one report: the verdicts, the causes by weight, every rule, and the contract."""
    rules = words.sections(report.rules)
    # the kit may not have the contract of the report
    version = report.contract_version if report.contract_version in contract.versions() else None
    return _page(
        "report.html.j2",
        report=report,
        causes=words.grouped_causes(report),
        sections=[(name, some, words.counts(some)) for name, some in rules.items()],
        counts=words.counts(report.rules),
        sentence=words.sentence(report),
        contract=contract.find(version).read_text("utf-8").splitlines(),
        contract_version=contract.load(version).version,
        line=partial(_line, version),
    )


def of_comparison(comparison: Comparison) -> str:
    """Return the page of several reports: the verdicts, the rules on which the servers differ, and the others by section."""
    differing = comparison.differing
    rows: dict[str, list[ComparedRule]] = {"Where they differ": differing} if differing else {}
    for row in comparison.rules:
        if not comparison.differs(row):
            rows.setdefault(row.section, []).append(row)
    return _page(
        "comparison.html.j2",
        comparison=comparison,
        sections=rows,
        differing=differing,
        flawed=[row for row in comparison.rules if not comparison.passed(row)],
        counts={
            server.name: _counts(row.outcomes.get(server.name) for row in comparison.rules)
            for server in comparison.servers
        },
    )


def _page(name: str, **values: Any) -> str:
    style, script = text("page.css"), text("page.js")
    # allow only this style and script, as the page quotes answers of a server
    policy = (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return render(
        name,
        policy=policy,
        style=Markup(style),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - likewise
        visible=words.visible,
        breaking=_breaking,
        verdicts=words.VERDICTS,
        marks=words.MARKS,
        meanings=words.MEANINGS,
        failed=words.failed,
        outcomes=words.OUTCOMES,
        symbols=words.SYMBOLS,
        **values,
    )


def _source(inline: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode('ascii')}'"


def _breaking(name: str) -> Markup:
    """Return the id of a rule with possible line breaks after dots and dashes."""
    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[.-])", words.visible(name)))


def _line(version: str | None, rule: RuleResult) -> int | None:
    """Return the line of the contract on this page; None if the contract of the report differs there."""
    if not rule.source.startswith("#"):  # the contract of a dialect is not on the page
        return None
    try:
        here = contract.line_of(rule.source, version)
    except KeyError:
        return None
    return here if rule.line in {here, None} else None


def _counts(outcomes: Iterable[Outcome | None]) -> dict[Outcome, int]:
    found = list(outcomes)
    return {outcome: found.count(outcome) for outcome in words.OUTCOMES if outcome in found}
