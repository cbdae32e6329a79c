"""What a check found, rule by rule, as values and as JSON; it judges no exchange and lays nothing out."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

Level = Literal["MUST", "SHOULD"]
Outcome = Literal["pass", "fail", "skip", "undecided", "known", "error"]
"""What became of one rule; `known` is a failure that was expected, `error` a fault of the kit itself."""
Verdict = Literal["conformant", "nonconformant", "undecided"]

EXIT_CODES: Mapping[Verdict, int] = {"conformant": 0, "nonconformant": 1, "undecided": 2}


class RuleResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one rule."""

    id: str
    level: Level
    requirement: str
    source: str
    """Where the contract says so: a JSON pointer into `openapi.yaml`."""
    verdict: Outcome
    line: int | None = None
    """The line of that place in the `openapi.yaml` of the contract's version, from 1."""
    expected: str | None = None
    actual: str | None = None
    curl: str | None = None
    """A command that shows the failure again; the key in it is `$OPENROUTER_API_KEY`."""
    reason: str | None = None
    """Why the rule was skipped, undecided, known or in error; of a pass, that a failure had been expected."""

    touched: tuple[str, ...] = ()
    """The rules that fail by the same crash alone; they are skipped."""

    @property
    def section(self) -> str:
        """The first part of the id."""
        return self.id.partition(".")[0]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of one server found."""

    target: str
    contract_version: str
    tool_version: str
    verdict: Verdict
    requests: int
    elapsed_s: float
    seed: int
    rules: tuple[RuleResult, ...]
    complete: Literal[True] = True
    """The end mark: it comes last in the JSON, so that a report that was cut off is none."""

    @property
    def exit_code(self) -> int:
        """What the command ends with: 0 conformant, 1 nonconformant, 2 undecided."""
        return EXIT_CODES[self.verdict]

    @property
    def unexpected_passes(self) -> tuple[RuleResult, ...]:
        """The rules that passed though they were expected to fail."""
        return tuple(rule for rule in self.rules if rule.verdict == "pass" and rule.reason)

    def of(self, *outcomes: Outcome) -> tuple[RuleResult, ...]:
        """The rules with one of these outcomes."""
        return tuple(rule for rule in self.rules if rule.verdict in outcomes)

    def to_json(self) -> str:
        """The report as JSON, indented, with a newline at its end."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode() + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Report":
        """Read what `to_json` wrote.

        Raises:
            ValueError: It is no report, or one without its end mark.
        """
        try:
            mark = msgspec.json.decode(text, type=_EndMark)
            report = msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = f"not a report of rerank-conformance: {error}"
            raise ValueError(message) from error
        if mark.complete is not True:
            raise ValueError('not a whole report: its end mark, "complete": true, is missing')
        return report


class _EndMark(msgspec.Struct):
    complete: bool = False


def verdict(rules: Collection[RuleResult], *, strict: bool = False) -> Verdict:
    """What the outcomes of the rules amount to.

    Args:
        rules: Every rule that was asked for.
        strict: SHOULD counts as MUST.
    """
    counted = [rule for rule in rules if strict or rule.level == "MUST"]
    outcomes = {rule.verdict for rule in counted}
    if "fail" in outcomes:
        return "nonconformant"
    if outcomes & {"undecided", "error"}:
        return "undecided"
    # nothing that was only skipped is green
    judged = counted or rules
    return "conformant" if {rule.verdict for rule in judged} & {"pass", "known"} else "undecided"


def with_known(rules: Sequence[RuleResult], expected: Mapping[str, str]) -> tuple[RuleResult, ...]:
    """The rules again, where failures that were expected are `known` and passes that were not carry a reason.

    Args:
        rules: What was found.
        expected: The reason by the id of the rule, as `read_expected` gives them.
    """
    return tuple(_known(rule, expected.get(rule.id)) for rule in rules)


def _known(rule: RuleResult, reason: str | None) -> RuleResult:
    if reason is None:
        return rule
    if rule.verdict == "fail":
        return msgspec.structs.replace(rule, verdict="known", reason=reason)
    if rule.verdict == "pass":
        note = f"unexpected pass: take it off the expected failures ({reason})"
        return msgspec.structs.replace(rule, reason=note)
    return rule


def read_expected(path: Path, known_ids: Collection[str]) -> dict[str, str]:
    """The expected failures in a file: on each line a rule's id and, after `#`, why it fails.

    Raises:
        ValueError: A line names no rule.
        OSError: The file cannot be read.
    """
    expected: dict[str, str] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        rule, _, why = (part.strip() for part in line.partition("#"))
        if not rule:
            continue
        if rule not in known_ids:
            msg = f"{path}:{number}: no rule is named {rule!r}; `rerank-conformance rules` lists them"
            raise ValueError(msg)
        expected[rule] = why or "expected to fail"
    return expected
