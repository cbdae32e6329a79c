"""Reports on a terminal: plain lines for logs and pipes, and laid out with colours where somebody looks on."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from rerank_conformance.report import Level, Outcome, Report, RuleResult, Verdict
from rerank_conformance.reports.comparison import Comparison
from rerank_conformance.reports.words import (
    OUTCOMES,
    Finding,
    counted,
    counts,
    findings,
    place,
    sections,
    visible,
)

_WORDS: dict[Verdict, str] = {
    "conformant": "conformant",
    "nonconformant": "NOT conformant",
    "undecided": "undecided",
}
_COLOURS: dict[Outcome | Verdict, str] = {
    "pass": "green",
    "fail": "red",
    "known": "yellow",
    "undecided": "cyan",
    "error": "magenta",
    "skip": "dim",
    "conformant": "green",
    "nonconformant": "red",
}


def console(*, err: bool = False) -> Console:
    """Standard output, or standard error, with neither markup nor guesses at what is a number."""
    return Console(stderr=err, markup=False, highlight=False, emoji=False)


def is_watched(on: Console) -> bool:
    """Whether a person looks on: it is a terminal that can be drawn on, and no CI."""
    return on.is_terminal and not on.is_dumb_terminal and not os.environ.get("CI")


@contextmanager
def progress(on: Console) -> Generator[Callable[[int, int], None] | None]:
    """What a check tells of its progress to; None where nobody looks on."""
    if not is_watched(on):
        yield None
        return
    columns = (
        TextColumn("Checking"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("requests"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=on, transient=True) as bar:
        task = bar.add_task("check", total=None)

        def told(done: int, planned: int) -> None:
            bar.update(task, completed=done, total=planned)

        yield told


def summary(report: Report) -> str:
    """The verdict and the numbers in one line, which ends every way of showing a report."""
    numbers = f"{report.requests} requests, {report.elapsed_s:.1f} s, seed {report.seed}"
    return f"{_WORDS[report.verdict]}: {counted(counts(report.rules)) or 'no rule'} ({numbers})"


# plain


def lines(report: Report) -> Iterator[str]:
    """The report in plain lines: what did not pass, and the verdict on the last one."""
    for finding in findings(report):
        yield from _plainly(finding, report.contract_version)
    for rule in report.unexpected_passes:
        yield visible(f"PASS      {rule.level:6} {rule.id}: {rule.reason}")
    yield summary(report)


def _plainly(finding: Finding, version: str) -> Iterator[str]:
    rule = finding.rule
    if len(finding.rules) > 1:
        yield f"{rule.verdict.upper():9} {finding.level:6} {len(finding.rules)} rules"
        yield f"    reason: {_line(rule.reason or '')}"
        yield f"    rules: {_line(', '.join(finding.names))}"
        return
    yield _line(f"{rule.verdict.upper():9} {rule.level:6} {rule.id}: {rule.requirement}")
    for name, value in _facts(rule, version):
        yield f"    {name}: {_line(value)}"


def _facts(rule: RuleResult, version: str) -> list[tuple[str, str]]:
    facts = {
        "expected": rule.expected,
        "actual": rule.actual,
        "reason": rule.reason,
        "curl": rule.curl,
        "contract": place(rule, version),
    }
    return [(name, value) for name, value in facts.items() if value]


def _line(text: str) -> str:
    return visible(text).replace("\n", "\n        ")


# laid out


def show(report: Report, on: Console) -> None:
    """Print the report for a person: a panel for all that did not pass, the sections, and the verdict."""
    for finding in findings(report):
        _show_finding(finding, report.contract_version, on)
    for rule in report.unexpected_passes:
        on.print(Text(visible(f"{rule.id} passed, though it was expected to fail: {rule.reason}")))
    on.print(_sections(report))
    on.print()
    on.print(Text(visible(report.target), "dim"), soft_wrap=True)
    on.print(Text(summary(report), f"bold {_colour(report.verdict)}"), soft_wrap=True)


def _show_finding(finding: Finding, version: str, on: Console) -> None:
    rule = finding.rule
    colour = _colour(rule.verdict, finding.level)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    if len(finding.rules) == 1:
        title = f"{rule.verdict.upper()}  {rule.id}"
        for name, value in _facts(rule, version):
            if name != "curl":
                facts.add_row(name, Text(visible(value), "bold" if name == "actual" else ""))
        inside = Group(Text(visible(rule.requirement)), facts)
    else:
        title = f"{rule.verdict.upper()}  {len(finding.rules)} rules"
        facts.add_row("reason", Text(visible(rule.reason or "")))
        facts.add_row("rules", Text(visible(", ".join(finding.names))))
        inside = Group(facts)
    on.print(
        Panel(
            inside,
            title=Text(visible(title), f"bold {colour}"),
            title_align="left",
            subtitle=Text(finding.level, "dim"),
            subtitle_align="right",
            border_style=colour,
        )
    )
    if len(finding.rules) == 1 and rule.curl:
        # outside of the panel and in one piece, so that it can be marked and copied
        on.print(Text(visible(rule.curl)), soft_wrap=True)
        on.print()


def _sections(report: Report) -> Table:
    used = list(counts(report.rules))
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="dim")
    table.add_column("section")
    for outcome in reversed(used):
        table.add_column(OUTCOMES[outcome], justify="right")
    for name, rules in sections(report.rules).items():
        found = counts(rules)
        numbers = [
            Text(str(found[outcome]), _colour(outcome)) if outcome in found else Text("")
            for outcome in reversed(used)
        ]
        table.add_row(Text(visible(name)), *numbers)
    return table


def _colour(of: Outcome | Verdict, level: Level = "MUST") -> str:
    return "yellow" if of == "fail" and level == "SHOULD" else _COLOURS[of]


# compared


def matrix(comparison: Comparison, *, everything: bool = False) -> Iterator[Text]:
    """The comparison in lines: the servers by number, then each rule that not all of them pass.

    Args:
        comparison: The matrix.
        everything: Show the rules that all of them pass, too.
    """
    servers = comparison.servers
    if len(comparison.contract_versions) > 1:
        versions = ", ".join(comparison.contract_versions)
        yield Text(
            visible(f"Not judged by the same rules: the reports are of contract versions {versions}"),
            "yellow",
        )
    for number, server in enumerate(servers, 1):
        line = Text(f"{number:>3}  ")
        line.append(f"{_WORDS[server.verdict]:14}", f"bold {_colour(server.verdict)}")
        line.append(
            visible(f"  {server.name}  ({server.requests} requests, contract {server.contract_version})")
        )
        yield line
    shown = [row for row in comparison.rules if everything or not comparison.passed(row)]
    if shown:
        width = max(len(visible(row.id)) for row in shown)
        wide = max(len(outcome) for outcome in OUTCOMES)
        yield Text()
        head = "  ".join(f"{number:<{wide}}" for number in range(1, len(servers) + 1))
        yield Text(f"{'rule':{width}}  {'level':6}  {head}".rstrip(), "dim")
        for row in shown:
            line = Text(f"{visible(row.id):{width}}  {row.level:6}")
            for name in (server.name for server in servers):
                outcome = row.outcomes.get(name)
                line.append("  ")
                line.append(f"{outcome or '':{wide}}", _colour(outcome, row.level) if outcome else "")
            line.rstrip()
            yield line
    left = len(comparison.rules) - len(shown)
    if left:
        yield Text()
        yield Text(
            f"{_rules(left)} passed by every server" + ("" if everything else "; --all shows them"), "dim"
        )


def _rules(count: int) -> str:
    return "1 rule is" if count == 1 else f"{count} rules are"
