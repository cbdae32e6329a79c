"""The file of expected failures: a rule on each line, with the reason and a link to the issue behind `#`."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from rerank_conformance.report import Report, RuleResult, issue_of, nearest

_NO_REASON = "expected to fail"
_COLUMN = 2  # blanks between a rule and its reason


def read_expected(path: Path, known_ids: Collection[str]) -> dict[str, str]:
    """Return the reasons in a file of expected failures, by rule; a reason includes the link to the issue.

    Raises:
        ValueError: A line names an unknown rule, or the file is not text.
        OSError: The file cannot be read.
    """
    return _reasons(path, read_text(path), known_ids)


def read_text(path: Path) -> str:
    """Return the text of a file of expected failures.

    Raises:
        ValueError: The file is not UTF-8.
        OSError: The file cannot be read.
    """
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        message = f"{path}:{number}: not UTF-8; save the file as UTF-8"
        raise ValueError(message) from None


def _reasons(path: Path, text: str, known_ids: Collection[str]) -> dict[str, str]:
    expected: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        rule, reason = _entry(line)
        if not rule:
            continue
        if rule not in known_ids:
            message = f"{path}:{number}: {_problem(rule, known_ids)}"
            raise ValueError(message)
        expected[rule] = reason or _NO_REASON
    return expected


def _entry(line: str) -> tuple[str, str]:
    """Split a line into the rule and the reason; each may be empty."""
    rule, _, reason = (part.strip() for part in line.partition("#"))
    return rule, reason


def _problem(rule: str, known_ids: Collection[str]) -> str:
    if len(rule.split()) > 1:
        return f"{rule[:80]!r} is not one rule; put each rule on its own line, and the reason after #"
    hint = nearest(rule, known_ids) or "`rerank-conformance rules` lists them"
    return f"no rule is named {rule[:80]!r}; {hint}"


@dataclass(frozen=True)
class Update:
    """A file of expected failures, brought up to date with a report."""

    text: str
    added: tuple[str, ...]
    """The rules that fail and were not in the file."""
    removed: tuple[str, ...]
    """The rules that pass again."""
    passing: tuple[str, ...]
    """The rules that stay though they passed, as the check was a quick one."""
    kept: tuple[str, ...]
    """The other rules that stay."""


def update(  # noqa: PLR0913 - the file, the report, and the options of the command
    path: Path,
    text: str,
    report: Report,
    known_ids: Collection[str],
    *,
    reason: str | None = None,
    issue: str | None = None,
    strict: bool = False,
) -> Update:
    """Bring a file of expected failures up to date.

    Lines that stay are not changed: their reasons, links and order, and comments. A rule that passes again is
    removed; a quick check removes none, as a whole check may find the failure still.

    Args:
        path: The file, for messages.
        text: Its text; empty if there is no such file.
        report: The report of a check.
        known_ids: The ids of all rules.
        reason: The reason of the rules that are added; by default their requirement.
        issue: The link to the issue of the rules that are added.
        strict: Add the SHOULD rules that failed, too.

    Raises:
        ValueError: The file, or the report, names an unknown rule.
    """
    before = _reasons(path, text, known_ids)
    for number, rule in enumerate(report.rules):
        if rule.id not in known_ids:
            message = f"the report: rules[{number}]: {_problem(rule.id, known_ids)}"
            raise ValueError(message)
    passed = {rule.id for rule in report.of("pass")} & before.keys()
    removed = set[str]() if report.quick else passed
    new = [rule for rule in report.decisive if rule.id not in before and _is_failure(rule, strict=strict)]
    lines = [line for line in text.splitlines() if _entry(line)[0] not in removed]
    end = "\r\n" if "\r\n" in text else "\n"
    width = max((len(rule.id) for rule in new), default=0) + _COLUMN
    lines += [f"{rule.id:{width}}# {_comment(rule, reason, issue)}" for rule in new]
    return Update(
        "".join(line + end for line in lines),
        tuple(rule.id for rule in new),
        tuple(rule for rule in before if rule in removed),
        tuple(rule for rule in before if rule in passed - removed),
        tuple(rule for rule in before if rule not in passed),
    )


def _is_failure(rule: RuleResult, *, strict: bool) -> bool:
    return rule.verdict in {"fail", "known"} and (strict or rule.level == "MUST")


def _comment(rule: RuleResult, reason: str | None, issue: str | None) -> str:
    known = rule.reason if rule.verdict == "known" else None
    words = [known or reason or f"{_NO_REASON}: {rule.requirement}", "" if known else issue or ""]
    return " ".join(" ".join(words).split())


def check_issue(issue: str) -> str | None:
    """Return why a text cannot be the link to an issue; None if it can."""
    if issue_of(issue) != issue:
        return f"{issue[:80]!r} is not a web address; give one that begins with https://"
    return None
