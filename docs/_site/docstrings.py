"""Docstrings as Sphinx reads them: Google's style, with Markdown's code. The docstrings stay as they are."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.inspect import stringify_signature

from openrouter_rerank import options

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


def _without_options(
    _app: Sphinx, _what: str, _name: str, obj: Any, _flags: Any, _arguments: str | None, _result: str | None
) -> tuple[str, str | None] | None:
    """Show `**options` in place of each option, as the page has a table of them."""
    if not (inspect.isroutine(obj) or inspect.isclass(obj)):
        return None
    try:
        signature = inspect.signature(obj)
    except (TypeError, ValueError):  # a cached property, or a class of C
        return None
    if not options.CALL.issubset(signature.parameters):
        return None
    kept = [
        one for one in signature.parameters.values() if one.name not in options.LocalOptions.__annotations__
    ]
    if kept and kept[0].name in {"self", "cls"}:
        kept = kept[1:]
    kept.append(inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD))
    shown = stringify_signature(signature.replace(parameters=kept), unqualified_typehints=True)
    arguments, _, returned = shown.partition(" -> ")
    return arguments, None if inspect.isclass(obj) else returned


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the functions with Sphinx."""
    app.connect("builder-inited", _one_signature)
    app.connect("autodoc-process-docstring", _as_rest)
    app.connect("autodoc-process-signature", _without_options)
    return {"parallel_read_safe": False}
