"""Docstrings as Sphinx reads them, and names as it links them. The docstrings stay as they are."""
# ruff: noqa: INP001 - Sphinx imports it by its path

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sphinx.ext.autodoc.mock import (
    _MockObject,  # pyright: ignore[reportPrivateUsage] - there is no public way to make one a type
)
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from docutils.nodes import Element, TextElement
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

OURS = ("openrouter_rerank", "openrouter_rerank_api", "rerank_conformance")
GOOGLE = Config(napoleon_use_ivar=True)

# A word in backticks, or a whole line of code; what Napoleon wrote has a role before its own.
_CODE = re.compile(r"(?<![`:])`([^`]+)`(?!`)(?=(\w?))")


def _as_rest(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Google's style and Markdown's code as reStructuredText."""
    # Napoleon itself takes "Its image: a URL" above an attribute for a type and a text
    kind = "method" if what in {"attribute", "data", "property"} else what
    text = "\n".join(GoogleDocstring(lines, GOOGLE, app, kind, name, obj, options).lines())
    text = _CODE.sub(lambda code: f"``{code[1]}``" + ("\\ " if code[2] else ""), text)
    if what == "module":  # a drawing, or lines of code
        text = re.sub(r"\n\n(?= {4}\S)(?! {4}>>>)", "\n\n::\n\n", text)
    lines[:] = text.split("\n")


def _linked(app: Sphinx, env: BuildEnvironment, node: Element, content: TextElement) -> Element | None:
    """Where a name is documented: annotations name the module that defines it, pages the one that users import from."""
    target = str(node["reftarget"])
    if node.get("refdomain") != "py" or ("." in target and not target.startswith(OURS)):
        return None
    last = target.rpartition(".")[2]
    objects = env.domains.python_domain.objects
    found = [name for name in objects if name.rpartition(".")[2] == last and objects[name].objtype != "attribute"]
    package = str(node.get("py:module") or target).partition(".")[0]
    for name in sorted(found, key=lambda name: (name.partition(".")[0] != package, name.count("."))):
        entry = objects[name]
        docname = str(node.get("refdoc") or env.docname)
        return make_refnode(app.builder, docname, entry.docname, entry.node_id, [content], name)
    return None


def _one_signature(_app: Sphinx) -> None:
    """What a call takes is in the signature that does the work; the overloads are for type checkers."""
    ModuleAnalyzer.for_module("openrouter_rerank.client").analyze()
    ModuleAnalyzer.for_module("openrouter_rerank.client").overloads.clear()


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx when to ask."""
    _MockObject.__or__ = lambda self, _: self  # an adapter's `Secret | None` is made when it is imported
    app.connect("builder-inited", _one_signature)
    app.connect("autodoc-process-docstring", _as_rest)
    app.connect("missing-reference", _linked)
    return {"parallel_read_safe": False}
