"""The outcome of a rule before it is a result of a report."""

from collections.abc import Iterator
from dataclasses import dataclass

from rerank_conformance import contract
from rerank_conformance.evidence import Commands
from rerank_conformance.report import FURTHER_EXAMPLES, Example, Outcome, RuleResult
from rerank_conformance.rules import Finding, Rule


@dataclass(frozen=True)
class Judged:
    """The outcome of a rule, with its findings."""

    rule: Rule
    outcome: Outcome
    finding: Finding | None = None
    reason: str | None = None
    findings: tuple[Finding, ...] = ()
    """Every finding, the plainest first."""
    touched: tuple[str, ...] = ()
    """The rules that fail by the same cause alone."""

    def result(self, commands: Commands, version: str) -> RuleResult:
        """Return the result for a report, with the commands that show the failure again."""
        finding = self.finding
        return RuleResult(
            id=self.rule.id,
            level=self.rule.level,
            conformance_level=self.rule.conformance_level,
            requirement=self.rule.requirement,
            source=self.rule.source,
            line=contract.line_of(self.rule.source, version),
            verdict=self.outcome,
            expected=finding.expected if finding else None,
            actual=finding.actual if finding else None,
            curl=_curl(finding, commands) if finding else None,
            mend=self.rule.mend if finding else None,
            examples=tuple(self._examples(commands)),
            reason=self.reason,
            touched=self.touched,
        )

    def _examples(self, commands: Commands) -> Iterator[Example]:
        """Yield further findings that differ from the first and from each other, those with another expectation first."""
        if self.finding is None:
            return
        expected, actual = {self.finding.expected}, {self.finding.actual}
        found: list[Finding] = []
        for one in self.findings[1:]:
            if one.expected not in expected and len(found) < FURTHER_EXAMPLES:
                expected.add(one.expected)
                actual.add(one.actual)
                found.append(one)
        for one in self.findings[1:]:
            if one.actual not in actual and len(found) < FURTHER_EXAMPLES:
                actual.add(one.actual)
                found.append(one)
        for one in found:
            yield Example(expected=one.expected, actual=one.actual, curl=_curl(one, commands))


def _curl(finding: Finding, commands: Commands) -> str | None:
    """Return the commands that show a finding again."""
    if finding.exchange is None:
        return None
    return commands.of(*([finding.compared] if finding.compared else []), finding.exchange)
