"""Reports on a terminal: plain lines for logs and pipes, colours for a person."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from rerank_conformance.report import ConformanceLevel, Level, Outcome, Report, RuleResult, Verdict
from rerank_conformance.reports.comparison import ComparedRule, Comparison
from rerank_conformance.reports.words import (
    OUTCOMES,
    SharedReason,
    causes,
    counted,
    counts,
    failed,
    place,
    sections,
    visible,
)

_WORDS: dict[Verdict, str] = {
    "conformant": "conformant",
    "nonconformant": "NOT conformant",
    "undecided": "undecided",
    "no-failure-found": "no failure found (quick)",
}
_WIDE = max(map(len, _WORDS.values()))
_COLOURS: dict[Outcome | Verdict, str] = {
    "pass": "green",
    "fail": "red",
    "known": "yellow",
    "undecided": "cyan",
    "error": "magenta",
    "skip": "dim",
    "conformant": "green",
    "no-failure-found": "green",
    "nonconformant": "red",
}


def console(*, err: bool = False) -> Console:
    """Return a console on standard output, or standard error, without markup and highlighting."""
    return Console(stderr=err, markup=False, highlight=False, emoji=False)


def is_interactive(on: Console) -> bool:
    """Return True for a terminal that supports drawing and is not in CI."""
    return on.is_terminal and not on.is_dumb_terminal and not os.environ.get("CI")


@contextmanager
def progress(on: Console) -> Generator[Callable[[int, int], None] | None]:
    """Yield a function that shows the progress of a check; None if the console is not interactive."""
    if not is_interactive(on):
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

        def show_progress(done: int, planned: int) -> None:
            bar.update(task, completed=done, total=planned)

        yield show_progress


def summary(report: Report) -> str:
    """Return the verdict and the numbers of the level that decides; it is the last line of every display."""
    numbers = f"{report.sent}, {report.elapsed_s:.1f} s, seed {report.seed}"
    level = "" if report.conformance_level == "strict" else f" at level {report.conformance_level}"
    rules = report.decisive
    others = counted(counts(rule for rule in rules if rule.verdict != "fail"))
    found = f"{failed(rules)}{f'; {others}' if others else ''}" if rules else "no rule"
    return f"{_WORDS[report.verdict]}{level}: {found} ({numbers})"


def _verdicts(report: Report) -> Iterator[tuple[ConformanceLevel, Verdict, str]]:
    for level, verdict in report.verdicts.items():
        yield level, verdict, f"{level:9}  {_WORDS[verdict]:{_WIDE}}  {failed(report.of_level(level))}"


# plain


def lines(report: Report) -> Iterator[str]:
    """Yield the report in plain lines: the three verdicts, the causes by weight, and the summary."""
    for *_, line in _verdicts(report):
        yield line
    for cause in causes(report):
        yield from _plain(cause, report.contract_version)
    for rule in report.unexpected_passes:
        yield visible(f"PASS      {rule.level:6} {rule.id}: {rule.reason}")
    if report.command is not None:
        yield visible(f"again: {report.command}")
    yield summary(report)


def _plain(cause: SharedReason, version: str) -> Iterator[str]:
    rule = cause.rule
    yield _line(f"{rule.verdict.upper():9} {cause.conformance_level:9} {cause.level:6} {_title(cause)}")
    if len(cause.rules) > 1:
        yield f"    reason: {_line(rule.reason or '')}"
        yield f"    rules: {_line(', '.join(cause.names))}"
        return
    for name, value in _facts(rule, version):
        yield f"    {name}: {_line(value)}"
    for example in rule.examples:
        yield f"    also: {_line(example.actual)}"
        if example.curl:
            yield f"    curl: {_line(example.curl)}"


def _title(cause: SharedReason) -> str:
    if len(cause.rules) > 1:
        return f"{len(cause.rules)} rules"
    return f"{cause.rule.requirement} ({cause.rule.id})"


def _facts(rule: RuleResult, version: str) -> list[tuple[str, str]]:
    facts = {
        "expected": rule.expected,
        "actual": rule.actual,
        "reason": rule.reason,
        "fix": rule.mend,
        "curl": rule.curl,
        "contract": place(rule, version),
        "touches": ", ".join(rule.touched),
    }
    return [(name, value) for name, value in facts.items() if value]


def _line(text: str) -> str:
    return visible(text).replace("\n", "\n        ")


# with colours


def show(report: Report, on: Console) -> None:
    """Print the report for a person: the three verdicts, the causes by weight, the sections, and the summary."""
    for _, verdict, line in _verdicts(report):
        on.print(Text(line, f"bold {_colour(verdict)}"), soft_wrap=True)
    for cause in causes(report):
        _show_cause(cause, report.contract_version, on)
    for rule in report.unexpected_passes:
        on.print(Text(visible(f"{rule.id} passed, though it was expected to fail: {rule.reason}")))
    on.print(_sections(report))
    on.print()
    on.print(Text(visible(report.command or report.target), "dim"), soft_wrap=True)
    on.print(Text(summary(report), f"bold {_colour(report.verdict)}"), soft_wrap=True)


def _show_cause(cause: SharedReason, version: str, on: Console) -> None:
    rule = cause.rule
    colour = _colour(rule.verdict, cause.level)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    curls: list[str | None] = []
    if len(cause.rules) == 1:
        facts.add_row("rule", Text(visible(rule.id)))
        for name, value in _facts(rule, version):
            if name != "curl":
                facts.add_row(name, Text(visible(value), "bold" if name == "actual" else ""))
        for example in rule.examples:
            facts.add_row("also", Text(visible(example.actual)))
        curls = [rule.curl, *(example.curl for example in rule.examples)]
        inside = Group(Text(visible(rule.requirement), "bold"), facts)
    else:
        facts.add_row("reason", Text(visible(rule.reason or "")))
        facts.add_row("rules", Text(visible(", ".join(cause.names))))
        inside = Group(Text(_title(cause), "bold"), facts)
    on.print(
        Panel(
            inside,
            title=Text(f"{rule.verdict.upper()}  {cause.conformance_level}", f"bold {colour}"),
            title_align="left",
            subtitle=Text(cause.level, "dim"),
            subtitle_align="right",
            border_style=colour,
        )
    )
    for curl in filter(None, curls):
        # outside the panel and on one line, so that it can be copied
        on.print(Text(visible(curl)), soft_wrap=True)
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


# comparison


def matrix(comparison: Comparison, *, everything: bool = False) -> Iterator[Text]:
    """Yield the lines of a comparison: the numbered servers, the rules on which they differ, then the other rules.

    Args:
        comparison: The matrix.
        everything: Also show the rules that all servers pass.
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
        line.append(f"{_WORDS[server.verdict]:{_WIDE}}", f"bold {_colour(server.verdict)}")
        line.append(visible(f"  {server.name}  ({server.requests} requests, contract {server.held_to})"))
        yield line
        for level, verdict in server.verdicts.items():
            yield Text(f"     {level:9}  ").append(_WORDS[verdict], _colour(verdict))
    differing = comparison.differing
    alike = [row for row in comparison.rules if not comparison.differs(row)]
    shown = [row for row in alike if everything or not comparison.passed(row)]
    for title, rows in (("Where they differ", differing), ("Where they agree", shown)):
        if rows:
            yield from _rows(title, rows, [server.name for server in servers])
    left = len(alike) - len(shown)
    if left:
        yield Text()
        yield Text(f"{_passed(left)} passed by every server; --all shows them", "dim")


def _rows(title: str, rows: Sequence[ComparedRule], servers: Sequence[str]) -> Iterator[Text]:
    width = max(len(visible(row.id)) for row in rows)
    wide = max(len(outcome) for outcome in OUTCOMES)
    yield Text()
    yield Text(f"{title} ({len(rows)})", "bold")
    head = "  ".join(f"{number:<{wide}}" for number in range(1, len(servers) + 1))
    yield Text(f"{'rule':{width}}  {'':9}  {'':6}  {head}".rstrip(), "dim")
    for row in rows:
        line = Text(f"{visible(row.id):{width}}  {row.conformance_level:9}  {row.level:6}")
        for name in servers:
            outcome = row.outcomes.get(name)
            line.append("  ")
            line.append(f"{outcome or '':{wide}}", _colour(outcome, row.level) if outcome else "")
        line.rstrip()
        yield line


def _passed(count: int) -> str:
    return "1 rule is" if count == 1 else f"{count} rules are"
