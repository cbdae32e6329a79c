"""Docstrings as Sphinx reads them: Google's style, with Markdown's code. The docstrings stay as they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.pycode import ModuleAnalyzer

if TYPE_CHECKING:
    from sphinx.application import Sphinx

GOOGLE = Config(napoleon_use_ivar=True)

# A word in backticks, or a whole line of code; what Napoleon wrote has a role before its own.
_CODE = re.compile(r"(?<![`:])`([^`]+)`(?!`)(?=(\w?))")


def _as_rest(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:  # noqa: PLR0913, PLR0917 - Sphinx calls it
    # Napoleon itself takes "Its image: a URL" above an attribute for a type and a text
    kind = "method" if what in {"attribute", "data", "property"} else what
    text = "\n".join(GoogleDocstring(lines, GOOGLE, app, kind, name, obj, options).lines())
    text = _CODE.sub(lambda code: f"``{code[1]}``" + ("\\ " if code[2] else ""), text)
    if what == "module":  # a drawing, or lines of code
        text = re.sub(r"\n\n(?= {4}\S)(?! {4}>>>)", "\n\n::\n\n", text)
    lines[:] = text.split("\n")


def _one_signature(_app: Sphinx) -> None:
    """Drop the overloads, which are for type checkers; the implementation has the signature."""
    client = ModuleAnalyzer.for_module("openrouter_rerank.client")
    client.analyze()
    client.overloads.clear()


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx when to ask."""
    app.connect("builder-inited", _one_signature)
    app.connect("autodoc-process-docstring", _as_rest)
    return {"parallel_read_safe": False}
