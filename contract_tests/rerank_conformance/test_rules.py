"""One test for each rule, of the server that `--target` names.

A server's own repository can have them too: `from rerank_conformance.test_rules import test_rule`, beside a fixture
`rerank_target` that returns its address or its ASGI app.
"""

from typing import TYPE_CHECKING

import pytest

from rerank_conformance import contract

if TYPE_CHECKING:
    from rerank_conformance.report import RuleResult


def test_rule(rerank_result: "RuleResult", pytestconfig: pytest.Config) -> None:
    """The server keeps the rule; a SHOULD that it does not keep is an expected failure, unless it counts."""
    result = rerank_result
    counts = result.level == "MUST" or pytestconfig.getoption("target_strict")
    lines = [f"{result.id} ({result.level}): {result.requirement}"]
    for name in ("expected", "actual", "reason", "curl"):
        value = getattr(result, name)
        if value:
            lines.append(f"  {name}: {value}")
    version = pytestconfig.getoption("target_contract_version") or contract.load().version
    lines.append(f"  contract: {contract.name_of(version)}:{result.line} {result.source}")
    match result.verdict:
        case "pass":
            return
        case "skip":
            pytest.skip(result.reason or "not judged")
        case "known":
            pytest.xfail(f"known: {result.reason}")
        case "fail" if not counts:
            pytest.xfail("\n".join(lines))
        case "undecided" if not counts:
            pytest.skip(f"undecided: {result.reason}")
        case verdict:
            pytest.fail("\n".join([f"{verdict}: {lines[0]}", *lines[1:]]), pytrace=False)
