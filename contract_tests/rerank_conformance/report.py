"""The report of a check, rule by rule, as values and as JSON."""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, get_args

import msgspec

Level = Literal["MUST", "SHOULD"]
"""The requirement level of RFC 2119."""
ConformanceLevel = Literal["ranking", "interface", "strict"]
"""The part of the contract that a client depends on; each level includes the ones before it."""
LEVELS: tuple[ConformanceLevel, ...] = get_args(ConformanceLevel)
"""Every conformance level, the smallest first."""
Outcome = Literal["pass", "fail", "skip", "undecided", "known", "error"]
"""The outcome of one rule; `known` is a failure that was expected, `error` a fault of the kit itself."""
Verdict = Literal["conformant", "nonconformant", "undecided", "no-failure-found"]
"""The verdict of a level; `no-failure-found` is that of a quick check in place of `conformant`."""

EXIT_CODES: Mapping[Verdict, int] = {
    "conformant": 0,
    "no-failure-found": 0,
    "nonconformant": 1,
    "undecided": 2,
}


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A further request by which a rule failed."""

    expected: str
    actual: str
    curl: str | None


class RuleResult(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one rule, with the evidence."""

    id: str
    level: Level
    conformance_level: ConformanceLevel = "strict"
    """The lowest conformance level that includes the rule; `strict` in a report without it."""
    requirement: str
    source: str
    """The place in the contract: a JSON pointer into `openapi.yaml`."""
    verdict: Outcome
    line: int | None = None
    """The line of that place in the `openapi.yaml` of the contract's version, from 1."""
    expected: str | None = None
    actual: str | None = None
    curl: str | None = None
    """Commands for a shell that show the failure again, one on a line; in place of the key they name its variable."""
    mend: str | None = None
    """The usual fix; set on failures."""
    examples: tuple[Example, ...] = ()
    """Further failures of the same rule, at most `FURTHER_EXAMPLES`."""
    reason: str | None = None
    """The reason why the rule was skipped, undecided, known or in error; of a pass, that a failure had been expected."""
    issue: str | None = None
    """The link to the issue of an expected failure."""
    touched: tuple[str, ...] = ()
    """The rules that fail by the same cause alone; they are skipped."""

    @property
    def section(self) -> str:
        """The first part of the id."""
        return self.id.partition(".")[0]

    def is_in(self, level: ConformanceLevel) -> bool:
        """Return True if a conformance level includes the rule."""
        return LEVELS.index(self.conformance_level) <= LEVELS.index(level)


FURTHER_EXAMPLES = 2
"""Failures of one rule that a report has beside the first."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a check of one server."""

    target: str
    contract_version: str
    dialect: str = "openrouter"
    """The form of the API by which the server was judged; the version is that of `openapi.yaml` all the same."""
    tool_version: str
    verdict: Verdict
    """The verdict of the conformance level that was asked for."""
    conformance_level: ConformanceLevel = "strict"
    """The level that decides the verdict and the exit code."""
    verdicts: Mapping[ConformanceLevel, Verdict] = {}
    """The verdict of each level; empty in a report without them."""
    quick: bool = False
    """True if only the essential rules were judged."""
    requests: int
    repeats: int = 0
    """Requests of these that were repeats, as the server refused them by 429 or 503, closed the connection or timed out."""
    elapsed_s: float
    seed: int
    rules: tuple[RuleResult, ...]
    command: str | None = None
    """The command that runs the same check again; None if no command line ran it."""
    complete: Literal[True] = True
    """The end mark: it comes last in the JSON, so that a truncated report is not read as a report."""

    @property
    def held_to(self) -> str:
        """The version of the contract, and the dialect if it is another one."""
        return held_to(self.contract_version, self.dialect)

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 0 conformant or no failure found, 1 nonconformant, 2 undecided."""
        return EXIT_CODES[self.verdict]

    @property
    def sent(self) -> str:
        """The number of requests in words, the repeats apart."""
        repeated = f" and {self.repeats} repeats of refused ones" if self.repeats else ""
        sent = self.requests - self.repeats
        return f"{sent} request{'s'[: sent != 1]}{repeated}"

    @property
    def decisive(self) -> tuple[RuleResult, ...]:
        """The rules of the level that decides."""
        return self.of_level(self.conformance_level)

    @property
    def unexpected_passes(self) -> tuple[RuleResult, ...]:
        """The rules that passed though they were expected to fail."""
        return tuple(rule for rule in self.rules if rule.verdict == "pass" and rule.reason)

    @property
    def not_judged(self) -> str | None:
        """The one reason why nothing could be judged, as where nothing ranks at the address; None if a rule passed."""
        reasons = {rule.reason for rule in self.of("undecided")}
        return reasons.pop() if len(reasons) == 1 and not self.of("pass", "known") else None

    def of(self, *outcomes: Outcome) -> tuple[RuleResult, ...]:
        """Return the rules with one of these outcomes."""
        return tuple(rule for rule in self.rules if rule.verdict in outcomes)

    def of_level(self, level: ConformanceLevel) -> tuple[RuleResult, ...]:
        """Return the rules that a conformance level includes."""
        return tuple(rule for rule in self.rules if rule.is_in(level))

    def to_json(self) -> str:
        """Return the report as JSON, indented, with a newline at its end."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode() + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Report":
        """Read a report that `to_json` wrote.

        Raises:
            ValueError: The text is not a report, or its end mark is missing.
        """
        try:
            mark = _END_MARK.decode(text)
            report = _REPORT.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = (
                f"not a report of rerank-conformance: {error}; give a file that `check --json FILE` wrote"
            )
            raise ValueError(message) from error
        if mark.complete is not True:
            raise ValueError('not a whole report: its end mark, "complete": true, is missing')
        return report


def held_to(contract_version: str, dialect: str) -> str:
    """Return the version of the contract that a server was held to, and the dialect if it is another one."""
    return contract_version if dialect == "openrouter" else f"{contract_version}, dialect {dialect}"


class _EndMark(msgspec.Struct):
    complete: bool = False


# Made here: msgspec crashes if two threads meet a new class at once.
_END_MARK = msgspec.json.Decoder(_EndMark)
_REPORT = msgspec.json.Decoder(Report)


def verdicts(
    rules: Collection[RuleResult], *, strict: bool = False, quick: bool = False
) -> dict[ConformanceLevel, Verdict]:
    """Return the verdict of each conformance level.

    Args:
        rules: Every rule that was asked for.
        strict: SHOULD counts as MUST.
        quick: Only the essential rules were judged.
    """
    return {
        level: verdict([rule for rule in rules if rule.is_in(level)], strict=strict, quick=quick)
        for level in LEVELS
    }


def verdict(rules: Collection[RuleResult], *, strict: bool = False, quick: bool = False) -> Verdict:
    """Return the verdict that follows from the outcomes of some rules.

    Args:
        rules: The rules that count.
        strict: SHOULD counts as MUST.
        quick: Only the essential rules were judged, which cannot show that a server is conformant.
    """
    counted = [rule for rule in rules if strict or rule.level == "MUST"]
    outcomes = {rule.verdict for rule in counted}
    if "fail" in outcomes:
        return "nonconformant"
    if outcomes & {"undecided", "error"}:
        return "undecided"
    # rules that were all skipped show nothing
    judged = counted or rules
    if not {rule.verdict for rule in judged} & {"pass", "known"}:
        return "undecided"
    return "no-failure-found" if quick else "conformant"


def with_known(rules: Sequence[RuleResult], expected: Mapping[str, str]) -> tuple[RuleResult, ...]:
    """Return the rules with expected failures as `known`, and with a reason on passes that were expected to fail.

    Args:
        rules: The outcomes.
        expected: The reason by the id of the rule, as `read_expected` returns them.
    """
    return tuple(_known(rule, expected.get(rule.id)) for rule in rules)


def _known(rule: RuleResult, reason: str | None) -> RuleResult:
    if reason is None:
        return rule
    if rule.verdict == "fail":
        return msgspec.structs.replace(rule, verdict="known", reason=reason, issue=issue_of(reason))
    if rule.verdict == "pass":
        note = f"unexpected pass: take it off the expected failures ({reason})"
        return msgspec.structs.replace(rule, reason=note, issue=issue_of(reason))
    return rule


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return a question that suggests the known name nearest to a misspelt one; None if none is near."""
    found = difflib.get_close_matches(name.lower(), known, n=1)
    return f"did you mean {found[0]!r}?" if found else None


_LINK = re.compile(r"https?://[^\s<>\"'`]*[^\s<>\"'`.,;:!?)\]]")


def issue_of(reason: str) -> str | None:
    """Return the link to the issue in the reason of an expected failure, which is its first web address."""
    found = _LINK.search(reason)
    return found[0] if found else None
