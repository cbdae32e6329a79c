"""Write the rules of the newest contract beside this file when it is released, so that they stay."""

from __future__ import annotations

from pathlib import Path

from rerank_conformance import contract
from rerank_conformance.rules import rule_set


def listed(version: str) -> str:
    """Return the rules of a contract with their levels, one to a line."""
    return "".join(f"{rule.level:6} {rule.id}\n" for rule in rule_set(version))


if __name__ == "__main__":
    newest = contract.load().version
    Path(__file__).with_name(f"{newest}.txt").write_text(listed(newest), "utf-8")
