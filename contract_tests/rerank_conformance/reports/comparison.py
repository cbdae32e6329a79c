"""Several reports as one matrix of rules by servers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Literal

import msgspec

from rerank_conformance.report import (
    LEVELS,
    ConformanceLevel,
    Level,
    Outcome,
    Report,
    RuleResult,
    Verdict,
    held_to,
)


class ComparedServer(msgspec.Struct, frozen=True, kw_only=True):
    """A server and the facts of its report."""

    name: str
    """The target, with the file of the report if two reports have the same target."""
    file: str
    target: str
    contract_version: str
    dialect: str = "openrouter"
    """The form of the API by which the server was judged."""
    tool_version: str
    verdict: Verdict
    conformance_level: ConformanceLevel = "strict"
    """The level that decides the verdict."""
    verdicts: Mapping[ConformanceLevel, Verdict] = {}
    """The verdict of each level; empty if the report lacks them."""
    quick: bool = False
    requests: int
    elapsed_s: float
    seed: int

    @property
    def held_to(self) -> str:
        """The version of the contract, and the dialect unless it is the contract's own."""
        return held_to(self.contract_version, self.dialect)


class ComparedRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule and its outcome on each server."""

    id: str
    level: Level
    conformance_level: ConformanceLevel = "strict"
    requirement: str
    outcomes: Mapping[str, Outcome]
    """The outcomes by name of the server; a server whose report lacks the rule is absent."""

    @property
    def section(self) -> str:
        """The first part of the id."""
        return self.id.partition(".")[0]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The results of several checks, side by side."""

    contract_versions: tuple[str, ...]
    """The versions of the contract, each once; more than one means that the rules differ between servers."""
    servers: tuple[ComparedServer, ...]
    rules: tuple[ComparedRule, ...]
    complete: Literal[True] = True
    """The end mark, as in a report."""

    @property
    def differing(self) -> list[ComparedRule]:
        """The rules on which the servers differ; those that affect the most clients come first."""
        rows = [row for row in self.rules if self.differs(row)]
        return sorted(rows, key=lambda row: (LEVELS.index(row.conformance_level), row.level))

    def differs(self, row: ComparedRule) -> bool:
        """Return True if the outcomes of the rule differ, or a report lacks it."""
        return len({row.outcomes.get(server.name) for server in self.servers}) > 1

    def passed(self, row: ComparedRule) -> bool:
        """Return True if every server passes the rule."""
        return {row.outcomes.get(server.name) for server in self.servers} == {"pass"}

    def to_json(self) -> str:
        """Return the comparison as JSON, indented, with a newline at its end."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode() + "\n"


def compare(reports: Mapping[str, Report]) -> Comparison:
    """Return the matrix of some reports.

    Args:
        reports: The reports by file name.
    """
    names = _names(reports)
    servers = [
        ComparedServer(
            name=names[file],
            file=file,
            target=report.target,
            contract_version=report.contract_version,
            dialect=report.dialect,
            tool_version=report.tool_version,
            verdict=report.verdict,
            conformance_level=report.conformance_level,
            verdicts=report.verdicts,
            quick=report.quick,
            requests=report.requests,
            elapsed_s=report.elapsed_s,
            seed=report.seed,
        )
        for file, report in reports.items()
    ]
    return Comparison(
        contract_versions=tuple(dict.fromkeys(report.contract_version for report in reports.values())),
        servers=tuple(servers),
        rules=tuple(_rows({names[file]: report for file, report in reports.items()})),
    )


def _names(reports: Mapping[str, Report]) -> dict[str, str]:
    """Name each server by its target, followed by the file name, or its path, if the target is not unique."""
    names = {file: report.target for file, report in reports.items()}
    for called in ({file: PurePath(file).name for file in reports}, {file: file for file in reports}):
        times = Counter(names.values())
        names = {
            file: name if times[name] == 1 else f"{reports[file].target} ({called[file]})"
            for file, name in names.items()
        }
    return names


def _rows(reports: Mapping[str, Report]) -> Sequence[ComparedRule]:
    by_id: dict[str, dict[str, Outcome]] = {}
    first: dict[str, RuleResult] = {}
    order: dict[str, int] = {}
    for name, report in reports.items():
        for rule in report.rules:
            by_id.setdefault(rule.id, {})[name] = rule.verdict
            first.setdefault(rule.id, rule)
            order.setdefault(rule.section, len(order))
    rows = [
        ComparedRule(
            id=name,
            level=first[name].level,
            conformance_level=first[name].conformance_level,
            requirement=first[name].requirement,
            outcomes=outcomes,
        )
        for name, outcomes in by_id.items()
    ]
    return sorted(rows, key=lambda row: order[row.section])
