"""What every report says alike: the words for outcomes and verdicts, and text that is safe to show."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rerank_conformance import contract
from rerank_conformance.report import Level, Outcome, Report, RuleResult, Verdict

VERDICTS: dict[Verdict, str] = {
    "conformant": "Conformant",
    "nonconformant": "Not conformant",
    "undecided": "Undecided",
}
OUTCOMES: dict[Outcome, str] = {
    "fail": "failed",
    "error": "in error",
    "undecided": "undecided",
    "known": "known to fail",
    "skip": "skipped",
    "pass": "passed",
}
"""Each outcome in words, the worst first."""
SYMBOLS: dict[Outcome, str] = {
    "fail": "✗",
    "error": "⊘",
    "undecided": "?",
    "known": "!",
    "skip": "–",  # noqa: RUF001 - a dash for nothing
    "pass": "✓",
}


def visible(text: str) -> str:
    """The text with every character escaped that does not show, or that would change how others show.

    What a server sent may hold terminal commands, marks that turn the direction of writing, and halves of surrogate
    pairs, which no file can hold. Line breaks stay.
    """
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    return character.encode("unicode_escape").decode("ascii")


def place(rule: RuleResult, version: str) -> str:
    """Where the contract of a version says so: its file, the pointer into it, and the line."""
    return f"{contract.name_of(version)}{rule.source}" + (f", line {rule.line}" if rule.line else "")


def sections(rules: Iterable[RuleResult]) -> dict[str, list[RuleResult]]:
    """The rules by section, each in the order of the report."""
    found: dict[str, list[RuleResult]] = {}
    for rule in rules:
        found.setdefault(rule.section, []).append(rule)
    return found


def counts(rules: Iterable[RuleResult]) -> dict[Outcome, int]:
    """How many rules have each outcome, the worst first, without those that none has."""
    outcomes = [rule.verdict for rule in rules]
    return {outcome: outcomes.count(outcome) for outcome in OUTCOMES if outcome in outcomes}


def counted(found: dict[Outcome, int]) -> str:
    """The numbers of `counts` in words."""
    return ", ".join(f"{count} {OUTCOMES[outcome]}" for outcome, count in found.items())


_NAMED = 12  # rules that are named one by one where they share a reason


@dataclass(frozen=True)
class Finding:
    """What is shown at length: one rule, or several that are undecided for one reason."""

    rules: tuple[RuleResult, ...]

    @property
    def rule(self) -> RuleResult:
        """The only rule, or the first."""
        return self.rules[0]

    @property
    def names(self) -> list[str]:
        """The ids; where they are many, how many there are in each section."""
        if len(self.rules) <= _NAMED:
            return [rule.id for rule in self.rules]
        return [f"{len(rules)} of {section}" for section, rules in sections(self.rules).items()]

    @property
    def level(self) -> Level:
        """MUST if one of the rules is."""
        return min(rule.level for rule in self.rules)


def findings(report: Report) -> list[Finding]:
    """What did not pass and was not skipped, the worst first."""
    found = [Finding((rule,)) for rule in report.of("fail", "error", "known")]
    alike: dict[str | None, list[RuleResult]] = {}
    for rule in report.of("undecided"):
        alike.setdefault(rule.reason, []).append(rule)
    found += [Finding(tuple(rules)) for rules in alike.values()]
    order = list(OUTCOMES)
    return sorted(found, key=lambda one: (order.index(one.rule.verdict), one.level))


def sentence(report: Report) -> str:
    """Why the verdict is what it is."""
    said = [_reason(report)]
    advice = _of(report.rules, "SHOULD", "fail")
    if advice and not _is_strict(report):
        said.append(f"{_rules(advice, 'SHOULD')} not followed, which is advice.")
    known = report.of("known")
    if known:
        said.append(f"{_rules(known)} known to fail.")
    return " ".join(said)


def _reason(report: Report) -> str:
    musts = _of(report.rules, "MUST", *OUTCOMES)
    failed = _of(report.rules, "MUST", "fail")
    if report.verdict == "nonconformant" and failed:
        return f"{len(failed)} of {len(musts)} MUST rules {'is' if len(failed) == 1 else 'are'} broken."
    if report.verdict == "nonconformant":
        return f"{_rules(_of(report.rules, 'SHOULD', 'fail'), 'SHOULD')} broken, and they were to count."
    if report.verdict == "conformant":
        kept = len(_of(report.rules, "MUST", "pass"))
        if kept == len(musts) > 1:
            return f"All {kept} MUST rules are kept."
        expected = " but those that were expected to be" if _of(report.rules, "MUST", "known") else ""
        return f"{kept} of {len(musts)} MUST rules are judged and kept, and none is broken{expected}."
    left = report.of("undecided", "error")
    if not left:
        return "No rule was judged."
    reasons = {rule.reason for rule in left if rule.reason}
    why = f": {visible(reasons.pop())}" if len(reasons) == 1 else ""
    return f"{_rules(left)} without a conclusion{why}."


def _is_strict(report: Report) -> bool:
    return report.verdict == "nonconformant" and not _of(report.rules, "MUST", "fail")


def _of(rules: Iterable[RuleResult], level: Level, *outcomes: Outcome) -> list[RuleResult]:
    return [rule for rule in rules if rule.level == level and rule.verdict in outcomes]


def _rules(rules: Sequence[RuleResult], level: str = "") -> str:
    what = f"{level} rule".strip()
    return f"1 {what} is" if len(rules) == 1 else f"{len(rules)} {what}s are"
