"""Words for levels, outcomes and verdicts, causes by weight, and escaped text, as used by all reports."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rerank_conformance import contract
from rerank_conformance.report import LEVELS, ConformanceLevel, Level, Outcome, Report, RuleResult, Verdict

VERDICTS: dict[Verdict, str] = {
    "conformant": "Conformant",
    "nonconformant": "Not conformant",
    "undecided": "Undecided",
    "no-failure-found": "No failure found (quick)",
}
MARKS: dict[Verdict, str] = {
    "conformant": "✓",
    "nonconformant": "✗",
    "undecided": "?",
    "no-failure-found": "~",
}
MEANINGS: dict[ConformanceLevel, str] = {
    "ranking": "A client that sends texts and reads index and score can trust the ranking.",
    "interface": "Errors, keys, limits and every documented form are right, too.",
    "strict": "The server does everything that the contract says.",
}
"""Each conformance level in a sentence."""
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
    """Escape every character that is not printable, apart from line breaks.

    A server may send terminal commands, marks that change the writing direction, and lone surrogates, which cannot be encoded.
    """
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    return character.encode("unicode_escape").decode("ascii")


def place(rule: RuleResult, version: str) -> str:
    """Return the source of a rule in a version of the contract: file, pointer and line."""
    file = contract.name_of(version) if rule.source.startswith("#") else ""
    return f"{file}{rule.source}" + (f", line {rule.line}" if rule.line else "")


def sections(rules: Iterable[RuleResult]) -> dict[str, list[RuleResult]]:
    """Group the rules by section, each in the order of the report."""
    found: dict[str, list[RuleResult]] = {}
    for rule in rules:
        found.setdefault(rule.section, []).append(rule)
    return found


def counts(rules: Iterable[RuleResult]) -> dict[Outcome, int]:
    """Count the rules of each outcome, worst first; omit outcomes without rules."""
    outcomes = [rule.verdict for rule in rules]
    return {outcome: outcomes.count(outcome) for outcome in OUTCOMES if outcome in outcomes}


def counted(found: dict[Outcome, int]) -> str:
    """Return the numbers of `counts` in words."""
    return ", ".join(f"{count} {OUTCOMES[outcome]}" for outcome, count in found.items())


def failed(rules: Iterable[RuleResult]) -> str:
    """Return the number of MUST and of SHOULD rules that failed, in words."""
    levels = [rule.level for rule in rules if rule.verdict == "fail"]
    return f"{levels.count('MUST')} MUST, {levels.count('SHOULD')} SHOULD failed"


_NAMED = 12  # the maximum number of rules that a cause lists by id


@dataclass(frozen=True)
class SharedReason:
    """A cause of a verdict: one rule, or several that are undecided for the same reason."""

    rules: tuple[RuleResult, ...]

    @property
    def rule(self) -> RuleResult:
        """The first rule."""
        return self.rules[0]

    @property
    def names(self) -> list[str]:
        """The ids of the rules, or their number per section if there are many."""
        if len(self.rules) <= _NAMED:
            return [rule.id for rule in self.rules]
        return [f"{len(rules)} of {section}" for section, rules in sections(self.rules).items()]

    @property
    def level(self) -> Level:
        """MUST if one of the rules is a MUST."""
        return min(rule.level for rule in self.rules)

    @property
    def conformance_level(self) -> ConformanceLevel:
        """The smallest level that includes one of the rules."""
        return next(level for level in LEVELS if any(rule.is_in(level) for rule in self.rules))

    @property
    def weight(self) -> tuple[int, int, Level]:
        """A sort key: failures first, then the levels in order, then MUST before SHOULD."""
        return list(OUTCOMES).index(self.rule.verdict), LEVELS.index(self.conformance_level), self.level


def causes(report: Report) -> list[SharedReason]:
    """Return the causes of all rules that did not pass and were not skipped, heaviest first."""
    found = [SharedReason((rule,)) for rule in report.of("fail", "error", "known")]
    alike: dict[str | None, list[RuleResult]] = {}
    for rule in report.of("undecided"):
        alike.setdefault(rule.reason, []).append(rule)
    found += [SharedReason(tuple(rules)) for rules in alike.values()]
    return sorted(found, key=lambda cause: cause.weight)


_BROKEN: dict[ConformanceLevel, str] = {
    "ranking": "Breaks the ranking for every client",
    "interface": "Breaks clients that use more than texts and scores",
    "strict": "Differs from the contract in details",
}
_NOT_PASSED: dict[Outcome, str] = {
    "error": "Not judged: a fault of the check",
    "undecided": "Undecided",
    "known": "Expected failures",
}


def grouped_causes(report: Report) -> dict[str, list[SharedReason]]:
    """Group the causes under a heading, in the order of `causes`."""
    found: dict[str, list[SharedReason]] = {}
    for cause in causes(report):
        title = _NOT_PASSED.get(cause.rule.verdict, _BROKEN[cause.conformance_level])
        found.setdefault(title, []).append(cause)
    return found


def sentence(report: Report) -> str:
    """Return the reason for the verdict of the level that decides."""
    rules = report.decisive
    sentences = [_reason(report, rules)]
    advice = _of(rules, "SHOULD", "fail")
    if advice and not _is_strict(report, rules):
        sentences.append(f"{len(advice)} recommendation{'' if len(advice) == 1 else 's'} (SHOULD) not met.")
    known = [rule for rule in rules if rule.verdict == "known"]
    if known:
        sentences.append(f"{_rules(known)} known to fail.")
    return " ".join(sentences)


def _reason(report: Report, rules: Sequence[RuleResult]) -> str:
    musts = _of(rules, "MUST", *OUTCOMES)
    broken = _of(rules, "MUST", "fail")
    if report.verdict == "nonconformant" and broken:
        return f"{len(broken)} of {len(musts)} MUST rules failed."
    if report.verdict == "nonconformant":
        return f"{_rules(_of(rules, 'SHOULD', 'fail'), 'SHOULD')} broken, which --strict counts."
    if report.verdict != "undecided":
        kept = len(_of(rules, "MUST", "pass"))
        if kept == len(musts) > 1:
            return f"All {kept} MUST rules passed."
        expected = " apart from expected failures" if _of(rules, "MUST", "known") else ""
        return f"{kept} of {len(musts)} MUST rules passed, and none failed{expected}."
    left = [rule for rule in rules if rule.verdict in {"undecided", "error"}]
    if not left:
        return "No rule was judged."
    reasons = {rule.reason for rule in left if rule.reason}
    why = f": {visible(reasons.pop())}" if len(reasons) == 1 else ""
    return f"{_rules(left)} undecided{why}."


def _is_strict(report: Report, rules: Sequence[RuleResult]) -> bool:
    return report.verdict == "nonconformant" and not _of(rules, "MUST", "fail")


def _of(rules: Iterable[RuleResult], level: Level, *outcomes: Outcome) -> list[RuleResult]:
    return [rule for rule in rules if rule.level == level and rule.verdict in outcomes]


def _rules(rules: Sequence[RuleResult], level: str = "") -> str:
    what = f"{level} rule".strip()
    return f"1 {what} is" if len(rules) == 1 else f"{len(rules)} {what}s are"
