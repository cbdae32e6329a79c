"""Links between pages and files: what a reader of the repository follows leads somewhere in the site too."""
# ruff: noqa: INP001 - Sphinx imports it by its path

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes

if TYPE_CHECKING:
    from docutils.nodes import Element, TextElement
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).parents[2]

PAGES = {
    "README.md": "start.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "openapi.yaml": "contract-source.md",
}
"""The page that has a file of the repository's root."""

LATER = ("kill-matrix", "interop", "bulk-performance")
"""Pages that sessions of their own make, and that need not be there."""

_LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")


def relink(text: str, file: Path, page: Path, docs: Path) -> str:
    """The Markdown of a file as it reads on a page: each link to a file that has a page leads to that page."""

    def rewritten(link: re.Match[str]) -> str:
        target = (file.parent / link[2]).resolve()
        if not target.is_relative_to(ROOT):
            return link[0]
        name = str(target.relative_to(ROOT))
        found = docs / PAGES[name] if name in PAGES else target
        return f"{link[1]}{posixpath.relpath(found, page.parent)}{link[3] or ''}{link[4]}"

    return _LINK.sub(rewritten, text)


def _read(app: Sphinx, docname: str, content: list[str]) -> None:
    page = app.env.doc2path(docname)
    text = relink(content[0], Path(page), Path(page), Path(app.srcdir))
    for name in LATER:
        if name not in app.env.found_docs:
            text = re.sub(rf"^{name}\n", "", text, flags=re.MULTILINE)  # in a table of contents
    content[0] = text


def _included(app: Sphinx, included: Path, docname: str, content: list[str]) -> None:
    file = (Path(app.srcdir) / included).resolve()
    content[0] = relink(content[0], file, Path(app.env.doc2path(docname)), Path(app.srcdir))


def _missing(
    _app: Sphinx, _env: BuildEnvironment, node: Element, content: TextElement
) -> nodes.Element | None:
    target = str(node.get("reftarget", "")).removesuffix(".md")
    return nodes.inline("", "", content) if posixpath.basename(target) in LATER else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx when to ask."""
    app.connect("source-read", _read)
    app.connect("include-read", _included)
    app.connect("missing-reference", _missing)
    return {"parallel_read_safe": True}
