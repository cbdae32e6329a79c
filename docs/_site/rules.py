"""The directive `rules`: every rule of the conformance kit, by section, from the registry. It judges nothing."""
# ruff: noqa: INP001 - Sphinx imports it by its path

from __future__ import annotations

import inspect
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

from docutils import nodes
from rerank_conformance import contract
from rerank_conformance.rules import RULES
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from rerank_conformance.rules import Rule
    from sphinx.application import Sphinx


class Rules(SphinxDirective):
    """A section for each beginning of a rule's id, with what its module says of it."""

    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        """The sections."""
        return [
            node
            for name, of_section in groupby(RULES.values(), lambda rule: rule.id.partition(".")[0])
            for node in self._section(name, list(of_section))
        ]

    def _section(self, name: str, listed: list[Rule]) -> list[nodes.Node]:
        said = (inspect.getdoc(inspect.getmodule(listed[0].judge)) or "").partition("\n")[0]
        lines = [f"## {name}", "", said, ""]
        for rule in listed:
            facts = [
                f"[openapi.yaml line {contract.line_of(rule.source)}](#source-{contract.line_of(rule.source)})",
                "`--quick`" if rule.quick else "whole check only",
                *([f"since {rule.since}"] if rule.since != "1.0.0" else []),
            ]
            lines += [
                f"(rule-{rule.id.replace('.', '-')})=",
                f"`{rule.id}` **{rule.level}**",
                f": {rule.requirement}.",
                f"  {', '.join(facts)}",
                "",
            ]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("rules", Rules)
    return {"parallel_read_safe": True}
