"""One test for each rule, of the server that `--target` names.

A server's own repository imports it, `from rerank_conformance.test_rules import test_rule`, beside a fixture
`rerank_target` that returns its address or its ASGI app.
"""

from typing import TYPE_CHECKING

import pytest

from rerank_conformance import contract

if TYPE_CHECKING:
    from rerank_conformance.report import ConformanceLevel, RuleResult


def test_rule(rerank_result: "RuleResult", pytestconfig: pytest.Config) -> None:
    """The server keeps the rule; a SHOULD, or a rule beyond `--target-level`, that it breaks is an expected failure."""
    result = rerank_result
    level: ConformanceLevel = pytestconfig.getoption("target_level") or "strict"
    decides = result.is_in(level)
    counts = decides and (result.level == "MUST" or pytestconfig.getoption("target_strict"))
    lines = [f"{result.requirement} ({result.id}, {result.level} of level {result.conformance_level})"]
    for name in ("expected", "actual", "reason", "curl"):
        value = getattr(result, name)
        if value:
            lines.append(f"  {name}: {value}")
    for example in result.examples:
        lines.append(f"  also: {example.actual}")
        if example.curl:
            lines.append(f"  curl: {example.curl}")
    version = pytestconfig.getoption("target_contract_version") or contract.load().version
    file = contract.name_of(version) if result.source.startswith("#") else result.source.partition("#")[0]
    lines.append(f"  contract: {file}:{result.line} #{result.source.partition('#')[2]}")
    match result.verdict:
        case "pass":
            return
        case "skip":
            pytest.skip(result.reason or "not judged")
        case "known":
            pytest.xfail(f"known: {result.reason}")
        case "fail" if not counts:
            pytest.xfail("\n".join(lines))
        case "undecided" | "error" if not counts:
            pytest.skip(f"{result.verdict}: {result.reason}")
        case verdict:
            pytest.fail("\n".join([f"{verdict}: {lines[0]}", *lines[1:]]), pytrace=False)
